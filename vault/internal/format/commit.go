package format

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
)

const (
	commitMagic = "CSCM"
	tableMagic  = "CSTB"
)

// CommitRef names a commit with its exact content.
type CommitRef struct {
	ID   CommitID
	Hash Hash // the digest of the object
}

// Commit is what one writer adds at a time.
type Commit struct {
	ID       CommitID
	TimeMs   int64
	BaseHash Hash // the digest of the epoch's base
	// Parents are the commits of this epoch that the writer had seen and that no other
	// commit it had seen named: sorted, no two equal. So a commit names, through others,
	// all that it was built on.
	Parents  []CommitRef
	Facts    Facts
	Snapshot *Snapshot
	// Reached says which topics are whole in the vault with it; nil if it does not tell.
	Reached *Reached
}

// SnapshotID names a snapshot.
type SnapshotID [8]byte

// String writes 16 hex digits.
func (id SnapshotID) String() string { return hex.EncodeToString(id[:]) }

// Snapshot is a restore point.
type Snapshot struct {
	ID        SnapshotID
	TimeMs    int64
	ClusterID string
	// SizeBytes is the decoded size of all rows of the views' streams and scans, as the
	// writer knew them.
	SizeBytes int64
	Views     []View // sorted by stream, no two equal
	// Passes are of those views whose streams a cleaner compacts; sorted by view, no two
	// equal. Commits hold them, chapters do not.
	Passes   []Pass
	Sections []SectionRef // sorted by name, no two equal
	// ParentMs is the time of the newest snapshot that it was built on directly, [NoParent] if
	// none of its epoch is known. Only chapters keep it.
	ParentMs int64
}

// View is what a snapshot shows of a stream.
type View struct {
	Stream                     int
	LogStartOffset, NextOffset int64
	Scan                       uint32
	LastEpoch                  int32 // -1 if there is none
}

// Pass says how a compacted stream of a view was read to the view's end: that everything
// behind it was written after AsOf, and that nothing was missed before.
type Pass struct {
	View        int
	AsOfMs      int64 // 0: something may have been missed
	RetentionMs int64 // how long the cleaner then kept tombstones
}

// SectionRef says where a part of the cluster's metadata is, or why it is missing.
type SectionRef struct {
	Name      string
	Missing   string // if not empty, the rest is zero
	Table     TableID
	SizeBytes int64
}

// Append writes the payload of a commit object. What would be refused by [DecodeCommit]
// is refused here.
func (c *Commit) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(append(dst, commitMagic...), c.version())
	dst = appendCommitID(dst, c.ID)
	dst = appendVarint(dst, c.TimeMs)
	dst = append(dst, c.BaseHash[:]...)
	dst = appendCommitRefs(dst, c.Parents)
	dst = c.Facts.append(dst)
	dst = appendBool(dst, c.Snapshot != nil)
	if c.Snapshot != nil {
		dst = c.Snapshot.append(dst)
	}
	if c.version() >= passesVersion {
		dst = appendPasses(dst, c.passes())
	}
	if c.Reached != nil {
		dst = c.appendReached(dst)
	}
	if _, err := DecodeCommit(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

func (c *Commit) version() byte {
	switch {
	case c.Reached != nil:
		return reachedVersion
	case len(c.passes()) > 0:
		return passesVersion
	}
	return Version
}

func (c *Commit) passes() []Pass {
	if c.Snapshot == nil {
		return nil
	}
	return c.Snapshot.Passes
}

// DecodeCommit reads the payload of a commit object.
func DecodeCommit(b []byte) (*Commit, error) {
	r := &reader{b: b}
	version := r.magicUpTo(commitMagic, reachedVersion)
	c := &Commit{ID: readCommitID(r), TimeMs: r.varint()}
	r.into(c.BaseHash[:])
	c.Parents = readCommitRefs(r)
	c.Facts.read(r)
	if len(c.Facts.Released) > 0 {
		r.fail("a commit that releases something")
	}
	if r.bool() {
		s := readSnapshot(r, len(c.Facts.Streams))
		c.Snapshot = &s
	}
	if version >= passesVersion {
		c.readPasses(r, version)
	}
	if version >= reachedVersion {
		c.readReached(r)
	}
	c.check(r)
	if err := r.end(); err != nil {
		return nil, err
	}
	return c, nil
}

// readPasses takes the passes. What is of version 2 has one at least.
func (c *Commit) readPasses(r *reader, version byte) {
	views := 0
	if c.Snapshot != nil {
		views = len(c.Snapshot.Views)
	}
	passes := readList(r, 3, func(r *reader) Pass { return Pass{r.index(views), r.varint(), r.offset()} })
	if len(passes) == 0 && version == passesVersion {
		r.fail("commit %s without a pass", c.ID.Key())
		return
	}
	ordered(r, "passes", passes, func(a, b Pass) int { return cmp.Compare(a.View, b.View) })
	if c.Snapshot != nil {
		c.Snapshot.Passes = passes
	}
}

func appendPasses(dst []byte, passes []Pass) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(passes)))
	for _, p := range passes {
		dst = binary.AppendUvarint(dst, uint64(p.View))
		dst = appendVarint(dst, p.AsOfMs)
		dst = binary.AppendUvarint(dst, uint64(p.RetentionMs))
	}
	return dst
}

