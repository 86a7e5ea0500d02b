package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/kafkatest"
)

// process is the real program at work.
type process struct {
	*exec.Cmd
	stdout, stderr lockedBuffer // complete once ended is closed
	ended          chan struct{}
	code           int // -1 after a kill
}

// startProcess runs the program that build made.
func (w *world) startProcess(binary, name string, args ...string) *process {
	w.Helper()
	return w.start(exec.Command(binary, append([]string{name, "--vault", w.vault, "-b", w.bootstrap, "-o", "json"}, args...)...))
}

// start runs a command until the test ends at most.
func (w *world) start(cmd *exec.Cmd) *process {
	w.Helper()
	p := &process{Cmd: cmd, ended: make(chan struct{})}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		w.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		var exit *exec.ExitError
		switch err := p.Wait(); {
		case errors.As(err, &exit):
			p.code = exit.ExitCode()
		case err != nil:
			p.code = -2
		}
	}()
	w.Cleanup(func() {
		_ = p.Process.Kill() // it may have ended long ago
		<-p.ended
	})
	return p
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// files counts what the vault has in a folder, made or in the making: files come and go.
func (w *world) files(folder string) int {
	n := 0
	_ = filepath.WalkDir(filepath.Join(w.vault, folder), func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return nil
	})
	return n
}

// holdBack lets a cluster answer only the first requests of a kind; further ones wait
// until release is called. asked counts them all.
func holdBack(fake *kfake.Cluster, key kmsg.Key, first int32) (asked *atomic.Int32, release func()) {
	asked = new(atomic.Int32)
	released := make(chan struct{})
	fake.ControlKey(key.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if asked.Add(1) > first {
			fake.SleepControl(func() { <-released })
		}
		return nil, nil, false
	})
	return asked, sync.OnceFunc(func() { close(released) })
}

func buildProgram(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "coldstream")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

func TestProcess(t *testing.T) {
	realCluster(t)
	binary := buildProgram(t)
	t.Run("SIGINT", func(t *testing.T) { testSignaledBackup(t, binary, os.Interrupt, never) })
	t.Run("SIGINT after a commit", func(t *testing.T) { testSignaledBackup(t, binary, os.Interrupt, "50ms") })
	t.Run("SIGTERM", func(t *testing.T) { testSignaledBackup(t, binary, syscall.SIGTERM, never) })
	t.Run("restore", func(t *testing.T) { testSignaledRestore(t, binary) })
	t.Run("SIGINT of an append", func(t *testing.T) { testBrokenAppend(t, binary, os.Interrupt) })
	t.Run("kill of an append", func(t *testing.T) { testBrokenAppend(t, binary, os.Kill) })
	t.Run("kills of a restore", func(t *testing.T) { testKilledRestores(t, binary, 5) })
	t.Run("kill", func(t *testing.T) { testKilledBackups(t, binary) })
}

// fillLarge writes 4 partitions of 200 records of 40 kB.
func (w *world) fillLarge(topic string) {
	w.Helper()
	w.create(topic, 4)
	random := newRandom(w.T)
	client := w.newClient(kgo.ProducerBatchMaxBytes(1 << 20))
	for p := range int32(4) {
		records := someRecords(random, topic, p, 200)
		for _, r := range records {
			r.Value = make([]byte, 40_000)
			for i := range r.Value {
				r.Value[i] = byte(random.Uint32())
			}
		}
		produce(w.T, client, records...)
	}
}

// never is an interval at which nothing is committed during a test.
const never = "1h"

