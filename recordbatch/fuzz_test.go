package recordbatch

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coldstream"
)

var update = flag.Bool("update", false, "write the seeds of fuzz targets that are not there yet")

// fuzzLimit bounds what an input may make us take, so that the bound itself is tried.
const fuzzLimit = 1 << 20

// vectorBatches are all batches that Kafka's classes wrote.
func vectorBatches(tb testing.TB) map[string]Batch {
	tb.Helper()
	out := map[string]Batch{}
	for _, name := range javaVectors(tb) {
		b, _, err := Next(readVector(tb, name+".batch"))
		if err != nil {
			tb.Fatal(err)
		}
		out[name] = b
	}
	return out
}

// seeds are the corpora of the targets, by target and file.
func seeds(tb testing.TB) map[string]map[string][]byte {
	tb.Helper()
	out := map[string]map[string][]byte{"FuzzNext": {}, "FuzzDecode": {}, "FuzzControlMarker": {}, "FuzzLegacy": {}}
	for name, b := range vectorBatches(tb) {
		out["FuzzNext"][name] = readVector(tb, name+".batch")
		switch {
		case b.legacy():
			out["FuzzLegacy"][name] = b
		case b.IsControl():
			out["FuzzControlMarker"][name] = b
			out["FuzzDecode"][name] = b
		default:
			out["FuzzDecode"][name] = b
		}
	}
	return out
}

// TestSeeds holds that the corpora have what Kafka's classes wrote; -update writes it.
func TestSeeds(t *testing.T) {
	for target, files := range seeds(t) {
		for name, b := range files {
			file := filepath.Join("testdata", "fuzz", target, name)
			want := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", b)
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v: write it with -update", err)
			}
			if string(got) != want {
				t.Errorf("%s is not the vector of that name", file)
			}
		}
	}
}

// mustHaveCorpus fails a target whose corpus is missing: it would fuzz from nothing.
func mustHaveCorpus(f *testing.F) {
	f.Helper()
	files, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds in testdata/fuzz/%s: %v", f.Name(), err)
	}
}

// bounded runs f, which may allocate no more than a multiple of fuzzLimit, and a zstd
// window.
func bounded(t *testing.T, input []byte, f func() error) error {
	t.Helper()
	var err error
	taken := allocated(func() { err = f() })
	if taken > 8*fuzzLimit+maxZstdWindow+uint64(64*len(input)) {
		t.Errorf("%d bytes made us allocate %d MB", len(input), taken>>20)
	}
	if err != nil && errors.Is(err, coldstream.ErrCorrupt) == errors.Is(err, coldstream.ErrUnsupported) {
		t.Errorf("error %v is not one of ErrCorrupt and ErrUnsupported", err)
	}
	return err
}

// FuzzNext cuts any bytes into batches: what is cut is all of the bytes in order, and
// what Check accepts has offsets that a log can have.
func FuzzNext(f *testing.F) {
	mustHaveCorpus(f)
	f.Fuzz(func(t *testing.T, buf []byte) {
		var again []byte
		rest := buf
		for {
			b, after, err := Next(rest)
			if err != nil {
				if errors.Is(err, ErrPartial) == errors.Is(err, coldstream.ErrCorrupt) || !bytes.Equal(after, rest) {
					t.Fatalf("%v, %d bytes left of %d", err, len(after), len(rest))
				}
				break
			}
			if len(b)+len(after) != len(rest) || len(b) < logOverhead {
				t.Fatalf("%d bytes are a batch of %d and %d more", len(rest), len(b), len(after))
			}
			again, rest = append(again, b...), after
			checkNumbers(t, b)
			if sum := reseal(bytes.Clone(b)); sum.Check() == nil {
				checkNumbers(t, sum)
			}
		}
		if !bytes.Equal(append(again, rest...), buf) {
			t.Fatal("the batches and the rest are not the input")
		}
	})
}