// check proves that a commit names nothing that it cannot have seen, or that may be gone.
func (c *Commit) check(r *reader) {
	for _, parent := range c.Parents {
		if parent.ID.Epoch != c.ID.Epoch || parent.ID == c.ID {
			r.fail("commit %s with parent %s", c.ID.Key(), parent.ID.Key())
		}
	}
	for i := 1; i < len(c.Facts.Scans); i++ {
		if a, b := c.Facts.Scans[i-1], c.Facts.Scans[i]; a.Stream == b.Stream && a.Number == b.Number {
			r.fail("commit %s begins a scan twice", c.ID.Key())
		}
	}
	for i := range c.Facts.Packs {
		if c.Facts.Packs[i].skips() {
			r.fail("commit %s leaves out frames of a pack", c.ID.Key())
		}
		if id := c.Facts.Packs[i].ID; id.Epoch > c.ID.Epoch || c.ID.Epoch-id.Epoch > 1 {
			r.fail("commit %s with %s", c.ID.Key(), id.Key())
		}
	}
	if c.Snapshot != nil {
		c.Snapshot.check(r, c.ID.Epoch)
	}
}

func appendCommitID(dst []byte, id CommitID) []byte {
	dst = binary.AppendUvarint(dst, uint64(id.Epoch))
	dst = append(dst, id.Writer[:]...)
	return binary.AppendUvarint(dst, uint64(id.Seq))
}

func readCommitID(r *reader) CommitID {
	id := CommitID{Epoch: r.uint32()}
	r.into(id.Writer[:])
	id.Seq = r.uint32()
	return id
}

func appendCommitRefs(dst []byte, refs []CommitRef) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(refs)))
	for _, ref := range refs {
		dst = append(appendCommitID(dst, ref.ID), ref.Hash[:]...)
	}
	return dst
}

func readCommitRefs(r *reader) []CommitRef {
	refs := readList(r, 46, func(r *reader) CommitRef {
		ref := CommitRef{ID: readCommitID(r)}
		r.into(ref.Hash[:])
		return ref
	})
	ordered(r, "commits", refs, func(a, b CommitRef) int { return a.ID.Compare(b.ID) })
	return refs
}

func (s *Snapshot) append(dst []byte) []byte {
	dst = append(dst, s.ID[:]...)
	dst = appendVarint(dst, s.TimeMs)
	dst = appendString(dst, s.ClusterID)
	dst = binary.AppendUvarint(dst, uint64(s.SizeBytes))
	dst = appendViews(dst, s.Views)
	dst = binary.AppendUvarint(dst, uint64(len(s.Sections)))
	for _, ref := range s.Sections {
		dst = appendString(appendString(dst, ref.Name), ref.Missing)
		if ref.Missing == "" {
			dst = appendTableID(dst, ref.Table)
			dst = binary.AppendUvarint(dst, uint64(ref.SizeBytes))
		}
	}
	return dst
}

func readSnapshot(r *reader, streams int) Snapshot {
	var s Snapshot
	r.into(s.ID[:])
	s.TimeMs, s.ClusterID, s.SizeBytes = r.varint(), r.string(), r.offset()
	s.Views = readViews(r, streams)
	s.Sections = readList(r, 2, readSectionRef)
	ordered(r, "sections", s.Sections, func(a, b SectionRef) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// check proves that no section is of an epoch after the snapshot's.
func (s *Snapshot) check(r *reader, epoch uint32) {
	for i := range s.Sections {
		if at := s.Sections[i].Table.Epoch; at > epoch {
			r.fail("section %q of epoch %d in epoch %d", s.Sections[i].Name, at, epoch)
		}
	}
}

func readView(r *reader, streams int) View {
	v := View{Stream: r.index(streams), Scan: r.uint32(), LogStartOffset: r.offset()}
	v.NextOffset = v.LogStartOffset + r.offset()
	if v.LastEpoch = r.int32(); v.NextOffset < 0 || v.LastEpoch < -1 {
		r.fail("view [%d, %d) of epoch %d", v.LogStartOffset, v.NextOffset, v.LastEpoch)
	}
	return v
}

func readSectionRef(r *reader) SectionRef {
	ref := SectionRef{Name: r.string(), Missing: r.string()}
	if ref.Missing == "" {
		ref.Table = readTableID(r)
		ref.SizeBytes = r.offset()
	}
	if ref.Name == "" || ref.SizeBytes > maxPayload {
		r.fail("section %q of %d bytes", ref.Name, ref.SizeBytes)
	}
	return ref
}

// Table is a row table: facts that bases share.
type Table struct {
	Facts Facts
}

// Append writes the payload of a table object.
func (t *Table) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = t.Facts.append(append(append(dst, tableMagic...), Version))
	if _, err := DecodeTable(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

// DecodeTable reads the payload of a table object.
func DecodeTable(b []byte) (*Table, error) {
	r := &reader{b: b}
	r.magic(tableMagic)
	t := &Table{}
	t.Facts.read(r)
	if err := r.end(); err != nil {
		return nil, err
	}
	return t, nil
}

func compareSnapshots(a, b Snapshot) int {
	return cmp.Or(cmp.Compare(a.TimeMs, b.TimeMs), bytes.Compare(a.ID[:], b.ID[:]))
}