// A backup that is told to end commits what it has, makes no snapshot, and the next one
// reads only the rest.
func testSignaledBackup(t *testing.T, binary string, signal os.Signal, interval string) {
	fake := kafkatest.StartFake(t, kfake.NumBrokers(1))
	w := newWorldOf(t, fake.ListenAddrs())
	w.fillLarge("large")
	before := w.read("large")
	asked, release := holdBack(fake, kmsg.Fetch, 2)
	t.Cleanup(release)
	p := w.startProcess(binary, "backup", "-t", "large", "--interval", interval)
	w.await("some data is fetched, and committed if it is soon", func() bool {
		return p.hasEnded() || asked.Load() > 3 && (interval == never || w.files("commits") > 0)
	})
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	release()
	o := outcome{p.code, p.stdout.String(), p.stderr.String()}
	o.must(t, exitInterrupted).says(t, "interrupted", "The next backup goes on from there")
	var d struct {
		Error struct{ Code int }
	}
	o.into(t, &d)
	same(t, "code in the document", d.Error.Code, exitInterrupted)
	said := regexp.MustCompile(`([0-9,]+) records? (?:was|were) saved before`).FindStringSubmatch(o.stderr)
	if said == nil {
		t.Fatalf("stderr: %s", o.stderr)
	}
	saved, err := strconv.ParseInt(strings.ReplaceAll(said[1], ",", ""), 10, 64)
	if err != nil || saved == 0 || saved == int64(len(before)) {
		t.Errorf("saved %d of %d records: %v", saved, len(before), err)
	}
	same(t, "snapshots of the interrupted", len(w.snapshots()), 0)
	w.verify()
	same(t, "records of the next", w.backup("large").Records, int64(len(before))-saved)
	w.restoreAs("large", "large-copy")
	sameContent(t, w.read("large-copy"), before)
}

// A restore that is told to end leaves a topic that nobody may take for whole: the next
// one refuses it.
func testSignaledRestore(t *testing.T, binary string) {
	fake := kafkatest.StartFake(t, kfake.NumBrokers(1))
	w := newWorldOf(t, fake.ListenAddrs())
	w.fillLarge("broken-off")
	before := w.read("broken-off")
	w.backup("broken-off")
	_, release := holdBack(fake, kmsg.Produce, 4)
	t.Cleanup(release)
	p := w.startProcess(binary, "restore", "-t", "broken-off", "--map", "broken-off=half", "--yes")
	w.await("the first records", func() bool {
		isWritten := func(r logRange) bool { return r.Next > 0 }
		return p.hasEnded() || w.exists("half") && slices.ContainsFunc(w.logRanges("half"), isWritten)
	})
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	release()
	out := outcome{p.code, p.stdout.String(), p.stderr.String()}.must(t, exitInterrupted).says(t, "interrupted", "topic half is incomplete, and keeps the configs of the restore", "go on with: coldstream restore", "--resume")
	if n := strings.Count(out.stderr, "incomplete") + strings.Count(out.stderr, "no retention"); n != 2 {
		t.Errorf("an interrupt is warned of more than once:\n%s", out.stderr)
	}
	w.restoring("-t", "broken-off", "--map", "broken-off=half").must(t, exitFailed).says(t, "nothing was restored",
		"of the same command line", "go on with it: coldstream restore", "--resume")
	w.restoring("-t", "broken-off", "--map", "broken-off=half", "--partitions", "0").must(t, exitFailed).says(t, "nothing was restored",
		"topic half has the configs of restore ", "go on with it: coldstream restore --map broken-off=half -t broken-off --resume")
	w.restoreAs("broken-off", "half", "--resume")
	sameContent(t, w.read("half"), before)
}

// A topic that others live with has its own configs again whatever becomes of a restore
// behind its records; after a kill the next run knows what to type. Nobody is told to delete it.
func testBrokenAppend(t *testing.T, binary string, signal os.Signal) {
	fake := kafkatest.StartFake(t, kfake.NumBrokers(1))
	w := newWorldOf(t, fake.ListenAddrs())
	w.fillLarge("broken-off")
	w.backup("broken-off")
	w.create("live", int32(len(w.logRanges("broken-off"))), "retention.ms=777777777", "cleanup.policy=compact")
	w.values("live", "theirs")
	_, release := holdBack(fake, kmsg.Produce, 8)
	t.Cleanup(release)
	p := w.startProcess(binary, "restore", "-t", "broken-off", "--map", "broken-off=live", "--append", "--yes")
	w.await("the first records", func() bool {
		return p.hasEnded() || slices.ContainsFunc(w.logRanges("live"), func(r logRange) bool { return r.Next > 1 })
	})
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	release()
	out := outcome{p.code, p.stdout.String(), p.stderr.String()}
	own := map[string]string{"retention.ms": "777777777", "cleanup.policy": "compact"}
	line := "kafka-configs.sh --bootstrap-server " + w.bootstrap + " --alter --topic live --add-config cleanup.policy=compact,retention.ms=777777777"
	out.says(t, "topic live has other configs for the time of the restore; if that is killed, put its own back with:", line, "--delete-config compression.type,")
	if signal == os.Kill {
		again := w.restoring("-t", "broken-off", "--map", "broken-off=live", "--append").must(t, exitFailed)
		again.says(t, "of the same command line", "--resume")
		out.stderr += again.stderr
		w.restoring("-t", "broken-off", "--map", "broken-off=live", "--append", "--resume").must(t, exitDone)
		same(t, "configs", w.ownConfigs("live"), own)
		same(t, "records", len(w.read("live")), 1+len(w.read("broken-off")))
	} else {
		out.must(t, exitInterrupted).says(t, "topic live was there before: it has its own configs again")
		same(t, "configs", w.ownConfigs("live"), own)
	}
	if strings.Contains(out.stderr, "delete") && !strings.Contains(out.stderr, "--delete-config") || strings.Contains(out.stderr, "delete topic") {
		t.Errorf("somebody is told to delete the records of others:\n%s", out.stderr)
	}
}

