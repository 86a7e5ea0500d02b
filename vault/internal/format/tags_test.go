package format

import (
	"errors"
	"testing"

	"coldstream"
)

func testTagsChange() *TagsChange {
	return &TagsChange{
		Tags:         coldstream.Tags{Values: map[string]string{"release": "4.2"}, Pinned: true},
		SignatureKey: [keyIDSize]byte{1, 2, 3, 4, 5, 6, 7, 8}, Signature: []byte("a keeper's signature"),
	}
}

func againTagsChange(b []byte) ([]byte, error) {
	c, err := DecodeTagsChange(b)
	if err != nil {
		return nil, err
	}
	return reencoded(c.Append(nil))
}

func againTags(b []byte) ([]byte, error) {
	t, err := DecodeTags(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeTags(&t))
}

func tagsVectors() []vector {
	encode := func(c *TagsChange) func(t *testing.T) []byte {
		return func(t *testing.T) []byte {
			b, err := c.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	return []vector{
		{file: "tags-signed.bin", versionAt: 4, encode: encode(testTagsChange()), again: againTagsChange},
		{file: "tags-none.bin", versionAt: 4, encode: encode(&TagsChange{}), again: againTagsChange},
	}
}

func TestTagsRejections(t *testing.T) {
	checkRejections(t, testTagsChange, func(c *TagsChange) error { _, err := c.Append(nil); return err }, []rejection[*TagsChange]{
		{"a signature of nobody", func(c *TagsChange) { c.SignatureKey = [keyIDSize]byte{} }, coldstream.ErrCorrupt, "go together"},
		{"no signature", func(c *TagsChange) { c.Signature = nil }, coldstream.ErrCorrupt, "go together"},
		{"an empty key", func(c *TagsChange) { c.Tags.Values[""] = "x" }, coldstream.ErrCorrupt, "empty"},
	})
	for _, text := range []string{`{"tags":[{"key":"b","value":""},{"key":"a","value":""}],"pinned":false}`, `{"tags":null,"pinned":true}`, `{}`} {
		if _, err := DecodeTags([]byte(text)); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTagsKeys(t *testing.T) {
	id := TagsID{Epoch: 3, Snapshot: SnapshotID{0xab, 1}, Number: 7}
	if key := id.Key(); key != "tags/0000000003/ab01000000000000/0000000007" {
		t.Error(key)
	}
	if again, err := ParseTagsKey(id.Key()); again != id || err != nil {
		t.Error(again, err)
	}
	for _, key := range []string{"", "tags/", "tags/3/ab01000000000000/7", "tags/0000000003/AB01000000000000/0000000007", "tags/0000000003/ab/0000000007", id.Key() + "/", id.Key() + "x"} {
		if id, err := ParseTagsKey(key); err == nil {
			t.Errorf("%q is the key of %+v", key, id)
		}
	}
}
