package pack

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"coldstream/vault/internal/format"
)

// packBody is the bytes of a pack in the making: room for its header, and the frames of
// parts, one behind the other. What producers have compressed is copied once, into here.
type packBody struct {
	bytes []byte
	large int  // what it takes if it becomes a whole pack
	used  bool // no more parts are put into it: a store was given it, or its parts went into a copy
}

const (
	// smallBody is what grows as it must; a larger one is likely to become a whole pack.
	smallBody = 1 << 20
	// aroundParts is for header and index, and the frames' own heads.
	aroundParts = 512 << 10
)

// openBody returns the body that new parts are put into: in the memory of the pack
// before, as fresh memory costs more than what is done with it.
func (e *Encoder) openBody() *packBody {
	if e.body == nil || e.body.used {
		e.mu.Lock()
		room := e.room
		e.room = nil
		e.mu.Unlock()
		header := format.PackHeaderSize(format.VaultID{}, format.PackID{})
		e.body = &packBody{bytes: append(room[:0], make([]byte, header)...), large: e.opts.PackBytes + aroundParts}
	}
	return e.body
}

// Reuse takes the memory of a pack that is committed, which nobody needs any more.
func (e *Encoder) Reuse(bytes []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.room = nil
	if cap(bytes) <= e.opts.PackBytes+aroundParts { // else it held a giant batch
		e.room = bytes
	}
}

// extend makes the body n bytes longer, and returns these.
func (b *packBody) extend(n int) []byte {
	at := len(b.bytes)
	if need := at + n; need > cap(b.bytes) && need > smallBody {
		b.bytes = append(make([]byte, 0, max(need, b.large)), b.bytes...)
	}
	b.bytes = slices.Grow(b.bytes, n)[:at+n]
	return b.bytes[at:]
}

// encodeInto encodes a part's frames behind what the body holds; on an error it holds
// no more than before. Frames that are stored as they came are of known length, and are
// made in their place; others are put there once all are made.
func (e *Encoder) encodeInto(ctx context.Context, body *packBody, p *Part) error {
	p.body, p.at = body, len(body.bytes)
	inPlace := !slices.ContainsFunc(p.frames, func(f *frame) bool { return !f.compressed })
	if inPlace {
		body.reserve(p.frames)
	}
	err := e.encodeFrames(ctx, p.frames)
	if err == nil && inPlace {
		err = body.checkReserved(p)
	}
	if err != nil {
		body.bytes = body.bytes[:p.at]
		return err
	}
	if !inPlace {
		body.appendFrames(p.frames)
	}
	p.end = len(body.bytes)
	return nil
}

// reserve gives each frame its place.
func (b *packBody) reserve(frames []*frame) {
	sizes, total := make([]int, len(frames)), 0
	for i, f := range frames {
		sizes[i] = format.RawFrameSize(f.descriptor(), f.decoded)
		total += sizes[i]
	}
	room := b.extend(total)
	for i, f := range frames {
		f.stored, room = room[:0:sizes[i]], room[sizes[i]:]
	}
}

// checkReserved proves that the frames of a part fill their places.
func (b *packBody) checkReserved(p *Part) error {
	rest := b.bytes[p.at:]
	for _, f := range p.frames {
		if len(rest) < len(f.stored) || &rest[0] != &f.stored[0] {
			return errors.New("a frame that was encoded in its place is not there")
		}
		rest = rest[len(f.stored):]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes are left behind frames that were encoded in their places", len(rest))
	}
	return nil
}

// appendFrames copies frames behind the others; there they lie from then on.
func (b *packBody) appendFrames(frames []*frame) {
	size := 0
	for _, f := range frames {
		size += len(f.stored)
	}
	room := b.extend(size)
	for _, f := range frames {
		n := copy(room, f.stored)
		f.stored, room = room[:n:n], room[n:]
	}
}
