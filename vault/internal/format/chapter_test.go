package format

import (
	"fmt"
	"reflect"
	"testing"

	"coldstream"
)

func testChapter() *Chapter {
	older, newer := *testSnapshot(6), *testSnapshot(2)
	older.Views, newer.Views = nil, nil
	newer.ID[0]++
	newer.TimeMs, older.ParentMs, newer.ParentMs = testTime-1, NoParent, testTime // its clock was behind
	return &Chapter{
		FirstEpoch: 5, LastEpoch: 6,
		Commits: []CommitRef{
			{ID: CommitID{5, Writer{11: 1}, 0}, Hash: HashOf([]byte("one"))},
			{ID: CommitID{6, testWriter, 4294967295}, Hash: HashOf([]byte("two"))},
		},
		Packs:     []PackSize{{PackID{4, testWriter, 0}, 1234}, {PackID{6, testWriter, 7}, 1 << 40}},
		Snapshots: []Snapshot{older, newer},
	}
}

// chapterByTime is a chapter of version 1.
func chapterByTime() *Chapter {
	c := testChapter()
	c.ByTime, c.Snapshots[1].TimeMs, c.Snapshots[1].ParentMs = true, testTime, NoParent
	return c
}

func testViews() *Views {
	return &Views{
		Incarnations: testIncarnations(),
		Streams:      []StreamRef{{0, 0}, {0, 7}, {1, 2147483647}},
		Snapshots:    []SnapshotViews{{ID: SnapshotID{0xca, 0xfe, 7: 1}, Views: testSnapshot(0).Views}, {ID: SnapshotID{0xcb, 0xfe, 7: 1}}},
	}
}

func againChapter(b []byte) ([]byte, error) {
	c, err := DecodeChapter(b)
	if err != nil {
		return nil, err
	}
	return reencoded(c.Append(nil))
}

func againViews(b []byte) ([]byte, error) {
	v, err := DecodeViews(b)
	packed, errPacked := unpacked(b)
	if (err == nil) != (errPacked == nil) || err == nil && !reflect.DeepEqual(packed, v) {
		panic(fmt.Sprintf("read at once: %+v, %v; one by one: %+v, %v", v, err, packed, errPacked))
	}
	if err != nil {
		return nil, err
	}
	return reencoded(v.Append(nil))
}

// unpacked reads views one snapshot after the other.
func unpacked(b []byte) (*Views, error) {
	p, err := OpenViews(b)
	if err != nil {
		return nil, err
	}
	v := &Views{Incarnations: p.Incarnations, Streams: p.Streams}
	for i := range p.Len() {
		views, err := p.Views(i)
		if err != nil {
			return nil, err
		}
		v.Snapshots = append(v.Snapshots, SnapshotViews{p.ID(i), views})
	}
	return v, nil
}

func chapterVectors() []vector {
	encode := func(appendTo func([]byte) ([]byte, error)) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			b, err := appendTo(nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	return []vector{
		{file: "chapter-full.bin", versionAt: 4, newest: 2, encode: encode(chapterByTime().Append), again: againChapter},
		{file: "chapter-empty.bin", encode: encode((&Chapter{ByTime: true}).Append), again: againChapter},
		{file: "chapter-of-the-fold.bin", versionAt: 4, newest: 2, encode: encode(testChapter().Append), again: againChapter},
		{file: "chapter-of-the-fold-empty.bin", encode: encode((&Chapter{}).Append), again: againChapter},
		{file: "views-full.bin", versionAt: 4, encode: encode(testViews().Append), again: againViews},
		{file: "views-empty.bin", encode: encode((&Views{}).Append), again: againViews},
	}
}

func TestChapterRejections(t *testing.T) {
	type c = rejection[*Chapter]
	corrupt := coldstream.ErrCorrupt
	checkRejections(t, testChapter, func(c *Chapter) error { _, err := c.Append(nil); return err }, []c{
		{"ends before it begins", func(c *Chapter) { c.FirstEpoch = 7 }, corrupt, "chapter of epochs [7, 6]"},
		{"commit of an epoch before", func(c *Chapter) { c.Commits[0].ID.Epoch = 4 }, corrupt, "with commits/0000000004"},
		{"commit of an epoch behind", func(c *Chapter) { c.Commits[1].ID.Epoch = 7 }, corrupt, "with commits/0000000007"},
		{"commit twice", func(c *Chapter) { c.Commits[1] = c.Commits[0] }, corrupt, "commits are not in order"},
		{"packs out of order", func(c *Chapter) { swap(c.Packs) }, corrupt, "packs are not in order"},
		{"pack of an epoch behind", func(c *Chapter) { c.Packs[1].ID.Epoch = 7 }, corrupt, "with packs/0000000007"},
		{"pack of no size", func(c *Chapter) { c.Packs[0].SizeBytes = -1 }, corrupt, "too large"},
		{"snapshot twice", func(c *Chapter) { c.Snapshots[1].ID = c.Snapshots[0].ID }, corrupt, "is there twice"},
		{"section of an epoch behind", func(c *Chapter) { c.Snapshots[0].Sections[0].Table.Epoch = 7 }, corrupt, "of epoch 7 in epoch 6"},
		{"snapshot with a view", func(c *Chapter) { c.Snapshots[0].Views = []View{{LastEpoch: -1}} }, corrupt, "reference 0 of 0"},
	})
}

func TestChapterByTimeRejections(t *testing.T) {
	checkRejections(t, chapterByTime, func(c *Chapter) error { _, err := c.Append(nil); return err }, []rejection[*Chapter]{
		{"snapshots out of order", func(c *Chapter) { swap(c.Snapshots) }, coldstream.ErrCorrupt, "snapshots are not in order"},
	})
}

func TestViewsRejections(t *testing.T) {
	type c = rejection[*Views]
	corrupt := coldstream.ErrCorrupt
	checkRejections(t, testViews, func(v *Views) error { _, err := v.Append(nil); return err }, []c{
		{"views out of order", func(v *Views) { swap(v.Snapshots[0].Views) }, corrupt, "views are not in order"},
		{"view of no stream", func(v *Views) { v.Snapshots[0].Views[1].Stream = 3 }, corrupt, "reference 3 of 3"},
		{"streams out of order", func(v *Views) { swap(v.Streams) }, corrupt, "streams are not in order"},
		{"view of an epoch below -1", func(v *Views) { v.Snapshots[0].Views[0].LastEpoch = -2 }, corrupt, "of epoch -2"},
	})
}
