package format

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"coldstream"
)

const baseMagic = "CSBS"

// Head is how far the vault had got with a stream when the epoch began. It is kept also
// when all data of the stream is gone.
type Head struct {
	Stream     int
	Scan       uint32
	NextOffset int64
	// Reach is the furthest that any history of the scan went. It is beyond NextOffset
	// where the log lost its end.
	Reach     int64
	Floor     int64       // end of what was released; -1 if nothing was
	SizeBytes int64       // decoded bytes of all rows of the scan, released ones left out
	Epochs    []HeadEpoch // ascending; all that were ever seen, those of forks included
}

// HeadEpoch is what a head knows of a leader epoch.
type HeadEpoch struct {
	EpochStart
	After int32 // the epoch that stood directly before it in one reading; -1 if none was seen
}

// StreamPass is the newest pass over a stream, and up to where it went.
type StreamPass struct {
	Stream      int
	Scan        uint32
	NextOffset  int64
	LastEpoch   int32
	AsOfMs      int64
	RetentionMs int64
}

// TableRef names a row table of a topic.
type TableRef struct {
	Topic     string
	Table     TableID
	SizeBytes int64
}

// ChapterRef names a chapter, and the views of its snapshots.
type ChapterRef struct {
	FirstEpoch, LastEpoch uint32 // of its commits
	Chapter               TableID
	SizeBytes             int64
	// Views is zero, and ViewsSizeBytes too, if the chapter has no snapshot.
	Views          TableID
	ViewsSizeBytes int64
}

// Base is the root of the whole catalog at an epoch's start: what writers need, and where
// the rest is.
type Base struct {
	Epoch        uint32
	TimeMs       int64
	CreatedMs    int64 // the vault's, so that vault.json is held against something
	PreviousHash Hash  // the digest of the base before; zero in epoch 0
	Incarnations []coldstream.Incarnation
	Streams      []StreamRef
	Heads        []Head // sorted by stream, no two equal
	// Passes are of streams that a cleaner compacts; sorted by stream, no two equal.
	Passes []StreamPass
	// Sections are those of the newest snapshots, which new ones may share; sorted, no two
	// equal.
	Sections []TableID
	Chapters []ChapterRef // by epochs, which do not overlap
	Tables   []TableRef   // sorted by topic and table, no two equal
	// Removed says that it takes away what the base before, with its commits, held.
	Removed      bool
	SignatureKey [keyIDSize]byte // names the keeper's key; zero without a signature
	Signature    []byte          // over all before it
}

// signedAs is what a keeper's signature begins with, so that nothing else that the key may sign one
// day is taken for a base.
const signedAs = "coldstream base 1\x00"

// ToSign is what a keeper of a vault signs: all of the base but the signature itself.
func (b *Base) ToSign(vaultID VaultID) ([]byte, error) {
	unsigned := *b
	unsigned.Signature, unsigned.SignatureKey = nil, [keyIDSize]byte{}
	payload, err := unsigned.Append(nil)
	if err != nil {
		return nil, err
	}
	payload = payload[:len(payload)-keyIDSize-1] // the key's name, and the length of no signature
	return append(append([]byte(signedAs), vaultID[:]...), payload...), nil
}

// Append writes the payload of a base object. What would be refused by [DecodeBase] is
// refused here.
func (b *Base) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(append(dst, baseMagic...), b.version())
	dst = binary.AppendUvarint(dst, uint64(b.Epoch))
	dst = appendVarint(dst, b.TimeMs)
	dst = appendVarint(dst, b.CreatedMs)
	dst = append(dst, b.PreviousHash[:]...)
	dst = appendStreams(dst, b.Incarnations, b.Streams)
	dst = binary.AppendUvarint(dst, uint64(len(b.Heads)))
	for i := range b.Heads {
		dst = b.Heads[i].append(dst)
	}
	if b.version() >= passesVersion {
		dst = appendStreamPasses(dst, b.Passes)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Sections)))
	for _, id := range b.Sections {
		dst = appendTableID(dst, id)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Chapters)))
	for i := range b.Chapters {
		dst = b.Chapters[i].append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(b.Tables)))
	for _, t := range b.Tables {
		dst = appendTableID(appendString(dst, t.Topic), t.Table)
		dst = binary.AppendUvarint(dst, uint64(t.SizeBytes))
	}
	dst = appendBool(dst, b.Removed)
	dst = append(dst, b.SignatureKey[:]...)
	dst = appendString(dst, string(b.Signature))
	if _, err := DecodeBase(dst[start:]); err != nil {
		return nil, err
	}
	return dst, nil
}

