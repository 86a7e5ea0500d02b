package kafkatest

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func produce(t *testing.T, c *Cluster, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func createTopic(t *testing.T, c *Cluster, name string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, name); err != nil {
		t.Fatal(err)
	}
}

func TestARealBrokerSurvivesKillAndStop(t *testing.T) {
	c := Start(t, Config{Listeners: map[string]string{"EXTRA": "PLAINTEXT"}})
	createTopic(t, c, "t")
	produce(t, c, &kgo.Record{Topic: "t", Key: []byte("k"), Value: []byte{}}, &kgo.Record{Topic: "t", Key: []byte{}})
	before, err := ReadAll(t.Context(), c.Addrs(), "t", kgo.ReadUncommitted())
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != 2 || before[0].Value == nil || before[1].Value != nil || before[1].Key == nil {
		t.Fatalf("null and empty are not told apart: %+v", before)
	}
	for name, end := range map[string]func(int) error{"kill": c.Kill, "stop": c.Stop} {
		pid := c.PID(1)
		if err := end(1); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Fatalf("after %s the process is there: %v", name, err)
		}
		if err := c.StartNode(1); err != nil {
			t.Fatal(err)
		}
		after, err := ReadAll(t.Context(), c.ListenerAddrs("EXTRA"), "t", kgo.ReadUncommitted())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("after %s (-before +after):\n%s", name, diff)
		}
	}
	out, err := c.DumpLog(t.Context(), c.LogDir(1)+"/t-0/00000000000000000000.log")
	if err != nil || !strings.Contains(string(out), "isvalid: true") {
		t.Errorf("dump: %v\n%s", err, out)
	}
	dir := c.dir
	c.Close()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestNothingIsLeftBehind runs itself in a process that dies without any clean-up.
func TestNothingIsLeftBehind(t *testing.T) {
	const dirVariable = "COLDSTREAM_WATCHDOG_DIR"
	if dir := os.Getenv(dirVariable); dir != "" {
		if _, err := startWatchdog(dir); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	dir, err := os.MkdirTemp("", "coldstream-watchdog-")
	if err != nil {
		t.Fatal(err)
	}
	sleeper := startSleeper(t, dir)
	runSelf(t, "TestNothingIsLeftBehind", dirVariable+"="+dir)
	deadline, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(pollInterval); ; {
		_, err := os.Stat(dir)
		if errors.Is(err, os.ErrNotExist) && !sleeper.running() {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatal("the watchdog left a process or a folder behind")
		}
	}
}
