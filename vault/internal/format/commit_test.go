package format

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

func testCommit() *Commit {
	parent := CommitRef{ID: CommitID{4, Writer{11: 1}, 2}, Hash: HashOf([]byte("a parent"))}
	return &Commit{
		ID: CommitID{4, testWriter, 1}, TimeMs: testTime, BaseHash: HashOf([]byte("a base")),
		Parents: []CommitRef{parent, {ID: CommitID{4, testWriter, 0}, Hash: HashOf([]byte("another"))}},
		Facts:   testFacts(4), Snapshot: testSnapshot(3),
	}
}

// emptyRowsCommit is small where a full one is large: two partitions of a compacted topic
// whose tails never returned anything.
func emptyRowsCommit() *Commit {
	return &Commit{Facts: Facts{
		Incarnations: testIncarnations()[:1],
		Streams:      []StreamRef{{0, 0}, {0, 1}},
		Rows: []Row{
			{Stream: 0, FirstOffset: 3, NextOffset: 4, BaseOffset: 3, MaxTimestampMs: -1},
			{Stream: 1, FirstOffset: 3, NextOffset: 4, BaseOffset: 3, MaxTimestampMs: -1},
		},
	}}
}

// passesCommit is a commit of version 2.
func passesCommit() *Commit {
	c := testCommit()
	c.Snapshot.Passes = []Pass{{View: 0, AsOfMs: testTime, RetentionMs: 86_400_000}, {View: 1}}
	return c
}

// reachedCommit is a commit of version 3 that lists its topics, with passes.
func reachedCommit() *Commit {
	c := passesCommit()
	c.Reached = &Reached{AsOfMs: testTime, Name: "backup@host-7", Topics: []int{0, 1}}
	return c
}

// reachedAgainCommit is one that refers to the list of another, and has no snapshot.
func reachedAgainCommit() *Commit {
	c := emptyRowsCommit()
	c.ID.Seq = 9
	c.Reached = &Reached{AsOfMs: testTime, Back: 7, LeftOut: []uint32{3, 200}}
	return c
}