// Killed at any moment of its life, a restore leaves a topic with which the next one goes on: every
// record is there once, at its offset, and the topic and the groups are as if nothing had been.
func testKilledRestores(t *testing.T, binary string, times int) {
	w := newWorld(t)
	w.fillLarge("kept")
	w.commit("readers", kadm.Offset{Topic: "kept", Partition: 2, At: 33})
	before := w.read("kept")
	w.backup("kept")
	random := newRandom(t)
	args := []string{"-t", "kept", "--map", "kept=kept-copy", "--groups", "--offsets", "exact", "--config", "retention.ms=99999999999999"}
	for range times {
		p := w.startProcess(binary, "restore", append(args, "--yes", "--resume")...)
		later := time.NewTimer(time.Duration(random.IntN(1_200_000)) * time.Microsecond)
		select {
		case <-later.C:
		case <-p.ended:
		}
		_ = p.Process.Kill() // it may have ended
		<-p.ended
		if p.code != exitDone {
			w.restore(append(args, "--resume")...)
		}
		sameContent(t, w.read("kept-copy"), before)
		same(t, "group", w.committed("readers")["kept-copy-2"], w.committed("readers")["kept-2"])
		same(t, "configs", w.ownConfigs("kept-copy"), map[string]string{"retention.ms": "99999999999999"})
		w.delete("kept-copy")
	}
}

// Killed at any moment of its life, a backup leaves a vault with which the next one goes
// on: nothing is lost, and nothing that was committed is stored again.
func testKilledBackups(t *testing.T, binary string) {
	w := newWorld(t)
	random := newRandom(t)
	w.create("killed", 3)
	stop := w.keepWriting("killed", 3, 3000)
	committedBefore := 0
	for range 5 {
		written := w.logRanges("killed")[0].Next
		w.await("more is written", func() bool { return w.logRanges("killed")[0].Next > written })
		w.killedBackup(binary, random)
		same(t, "exit code of verify", w.run("verify", "--deep").code, exitDone)
		if n := w.files("commits"); n < committedBefore {
			t.Errorf("there were %d commits, now %d", committedBefore, n)
		} else {
			committedBefore = n
		}
	}
	stop()
	last := w.backup("killed")
	w.verify()
	total := w.partitionBytes("killed")
	newest := w.snapshots()[len(w.snapshots())-1]
	same(t, "bytes stored of the topic", newest.Bytes, total)
	if committedBefore > 0 && last.BytesRead >= total {
		t.Errorf("the last backup read all %d bytes, though there were %d commits", total, committedBefore)
	}
	w.restoreAs("killed", "killed-copy", "--offsets", "exact")
	sameContent(t, w.read("killed-copy"), w.read("killed"))
}

// killedBackup kills a backup some time after it made a file, or before.
func (w *world) killedBackup(binary string, random *rand.Rand) {
	w.Helper()
	there, more := w.files("."), random.IntN(7)
	p := w.startProcess(binary, "backup", "-t", "killed", "--interval", "1ms")
	later := time.NewTimer(time.Duration(random.IntN(3000)) * time.Microsecond)
	w.await("something is stored", func() bool { return p.hasEnded() || w.files(".") >= there+more })
	select {
	case <-later.C:
	case <-p.ended:
	}
	_ = p.Process.Kill() // unless it has ended
	<-p.ended
	if p.hasEnded() && p.code != -1 && p.code != exitDone {
		w.Errorf("a backup after a kill ended with %d\n%s", p.code, p.stderr.String())
	}
}