func checkNumbers(t *testing.T, b Batch) {
	t.Helper()
	accepted := b.Check() == nil
	_ = fmt.Sprint(b.Magic(), b.Codec(), b.LeaderEpoch(), b.HasLogAppendTime(), b.IsTransactional(), b.HasDeleteHorizon(),
		b.BaseTimestampMs(), b.MaxTimestampMs(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.Need(0, math.MaxInt64))
	if !accepted {
		return
	}
	if b.BaseOffset() < 0 || b.LastOffset() < b.BaseOffset() || b.NextOffset() <= b.LastOffset() {
		t.Fatalf("accepted at offsets %d to %d", b.BaseOffset(), b.LastOffset())
	}
	if b.LastOffset()-b.BaseOffset() != int64(b.LastOffsetDelta()) || b.RecordCount() < 0 || int64(b.RecordCount()) > int64(b.LastOffsetDelta())+1 {
		t.Fatalf("accepted %d records up to +%d", b.RecordCount(), b.LastOffsetDelta())
	}
}

// one takes an input for one batch; it is given the right checksum and length.
func one(input []byte) (Batch, bool) {
	if len(input) < HeaderSize || len(input) > 1<<20 || input[magicAt] != currentMagic {
		return nil, false
	}
	b := Batch(bytes.Clone(input))
	n := len(b) - logOverhead
	b[8], b[9], b[10], b[11] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return reseal(b), true
}

// FuzzDecode decodes any batch of magic 2. What is accepted holds the same when it is
// encoded again, and franz-go, where it accepts it, reads the same.
func FuzzDecode(f *testing.F) {
	mustHaveCorpus(f)
	d := NewDecoder()
	f.Fuzz(func(t *testing.T, input []byte) {
		b, ok := one(input)
		if !ok {
			return
		}
		var records []Absolute
		err := bounded(t, b, func() (err error) {
			records, err = d.Absolute(b, fuzzLimit)
			return err
		})
		if err != nil {
			return
		}
		if len(records) != int(b.RecordCount()) {
			t.Fatalf("%d records of %d", len(records), b.RecordCount())
		}
		checkRuns(t, b, records)
		if b.Check() == nil && b.Need(0, math.MaxInt64) == HeaderOnly {
			patched, err := d.Absolute(b.AppendPatched(nil, Producer{ID: 1}), fuzzLimit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := difference(dense(records, 0), patched); diff != "" {
				t.Fatalf("patched (-before +after)\n%s", diff)
			}
		}
	})
}

// checkRuns builds batches of all runs of the records, which must hold the same.
func checkRuns(t *testing.T, b Batch, records []Absolute) {
	t.Helper()
	total, last := 0, b.BaseOffset()-1
	if b.legacy() {
		last = -1
	}
	for i := range records {
		if records[i].Offset <= last || records[i].Offset > b.LastOffset() {
			t.Fatalf("a record at %d behind %d, in a batch up to %d", records[i].Offset, last, b.LastOffset())
		}
		last = records[i].Offset
	}
	for _, run := range Runs(records, 0, math.MaxInt64) {
		codec := b.Codec()
		if total > 0 {
			codec = CodecNone // one compressor per input is enough
		}
		built, err := Build(run, codec, Producer{})
		if err != nil {
			t.Fatal(err)
		}
		if err := built.Check(); err != nil {
			t.Fatal(err)
		}
		got, err := NewDecoder().Absolute(built, testLimit)
		if err != nil {
			t.Fatal(err)
		}
		want := append([]Absolute{}, run...)
		if diff := difference(dense(want, 0), got); diff != "" {
			t.Fatalf("(-decoded +encoded and decoded again)\n%s", diff)
		}
		total += len(run)
	}
	if total != len(records) {
		t.Fatalf("%d of %d records are in runs", total, len(records))
	}
}

// FuzzControlMarker reads the marker of any control batch. A marker that is accepted is
// within its batch, and is what the batch's first record says.
func FuzzControlMarker(f *testing.F) {
	mustHaveCorpus(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		b, ok := one(input)
		if !ok {
			return
		}
		b[22] |= bitControl
		reseal(b)
		var m ControlMarker
		err := bounded(t, b, func() (err error) {
			m, ok, err = b.ControlMarker()
			return err
		})
		if err != nil || !ok {
			return
		}
		if m.Offset < b.BaseOffset() || m.Offset > b.LastOffset() || m.ProducerID != b.ProducerID() || m.ProducerEpoch != b.ProducerEpoch() {
			t.Fatalf("marker %+v in a batch from %d to %d", m, b.BaseOffset(), b.LastOffset())
		}
		records, err := NewDecoder().Absolute(b, testLimit)
		if err != nil {
			return // behind its first record it is not whole
		}
		kind := map[bool]string{false: "\x00\x00", true: "\x00\x01"}[m.Commit]
		if records[0].Offset != m.Offset || !strings.HasPrefix(string(records[0].Key[2:]), kind) {
			t.Fatalf("marker %+v of record %+v", m, records[0])
		}
	})
}

// FuzzLegacy decodes any message of magic 0 or 1, and any bytes compressed in one.
func FuzzLegacy(f *testing.F) {
	mustHaveCorpus(f)
	d := NewDecoder()
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) < minLegacySize+8 || len(input) > 1<<20 {
			return
		}
		b := Batch(bytes.Clone(input))
		n := len(b) - logOverhead
		b[8], b[9], b[10], b[11] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		b[magicAt] &= 1
		reseal(b)
		wrapped := legacyMessage(b[magicAt], CodecSnappy, b.BaseOffset(), 1, nil, encodeSnappy(input))
		for _, b := range []Batch{b, wrapped} {
			if b.Check() != nil {
				continue
			}
			var records []Absolute
			err := bounded(t, b, func() (err error) {
				records, err = d.Absolute(b, fuzzLimit)
				return err
			})
			if err == nil {
				if len(records) == 0 {
					t.Fatal("a message without a record")
				}
				checkRuns(t, b, records)
			}
		}
	})
}
