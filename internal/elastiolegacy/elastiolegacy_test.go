package elastiolegacy_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/backup"
	"coldstream/blob/mem"
	"coldstream/internal/elastiolegacy"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// rec is a line as the Python original wrote it.
func rec(topic string, partition int32, offset int64, value string) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`{"topic": "%s", "key": "%s", "value": "%s", "partition": %d, "timestamp": %d, "offset": %d}`+"\n",
		topic, b64(fmt.Appendf(nil, "k%d", offset)), b64([]byte(value)), partition, 1700000000000+offset, offset)
}

func recs(topic string, partition int32, first, last int64) string {
	var out strings.Builder
	for o := first; o <= last; o++ {
		out.WriteString(rec(topic, partition, o, fmt.Sprint("v", o)))
	}
	return out.String()
}

func newVault(t *testing.T) *vault.Vault {
	t.Helper()
	v, err := vault.Init(t.Context(), mem.New(), vault.InitOptions{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// outcome is what an import did, in words.
type outcome struct {
	Records                 int64
	Stored                  []int64 // records of each source
	Gaps, Reborn, Left, Bad []string
}

func run(t *testing.T, v *vault.Vault, points ...string) *outcome {
	t.Helper()
	im := elastiolegacy.New(t.TempDir())
	for i, text := range points {
		if err := im.Add(t.Context(), fmt.Sprint("rp-", i), strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	known, err := elastiolegacy.ReadKnown(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := im.MakePlan(t.Context(), known.Existing)
	if err != nil {
		t.Fatal(err)
	}
	out := &outcome{Records: im.Records}
	for _, s := range plan.Sources {
		foreseen := s.Missing()
		r, err := backup.Run(t.Context(), s, v, backup.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(foreseen, r.Gaps); d != "" {
			t.Errorf("gaps foreseen and reported: %s", d)
		}
		if len(r.Failed)+len(r.Denied)+len(r.Forks) > 0 {
			t.Fatalf("failed %v, denied %v, forks %v", r.Failed, r.Denied, r.Forks)
		}
		out.Stored = append(out.Stored, r.Records)
		for _, g := range r.Gaps {
			out.Gaps = append(out.Gaps, fmt.Sprintf("%s [%d, %d) %s", g.TopicPartition, g.FirstOffset, g.NextOffset, g.Cause))
		}
	}
	for _, r := range plan.Reborn {
		out.Reborn = append(out.Reborn, fmt.Sprintf("%s#%d at %s %d", r.Topic, r.Incarnation, r.At, r.Offset))
	}
	for _, l := range plan.LeftOut {
		out.Left = append(out.Left, fmt.Sprintf("%s: %d from %d: %s", l.TopicPartition, l.Records, l.FirstOffset, l.Reason))
	}
	for _, p := range im.Problems {
		out.Bad = append(out.Bad, fmt.Sprintf("%s:%d: %s", p.RecoveryPoint, p.Line, p.Reason))
	}
	return out
}

// offsets of a partition as the newest snapshot shows them, with their values.
func content(t *testing.T, v *vault.Vault, topic string, incarnation int, partition int32) string {
	t.Helper()
	known, err := elastiolegacy.ReadKnown(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	all, err := known.Existing(topic)
	if err != nil || len(all) <= incarnation {
		t.Fatalf("%d incarnations of %s, %v", len(all), topic, err)
	}
	e := all[incarnation]
	out := fmt.Sprint(e.Partitions[partition], ":")
	var before *recordbatch.Absolute
	for r, err := range e.Records(t.Context(), partition, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Key) != fmt.Sprint("k", r.Offset) || r.TimestampMs != 1700000000000+r.Offset {
			t.Errorf("offset %d has key %q, timestamp %d", r.Offset, r.Key, r.TimestampMs)
		}
		if before == nil || before.Offset+1 != r.Offset || string(r.Value) != fmt.Sprint("v", r.Offset) {
			out += fmt.Sprintf(" %d=%s", r.Offset, r.Value)
		}
		before = &r
	}
	return out + fmt.Sprintf(" …%d", before.Offset)
}

func want(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Points are deltas of each other, which overlap, leave something out, and come in any order.
func TestImport(t *testing.T) {
	v := newVault(t)
	points := []string{
		recs("orders", 0, 3000, 3999) + recs("orders", 2, 5, 9),
		recs("orders", 0, 1, 1500) + recs("orders", 2, 3, 6) + recs("other", 0, 0, 0),
		recs("orders", 0, 1200, 1999) + rec("orders", 0, 2010, "v2010") + recs("orders", 0, 2020, 2500), // a log with holes
	}
	want(t, run(t, v, points...), &outcome{Records: 1000 + 5 + 1500 + 4 + 1 + 800 + 1 + 481, Stored: []int64{1999 + 1 + 481 + 1000 + 7 + 1},
		Gaps: []string{"orders-0 [2501, 3000) log_start_advanced"}})
	want(t, content(t, v, "orders", 0, 0), "{1 4000}: 1=v1 2010=v2010 2020=v2020 3000=v3000 …3999")
	want(t, content(t, v, "orders", 0, 2), "{3 10}: 3=v3 …9")
	want(t, content(t, v, "other", 0, 0), "{0 1}: 0=v0 …0")

	want(t, run(t, v, points...), &outcome{Records: 3792, Stored: []int64{0}}) // a second time
	// A later delta goes on, and what it lacks is a gap.
	want(t, run(t, v, recs("orders", 0, 3990, 4009), recs("orders", 2, 12, 12)), &outcome{Records: 21, Stored: []int64{11},
		Gaps: []string{"orders-2 [10, 12) log_start_advanced"}})
	want(t, content(t, v, "orders", 0, 0), "{1 4010}: 1=v1 2010=v2010 2020=v2020 3000=v3000 …4009")
	// What lies below or in a gap cannot be added, and is named.
	want(t, run(t, v, recs("orders", 0, 0, 2), recs("orders", 0, 2600, 2609)), &outcome{Records: 13, Stored: []int64{0}, Left: []string{
		"orders-0: 1 from 0: they lie below offset 1, where what the vault holds begins",
		"orders-0: 10 from 2600: they lie in a gap of what the vault holds, and saved offsets do not change",
	}})
}

// Another record at a known offset is of another incarnation of the topic.
func TestIncarnations(t *testing.T) {
	v := newVault(t)
	first, second := recs("a", 0, 0, 9), rec("a", 0, 0, "v0")+rec("a", 0, 1, "other")+recs("a", 0, 2, 4)
	want(t, run(t, v, first), &outcome{Records: 10, Stored: []int64{10}})
	want(t, run(t, v, second), &outcome{Records: 5, Stored: []int64{5}, Reborn: []string{"a#1 at a-0 1"}})
	want(t, content(t, v, "a", 0, 0), "{0 10}: 0=v0 …9")
	want(t, content(t, v, "a", 1, 0), "{0 5}: 0=v0 1=other …4")
	want(t, run(t, v, first, second), &outcome{Records: 15, Stored: []int64{0, 0}})
	want(t, run(t, v, recs("a", 0, 4, 6)), &outcome{Records: 3, Stored: []int64{2}}) // the newest goes on
	// Both at once, in a vault without either.
	want(t, run(t, newVault(t), first, second), &outcome{Records: 15, Stored: []int64{10, 5},
		Reborn: []string{"a#1 at a-0 1"}})
}

// A line that fits nothing is named, and the others count.
func TestLinesThatFitNothing(t *testing.T) {
	v := newVault(t)
	text := recs("a", 0, 0, 1) +
		"{\"topic\": \"a\", \"key\": \"\n" +
		`{"topic": "a", "key": "", "value": "%%", "partition": 0, "timestamp": 1, "offset": 2}` + "\n" +
		`{"topic": "a/b", "key": "", "value": "", "partition": 0, "timestamp": 1, "offset": 2}` + "\n" +
		`{"topic": "a", "key": "", "value": "", "partition": -1, "timestamp": 1, "offset": 2}` + "\n" +
		`{"topic": "a", "key": "", "value": "", "partition": 0, "timestamp": 1}` + "\n" +
		`{"topic": "a", "key": "", "value": "", "partition": 0, "timestamp": 1, "offset": 2, "x": 1}` + "\n" +
		rec("a", 0, 1, "v1") + "\n" + strings.TrimSuffix(rec("a", 0, 2, "v2"), "\n")
	want(t, run(t, v, text), &outcome{Records: 3, Stored: []int64{3}, Bad: []string{
		"rp-0:3: it is not a JSON object of the fields of a record",
		"rp-0:4: its key or value is not base64",
		`rp-0:5: "a/b" is no topic name`,
		"rp-0:6: there is no partition -1 with offset 2",
		"rp-0:7: a field of the record is missing",
		"rp-0:8: it is not a JSON object of the fields of a record",
		"rp-0:9: offset 1 of a-0 comes after offset 1",
	}})
	want(t, content(t, v, "a", 0, 0), "{0 3}: 0=v0 …2")
}

// FuzzImport: whatever a recovery point holds, what is accepted is stored as it came, and
// a second import stores nothing.
func FuzzImport(f *testing.F) {
	for _, text := range []string{"", "\n\n", recs("a", 0, 0, 3), recs("a", 1, 5, 6) + recs("a", 0, 2, 2), "{}", "{\"topic\": \"a\"", rec("b", 0, 1<<62, "x")} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := vault.Init(t.Context(), mem.New(), vault.InitOptions{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			im := elastiolegacy.New(t.TempDir())
			if err := im.Add(t.Context(), "rp-0", strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			known, err := elastiolegacy.ReadKnown(t.Context(), v)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := im.MakePlan(t.Context(), known.Existing)
			if err != nil {
				t.Fatal(err)
			}
			stored := backupAll(t.Context(), t, plan, v)
			if expected := im.Records * int64(1-i); stored != expected {
				t.Errorf("import %d stored %d records, %d are expected", i, stored, expected)
			}
		}
	})
}

func backupAll(ctx context.Context, t *testing.T, plan *elastiolegacy.Plan, v *vault.Vault) int64 {
	stored := int64(0)
	for _, s := range plan.Sources {
		r, err := backup.Run(ctx, coldstream.Source(s), v, backup.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		stored += r.Records
	}
	return stored
}
