package workload

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"

	"coldstream/recordbatch"
)

// TestRecordsLookReal holds what the targets in docs/benchmarks.md were set for: 1 KB of
// JSON that level 1 makes five times smaller, and 100 bytes.
func TestRecordsLookReal(t *testing.T) {
	const count, frame = 5000, 1 << 20
	for _, c := range []struct {
		name                    string
		minBytes, maxBytes      int
		leastRatio, utmostRatio float64
	}{
		{"W1", 1000, 1060, 0.18, 0.22},
		{"W3", 95, 100, 0.1, 0.5},
	} {
		w, err := Choose(All(), c.name, 1)
		if err != nil {
			t.Fatal(err)
		}
		sample := w[0].Sample(1, count)
		if mean := len(sample)/count - 1; mean < c.minBytes || mean > c.maxBytes {
			t.Errorf("%s: records have %d bytes, want %d to %d", c.name, mean, c.minBytes, c.maxBytes)
		}
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			t.Fatal(err)
		}
		stored := encoder.EncodeAll(sample[:min(frame, len(sample))], nil)
		ratio := float64(len(stored)) / float64(min(frame, len(sample)))
		if ratio < c.leastRatio || ratio > c.utmostRatio {
			t.Errorf("%s: zstd level 1 leaves %.3f of the records, want %.2f to %.2f", c.name, ratio, c.leastRatio, c.utmostRatio)
		}
		if !bytes.Equal(sample, w[0].Sample(1, count)) {
			t.Errorf("%s: the same seed gave other records", c.name)
		}
		if bytes.Equal(sample, w[0].Sample(2, count)) {
			t.Errorf("%s: another seed gave the same records", c.name)
		}
	}
}

// TestBatches holds that a partition's batches have as many records as the workload says,
// and together all of them.
func TestBatches(t *testing.T) {
	chosen, err := Choose(All(), "W2", 0.001)
	if err != nil {
		t.Fatal(err)
	}
	w := &chosen[0]
	p := &partition{generator: newGenerator(1, 3)}
	var records int64
	for records < w.perPartition() {
		b, err := p.batch(w)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		if b.Codec() != recordbatch.CodecZstd || int(b.RecordCount()) > w.BatchRecords {
			t.Fatalf("batch of %d records with codec %s", b.RecordCount(), b.Codec())
		}
		records += int64(b.RecordCount())
	}
	if records != w.perPartition() {
		t.Errorf("made %d records, want %d", records, w.perPartition())
	}
	if w.Records != w.perPartition()*int64(w.Partitions) {
		t.Errorf("%d records on %d partitions of %d", w.Records, w.Partitions, w.perPartition())
	}
}

// TestScale holds what a smaller scale leaves of each workload.
func TestScale(t *testing.T) {
	all := append(All(), Growth()...)
	for _, c := range []struct {
		name       string
		scale      float64
		topics     int
		partitions int32
		records    int64
	}{
		{"W3", 1, 1, 1000, 2_000_000},
		{"W3", 0.1, 1, 1000, 200_000},
		{"one", 0.1, 1, 1, 47_500},
		{"catchup", 1, 1, 2000, 3_800_000},
		{"catchup", 0.01, 1, 20, 38_000},
		{"many-10000", 1, 100, 100, 100_000},
		{"many-10000", 0.02, 2, 100, 2000},
		{"many-5000", 0.001, 1, 100, 1000},
	} {
		chosen, err := Choose(all, c.name, c.scale)
		if err != nil {
			t.Fatal(err)
		}
		w := &chosen[0]
		if len(w.TopicNames()) != c.topics || w.Partitions != c.partitions || w.Records != c.records {
			t.Errorf("%s at scale %g: %d topics of %d partitions with %d records, want %d, %d and %d",
				c.name, c.scale, len(w.TopicNames()), w.Partitions, w.Records, c.topics, c.partitions, c.records)
		}
	}
}

func TestChooseRefusesOtherNames(t *testing.T) {
	if w, err := Choose(All(), "W1,W9", 1); err == nil {
		t.Errorf("chose %v", w)
	}
}

func TestSame(t *testing.T) {
	d := Digest{Records: 3, Log: "a", Values: "b"}
	for other, want := range map[Digest]string{
		d:                                   "same",
		{Records: 3, Log: "x", Values: "b"}: "values",
		{Records: 3, Log: "x", Values: "y"}: "count",
		{Records: 4, Log: "x", Values: "b"}: "differ",
	} {
		if got := d.Same(other); got != want {
			t.Errorf("Same(%+v) = %q, want %q", other, got, want)
		}
	}
}
