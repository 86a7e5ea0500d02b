package format

import (
	"encoding/binary"

	"coldstream"
)

// PackedViews are the views of a chapter's snapshots. Those of one snapshot are decoded when
// they are asked for: all of them take many times the room of the payload.
type PackedViews struct {
	Incarnations []coldstream.Incarnation
	Streams      []StreamRef
	lists        []packedList
}

type packedList struct {
	id    SnapshotID
	count int
	b     []byte // the list, with its count
}

// viewFields is how many numbers a view is.
const viewFields = 5

// OpenViews reads the payload of a views object, but for the views. It keeps the payload.
func OpenViews(payload []byte) (*PackedViews, error) {
	r := &reader{b: payload}
	r.magic(viewsMagic)
	v := &PackedViews{}
	v.Incarnations, v.Streams = readStreams(r)
	v.lists = readList(r, 9, readPackedList)
	if err := r.end(); err != nil {
		return nil, err
	}
	return v, nil
}

func readPackedList(r *reader) packedList {
	var l packedList
	r.into(l.id[:])
	l.b = r.b
	l.count = r.count(viewFields)
	r.skipVarints(l.count * viewFields)
	l.b = l.b[:len(l.b)-len(r.b)]
	return l
}

// Len is the number of snapshots.
func (v *PackedViews) Len() int { return len(v.lists) }

// ID is that of a snapshot.
func (v *PackedViews) ID(snapshot int) SnapshotID { return v.lists[snapshot].id }

// Count is the number of a snapshot's views.
func (v *PackedViews) Count(snapshot int) int { return v.lists[snapshot].count }

// Views are those of a snapshot, held to all that [DecodeViews] holds them to.
func (v *PackedViews) Views(snapshot int) ([]View, error) {
	r := &reader{b: v.lists[snapshot].b}
	views := readViews(r, len(v.Streams))
	return views, r.end()
}

// skipVarints passes over numbers.
func (r *reader) skipVarints(n int) {
	for at, c := range r.b {
		if n == 0 {
			r.b = r.b[at:]
			return
		}
		if c < 0x80 {
			n--
		}
	}
	r.b = nil
	if n > 0 {
		r.fail("it ends in the middle of a list")
	}
}

// ViewsOfCommit gives the views of a commit's snapshot in the form of a chapter's.
func ViewsOfCommit(c *Commit) *PackedViews {
	list := appendViews(nil, c.Snapshot.Views)
	count, _ := binary.Uvarint(list)
	return &PackedViews{
		Incarnations: c.Facts.Incarnations, Streams: c.Facts.Streams,
		lists: []packedList{{c.Snapshot.ID, int(count), list}},
	}
}