func (b *Base) version() byte {
	if len(b.Passes) > 0 {
		return passesVersion
	}
	return Version
}

func appendStreamPasses(dst []byte, passes []StreamPass) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(passes)))
	for _, p := range passes {
		dst = binary.AppendUvarint(dst, uint64(p.Stream))
		dst = binary.AppendUvarint(dst, uint64(p.Scan))
		dst = binary.AppendUvarint(dst, uint64(p.NextOffset))
		dst = appendVarint(dst, int64(p.LastEpoch))
		dst = appendVarint(dst, p.AsOfMs)
		dst = binary.AppendUvarint(dst, uint64(p.RetentionMs))
	}
	return dst
}

// readPasses takes the passes, of which there is one at least.
func (b *Base) readPasses(r *reader) {
	b.Passes = readList(r, 6, func(r *reader) StreamPass {
		p := StreamPass{r.index(len(b.Streams)), r.uint32(), r.offset(), r.int32(), r.varint(), r.offset()}
		if p.LastEpoch < -1 {
			r.fail("pass of epoch %d", p.LastEpoch)
		}
		return p
	})
	if len(b.Passes) == 0 {
		r.fail("base of epoch %d without a pass", b.Epoch)
	}
	ordered(r, "passes", b.Passes, func(a, b StreamPass) int { return cmp.Compare(a.Stream, b.Stream) })
}

// DecodeBase reads the payload of a base object.
func DecodeBase(payload []byte) (*Base, error) {
	r := &reader{b: payload}
	version := r.magicUpTo(baseMagic, passesVersion)
	b := &Base{Epoch: r.uint32(), TimeMs: r.varint(), CreatedMs: r.varint()}
	r.into(b.PreviousHash[:])
	b.Incarnations, b.Streams = readStreams(r)
	b.Heads = readList(r, 7, func(r *reader) Head { return readHead(r, len(b.Streams)) })
	if version >= passesVersion {
		b.readPasses(r)
	}
	b.Sections = readList(r, 33, readTableID)
	b.Chapters = readList(r, 37, readChapterRef)
	b.Tables = readList(r, 35, func(r *reader) TableRef {
		return TableRef{r.string(), readTableID(r), r.offset()}
	})
	b.Removed = r.bool()
	r.into(b.SignatureKey[:])
	if signature := r.take(r.count(1)); len(signature) > 0 {
		b.Signature = bytes.Clone(signature)
	}
	b.check(r)
	if err := r.end(); err != nil {
		return nil, err
	}
	return b, nil
}

// check proves that the parts of a base fit together.
func (b *Base) check(r *reader) {
	ordered(r, "heads", b.Heads, func(a, b Head) int { return cmp.Compare(a.Stream, b.Stream) })
	ordered(r, "sections", b.Sections, TableID.Compare)
	ordered(r, "tables", b.Tables, func(a, b TableRef) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), a.Table.Compare(b.Table)) })
	if b.Epoch == 0 && (b.TimeMs != b.CreatedMs || b.PreviousHash != Hash{} || b.Removed) {
		r.fail("base of epoch 0 with something before it, or of another time than the vault")
	}
	for _, id := range b.Sections {
		b.checkTable(r, "section", id)
	}
	for i := range b.Chapters {
		ref := &b.Chapters[i]
		b.checkTable(r, "chapter", ref.Chapter)
		b.checkTable(r, "views", ref.Views)
		if ref.LastEpoch >= b.Epoch || i > 0 && ref.FirstEpoch <= b.Chapters[i-1].LastEpoch {
			r.fail("base of epoch %d with a chapter of [%d, %d]", b.Epoch, ref.FirstEpoch, ref.LastEpoch)
		}
	}
	for _, t := range b.Tables {
		b.checkTable(r, "table", t.Table)
		if t.SizeBytes > maxPayload {
			r.fail("table of topic %q of %d bytes", t.Topic, t.SizeBytes)
		}
	}
	if (len(b.Signature) > 0) != (b.SignatureKey != [keyIDSize]byte{}) {
		r.fail("a signature and the key that made it go together")
	}
}

