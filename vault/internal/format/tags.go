package format

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"coldstream"
)

const tagsMagic = "CSTG"

type tagsJSON struct {
	Tags   []tagJSON `json:"tags"`
	Pinned bool      `json:"pinned"`
}

type tagJSON struct {
	Key   text `json:"key"`
	Value text `json:"value"`
}

// EncodeTags writes the section "tags".
func EncodeTags(t *coldstream.Tags) ([]byte, error) {
	j := tagsJSON{Tags: []tagJSON{}, Pinned: t.Pinned}
	for _, key := range slices.Sorted(maps.Keys(t.Values)) {
		j.Tags = append(j.Tags, tagJSON{text(key), text(t.Values[key])})
	}
	return proven(j, DecodeTags)
}

// DecodeTags reads the section "tags".
func DecodeTags(b []byte) (t coldstream.Tags, err error) {
	var j tagsJSON
	if err := decodeJSON(b, &j); err != nil {
		return t, err
	}
	if j.Tags == nil {
		return t, corruptf("tags: a list is null")
	}
	for i, tag := range j.Tags {
		if tag.Key == "" || i > 0 && j.Tags[i-1].Key >= tag.Key {
			return t, corruptf("tags: key %q is empty, or out of order", tag.Key)
		}
		if t.Values == nil {
			t.Values = map[string]string{}
		}
		t.Values[string(tag.Key)] = string(tag.Value)
	}
	t.Pinned = j.Pinned
	return t, nil
}

// TagsID names what was said of a snapshot later than when it was made.
type TagsID struct {
	// Epoch is the one in which it was said.
	Epoch    uint32
	Snapshot SnapshotID
	// Number grows with each that is said of a snapshot.
	Number uint32
}

// Key is the object's key.
func (id TagsID) Key() string {
	return fmt.Sprintf("%s%010d/%s/%010d", TagsPrefix, id.Epoch, hex.EncodeToString(id.Snapshot[:]), id.Number)
}

// ParseTagsKey reads what [TagsID.Key] writes.
func ParseTagsKey(key string) (id TagsID, err error) {
	parts := strings.Split(strings.TrimPrefix(key, TagsPrefix), "/")
	if len(parts) != 3 {
		return id, corruptf("key %q", key)
	}
	epoch, errEpoch := strconv.ParseUint(parts[0], 10, 32)
	number, errNumber := strconv.ParseUint(parts[2], 10, 32)
	size, errID := hex.Decode(id.Snapshot[:], []byte(parts[1][:min(len(parts[1]), 2*len(id.Snapshot))]))
	id.Epoch, id.Number = uint32(epoch), uint32(number)
	if errEpoch != nil || errNumber != nil || errID != nil || size != len(id.Snapshot) || id.Key() != key {
		return TagsID{}, corruptf("key %q", key)
	}
	return id, nil
}

// TagsChange takes the place of all that was said of a snapshot before.
type TagsChange struct {
	Tags coldstream.Tags
	// SignatureKey names the keeper's key, Signature is over [TagsChange.ToSign]; both are zero
	// without.
	SignatureKey [keyIDSize]byte
	Signature    []byte
}

// signedTagsAs is what the keeper's signature of a change begins with.
const signedTagsAs = "coldstream tags 1\x00"

// ToSign is what a keeper signs of a change under its key.
func (c *TagsChange) ToSign(vaultID VaultID, id TagsID) ([]byte, error) {
	document, err := EncodeTags(&c.Tags)
	if err != nil {
		return nil, err
	}
	out := append(append([]byte(signedTagsAs), vaultID[:]...), id.Key()...)
	return append(append(out, 0), document...), nil
}

// Append writes the payload of a change. What would be refused by [DecodeTagsChange] is
// refused here.
func (c *TagsChange) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	document, err := EncodeTags(&c.Tags)
	if err != nil {
		return nil, err
	}
	dst = append(append(dst, tagsMagic...), Version)
	dst = appendString(dst, string(document))
	dst = append(dst, c.SignatureKey[:]...)
	dst = appendString(dst, string(c.Signature))
	if _, err := DecodeTagsChange(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

// DecodeTagsChange reads the payload of a change.
func DecodeTagsChange(payload []byte) (*TagsChange, error) {
	r := &reader{b: payload}
	r.magic(tagsMagic)
	document := r.string()
	c := &TagsChange{}
	r.into(c.SignatureKey[:])
	if signature := r.take(r.count(1)); len(signature) > 0 {
		c.Signature = bytes.Clone(signature)
	}
	if (len(c.Signature) > 0) != (c.SignatureKey != [keyIDSize]byte{}) {
		r.fail("a signature and the key that made it go together")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	var err error
	if c.Tags, err = DecodeTags([]byte(document)); err != nil {
		return nil, err
	}
	return c, nil
}
