package recordbatch

import (
	"testing"
)

// answer is what a broker sends: batches of about 16 KB, of all codecs.
func answer(tb testing.TB) []byte {
	tb.Helper()
	var buf []byte
	for i := range 64 {
		s := &spec{base: int64(i) * 100, delta: 99, codec: allCodecs[i%len(allCodecs)]}
		for j := range int32(100) {
			s.records = append(s.records, Record{OffsetDelta: j, Key: []byte{byte(j)}, Value: make([]byte, 160)})
		}
		buf = append(buf, franz(tb, s)...)
	}
	return append(buf, buf[:100]...) // it ends within a batch
}

// wayIn is what is done to each batch that is fetched.
func wayIn(tb testing.TB, buf []byte) int {
	batches := 0
	for rest := buf; len(rest) > 100; batches++ {
		b, after, err := Next(rest)
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			tb.Fatal(err)
		}
		rest = after
	}
	return batches
}

func BenchmarkNextCheck(b *testing.B) {
	buf := answer(b)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		wayIn(b, buf)
	}
}

func BenchmarkControlMarker(b *testing.B) {
	commit := javaBatch(b, "v2-commit")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok, err := commit.ControlMarker(); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkAppendPatched(b *testing.B) {
	batch, _, err := Next(answer(b))
	if err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, len(batch))
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		dst = batch.AppendPatched(dst[:0], Producer{ID: 1})
	}
}

func BenchmarkRebuild(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			s := &spec{delta: 99, codec: codec}
			for j := range int32(100) {
				s.records = append(s.records, Record{OffsetDelta: j, Key: []byte{byte(j)}, Value: make([]byte, 160)})
			}
			batch, d := franz(b, s), NewDecoder()
			b.SetBytes(100 * 160)
			b.ReportAllocs()
			for b.Loop() {
				records, err := d.Absolute(batch, testLimit)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Build(records, codec, Producer{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestAllocations: the way in takes no memory per batch, control batches included, and
// producing a stored batch takes none besides its copy: so neither looks at records, which
// the patch of a batch whose records are not even decodable shows as well.
func TestAllocations(t *testing.T) {
	buf := answer(t)
	commit := javaBatch(t, "v2-commit")
	broken := Batch(append([]byte{}, buf[:len(buf)-100]...))
	broken, _, err := Next(broken)
	if err != nil {
		t.Fatal(err)
	}
	for i := HeaderSize; i < len(broken); i++ {
		broken[i] = 0xff
	}
	reseal(broken)
	dst := make([]byte, 0, len(broken))
	for name, f := range map[string]func(){
		"Next and Check": func() { wayIn(t, buf) },
		"ControlMarker": func() {
			if _, ok, err := commit.ControlMarker(); !ok || err != nil {
				t.Fatal(ok, err)
			}
		},
		"AppendPatched": func() { dst = broken.AppendPatched(dst[:0], Producer{ID: 1}) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if got := Batch(dst); got.Check() != nil || got.ProducerID() != 1 {
		t.Errorf("patched without decoding: %v, producer %d", got.Check(), got.ProducerID())
	}
}
