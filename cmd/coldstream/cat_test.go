package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// catLine is a line of cat -J.
type catLine struct {
	Topic         string    `json:"topic"`
	Partition     int32     `json:"partition"`
	Offset        int64     `json:"offset"`
	TSType        string    `json:"tstype"`
	TS            int64     `json:"ts"`
	Headers       []*string `json:"headers"`
	HeadersBase64 []*string `json:"headers_base64"`
	Key           *string   `json:"key"`
	KeyBase64     *string   `json:"key_base64"`
	Payload       *string   `json:"payload"`
	PayloadBase64 *string   `json:"payload_base64"`
}

func decoded(t *testing.T, plain, base *string) []byte {
	t.Helper()
	switch {
	case plain != nil:
		return append([]byte{}, *plain...)
	case base != nil:
		b, err := base64.StdEncoding.DecodeString(*base)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return nil
}

// record is the line as a consumer's record.
func (l *catLine) record(t *testing.T) kafkatest.Record {
	t.Helper()
	r := kafkatest.Record{
		Topic: l.Topic, Partition: l.Partition, Offset: l.Offset, TimestampMs: l.TS,
		Key: decoded(t, l.Key, l.KeyBase64), Value: decoded(t, l.Payload, l.PayloadBase64),
	}
	if l.TSType == "logappend" {
		r.TimestampType = 1
	}
	for i := 0; i+1 < len(l.Headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: *l.Headers[i], Value: decoded(t, l.Headers[i+1], nil)})
	}
	for i := 0; i+1 < len(l.HeadersBase64); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(decoded(t, nil, l.HeadersBase64[i])), Value: decoded(t, nil, l.HeadersBase64[i+1])})
	}
	return r
}

func (w *world) cat(args ...string) []kafkatest.Record {
	w.Helper()
	out := command(w.T, nil, append([]string{"cat", "-o", "json", "--vault", w.vault}, args...)...).must(w.T, exitDone)
	records := []kafkatest.Record{}
	for line := range strings.Lines(out.stdout) {
		var l catLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			w.Fatalf("%q: %v", line, err)
		}
		records = append(records, l.record(w.T))
	}
	return records
}

// cat shows what a consumer sees, with and without committed transactions only.
func TestCatShowsWhatAConsumerSees(t *testing.T) {
	w := newWorld(t)
	random := newRandom(t)
	w.create("shown", 1)
	w.randomTransactions(random, "shown")
	w.fillDense(random, "dense")
	w.backup("shown", "dense")
	sameContent(t, w.cat("dense"), w.read("dense"))
	sameContent(t, w.cat("shown", "--isolation", "read_uncommitted"), w.read("shown"))
	got := w.cat("shown")
	aborted := len(w.read("shown")) - len(got)
	committed, err := kafkatest.ReadAll(t.Context(), w.addrs, "shown", kgo.ReadCommitted())
	if err != nil {
		t.Fatal(err)
	}
	// Behind the last stable offset a consumer waits; cat knows of no later marker, and leaves open transactions out.
	if len(got) < len(committed) || aborted == 0 {
		t.Errorf("%d records, a consumer of committed ones sees %d; %d left out", len(got), len(committed), aborted)
	}
	sameContent(t, got[:len(committed)], committed)
}

func TestCatChooses(t *testing.T) {
	w := newWorld(t)
	w.create("numbers", 2)
	base := time.UnixMilli(1_700_000_000_000)
	for p := range int32(2) {
		for i := range 10 {
			w.produce(&kgo.Record{Topic: "numbers", Partition: p, Key: fmt.Appendf(nil, "k%d", i%3), Value: fmt.Appendf(nil, "v%d-%d", p, i), Timestamp: base.Add(time.Duration(i) * time.Second)})
		}
	}
	w.deleteRecords("numbers", 2)
	w.backup("numbers")
	at := func(i int) string { return fmt.Sprint(base.UnixMilli() + int64(i)*1000) }
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-f", "%p:%o "}, "0:2 0:3 0:4 0:5 0:6 0:7 0:8 0:9 1:0 1:1 1:2 1:3 1:4 1:5 1:6 1:7 1:8 1:9 "},
		{[]string{"-p", "0", "-o", "5"}, "v0-5\nv0-6\nv0-7\nv0-8\nv0-9\n"},
		{[]string{"-p", "1", "-o", "beginning", "-c", "2"}, "v1-0\nv1-1\n"},
		{[]string{"-o", "-1"}, "v0-9\nv1-9\n"},
		{[]string{"-o", "end"}, ""},
		{[]string{"-p", "1", "-o", "s@" + at(3), "-o", "e@" + at(5)}, "v1-3\nv1-4\n"},
		{[]string{"-p", "1", "--since", at(8)}, "v1-8\nv1-9\n"},
		{[]string{"-p", "1", "--until", at(2), "-f", `%k=%s,`}, "k0=v1-0,k1=v1-1,"},
		{[]string{"--key", "k2", "-p", "1", "-f", "%o "}, "2 5 8 "},
		{[]string{"--grep", "^v[01]-7$", "-f", `%t %T %S\n`}, "numbers " + at(7) + " 4\nnumbers " + at(7) + " 4\n"},
	} {
		if got := command(t, nil, append([]string{"cat", "numbers", "--vault", w.vault}, c.args...)...).must(t, exitDone).stdout; got != c.want {
			t.Errorf("cat %v: %q, want %q", c.args, got, c.want)
		}
	}
	for _, args := range [][]string{
		{}, {"nmbers"}, {"numbers", "more"}, {"numbers", "-p", "2"}, {"numbers", "-o", "middle"}, {"numbers", "-o", "1", "-o", "2"}, {"numbers", "-f", "%q"},
		{"numbers", "--since", "yesterday"}, {"numbers", "--grep", "("}, {"numbers", "--isolation", "serializable"}, {"numbers", "-J", "-f", "%s"},
		{"numbers", "--snapshot", "ffff"}, {"numbers", "--output", "yaml"}, {"numbers", "-c", "-1"},
	} {
		command(t, nil, append([]string{"cat", "--vault", w.vault}, args...)...).must(t, exitUsage)
	}
}
