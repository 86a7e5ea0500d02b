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
			ref := s.Runs[i].ref
			if ref.pack == nil {
				continue
			}
			if ref.pack.wanted == nil {
				ref.pack.wanted = make([]bool, len(ref.pack.Frames))
			}
			ref.pack.wanted[ref.row.Frame] = true
		}
	}
}

// frameGroup is a frame that is asked for, and behind it those that come with it.
type frameGroup struct {
	pack     *packRef
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
func (c *frameCache) begin(pack *packRef, frame int) *frameGroup {
	g := &frameGroup{pack: pack}
	c.join(g, frame)
	if pack.wanted == nil {
		return g
	}
	end, decoded := pack.endOf(frame), pack.Frames[frame].DecodedLength
	for next := frame + 1; next < len(pack.Frames) && pack.starts[next]-end <= gapReadOver; next++ {
		key := keyOf(pack, next)
		if !pack.wanted[next] || c.entries[key] != nil || c.reading[key] != nil {
			continue
		}
		decoded += key.entry.DecodedLength
		more := key.entry.DecodedLength + pack.endOf(next) - end
		if max(decoded, pack.endOf(next)-pack.starts[frame]) > togetherBytes || c.ahead+more > c.bound/2 {
			break
		}
		c.ahead += more
		g.reserved += more
		end = pack.endOf(next)
		c.join(g, next)
	}
	return g
}

func (c *frameCache) join(g *frameGroup, frame int) {
	read := &frameRead{done: make(chan struct{})}
	c.reading[keyOf(g.pack, frame)] = read
	g.members = append(g.members, groupMember{frame, read})
	if g.pack.wanted != nil {
		g.pack.wanted[frame] = false
	}
}

func (p *packRef) endOf(frame int) int64 { return p.starts[frame] + p.Frames[frame].StoredLength }

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
	start := g.pack.starts[first.frame]
	stored, err := v.objects.PackRange(ctx, g.pack.ID, start, g.pack.endOf(last.frame)-start)
	for _, m := range g.members {
		m.read.err = err
		if err == nil {
			m.read.decoded, m.read.err = decodeFrame(codec, stored[g.pack.starts[m.frame]-start:g.pack.endOf(m.frame)-start], g.pack.Frames[m.frame])
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
