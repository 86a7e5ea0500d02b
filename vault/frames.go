package vault

import (
	"container/list"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"coldstream"
	"coldstream/vault/internal/format"
)

// frameKey names a decoded frame.
type frameKey struct {
	pack  format.PackID
	frame int
}

// frameCache keeps decoded frames within a bound of bytes, the least recently used going
// first. A frame that several ask for at once is read once.
type frameCache struct {
	bound int64
	codec sync.Pool

	mu      sync.Mutex
	bytes   int64
	entries map[frameKey]*list.Element
	order   *list.List // of *cachedFrame, most recently used first
	reading map[frameKey]*frameRead
}

type cachedFrame struct {
	key     frameKey
	decoded []byte
}

type frameRead struct {
	done    chan struct{}
	decoded []byte
	err     error
}

func newFrameCache(bound int64) *frameCache {
	return &frameCache{
		bound:   bound,
		codec:   sync.Pool{New: func() any { return format.NewFrameCodec() }},
		entries: map[frameKey]*list.Element{},
		order:   list.New(),
		reading: map[frameKey]*frameRead{},
	}
}

// get returns a decoded frame, which nobody may change.
func (c *frameCache) get(ctx context.Context, v *Vault, pack *packRef, frame int) ([]byte, error) {
	key := frameKey{pack.ID, frame}
	for {
		c.mu.Lock()
		if e, ok := c.entries[key]; ok {
			c.order.MoveToFront(e)
			c.mu.Unlock()
			return e.Value.(*cachedFrame).decoded, nil
		}
		read, busy := c.reading[key]
		if !busy {
			read = &frameRead{done: make(chan struct{})}
			c.reading[key] = read
			c.mu.Unlock()
			return c.read(ctx, v, pack, frame, read)
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
		if !errors.Is(read.err, context.Canceled) && !errors.Is(read.err, context.DeadlineExceeded) {
			return nil, read.err
		}
		// The one that read was interrupted; we are not: read again.
	}
}

func (c *frameCache) read(ctx context.Context, v *Vault, pack *packRef, frame int, read *frameRead) ([]byte, error) {
	codec := c.codec.Get().(*format.FrameCodec)
	read.decoded, read.err = v.readFrame(ctx, codec, pack, frame)
	c.codec.Put(codec)
	c.mu.Lock()
	defer c.mu.Unlock()
	key := frameKey{pack.ID, frame}
	delete(c.reading, key)
	if read.err == nil {
		c.keep(&cachedFrame{key: key, decoded: read.decoded})
	}
	close(read.done)
	return read.decoded, read.err
}

func (c *frameCache) keep(f *cachedFrame) {
	c.entries[f.key] = c.order.PushFront(f)
	c.bytes += int64(len(f.decoded))
	for c.bytes > c.bound && c.order.Len() > 1 {
		last := c.order.Remove(c.order.Back()).(*cachedFrame)
		delete(c.entries, last.key)
		c.bytes -= int64(len(last.decoded))
	}
}

// readFrame reads one frame of a pack and checks it against the hash in the catalog.
func (v *Vault) readFrame(ctx context.Context, codec *format.FrameCodec, pack *packRef, frame int) ([]byte, error) {
	key, entry := pack.ID.Key(), pack.Frames[frame]
	stored, err := v.store.Read(ctx, key, pack.starts[frame], int64(entry.StoredLength))
	if err != nil {
		return nil, packDamage(key, err)
	}
	decoded, _, err := codec.Decode(stored, entry)
	if err != nil {
		return nil, packDamage(key, err)
	}
	return decoded, nil
}

// packDamage says what kind of damage an error in reading a pack means; an error that is
// none stays what it is.
func packDamage(key string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &DamageError{Object: key, Kind: "missing", Cause: err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &DamageError{Object: key, Kind: "truncated", Cause: err}
	case errors.Is(err, coldstream.ErrCorrupt):
		return &DamageError{Object: key, Kind: "altered", Cause: err}
	}
	return err
}