func encodeCommit(c *Commit) func(t *testing.T) []byte {
	return func(t *testing.T) []byte {
		t.Helper()
		b, err := c.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func againCommit(b []byte) ([]byte, error) {
	c, err := DecodeCommit(b)
	if err != nil {
		return nil, err
	}
	return reencoded(c.Append(nil))
}

func commitVectors() []vector {
	return []vector{
		{file: "commit-full.bin", versionAt: 4, newest: reachedVersion, encode: encodeCommit(testCommit()), again: againCommit},
		{file: "commit-passes.bin", versionAt: 4, newest: reachedVersion, encode: encodeCommit(passesCommit()), again: againCommit},
		{file: "commit-reached.bin", versionAt: 4, newest: reachedVersion, encode: encodeCommit(reachedCommit()), again: againCommit},
		{file: "commit-reached-again.bin", versionAt: 4, newest: reachedVersion, encode: encodeCommit(reachedAgainCommit()), again: againCommit},
		{file: "commit-empty.bin", encode: encodeCommit(&Commit{}), again: againCommit},
		{file: "commit-empty-rows.bin", encode: encodeCommit(emptyRowsCommit()), again: againCommit},
	}
}

func againTable(b []byte) ([]byte, error) {
	table, err := DecodeTable(b)
	if err != nil {
		return nil, err
	}
	return reencoded(table.Append(nil))
}

func testTable() *Table {
	table := &Table{Facts: testFacts(2)}
	partly := Pack{ID: PackID{9, Writer{}, 0}, SizeBytes: 900, Frames: testFrames()[:1]}
	partly.Frames[0].Skipped = 100
	table.Facts.Packs = append(table.Facts.Packs, partly)
	table.Facts.Scans = append(table.Facts.Scans, Scan{Stream: 2, Number: 4, FirstOffset: 1, StartedMs: testTime})
	table.Facts.Released = []Released{{0, 0, 0, 95}, {0, 0, 20, 30}, {2, 3, 0, 5000}}
	return table
}

func tableVectors() []vector {
	encode := func(table *Table) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			b, err := table.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	return []vector{
		{file: "table-full.bin", versionAt: 4, encode: encode(testTable()), again: againTable},
		{file: "table-empty.bin", encode: encode(&Table{}), again: againTable},
	}
}

func TestCommitRoundTrip(t *testing.T) {
	for _, want := range []*Commit{testCommit(), {}, emptyRowsCommit(), passesCommit(), reachedCommit(), reachedAgainCommit()} {
		b, err := want.Append([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:6]) != "before" {
			t.Errorf("Append overwrote what was there")
		}
		got, err := DecodeCommit(b[6:])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestTableRoundTrip(t *testing.T) {
	want := testTable()
	b, err := want.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeTable(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCommitRejections(t *testing.T) {
	type c = rejection[*Commit]
	corrupt, unsupported := coldstream.ErrCorrupt, coldstream.ErrUnsupported
	encode := func(c *Commit) error { _, err := c.Append(nil); return err }
	checkRejections(t, testCommit, encode, []c{
		{"released", func(c *Commit) { c.Facts.Released = []Released{{0, 0, 1, 2}} }, corrupt, "releases something"},
		{"frames left out", func(c *Commit) { c.Facts.Packs[0].Frames[1].Skipped = 1 }, corrupt, "leaves out frames"},
		{"scan twice", func(c *Commit) {
			c.Facts.Scans = append(c.Facts.Scans, Scan{Stream: 2, Number: 4, FirstOffset: 1})
		}, corrupt, "begins a scan twice"},
		{"negative size", func(c *Commit) { c.Snapshot.SizeBytes = -1 }, corrupt, "too large"},
		{"parents out of order", func(c *Commit) { swap(c.Parents) }, corrupt, "commits are not in order"},
		{"parent twice", func(c *Commit) { c.Parents[1] = c.Parents[0] }, corrupt, "commits are not in order"},
		{"its own parent", func(c *Commit) { c.Parents[1].ID = c.ID }, corrupt, "with parent"},
		{"parent of another epoch", func(c *Commit) { c.Parents[0].ID.Epoch = 3 }, corrupt, "with parent"},
		{"pack of a later epoch", func(c *Commit) { c.Facts.Packs[0].ID.Epoch = 5 }, corrupt, "with packs/"},
		{"pack of the epoch before the last", func(c *Commit) { c.Facts.Packs[0].ID.Epoch = 2 }, corrupt, "with packs/"},
		{"section of a later epoch", func(c *Commit) { c.Snapshot.Sections[0].Table.Epoch = 5 }, corrupt, "of epoch 5 in epoch 4"},
		{"section without a name", func(c *Commit) { c.Snapshot.Sections[0].Name = "" }, corrupt, `section ""`},
		{"giant section", func(c *Commit) { c.Snapshot.Sections[0].SizeBytes = maxPayload + 1 }, corrupt, "section"},
		{"sections out of order", func(c *Commit) { swap(c.Snapshot.Sections) }, corrupt, "sections are not in order"},
		{"views out of order", func(c *Commit) { swap(c.Snapshot.Views) }, corrupt, "views are not in order"},
		{"view of no stream", func(c *Commit) { c.Snapshot.Views[1].Stream = 3 }, corrupt, "reference 3 of 3"},
		{"view back in time", func(c *Commit) { c.Snapshot.Views[0].NextOffset = 99 }, corrupt, "too large"},
		{"view below 0", func(c *Commit) { c.Snapshot.Views[0].LogStartOffset = -1 }, corrupt, "too large"},
		{"view past all offsets", func(c *Commit) {
			c.Snapshot.Views[0].LogStartOffset, c.Snapshot.Views[0].NextOffset = math.MaxInt64, math.MinInt64
		}, corrupt, "view ["},
		{"view of epoch -2", func(c *Commit) { c.Snapshot.Views[0].LastEpoch = -2 }, corrupt, "of epoch -2"},
		{"gap of a later cause", func(c *Commit) { c.Facts.Gaps[0].Cause = "eaten" }, unsupported, "gap cause 255"},
		{"gap of no cause", func(c *Commit) { c.Facts.Gaps[0].Cause = "" }, corrupt, "gap cause 0"},
		{"sealed pack", func(c *Commit) { c.Facts.Packs[0].KeyID[7] = 0xab }, unsupported, "sealed to key 00000000000000ab"},
	})
}

// TestPassRejections is about what only commits and bases of version 2 have.
func TestPassRejections(t *testing.T) {
	type c = rejection[*Commit]
	checkRejections(t, passesCommit, func(c *Commit) error { _, err := c.Append(nil); return err }, []c{
		{"of no view", func(c *Commit) { c.Snapshot.Passes[1].View = len(c.Snapshot.Views) }, coldstream.ErrCorrupt, "reference"},
		{"out of order", func(c *Commit) { swap(c.Snapshot.Passes) }, coldstream.ErrCorrupt, "passes"},
		{"of one view twice", func(c *Commit) { c.Snapshot.Passes[1].View = 0 }, coldstream.ErrCorrupt, "passes"},
		{"retention below 0", func(c *Commit) { c.Snapshot.Passes[0].RetentionMs = -1 }, coldstream.ErrCorrupt, "too large"},
	})
	type b = rejection[*Base]
	checkRejections(t, passesBase, func(b *Base) error { _, err := b.Append(nil); return err }, []b{
		{"of no stream", func(b *Base) { b.Passes[1].Stream = 3 }, coldstream.ErrCorrupt, "reference"},
		{"out of order", func(b *Base) { swap(b.Passes) }, coldstream.ErrCorrupt, "passes"},
		{"epoch below -1", func(b *Base) { b.Passes[1].LastEpoch = -2 }, coldstream.ErrCorrupt, "pass of epoch"},
		{"offset below 0", func(b *Base) { b.Passes[0].NextOffset = -1 }, coldstream.ErrCorrupt, "too large"},
	})
	for _, name := range []string{"commit-empty.bin", "base-of-epoch-0.bin"} {
		payload := readVector(t, name)
		payload[4] = passesVersion
		again := againCommit
		if strings.HasPrefix(name, "base") {
			again = againBase
		}
		if _, err := again(append(payload, 0)); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s of version 2 without a pass: error %v, want ErrCorrupt", name, err)
		}
	}
}

// TestReachedRejections is about what only commits of version 3 have.
func TestReachedRejections(t *testing.T) {
	type c = rejection[*Commit]
	encode := func(c *Commit) error { _, err := c.Append(nil); return err }
	corrupt := coldstream.ErrCorrupt
	checkRejections(t, reachedCommit, encode, []c{
		{"of no incarnation", func(c *Commit) { c.Reached.Topics[1] = 2 }, corrupt, "reference 2 of 2"},
		{"out of order", func(c *Commit) { swap(c.Reached.Topics) }, corrupt, "topics are not in order"},
		{"one twice", func(c *Commit) { c.Reached.Topics[1] = 0 }, corrupt, "topics are not in order"},
	})
	checkRejections(t, reachedAgainCommit, encode, []c{
		{"back before the first", func(c *Commit) { c.Reached.Back = 10 }, corrupt, "topics of the one 10 before it"},
		{"left out, out of order", func(c *Commit) { swap(c.Reached.LeftOut) }, corrupt, "topics left out are not in order"},
	})
}

func TestFactsRejections(t *testing.T) {
	type c = rejection[*Facts]
	corrupt := coldstream.ErrCorrupt
	good := func() *Facts { f := testTable().Facts; return &f }
	encode := func(f *Facts) error { _, err := (&Table{*f}).Append(nil); return err }
	checkRejections(t, good, encode, []c{
		{"incarnations out of order", func(f *Facts) { swap(f.Incarnations) }, corrupt, "incarnations are not in order"},
		{"incarnation twice", func(f *Facts) { f.Incarnations[1] = f.Incarnations[0] }, corrupt, "incarnations are not in order"},
		{"topic ID and number", func(f *Facts) { f.Incarnations[0].Number = 1 }, corrupt, "both an ID and incarnation number"},
		{"streams out of order", func(f *Facts) { swap(f.Streams) }, corrupt, "streams are not in order"},
		{"stream of no incarnation", func(f *Facts) { f.Streams[2].Incarnation = 2 }, corrupt, "reference 2 of 2"},
		{"partition -1", func(f *Facts) { f.Streams[2].Partition = -1 }, corrupt, "too large"},
		{"partition 2^31", func(f *Facts) { f.Streams[2].Partition = math.MinInt32 }, corrupt, "too large"},
		{"packs out of order", func(f *Facts) { f.Packs[1].ID.Epoch = 1 }, corrupt, "packs are not in order"},
		{"pack twice", func(f *Facts) { f.Packs[1] = f.Packs[0] }, corrupt, "packs are not in order"},
		{"pack without frames", func(f *Facts) { f.Packs[1].Frames = nil }, corrupt, "0 frames"},
		{"pack smaller than its frames", func(f *Facts) { f.Packs[0].SizeBytes = 790 }, corrupt, "pack of 790 bytes"},
		{"frames skipped past the pack", func(f *Facts) { f.Packs[0].Frames[0].Skipped = 1235 }, corrupt, "frame behind 1235 bytes"},
		{"frames behind the pack", func(f *Facts) { f.Packs[0].Frames[1].Skipped = 1234 }, corrupt, "frame behind 1234 bytes"},
		{"frame of nothing stored", func(f *Facts) { f.Packs[0].Frames[0].StoredLength = 0 }, corrupt, "frame of 0 bytes"},
		{"frame of nothing", func(f *Facts) { f.Packs[0].Frames[0].DecodedLength = 0 }, corrupt, "decodes to 0"},
		{"giant frame", func(f *Facts) { f.Packs[0].Frames[0].DecodedLength = maxFrame + 1 }, corrupt, "frame of"},
		{"scans out of order", func(f *Facts) { swap(f.Scans) }, corrupt, "scans are not in order"},
		{"scan twice", func(f *Facts) { f.Scans[1] = f.Scans[0] }, corrupt, "scans are not in order"},
		{"scan below 0", func(f *Facts) { f.Scans[0].FirstOffset = -1 }, corrupt, "too large"},
		{"rows out of order", func(f *Facts) { swap(f.Rows) }, corrupt, "rows are not in order"},
		{"gaps out of order", func(f *Facts) { swap(f.Gaps) }, corrupt, "gaps are not in order"},
		{"gap of nothing", func(f *Facts) { f.Gaps[0].NextOffset = 95 }, corrupt, "range of 0 offsets"},
		{"gap backwards", func(f *Facts) { f.Gaps[0].NextOffset = 94 }, corrupt, "too large"},
		{"released out of order", func(f *Facts) { swap(f.Released) }, corrupt, "released ranges are not in order"},
		{"released past all offsets", func(f *Facts) {
			f.Released[2].FirstOffset, f.Released[2].NextOffset = math.MaxInt64, math.MinInt64
		}, corrupt, "range of 1 offsets"},
	})
}

func TestRowRejections(t *testing.T) {
	type c = rejection[*Row]
	corrupt := coldstream.ErrCorrupt
	good := func() *Row { return &testFacts(0).Rows[0] }
	encode := func(w *Row) error {
		f := testFacts(0)
		f.Rows[0] = *w
		_, err := (&Table{f}).Append(nil)
		return err
	}
	checkRejections(t, good, encode, []c{
		{"of nothing", func(w *Row) { w.NextOffset = w.FirstOffset }, corrupt, "range of 0 offsets"},
		{"of no stream", func(w *Row) { w.Stream = 3 }, corrupt, "reference 3 of 3"},
		{"of no pack", func(w *Row) { w.Pack = 1 }, corrupt, "reference 1 of 1"},
		{"of no frame", func(w *Row) { w.Frame = 2 }, corrupt, "reference 2 of 2"},
		{"negative length", func(w *Row) { w.Length = -1 }, corrupt, "too large"},
		{"past its frame", func(w *Row) { w.Offset = 1001 }, corrupt, "row of bytes [1001, +4000)"},
		{"longer than its frame", func(w *Row) { w.Length = 5001 }, corrupt, "row of bytes"},
		{"far past its frame", func(w *Row) { w.Offset = math.MaxInt64 }, corrupt, "row of bytes"},
		{"first batch behind it", func(w *Row) { w.BaseOffset = 200 }, corrupt, "first batch is at 200"},
		{"first batch below 0", func(w *Row) { w.BaseOffset = -1 }, corrupt, "first batch is at -1"},
		{"first batch past all offsets", func(w *Row) { w.BaseOffset = math.MinInt64 }, corrupt, "first batch is at"},
		{"no batches", func(w *Row) { w.Batches = 0 }, corrupt, "0 batches"},
		{"more batches than bytes", func(w *Row) { w.Batches = 4001 }, corrupt, "4001 batches"},
		{"no largest batch", func(w *Row) { w.MaxBatchBytes = 0 }, corrupt, "of up to 0"},
		{"batch larger than all", func(w *Row) { w.MaxBatchBytes = 4001 }, corrupt, "of up to 4001"},
		{"negative records", func(w *Row) { w.Records = -1 }, corrupt, "too large"},
		{"epochs out of order", func(w *Row) { swap(w.Epochs) }, corrupt, "leader epochs are not in order"},
		{"epoch twice", func(w *Row) { w.Epochs[1].Epoch = 0 }, corrupt, "leader epochs are not in order"},
		{"epochs at one offset", func(w *Row) { w.Epochs[1].FirstOffset = 98 }, corrupt, "leader epochs are not in order"},
		{"epoch -1", func(w *Row) { w.Epochs[0].Epoch = -1 }, corrupt, "too large"},
		{"epoch before the row", func(w *Row) { w.Epochs[0].FirstOffset = 97 }, corrupt, "leader epoch at offset 97"},
		{"epoch behind the row", func(w *Row) { w.Epochs[1].FirstOffset = 200 }, corrupt, "leader epoch at offset 200"},
		{"markers out of order", func(w *Row) { swap(w.Markers) }, corrupt, "marker at offset 120"},
		{"marker twice", func(w *Row) { w.Markers[1] = w.Markers[0] }, corrupt, "marker at offset 120"},
		{"marker before the row", func(w *Row) { w.Markers[0].Offset = 97 }, corrupt, "marker at offset 97"},
		{"marker behind the row", func(w *Row) { w.Markers[1].Offset = 200 }, corrupt, "marker at offset 200"},
		{"transactions out of order", func(w *Row) { swap(w.Transactions) }, corrupt, "transaction at offset 98"},
		{"transaction behind the row", func(w *Row) { w.Transactions[1].FirstOffset = 200 }, corrupt, "transaction at offset 200"},
	})
}

func swap[T any](list []T) { list[0], list[1] = list[1], list[0] }

func TestUnknownFlag(t *testing.T) {
	b, err := (&Commit{}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] = 2 // in place of "has a snapshot"
	if _, err := DecodeCommit(b); !errors.Is(err, coldstream.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}
