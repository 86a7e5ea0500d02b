package format

import (
	"cmp"
	"encoding/binary"

	"coldstream"
)

const (
	chapterMagic = "CSCH"
	viewsMagic   = "CSVW"

	// chapterVersion keeps the order of the fold. Version 1 had snapshots in the order of
	// their times, by whatever clocks.
	chapterVersion = 2
	// NoParent stands for the time of a parent that is not known.
	NoParent = -1
)

// PackSize is a pack that commits of a chapter name.
type PackSize struct {
	ID        PackID
	SizeBytes int64
}

// Chapter is what bases keep of the commits of one epoch or several that follow each
// other, rows and heads left out.
type Chapter struct {
	FirstEpoch, LastEpoch uint32
	Commits               []CommitRef // sorted, no two equal
	Packs                 []PackSize  // sorted by ID, no two equal
	// Snapshots are without views, each behind those that it was built on; no two of one ID.
	Snapshots []Snapshot
	// ByTime says that the chapter is of version 1: its snapshots are sorted by time and ID,
	// and nobody knows what they were built on.
	ByTime bool
}

// Append writes the payload of a chapter object. What would be refused by
// [DecodeChapter] is refused here.
func (c *Chapter) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	version := byte(chapterVersion)
	if c.ByTime {
		version = Version
	}
	dst = append(append(dst, chapterMagic...), version)
	dst = binary.AppendUvarint(dst, uint64(c.FirstEpoch))
	dst = binary.AppendUvarint(dst, uint64(c.LastEpoch))
	dst = appendCommitRefs(dst, c.Commits)
	dst = binary.AppendUvarint(dst, uint64(len(c.Packs)))
	for _, p := range c.Packs {
		dst = binary.AppendUvarint(p.ID.append(dst), uint64(p.SizeBytes))
	}
	dst = binary.AppendUvarint(dst, uint64(len(c.Snapshots)))
	for i := range c.Snapshots {
		dst = c.Snapshots[i].append(dst)
		if !c.ByTime {
			dst = appendVarint(dst, c.Snapshots[i].ParentMs)
		}
	}
	if _, err := DecodeChapter(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

// DecodeChapter reads the payload of a chapter object.
func DecodeChapter(payload []byte) (*Chapter, error) {
	r := &reader{b: payload}
	byTime := r.magicUpTo(chapterMagic, chapterVersion) == Version
	c := &Chapter{FirstEpoch: r.uint32(), LastEpoch: r.uint32(), ByTime: byTime}
	c.Commits = readCommitRefs(r)
	c.Packs = readList(r, 15, func(r *reader) PackSize { return PackSize{readPackID(r), r.offset()} })
	c.readSnapshots(r)
	ordered(r, "packs", c.Packs, func(a, b PackSize) int { return a.ID.Compare(b.ID) })
	if c.FirstEpoch > c.LastEpoch {
		r.fail("chapter of epochs [%d, %d]", c.FirstEpoch, c.LastEpoch)
	}
	for _, ref := range c.Commits {
		if ref.ID.Epoch < c.FirstEpoch || ref.ID.Epoch > c.LastEpoch {
			r.fail("chapter of epochs [%d, %d] with %s", c.FirstEpoch, c.LastEpoch, ref.ID.Key())
		}
	}
	for i := range c.Packs {
		if c.Packs[i].ID.Epoch > c.LastEpoch {
			r.fail("chapter of epochs [%d, %d] with %s", c.FirstEpoch, c.LastEpoch, c.Packs[i].ID.Key())
		}
	}
	for i := range c.Snapshots {
		c.Snapshots[i].check(r, c.LastEpoch)
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Chapter) readSnapshots(r *reader) {
	c.Snapshots = readList(r, 13, func(r *reader) Snapshot {
		s := readSnapshot(r, 0)
		s.ParentMs = NoParent
		if !c.ByTime {
			s.ParentMs = r.varint()
		}
		return s
	})
	if c.ByTime {
		ordered(r, "snapshots", c.Snapshots, compareSnapshots)
	}
	known := map[SnapshotID]bool{}
	for i := range c.Snapshots {
		id := c.Snapshots[i].ID
		if known[id] && !c.ByTime { // version 1 allowed two of one ID and different times
			r.fail("snapshot %x is there twice", id)
		}
		known[id] = true
	}
}

// Views are what the snapshots of a chapter show, in their order.
type Views struct {
	Incarnations []coldstream.Incarnation
	Streams      []StreamRef
	Snapshots    []SnapshotViews
}

// SnapshotViews are the views of one snapshot.
type SnapshotViews struct {
	ID    SnapshotID
	Views []View // sorted by stream, no two equal
}

// Append writes the payload of a views object. What would be refused by [DecodeViews] is
// refused here.
func (v *Views) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(append(dst, viewsMagic...), Version)
	dst = appendStreams(dst, v.Incarnations, v.Streams)
	dst = binary.AppendUvarint(dst, uint64(len(v.Snapshots)))
	for i := range v.Snapshots {
		dst = appendViews(append(dst, v.Snapshots[i].ID[:]...), v.Snapshots[i].Views)
	}
	if _, err := DecodeViews(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

// DecodeViews reads the payload of a views object.
func DecodeViews(payload []byte) (*Views, error) {
	r := &reader{b: payload}
	r.magic(viewsMagic)
	v := &Views{}
	v.Incarnations, v.Streams = readStreams(r)
	v.Snapshots = readList(r, 9, func(r *reader) SnapshotViews {
		var s SnapshotViews
		r.into(s.ID[:])
		s.Views = readViews(r, len(v.Streams))
		return s
	})
	if err := r.end(); err != nil {
		return nil, err
	}
	return v, nil
}

func appendViews(dst []byte, views []View) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(views)))
	for _, v := range views {
		dst = binary.AppendUvarint(dst, uint64(v.Stream))
		dst = binary.AppendUvarint(dst, uint64(v.Scan))
		dst = binary.AppendUvarint(dst, uint64(v.LogStartOffset))
		dst = binary.AppendUvarint(dst, uint64(v.NextOffset-v.LogStartOffset))
		dst = appendVarint(dst, int64(v.LastEpoch))
	}
	return dst
}

func readViews(r *reader, streams int) []View {
	views := readList(r, 5, func(r *reader) View { return readView(r, streams) })
	ordered(r, "views", views, func(a, b View) int { return cmp.Compare(a.Stream, b.Stream) })
	return views
}
