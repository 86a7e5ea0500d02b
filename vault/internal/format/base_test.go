package format

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

func testBase() *Base {
	return &Base{
		Epoch: 7, TimeMs: testTime, CreatedMs: testTime - 5000, PreviousHash: HashOf([]byte("base 6")),
		Incarnations: testIncarnations(),
		Streams:      []StreamRef{{0, 0}, {0, 7}, {1, 2147483647}},
		Heads: []Head{
			{Stream: 0, Scan: 2, NextOffset: 230, Reach: 260, Floor: 95, SizeBytes: 4000, Epochs: []HeadEpoch{{EpochStart{0, 98}, -1}, {EpochStart{2, 250}, -1}, {EpochStart{3, 150}, 0}}},
			{Stream: 1, NextOffset: 0, Floor: -1},
		},
		Sections: []TableID{{2, HashOf([]byte("topics"))}, {7, HashOf([]byte("cluster"))}},
		Chapters: []ChapterRef{
			{FirstEpoch: 0, LastEpoch: 4, Chapter: TableID{5, HashOf([]byte("old"))}, SizeBytes: 4000, Views: TableID{5, HashOf([]byte("old views"))}, ViewsSizeBytes: 9000},
			{FirstEpoch: 6, LastEpoch: 6, Chapter: TableID{7, HashOf([]byte("new"))}, SizeBytes: 300},
		},
		Tables: []TableRef{
			{Topic: "orders", Table: TableID{7, HashOf([]byte("orders"))}, SizeBytes: 4321},
			{Topic: "payments", Table: TableID{3, HashOf([]byte("payments"))}, SizeBytes: 1},
			{Topic: "payments", Table: TableID{7, HashOf([]byte("more payments"))}, SizeBytes: 2},
		},
		Removed: true, SignatureKey: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, Signature: []byte("a keeper's signature"),
	}
}

// passesBase is a base of version 2.
func passesBase() *Base {
	b := testBase()
	b.Passes = []StreamPass{
		{Stream: 0, Scan: 1, NextOffset: 200, LastEpoch: 3, AsOfMs: testTime, RetentionMs: 86_400_000}, {Stream: 2, LastEpoch: -1},
	}
	return b
}

func againBase(b []byte) ([]byte, error) {
	base, err := DecodeBase(b)
	if err != nil {
		return nil, err
	}
	return reencoded(base.Append(nil))
}

func baseVectors() []vector {
	encode := func(base *Base) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			b, err := base.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	return []vector{
		{file: "base-full.bin", versionAt: 4, newest: passesVersion, encode: encode(testBase()), again: againBase},
		{file: "base-passes.bin", versionAt: 4, newest: passesVersion, encode: encode(passesBase()), again: againBase},
		{file: "base-of-epoch-0.bin", encode: encode(&Base{TimeMs: testTime, CreatedMs: testTime}), again: againBase},
	}
}

func TestBaseRoundTrip(t *testing.T) {
	for _, want := range []*Base{testBase(), passesBase(), {TimeMs: testTime, CreatedMs: testTime}} {
		b, err := want.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeBase(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestBaseRejections(t *testing.T) {
	type c = rejection[*Base]
	corrupt := coldstream.ErrCorrupt
	encode := func(b *Base) error { _, err := b.Append(nil); return err }
	checkRejections(t, testBase, encode, []c{
		{"heads out of order", func(b *Base) { swap(b.Heads) }, corrupt, "heads are not in order"},
		{"head of no stream", func(b *Base) { b.Heads[1].Stream = 3 }, corrupt, "reference 3 of 3"},
		{"head below 0", func(b *Base) { b.Heads[1].NextOffset = -1 }, corrupt, "too large"},
		{"reach below the head", func(b *Base) { b.Heads[0].Reach = 229 }, corrupt, "that reached 229"},
		{"epoch after itself", func(b *Base) { b.Heads[0].Epochs[1].After = 2 }, corrupt, "leader epoch 2 after 2"},
		{"epoch after -2", func(b *Base) { b.Heads[0].Epochs[1].After = -2 }, corrupt, "leader epoch 2 after -2"},
		{"floor past the head", func(b *Base) { b.Heads[0].Floor = 231 }, corrupt, "floor 231"},
		{"floor -2", func(b *Base) { b.Heads[0].Floor = -2 }, corrupt, "floor -2"},
		{"floor of nothing", func(b *Base) { b.Heads[0].Floor = 0 }, corrupt, "floor 0"},
		{"head's epochs out of order", func(b *Base) { swap(b.Heads[0].Epochs) }, corrupt, "leader epochs are not in order"},
		{"negative size", func(b *Base) { b.Heads[0].SizeBytes = -1 }, corrupt, "too large"},
		{"sections out of order", func(b *Base) { swap(b.Sections) }, corrupt, "sections are not in order"},
		{"section of a later epoch", func(b *Base) { b.Sections[1].Epoch = 8 }, corrupt, "section of epoch 8"},
		{"chapters out of order", func(b *Base) { swap(b.Chapters) }, corrupt, "with a chapter of [0, 4]"},
		{"chapters that overlap", func(b *Base) { b.Chapters[1].FirstEpoch = 4 }, corrupt, "with a chapter of [4, 6]"},
		{"chapter that ends before it begins", func(b *Base) { b.Chapters[0].FirstEpoch = 5 }, corrupt, "chapter of epochs [5, 4]"},
		{"chapter of its own epoch", func(b *Base) { b.Chapters[1].LastEpoch = 7 }, corrupt, "with a chapter of [6, 7]"},
		{"chapter made later", func(b *Base) { b.Chapters[1].Chapter.Epoch = 8 }, corrupt, "chapter of epoch 8"},
		{"views made later", func(b *Base) { b.Chapters[0].Views.Epoch = 8 }, corrupt, "views of epoch 8"},
		{"giant chapter", func(b *Base) { b.Chapters[1].SizeBytes = maxPayload + 1 }, corrupt, "1073740801 and 0 bytes"},
		{"giant views", func(b *Base) { b.Chapters[0].ViewsSizeBytes = maxPayload + 1 }, corrupt, "1073740801 bytes"},
		{"tables out of order", func(b *Base) { swap(b.Tables) }, corrupt, "tables are not in order"},
		{"table of a later epoch", func(b *Base) { b.Tables[0].Table.Epoch = 8 }, corrupt, "table of epoch 8"},
		{"tables of a topic out of order", func(b *Base) { swap(b.Tables[1:]) }, corrupt, "tables are not in order"},
		{"giant table", func(b *Base) { b.Tables[0].SizeBytes = maxPayload + 1 }, corrupt, "table of topic"},
		{"key without signature", func(b *Base) { b.Signature = nil }, corrupt, "a signature and the key"},
		{"signature without key", func(b *Base) { b.SignatureKey = [8]byte{} }, corrupt, "a signature and the key"},
	})
	first := func() *Base { return &Base{TimeMs: testTime, CreatedMs: testTime} }
	checkRejections(t, first, encode, []c{
		{"base 0 with a base before", func(b *Base) { b.PreviousHash[3] = 1 }, corrupt, "something before it"},
		{"base 0 of another time", func(b *Base) { b.CreatedMs++ }, corrupt, "of another time than the vault"},
		{"base 0 that removed", func(b *Base) { b.Removed = true }, corrupt, "something before it"},
		{"base 0 with a chapter", func(b *Base) { b.Chapters = testBase().Chapters[:1]; b.Chapters[0].LastEpoch = 0 }, corrupt, "chapter of epoch 5"},
	})
}
