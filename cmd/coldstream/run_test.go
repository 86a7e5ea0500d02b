package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/internal/protection"
)

// protected waits until status says that topics are saved to their ends.
func (w *world) protected(topics ...string) {
	w.Helper()
	w.await(fmt.Sprintf("%v are saved to their ends", topics), func() bool {
		out := w.run("status", "-b", w.bootstrap, "-t", strings.Join(topics, ","))
		var d protection.Document
		if out.code != exitDone {
			return false
		}
		out.into(w.T, &d)
		for _, t := range d.Topics {
			if t.RPOSeconds == nil || *t.RPOSeconds != 0 {
				return false
			}
		}
		return len(d.Topics) == len(topics)
	})
}

// terminated ends a run as a service manager does.
func (w *world) terminated(p *process) {
	w.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		w.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		w.Fatal("it does not end")
	}
	if p.code != exitDone {
		w.Fatalf("it ended with %d:\n%s", p.code, &p.stderr)
	}
}

// A continuous backup takes in what comes, and what it leaves behind restores to what was there.
func TestRunFollowsACluster(t *testing.T) {
	realCluster(t)
	w := newWorld(t)
	binary := buildProgram(t)
	w.fill("run-a", 2, 30)
	w.fill("run-c", 1, 5)
	w.commit("run-group", kadm.Offset{Topic: "run-a", At: 7, LeaderEpoch: -1})
	p := w.startProcess(binary, "run", "-t", "run-*", "--exclude", "run-*-back", "--interval", "1s", "--snapshot-every", "1h")
	w.protected("run-a", "run-c")

	// A topic comes, one grows, and one is made again with records at the same offsets.
	w.fill("run-b", 1, 10)
	if _, err := w.adm.CreatePartitions(t.Context(), 1, "run-a"); err != nil {
		t.Fatal(err)
	}
	w.delete("run-c")
	w.await("the topic is gone", func() bool { return !w.exists("run-c") })
	w.client = w.newClient() // the other one knows the topic that was
	w.fill("run-c", 1, 5)
	w.await("the new partition takes records", func() bool {
		return w.client.ProduceSync(t.Context(), &kgo.Record{Topic: "run-a", Partition: 2, Value: []byte("grown")}).FirstErr() == nil
	})
	w.protected("run-a", "run-b", "run-c")
	w.values("run-a", "the last moment")
	w.terminated(p)

	for _, topic := range []string{"run-a", "run-b", "run-c"} {
		sameContent(t, w.read(w.restoreAs(topic, topic+"-back")), w.read(topic))
	}
	r := w.restore("-t", "run-a", "--map", "run-a=run-a-groups-back", "--group", "run-group")
	same(t, "groups", r.names(), []string{"run-group committed"})
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.HasPrefix(line, `{"time":`) {
			t.Errorf("no line of JSON: %s", line)
		}
	}
	if !strings.Contains(p.stderr.String(), "topic is not followed any more") {
		t.Errorf("nobody was told that a topic was deleted:\n%s", &p.stderr)
	}
	w.verify()
}

// Killed again and again, it loses nothing and stores nothing twice.
func TestRunSurvivesKills(t *testing.T) {
	realCluster(t)
	w := newWorld(t)
	binary := buildProgram(t)
	w.create("run-killed", 3)
	stop := w.keepWriting("run-killed", 3, 200)
	for range 3 {
		p := w.startProcess(binary, "run", "-t", "run-killed", "--interval", "1s", "--snapshot-every", "2s")
		w.await("it has saved something", func() bool { return w.files("commits") > 0 })
		select {
		case <-p.ended:
			t.Fatalf("it ended:\n%s", &p.stderr)
		case <-time.After(1200 * time.Millisecond):
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-p.ended
	}
	stop()
	p := w.startProcess(binary, "run", "-t", "run-killed", "--interval", "1s")
	w.protected("run-killed")
	w.terminated(p)
	sameContent(t, w.read(w.restoreAs("run-killed", "run-killed-back")), w.read("run-killed"))
	w.verify()
}

func TestRunRefuses(t *testing.T) {
	w := newFakeWorld(t)
	w.run("run", "-b", w.bootstrap, "--interval", "10ms").must(t, exitUsage).says(t, "at least 1s")
	w.run("run", "-b", w.bootstrap, "--snapshot-every", "1s").must(t, exitUsage).says(t, "--snapshot-every")
	command(t, nil, "run", "-b", w.bootstrap, "--vault", t.TempDir()).must(t, exitNoVault)
	w.run("run", "-b", "127.0.0.1:1", "--connect-timeout", "300ms").must(t, exitUnreachable)
	var dry backupReport
	w.run("run", "-b", w.bootstrap, "--dry-run").must(t, exitDone).into(t, &dry)
}
