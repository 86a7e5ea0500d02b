package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// accidents runs lines of docs/restore.md.
type accidents struct {
	*world
	page string
	ran  map[string]bool
	ids  *strings.Replacer // what stands in the page for what the test has
}

// line runs a line that the page has.
func (a *accidents) line(code int, line string) outcome {
	a.Helper()
	if !strings.Contains(a.page, "\n    "+line+"\n") {
		a.Fatalf("docs/restore.md does not say: %s", line)
	}
	a.ran[line] = true
	line, _, _ = strings.Cut(line, " > ")
	var args []string
	for i, part := range strings.Split(a.ids.Replace(line), "'") {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	if args[1] == "restore" {
		args = append(args, "--yes")
	}
	vars := []string{"COLDSTREAM_VAULT=" + a.vault, "COLDSTREAM_BOOTSTRAP_SERVER=" + a.bootstrap}
	return command(a.T, vars, args[1:]...).must(a.T, code)
}

// TestAccidents: for each accident that docs/restore.md tells of, its lines do what it says.
func TestAccidents(t *testing.T) {
	page, err := os.ReadFile("../../docs/restore.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newFakeWorld(t)
	w.create("orders", 1)
	for _, v := range []string{"right", "other", "right again"} {
		w.produce(&kgo.Record{Topic: "orders", Key: []byte("customer-17"), Value: []byte(v)})
	}
	w.commit("billing", kadm.Offset{Topic: "orders", At: 2, LeaderEpoch: -1})
	good := w.backup("orders").Snapshot
	_, section, _ := strings.Cut(string(page), "## After an accident")
	section, _, _ = strings.Cut(section, "\n## ")
	a := &accidents{world: w, page: section, ran: map[string]bool{}, ids: strings.NewReplacer("62db6e9e", good[:8], "1234", "0", "2026-11-22 14:05", strconv.FormatInt(time.Now().UnixMilli(), 10))}
	before := w.read("orders")

	// The topic was deleted.
	w.delete("orders")
	a.line(exitDone, "coldstream restore -t orders --groups --dry-run")
	a.line(exitDone, "coldstream restore -t orders --groups")
	sameContent(t, w.read("orders"), before)
	same(t, "billing", w.committed("billing")["orders-0"], "2 ")

	// A bad deploy.
	w.client = w.newClient() // the other one knows the topic that was
	w.produce(&kgo.Record{Topic: "orders", Key: []byte("customer-17"), Value: []byte("wrong")})
	w.backup("orders")
	contains(t, a.line(exitDone, "coldstream snapshots").stdout, good)
	a.line(exitDone, "coldstream restore -t orders --map orders=orders-1405 --at '2026-11-22 14:05'")
	sameContent(t, w.read("orders-1405"), before)
	contains(t, a.line(exitDone, "coldstream diff -t orders --snapshot 62db6e9e").stdout, "no differences")

	// One key is wrong.
	contains(t, a.line(exitDone, `coldstream cat orders --key customer-17 -f '%T %p %o %s\n'`).stdout, " 0 0 right\n", " 0 3 wrong\n")
	if out := a.line(exitDone, `coldstream cat orders --key customer-17 -f '%T %p %o %s\n' --snapshot 62db6e9e`).stdout; strings.Contains(out, "wrong") {
		t.Errorf("an older snapshot: %s", out)
	}
	same(t, "the value", a.line(exitDone, "coldstream cat orders -p 0 -o 1234 -c 1 -f '%s' > value").stdout, "right")

	// The group's offsets were reset.
	w.commit("billing", kadm.Offset{Topic: "orders", At: 0, LeaderEpoch: -1})
	contains(t, a.line(exitDone, "coldstream groups billing --history").stdout, good)
	a.line(exitDone, "coldstream groups billing --snapshot 62db6e9e -o json > billing.json")
	a.cluster(t)
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "coldstream ") && !a.ran[line] {
			t.Errorf("nobody has tried: %s", line)
		}
	}
}

// cluster is that the cluster is gone, and a group had members when the new one was filled.
func (a *accidents) cluster(t *testing.T) {
	t.Helper()
	fresh := newWorldOf(t, kafkatest.StartFake(t, kfake.NumBrokers(1)).ListenAddrs())
	before := a.read("orders")
	fresh.vault = a.vault
	b := *a
	b.world = fresh
	b.line(exitDone, "coldstream doctor --for restore")
	b.line(exitDone, "coldstream restore --all-topics --groups --dry-run")
	b.line(exitDone, "coldstream restore --all-topics --groups")
	b.line(exitDone, "coldstream restore --metadata acls,quotas --dry-run")
	b.line(exitDone, "coldstream restore --metadata acls,quotas")
	sameContent(t, fresh.read("orders"), before)
	at := fresh.committed("billing")["orders-0"]
	fresh.commit("billing", kadm.Offset{Topic: "orders", At: 0, LeaderEpoch: -1})
	b.line(exitDone, "coldstream restore --groups-only --group billing")
	same(t, "billing in the new cluster", fresh.committed("billing")["orders-0"], at)
}
