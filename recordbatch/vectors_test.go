package recordbatch

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var seed = flag.Uint64("seed", 0, "repeat a random test; 0 takes a new seed")

// newRand makes a source of randomness whose seed a failure prints.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with -seed %d", s)
		}
	})
	return rand.New(rand.NewPCG(s, s))
}

// testLimit is far more than what test records take when decoded.
const testLimit = 1 << 30

// javaVectors are the names of what Kafka's own classes wrote into testdata/java.
func javaVectors(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "java", "*.batch"))
	if err != nil {
		tb.Fatal(err)
	}
	if len(files) < 20 {
		tb.Fatalf("only %d vectors in testdata/java", len(files))
	}
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".batch")
	}
	return files
}

func readVector(tb testing.TB, file string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "java", file))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// javaBatch is the one batch of a vector.
func javaBatch(tb testing.TB, name string) Batch {
	tb.Helper()
	b, rest, err := Next(readVector(tb, name+".batch"))
	if err != nil || len(rest) > 0 {
		tb.Fatalf("vector %s: %v, %d bytes behind the batch", name, err, len(rest))
	}
	return b
}

// line writes a record as Vectors.java does.
func line(r *Absolute) string {
	text := func(b []byte) string {
		if b == nil {
			return "-"
		}
		return "x" + hex.EncodeToString(b)
	}
	s := fmt.Sprintf("%d %d %s %s", r.Offset, r.TimestampMs, text(r.Key), text(r.Value))
	for _, h := range r.Headers {
		s += " " + text(h.Key) + "=" + text(h.Value)
	}
	return s + "\n"
}

// TestJavaVectors reads what Kafka wrote, and finds what Kafka reads in it: every codec of
// every magic, LogAppendTime, relative offsets, the broken checksum of lz4 in magic 0
// (https://issues.apache.org/jira/browse/KAFKA-3160), holes, markers, a delete horizon.
func TestJavaVectors(t *testing.T) {
	d := NewDecoder()
	for _, name := range javaVectors(t) {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for rest := readVector(t, name+".batch"); len(rest) > 0; {
				b, after, err := Next(rest)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Check(); err != nil {
					t.Fatal(err)
				}
				records, err := d.Absolute(b, testLimit)
				if err != nil {
					t.Fatal(err)
				}
				for i := range records {
					got.WriteString(line(&records[i]))
				}
				rest = after
			}
			if diff := cmp.Diff(string(readVector(t, name+".records")), got.String()); diff != "" {
				t.Errorf("(-Kafka's +ours)\n%s", diff)
			}
		})
	}
}

// TestJavaHeaders holds the accessors against what was asked of Kafka's classes.
func TestJavaHeaders(t *testing.T) {
	const time = 1_600_000_000_000
	type facts struct {
		Magic                                       uint8
		Codec                                       string
		Base, Last                                  int64
		Count, Epoch                                int32
		BaseMs, MaxMs                               int64
		AppendTime, Transactional, Control, Horizon bool
		Producer                                    Producer
		Need                                        Need
	}
	none := Producer{-1, -1, -1}
	for name, want := range map[string]facts{
		"v0-lz4":               {0, "lz4", 1005, 1005, 1, -1, -1, -1, false, false, false, false, none, Reencode},
		"v1-gzip":              {1, "gzip", 1005, 1005, 1, -1, time + 21, time + 21, false, false, false, false, none, Reencode},
		"v1-snappy-appendtime": {1, "snappy", 1005, 1005, 1, -1, time + 99, time + 99, true, false, false, false, none, Reencode},
		"v2-zstd":              {2, "zstd", 1000, 1005, 6, 7, time, time + 21, false, false, false, false, none, HeaderOnly},
		"v2-none-appendtime":   {2, "none", 1000, 1005, 6, 7, time, time + 99, true, false, false, false, none, Reencode},
		"v2-transactional":     {2, "none", 500, 503, 4, 7, time, time + 3, false, true, false, false, Producer{9001, 4, 2147483646}, HeaderOnly},
		"v2-compacted":         {2, "zstd", 300, 312, 3, 7, time - 2, time - 2, false, false, false, false, Producer{9001, 4, 17}, Reencode},
		"v2-deletehorizon":     {2, "none", 40, 41, 2, 7, time + 86_400_000, time + 1, false, false, false, true, none, HeaderOnly},
		"v2-emptied":           {2, "none", 600, 609, 0, 7, -1, time, false, true, false, false, Producer{9001, 4, 20}, Skip},
		"v2-commit":            {2, "none", 777, 777, 1, 7, time, time, false, true, true, false, Producer{9001, 4, -1}, Skip},
		"v2-leaderchange":      {2, "none", 77, 77, 1, 3, time, time, false, false, true, false, none, Skip},
	} {
		b := javaBatch(t, name)
		got := facts{
			b.Magic(), b.Codec().String(), b.BaseOffset(), b.LastOffset(), b.RecordCount(), b.LeaderEpoch(),
			b.BaseTimestampMs(), b.MaxTimestampMs(), b.HasLogAppendTime(), b.IsTransactional(), b.IsControl(), b.HasDeleteHorizon(),
			Producer{b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()}, b.Need(0, 1<<40),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		if b.NextOffset() != want.Last+1 {
			t.Errorf("%s: next offset %d", name, b.NextOffset())
		}
		wantDelta := int64(0)
		if want.Magic == 2 {
			wantDelta = want.Last - want.Base
		}
		if int64(b.LastOffsetDelta()) != wantDelta {
			t.Errorf("%s: last offset delta %d", name, b.LastOffsetDelta())
		}
	}
}

func TestJavaMarkers(t *testing.T) {
	type result struct {
		Marker ControlMarker
		OK     bool
	}
	want := ControlMarker{Offset: 777, ProducerID: 9001, ProducerEpoch: 4, Commit: true, CoordinatorEpoch: 13}
	abort := want
	abort.Commit = false
	for name, want := range map[string]result{
		"v2-commit":        {want, true},
		"v2-abort":         {abort, true},
		"v2-leaderchange":  {ControlMarker{Offset: 77, ProducerID: -1, ProducerEpoch: -1}, false},
		"v2-transactional": {ControlMarker{Offset: 500, ProducerID: 9001, ProducerEpoch: 4}, false},
		"v2-emptied":       {ControlMarker{Offset: 600, ProducerID: 9001, ProducerEpoch: 4}, false},
		"v1-lz4":           {ControlMarker{Offset: 1005, ProducerID: -1, ProducerEpoch: -1}, false},
	} {
		m, ok, err := javaBatch(t, name).ControlMarker()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, result{m, ok}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
