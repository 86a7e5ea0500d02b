package pack

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// FrameKey names a decoded frame by its place and its hash: hostile commits may say
// different things of one pack.
type FrameKey struct {
	pack  format.PackID
	start int64
	Entry format.Frame
}

// KeyOf is the name of a frame of a pack.
func KeyOf(pack *format.PlacedPack, frame int) FrameKey {
	return FrameKey{pack.ID, pack.Starts[frame], pack.Frames[frame]}
}

// Reader reads frames. It keeps decoded frames within a bound of bytes, the least recently used going
// first. A frame that several ask for at once is read once.
type Reader struct {
	objects *object.Store
	bound   int64
	codec   sync.Pool
	turns   chan struct{} // to read

	mu       sync.Mutex
	bytes    int64
	ahead    int64 // reserved for frames that are read ahead
	together int64 // reserved for frames that are being read with others
	readers  int64 // that read ahead
	entries  map[FrameKey]*list.Element
	order    *list.List // of *cachedFrame, most recently used first
	reading  map[FrameKey]*frameRead
	// wanted are, by pack, the frames that the history will read and did not begin to; empty
	// where frames are not read together.
	wanted map[*format.PlacedPack][]bool
}

type cachedFrame struct {
	key FrameKey
	*Frame
}

// Frame is a frame's batches and what it says of itself. Nobody may change it.
type Frame struct {
	content    []byte
	descriptor format.Descriptor
}

type frameRead struct {
	done    chan struct{}
	decoded *Frame
	err     error
}

// framesAtOnce bounds the frames of a history that are read at a time, and with them the
// requests to the storage: more than a local disk needs, and enough to hide how long
// object storage takes for each.
const framesAtOnce = 32

// NewReader keeps up to bound bytes of decoded frames.
func NewReader(objects *object.Store, bound int64) *Reader {
	return &Reader{
		objects: objects,
		bound:   bound,
		turns:   make(chan struct{}, framesAtOnce),
		codec:   sync.Pool{New: func() any { return format.NewFrameCodec() }},
		entries: map[FrameKey]*list.Element{},
		order:   list.New(),
		reading: map[FrameKey]*frameRead{},
		wanted:  map[*format.PlacedPack][]bool{},
	}
}

// Frame returns a decoded frame. What it costs that one is damaged is an
// [*object.DamageError] that names no offsets.
func (c *Reader) Frame(ctx context.Context, pack *format.PlacedPack, frame int) (*Frame, error) {
	key := KeyOf(pack, frame)
	for {
		c.mu.Lock()
		if e, ok := c.entries[key]; ok {
			c.order.MoveToFront(e)
			c.mu.Unlock()
			return e.Value.(*cachedFrame).Frame, nil
		}
		read, busy := c.reading[key]
		if !busy {
			group := c.begin(pack, frame)
			c.mu.Unlock()
			return c.read(ctx, group)
		}
		c.mu.Unlock()
		select {
		case <-read.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if read.err == nil {
			return read.decoded, nil
		}
		if !errors.Is(read.err, context.Canceled) && !errors.Is(read.err, context.DeadlineExceeded) && !errors.Is(read.err, errBroughtBadly) {
			return nil, read.err
		}
		// The one that read was interrupted, or read more than this: we read again.
	}
}

// read reads a group, and returns the frame that was asked for.
func (c *Reader) read(ctx context.Context, group *frameGroup) (*Frame, error) {
	select {
	case c.turns <- struct{}{}:
		codec := c.codec.Get().(*format.FrameCodec)
		c.readGroup(ctx, codec, group)
		c.codec.Put(codec)
		<-c.turns
	case <-ctx.Done():
		for _, m := range group.members {
			m.read.err = ctx.Err()
		}
	}
	c.end(group)
	first := group.members[0].read
	return first.decoded, first.err
}

func (c *Reader) keep(f *cachedFrame) {
	c.entries[f.key] = c.order.PushFront(f)
	c.bytes += int64(len(f.content))
	for c.bytes > c.bound && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(*cachedFrame)
		delete(c.entries, last.key)
		c.bytes -= int64(len(last.content))
	}
}

// ReadFrame reads one frame of a pack and checks it against the hash in the catalog. What
// does not fit is read once more before it is called damaged: others will believe it.
func ReadFrame(ctx context.Context, objects *object.Store, codec *format.FrameCodec, pack *format.PlacedPack, frame int) (*Frame, error) {
	decoded, err := readFrameOnce(ctx, objects, codec, pack, frame)
	if errors.Is(err, coldstream.ErrCorrupt) {
		decoded, err = readFrameOnce(ctx, objects, codec, pack, frame)
	}
	return decoded, err
}

func readFrameOnce(ctx context.Context, objects *object.Store, codec *format.FrameCodec, pack *format.PlacedPack, frame int) (*Frame, error) {
	key, entry := pack.ID.Key(), pack.Frames[frame]
	stored, err := objects.PackRange(ctx, &pack.Pack, pack.Starts[frame], entry.StoredLength)
	if err != nil {
		return nil, object.AsDamage(key, err)
	}
	decoded, err := DecodeFrame(codec, stored, entry)
	if err != nil {
		return nil, object.AsDamage(key, err)
	}
	return decoded, nil
}

// Of returns the bytes of a row, if the frame says that they are the row's.
func (f *Frame) Of(stream coldstream.Stream, r *format.Row) ([]byte, error) {
	if !f.descriptor.Describes(stream, r) {
		return nil, fmt.Errorf("its description does not name %s offsets [%d, %d): %w",
			stream.TopicPartition(), r.FirstOffset, r.NextOffset, coldstream.ErrCorrupt)
	}
	return f.content[r.Offset : r.Offset+r.Length], nil
}

// aheadShare is which part of the bound is for frames that are read ahead, and which for frames
// that come with others.
const aheadShare = 4

// Widen raises the bound. Nothing may have been read yet.
func (c *Reader) Widen(bound int64) { c.bound = max(c.bound, bound) }

// Enter counts who reads ahead: one more, or with -1 one less.
func (c *Reader) Enter(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers += n
}

// Reserve takes room for a frame that is to be read ahead by somebody who has reserved some
// already: one frame in any case, and more up to an equal share of what all may.
func (c *Reader) Reserve(bytes, mine int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead+bytes > c.bound/aheadShare || mine > 0 && (mine+bytes)*c.readers > c.bound/aheadShare {
		return false
	}
	c.ahead += bytes
	return true
}

// Unreserve gives it back.
func (c *Reader) Unreserve(bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead -= bytes
}
