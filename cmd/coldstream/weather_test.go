package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// weather is a continuous backup of a cluster of three real nodes, to which things happen.
type weather struct {
	*world
	brokers *kafkatest.Cluster
	binary  string
	*process
	at string // where it serves
}

func newWeather(t *testing.T) *weather {
	t.Helper()
	if testing.Short() {
		t.Skip("needs three real brokers: run without -short")
	}
	brokers := kafkatest.Start(t, kafkatest.Config{Version: os.Getenv(kafkaVersionVariable), Nodes: 3, HeapMB: 384, Properties: map[string]string{
		"broker.session.timeout.ms": "3000", "replica.lag.time.max.ms": "3000", "min.insync.replicas": "1", "group.initial.rebalance.delay.ms": "0",
		"log.retention.ms": "-1", "log.cleaner.backoff.ms": "100",
	}})
	return &weather{world: newWorldOf(t, brokers.Addrs()), brokers: brokers, binary: buildProgram(t)}
}

// begins starts the backup of all topics that the test makes.
func (w *weather) begins(args ...string) {
	w.Helper()
	w.process = w.startProcess(w.binary, "run", append([]string{"-t", "weather-*", "--interval", "1s", "--snapshot-every", "2s", "--listen", "127.0.0.1:0"}, args...)...)
	w.at = w.served(w.process)
}

// inSync is the number of replicas of partition 0 that have all of it.
func (w *weather) inSync(topic string) int {
	w.Helper()
	topics, err := w.adm.ListTopics(w.Context(), topic)
	if err != nil {
		return 0 // a broker just went away
	}
	return len(topics[topic].Partitions[0].ISR)
}

func (w *weather) leader(topic string) int32 {
	w.Helper()
	topics, err := w.adm.ListTopics(w.Context(), topic)
	if err != nil || topics[topic].Err != nil {
		return -1
	}
	return topics[topic].Partitions[0].Leader
}

// numbered writes records with their numbers, ten to a batch.
func (w *weather) numbered(topic, what string, n int) {
	w.Helper()
	for i := 0; i < n; i += 10 {
		var records []*kgo.Record
		for j := range 10 {
			records = append(records, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%s %d", what, i+j)})
		}
		w.produce(records...)
	}
}

// shown waits until the newest snapshot shows what a topic holds, and returns its ID.
func (w *weather) shown(topic string, want []kafkatest.Record) (id string) {
	w.Helper()
	w.await("a snapshot shows all of "+topic, func() bool {
		known := w.snapshots()
		if len(known) == 0 {
			return false
		}
		id = known[len(known)-1].ID
		out := w.run("ls", "--snapshot", id, topic)
		var d struct{ Topics []topicDocument }
		if out.code != exitDone {
			return false
		}
		out.into(w.T, &d)
		return d.Topics[0].Records == int64(len(want))
	})
	sameContent(w.T, w.cat(topic, "--snapshot", id), want)
	return id
}

// failing lets system calls of the backup fail from now on, until it is told to stop.
func (w *weather) failing(calls, how string) (stop func()) {
	w.Helper()
	of := w.process
	args := strace(w.T, "-p", strconv.Itoa(of.Process.Pid), "-e", "trace="+calls, "-e", "inject="+calls+":"+how)
	tracer := w.start(exec.Command(args[0], args[1:]...))
	return func() {
		w.Helper()
		if tracer.hasEnded() && !of.hasEnded() {
			w.Fatalf("strace ended with %d: %s", tracer.code, tracer.stderr.String())
		}
		tracer.letsGo(of)
	}
}

// letsGo ends a tracer. It now and then sleeps through a signal, so it is told again. One that has to be
// killed may leave what it traced stopped.
func (p *process) letsGo(of *process) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for over := time.After(10 * time.Second); ; {
		_ = p.Process.Signal(syscall.SIGINT) // it may have ended with the other
		select {
		case <-p.ended:
			return
		case <-again.C:
		case <-over:
			_ = p.Process.Kill()
			<-p.ended
			_ = of.Process.Signal(syscall.SIGCONT)
			return
		}
	}
}

// isReady asks the backup itself.
func (w *weather) isReady() bool {
	code, _ := w.get(w.at + "/readyz")
	return code == http.StatusOK
}

