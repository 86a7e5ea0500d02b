package pack

import (
	"context"
	"errors"
	"io"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

const (
	// gapReadOver is how many bytes between two frames are read rather than left out by a
	// request of its own: what they take to come is less than what a request does.
	gapReadOver = 256 << 10
	// togetherBytes bounds what one request brings, encoded with gaps and decoded: four full
	// frames. A request costs the server of the storage as much time as bytes of that order.
	togetherBytes = 4 * frameTarget
)

// errBroughtBadly is of a frame that did not come well with another one. Who needs it reads
// it alone: only that tells what is damaged.
var errBroughtBadly = errors.New("the frame did not come well with another one")

// Want says that a frame will be read, so that it may come with others. All is said before the
// first frame is asked for.
func (c *Reader) Want(pack *format.PlacedPack, frame int) {
	if c.wanted[pack] == nil {
		c.wanted[pack] = make([]bool, len(pack.Frames))
	}
	c.wanted[pack][frame] = true
}

// frameGroup is a frame that is asked for, and behind it those that come with it.
type frameGroup struct {
	pack     *format.PlacedPack
	members  []groupMember // ascending; the first is the one that is asked for
	reserved int64         // of what may be held ahead
}

type groupMember struct {
	frame int
	read  *frameRead
}

// begin says that a frame is being read, and with it those close behind it that will be
// wanted. Each is brought so once: should it go from the cache before it is used, it comes
// alone. The caller holds the lock.
func (c *Reader) begin(pack *format.PlacedPack, frame int) *frameGroup {
	g := &frameGroup{pack: pack}
	c.include(g, frame)
	wanted := c.wanted[pack]
	if wanted == nil {
		return g
	}
	end, decoded := pack.EndOf(frame), pack.Frames[frame].DecodedLength
	for next := frame + 1; next < len(pack.Frames) && pack.Starts[next]-end <= gapReadOver; next++ {
		key := KeyOf(pack, next)
		if !wanted[next] || c.entries[key] != nil || c.reading[key] != nil {
			continue
		}
		decoded += key.Entry.DecodedLength
		more := key.Entry.DecodedLength + pack.EndOf(next) - end
		if max(decoded, pack.EndOf(next)-pack.Starts[frame]) > togetherBytes || c.together+more > c.bound/aheadShare {
			break
		}
		c.together += more
		g.reserved += more
		end = pack.EndOf(next)
		c.include(g, next)
	}
	return g
}

func (c *Reader) include(g *frameGroup, frame int) {
	read := &frameRead{done: make(chan struct{})}
	c.reading[KeyOf(g.pack, frame)] = read
	g.members = append(g.members, groupMember{frame, read})
	if wanted := c.wanted[g.pack]; wanted != nil {
		wanted[frame] = false
	}
}

// end keeps what was read, and wakes those who wait for it.
func (c *Reader) end(g *frameGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.together -= g.reserved
	for _, m := range g.members {
		key := KeyOf(g.pack, m.frame)
		delete(c.reading, key)
		if m.read.err == nil {
			c.keep(&cachedFrame{key, m.read.decoded})
		}
		close(m.read.done)
	}
}

// readGroup reads the frames of a group with one request, and checks each against its hash.
func (c *Reader) readGroup(ctx context.Context, codec *format.FrameCodec, g *frameGroup) {
	first := g.members[0]
	if len(g.members) > 1 {
		c.readTogether(ctx, codec, g)
		if err := first.read.err; !errors.Is(err, coldstream.ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, blob.ErrUnreadable) {
			first.read.err = object.AsDamage(g.pack.ID.Key(), err)
			return
		}
	}
	first.read.decoded, first.read.err = ReadFrame(ctx, c.objects, codec, g.pack, first.frame)
}

func (c *Reader) readTogether(ctx context.Context, codec *format.FrameCodec, g *frameGroup) {
	first, last := g.members[0], g.members[len(g.members)-1]
	start := g.pack.Starts[first.frame]
	stored, err := c.objects.PackRange(ctx, &g.pack.Pack, start, g.pack.EndOf(last.frame)-start)
	for _, m := range g.members {
		m.read.err = err
		if err == nil {
			m.read.decoded, m.read.err = DecodeFrame(codec, stored[g.pack.Starts[m.frame]-start:g.pack.EndOf(m.frame)-start], g.pack.Frames[m.frame])
		}
		if m.read.err != nil && m.frame != first.frame {
			m.read.err = errBroughtBadly
		}
	}
}

// DecodeFrame decodes a frame and checks it against what the catalog says of it.
func DecodeFrame(codec *format.FrameCodec, stored []byte, entry format.Frame) (*Frame, error) {
	content, descriptor, err := codec.Decode(stored, entry)
	if err != nil {
		return nil, err
	}
	return &Frame{content, descriptor}, nil
}
