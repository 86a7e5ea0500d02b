package recordbatch

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAppendPatched: besides the fields that a producer sets and the checksum, nothing of
// a batch changes, whatever it holds, and what it holds is read the same afterwards.
func TestAppendPatched(t *testing.T) {
	m := maker{newRand(t)}
	for i := range 300 {
		s := m.spec(allCodecs[i%len(allCodecs)], 1+m.IntN(20))
		s.attributes |= uint16(m.Uint32()) << 8 // bits that nobody knows
		if i%2 == 0 {
			s.attributes &^= bitLogAppendTime
		}
		b := franz(t, s)
		before := bytes.Clone(b)
		p := Producer{ID: m.Int64(), Epoch: int16(m.Uint32()), Sequence: m.Int32()}
		dst := append(make([]byte, 0, m.IntN(1000)), "front"...)
		dst = b.AppendPatched(dst, p)
		if !bytes.Equal(b, before) {
			t.Fatal("the batch itself changed")
		}
		got, rest, err := Next(dst[len("front"):])
		if err != nil || len(rest) > 0 || string(dst[:5]) != "front" {
			t.Fatalf("%v, %d bytes behind the batch, %q in front", err, len(rest), dst[:5])
		}
		if err := got.Check(); err != nil {
			t.Fatal(err)
		}
		want := *s
		want.base, want.epoch, want.producer = 0, -1, p
		want.attributes &^= bitTransactional | bitLogAppendTime | bitDeleteHorizon
		if encoded := franz(t, &want); s.codec != CodecZstd && !bytes.Equal(encoded, got) {
			t.Fatalf("got\n%x, want\n%x", got, encoded)
		}
		// The same once more without franz-go: by where the fields are.
		patched := Batch(bytes.Clone(got))
		for _, field := range [][2]int{{0, 8}, {12, 16}, {17, 21}, {22, 23}, {43, 57}} {
			copy(patched[field[0]:field[1]], before[field[0]:field[1]])
		}
		if !bytes.Equal(patched, before) {
			t.Fatalf("more than the patched fields changed:\n%x\n%x", before, got)
		}
		if got[22] != before[22]&^(bitTransactional|bitLogAppendTime|bitDeleteHorizon) {
			t.Fatalf("attributes %b became %b", before[22], got[22])
		}
		if records, err := readFranz(got); err != nil {
			t.Fatal(err)
		} else if diff := difference(want.absolute(), records); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
}

func TestNeed(t *testing.T) {
	dense := &spec{base: 100, delta: 2, records: []Record{{}, {OffsetDelta: 1}, {OffsetDelta: 2}}}
	with := func(change func(s *spec)) Batch {
		s := *dense
		change(&s)
		return franz(t, &s)
	}
	for name, c := range map[string]struct {
		batch       Batch
		first, next int64
		want        Need
	}{
		"dense":         {franz(t, dense), 100, 103, HeaderOnly},
		"starts before": {franz(t, dense), 101, 103, Reencode},
		"ends behind":   {franz(t, dense), 100, 102, Reencode},
		"holes":         {with(func(s *spec) { s.delta = 3 }), 0, 200, Reencode},
		"append time":   {with(func(s *spec) { s.attributes = bitLogAppendTime }), 0, 200, Reencode},
		"transactional": {with(func(s *spec) { s.attributes = bitTransactional }), 0, 200, HeaderOnly},
		"horizon":       {with(func(s *spec) { s.attributes = bitDeleteHorizon }), 0, 200, HeaderOnly},
		"overflow":      {withCounts(franz(t, dense), 100, math.MaxInt32, math.MinInt32), 0, 1 << 40, Reencode},
		"control":       {with(func(s *spec) { s.attributes = bitControl | bitLogAppendTime }), 0, 200, Skip},
		"emptied":       {with(func(s *spec) { s.records = nil }), 0, 200, Skip},
		"magic 1":       {javaBatch(t, "v1-gzip"), 0, 2000, Reencode},
		"magic 0":       {javaBatch(t, "v0-lz4"), 0, 2000, Reencode},
	} {
		if got := c.batch.Need(c.first, c.next); got != c.want {
			t.Errorf("%s: need %d, want %d", name, got, c.want)
		}
	}
}

// TestNextSequence against Kafka's DefaultRecordBatch.incrementSequence.
func TestNextSequence(t *testing.T) {
	kafkas := func(sequence, increment int32) int32 {
		if sequence > math.MaxInt32-increment {
			return increment - (math.MaxInt32 - sequence) - 1
		}
		return sequence + increment
	}
	m := newRand(t)
	numbers := []int32{0, 1, 2, 99_999, 100_000, math.MaxInt32 - 100_000, math.MaxInt32 - 1, math.MaxInt32}
	for range 100 {
		numbers = append(numbers, m.Int32())
	}
	for _, sequence := range numbers {
		for _, count := range numbers {
			if got, want := NextSequence(sequence, count), kafkas(sequence, count); got != want {
				t.Errorf("%d behind %d: %d, want %d", count, sequence, got, want)
			}
		}
	}
	if got := NextSequence(math.MaxInt32, 1); got != 0 {
		t.Errorf("behind the last comes %d", got)
	}
}

func TestFiller(t *testing.T) {
	p := Producer{ID: 4, Epoch: 2, Sequence: math.MaxInt32}
	for _, count := range []int32{1, 2, 127, 128, MaxFiller} {
		b, err := Filler(count, 1234, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		want := make([]Absolute, count)
		for i := range want {
			want[i] = Absolute{Offset: int64(i), TimestampMs: 1234}
		}
		got, err := readFranz(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := difference(want, got); diff != "" {
			t.Fatalf("%d records (-want +got)\n%s", count, diff)
		}
		ours, err := NewDecoder().Absolute(b, testLimit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := difference(want, ours); diff != "" {
			t.Fatalf("%d records (-want +got)\n%s", count, diff)
		}
		checkBuilt(t, b, want, CodecZstd, p)
		if count == MaxFiller && len(b) > MaxFiller {
			t.Errorf("%d bytes for %d offsets", len(b), count)
		}
	}
	for _, count := range []int32{0, -1, math.MinInt32, MaxFiller + 1} {
		if _, err := Filler(count, 0, p); err == nil {
			t.Errorf("filler of %d records", count)
		}
	}
}

// TestRuns against what runs are: every record in the range is in one of them, in order,
// a run has no hole, and between runs there is one.
func TestRuns(t *testing.T) {
	m := newRand(t)
	for range 3000 {
		var records []Absolute
		at := m.Int64N(5)
		for range m.IntN(12) {
			records = append(records, Absolute{Offset: at})
			at += 1 + m.Int64N(3)/2
		}
		first, next := m.Int64N(8), m.Int64N(16)
		var want, got []int64
		for _, r := range records {
			if r.Offset >= first && r.Offset < next {
				want = append(want, r.Offset)
			}
		}
		for _, run := range Runs(records, first, next) {
			if len(run) == 0 || len(got) > 0 && run[0].Offset == got[len(got)-1]+1 {
				t.Fatalf("%v in [%d, %d): a run %v behind %v", want, first, next, run, got)
			}
			for i, r := range run {
				if r.Offset != run[0].Offset+int64(i) {
					t.Fatalf("a run with a hole: %v", run)
				}
				got = append(got, r.Offset)
			}
		}
		if !slices.Equal(want, got) {
			t.Fatalf("in [%d, %d): %s", first, next, cmp.Diff(want, got))
		}
	}
	top := []Absolute{{Offset: math.MaxInt64 - 2}, {Offset: math.MaxInt64 - 1}}
	if runs := Runs(top, 0, math.MaxInt64); len(runs) != 1 || len(runs[0]) != 2 {
		t.Errorf("at the largest offsets: %v", runs)
	}
}