// TestRunInHardWeather: what a cluster of three and a full disk can do to a continuous backup, it
// tells, waits for, and catches up with; nothing is lost but what the cluster itself lost before
// it was saved, and that is told.
func TestRunInHardWeather(t *testing.T) {
	w := newWeather(t)
	w.createAt("weather-lost", map[string]string{"unclean.leader.election.enable": "true"}, 1, 2)
	w.createAt("weather-again", nil, 3)
	w.createAt("weather-busy", nil, 3)
	w.begins()
	w.numbered("weather-lost", "first", 1000)
	w.await("both replicas have all", func() bool { return w.inSync("weather-lost") == 2 })
	if err := w.brokers.Kill(2); err != nil {
		t.Fatal(err)
	}
	holdsBoth := w.madeAgain()
	w.diskIsFull()
	w.await("the leader is alone", func() bool { return w.inSync("weather-lost") == 1 })
	w.loseAcknowledged()
	holdsBoth()
	w.terminated(w.process)
	w.verify()
}

// madeAgain deletes a topic and makes it again with records at the same offsets. What it returns
// waits until the vault holds both.
func (w *weather) madeAgain() (holdsBoth func()) {
	w.Helper()
	w.numbered("weather-again", "before", 200)
	before := w.read("weather-again")
	old := w.shown("weather-again", before)
	w.delete("weather-again")
	w.await("the topic is gone", func() bool { return !w.exists("weather-again") })
	w.client = w.newClient() // the other one knows the topic that was
	w.createAt("weather-again", nil, 3)
	w.numbered("weather-again", "after", 200)
	after := w.read("weather-again")
	return func() {
		w.Helper()
		w.protected("weather-again")
		w.shown("weather-again", after)
		sameContent(w.T, w.cat("weather-again", "--snapshot", old), before)
	}
}

// diskIsFull lets the vault's disk be full while records come.
func (w *weather) diskIsFull() {
	w.Helper()
	stop := w.keepWriting("weather-busy", 1, 200)
	w.await("it is ready", w.isReady)
	free := w.failing("fsync,linkat", "error=ENOSPC")
	w.await("it says that the disk is full", func() bool {
		return strings.Contains(w.stderr.String(), "no space left on device")
	})
	if w.isReady() {
		w.Error("/readyz says that all is well while nothing can be stored")
	}
	written := w.logRanges("weather-busy")[0].Next
	w.await("more is written meanwhile", func() bool { return w.logRanges("weather-busy")[0].Next > written+1000 })
	free()
	stop()
	w.protected("weather-busy")
	w.await("it is ready again", w.isReady)
	w.shown("weather-busy", w.read("weather-busy"))
}

// loseAcknowledged lets a replica lead that lacks 500 acknowledged records, which were saved. The
// vault keeps them, and goes on as the log does, which passes the offset up to which it had read.
func (w *weather) loseAcknowledged() {
	w.Helper()
	w.numbered("weather-lost", "lost", 500)
	before := w.read("weather-lost")
	old := w.shown("weather-lost", before)
	if err := w.brokers.Kill(1); err != nil {
		w.Fatal(err)
	}
	if err := w.brokers.StartNode(2); err != nil {
		w.Fatal(err)
	}
	w.await("the replica that lacks records leads", func() bool { return w.leader("weather-lost") == 2 })
	w.client = w.newClient() // that the log lost its end confuses an idempotent producer
	w.numbered("weather-lost", "second", 1000)
	after := w.read("weather-lost")
	same(w.T, "records of the log that lost its end", len(after), 2000)
	w.protected("weather-lost")
	w.shown("weather-lost", after)
	sameContent(w.T, w.cat("weather-lost", "--snapshot", old), before)
	sameContent(w.T, w.read(w.restoreAs("weather-lost", "restored-lost", "--offsets", "exact")), after)
	if !strings.Contains(w.stderr.String(), `"the log lost its end, and goes on differently","topic":"weather-lost","partition":0,"first_offset":1000,"next_offset":1500`) {
		w.Errorf("nobody was told that the log lost its end:\n%s", w.stderr.String())
	}
}
