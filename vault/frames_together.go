package vault

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
	// togetherBytes bounds what one request brings, encoded with gaps and decoded: as much as
	// one full frame. So it costs no more memory than that, and full frames come alone, whose
	// requests are large enough to be worth it.
	togetherBytes = frameTarget
)

// errBroughtBadly is of a frame that did not come well with another one. Who needs it reads
// it alone: only that tells what is damaged.
var errBroughtBadly = errors.New("the frame did not come well with another one")

// want says, for each frame of the history's streams, that it will be read. Where storage
// is near, requests are not worth sparing.
func (h *History) want() {
	if !h.vault.objects.IsFar() {
		return
	}
	for _, s := range h.streams {
		for i := range s.Runs {
			ref := s.Runs[i].Ref
			if ref.Pack == nil {
				continue
			}
			if h.frames.wanted[ref.Pack] == nil {
				h.frames.wanted[ref.Pack] = make([]bool, len(ref.Pack.Frames))
			}
			h.frames.wanted[ref.Pack][ref.Row.Frame] = true
		}
	}
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
func (c *frameCache) begin(pack *format.PlacedPack, frame int) *frameGroup {
	g := &frameGroup{pack: pack}
	c.join(g, frame)
	wanted := c.wanted[pack]
	if wanted == nil {
		return g
	}
	end, decoded := pack.EndOf(frame), pack.Frames[frame].DecodedLength
	for next := frame + 1; next < len(pack.Frames) && pack.Starts[next]-end <= gapReadOver; next++ {
		key := keyOf(pack, next)
		if !wanted[next] || c.entries[key] != nil || c.reading[key] != nil {
			continue
		}
		decoded += key.entry.DecodedLength
		more := key.entry.DecodedLength + pack.EndOf(next) - end
		if max(decoded, pack.EndOf(next)-pack.Starts[frame]) > togetherBytes || c.ahead+more > c.bound/2 {
			break
		}
		c.ahead += more
		g.reserved += more
		end = pack.EndOf(next)
		c.join(g, next)
	}
	return g
}

func (c *frameCache) join(g *frameGroup, frame int) {
	read := &frameRead{done: make(chan struct{})}
	c.reading[keyOf(g.pack, frame)] = read
	g.members = append(g.members, groupMember{frame, read})
	if wanted := c.wanted[g.pack]; wanted != nil {
		wanted[frame] = false
	}
}

// end keeps what was read, and wakes those who wait for it.
func (c *frameCache) end(g *frameGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead -= g.reserved
	for _, m := range g.members {
		key := keyOf(g.pack, m.frame)
		delete(c.reading, key)
		if m.read.err == nil {
			c.keep(&cachedFrame{key, m.read.decoded})
		}
		close(m.read.done)
	}
}

// readGroup reads the frames of a group with one request, and checks each against its hash.
func (v *Vault) readGroup(ctx context.Context, codec *format.FrameCodec, g *frameGroup) {
	first := g.members[0]
	if len(g.members) > 1 {
		v.readTogether(ctx, codec, g)
		if err := first.read.err; !errors.Is(err, coldstream.ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, blob.ErrUnreadable) {
			first.read.err = object.AsDamage(g.pack.ID.Key(), err)
			return
		}
	}
	first.read.decoded, first.read.err = v.readFrame(ctx, codec, g.pack, first.frame)
}

func (v *Vault) readTogether(ctx context.Context, codec *format.FrameCodec, g *frameGroup) {
	first, last := g.members[0], g.members[len(g.members)-1]
	start := g.pack.Starts[first.frame]
	stored, err := v.objects.PackRange(ctx, g.pack.ID, start, g.pack.EndOf(last.frame)-start)
	for _, m := range g.members {
		m.read.err = err
		if err == nil {
			m.read.decoded, m.read.err = decodeFrame(codec, stored[g.pack.Starts[m.frame]-start:g.pack.EndOf(m.frame)-start], g.pack.Frames[m.frame])
		}
		if m.read.err != nil && m.frame != first.frame {
			m.read.err = errBroughtBadly
		}
	}
}

func decodeFrame(codec *format.FrameCodec, stored []byte, entry format.Frame) (*decodedFrame, error) {
	content, descriptor, err := codec.Decode(stored, entry)
	if err != nil {
		return nil, err
	}
	return &decodedFrame{content, descriptor}, nil
}