// checkTable proves that the base can have known an object.
func (b *Base) checkTable(r *reader, what string, id TableID) {
	if id.Epoch > b.Epoch {
		r.fail("base of epoch %d with %s of epoch %d", b.Epoch, what, id.Epoch)
	}
}

func (c *ChapterRef) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.FirstEpoch))
	dst = binary.AppendUvarint(dst, uint64(c.LastEpoch))
	dst = appendTableID(dst, c.Chapter)
	dst = binary.AppendUvarint(dst, uint64(c.SizeBytes))
	dst = binary.AppendUvarint(dst, uint64(c.ViewsSizeBytes))
	if c.ViewsSizeBytes > 0 {
		dst = appendTableID(dst, c.Views)
	}
	return dst
}

func readChapterRef(r *reader) ChapterRef {
	c := ChapterRef{FirstEpoch: r.uint32(), LastEpoch: r.uint32(), Chapter: readTableID(r), SizeBytes: r.offset(), ViewsSizeBytes: r.offset()}
	if c.ViewsSizeBytes > 0 {
		c.Views = readTableID(r)
	}
	if c.FirstEpoch > c.LastEpoch || c.SizeBytes > maxPayload || c.ViewsSizeBytes > maxPayload {
		r.fail("chapter of epochs [%d, %d], %d and %d bytes", c.FirstEpoch, c.LastEpoch, c.SizeBytes, c.ViewsSizeBytes)
	}
	return c
}

func appendTableID(dst []byte, id TableID) []byte {
	return append(binary.AppendUvarint(dst, uint64(id.Epoch)), id.Hash[:]...)
}

func readTableID(r *reader) TableID {
	id := TableID{Epoch: r.uint32()}
	r.into(id.Hash[:])
	return id
}

func (h *Head) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(h.Stream))
	dst = binary.AppendUvarint(dst, uint64(h.Scan))
	dst = binary.AppendUvarint(dst, uint64(h.NextOffset))
	dst = binary.AppendUvarint(dst, uint64(h.Reach))
	dst = appendVarint(dst, h.Floor)
	dst = binary.AppendUvarint(dst, uint64(h.SizeBytes))
	dst = binary.AppendUvarint(dst, uint64(len(h.Epochs)))
	for _, e := range h.Epochs {
		dst = binary.AppendUvarint(dst, uint64(e.Epoch))
		dst = binary.AppendUvarint(dst, uint64(e.FirstOffset))
		dst = appendVarint(dst, int64(e.After))
	}
	return dst
}

func readHead(r *reader, streams int) Head {
	h := Head{Stream: r.index(streams), Scan: r.uint32(), NextOffset: r.offset(), Reach: r.offset(), Floor: r.varint(), SizeBytes: r.offset()}
	h.Epochs = readList(r, 3, func(r *reader) HeadEpoch {
		return HeadEpoch{EpochStart{r.partition(), r.offset()}, r.int32()}
	})
	if h.Reach < h.NextOffset {
		r.fail("a head at %d that reached %d", h.NextOffset, h.Reach)
	}
	if h.Floor < -1 || h.Floor == 0 || h.Floor > h.NextOffset {
		r.fail("floor %d of a head at %d", h.Floor, h.NextOffset)
	}
	ordered(r, "leader epochs", h.Epochs, func(a, b HeadEpoch) int { return cmp.Compare(a.Epoch, b.Epoch) })
	for _, e := range h.Epochs {
		if e.After < -1 || e.After >= e.Epoch {
			r.fail("leader epoch %d after %d", e.Epoch, e.After)
		}
	}
	return h
}
