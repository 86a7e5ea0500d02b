package sealed

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/keyring"
)

// ReadSized reads bytes of an object whose size, as it was before it was sealed, is known. It
// takes one request, and one more the first time for the object's header if that is far off.
//
// Chunks are opened here and not by age's ReaderAt: that one refuses the whole of an object
// whose last chunk is damaged, and asks for that chunk. So damage costs only the 64 KiB around it.
func (s *Store) ReadSized(ctx context.Context, of blob.Entry, offset, length int64) ([]byte, error) {
	b := s.boxOf(of.Key)
	switch {
	case b == nil:
		return s.inner.Read(ctx, of.Key, offset, length)
	case b.identity == nil:
		return nil, keyring.ErrCatalogOnly
	case offset < 0 || length < 0 || length > of.SizeBytes-offset:
		return nil, fmt.Errorf("%d bytes at %d of %d: %w", length, offset, of.SizeBytes, io.ErrUnexpectedEOF)
	case length == 0:
		return nil, nil
	}
	p := b.rangeOf(of, offset, length)
	aead, object, err := s.heads.get(ctx, s, b, p)
	if err != nil {
		return nil, err
	}
	isKept := object == nil
	if isKept {
		if object, err = s.inner.Read(ctx, of.Key, p.start, p.end-p.start); err != nil {
			return nil, err
		}
	}
	out, err := p.open(aead, object)
	if isKept && errors.Is(err, coldstream.ErrCorrupt) {
		s.heads.forget(of.Key) // it may be that of an object that was there before
	}
	return out, err
}

// chunkRange is the chunks that bytes of an object lie in.
type chunkRange struct {
	of                   blob.Entry
	offset, length       int64
	first, last, lastAll int64 // numbers of chunks
	start, end           int64 // in the sealed object
}

func (b *box) rangeOf(of blob.Entry, offset, length int64) *chunkRange {
	p := &chunkRange{
		of: of, offset: offset, length: length,
		first: offset / chunkSize, last: (offset + length - 1) / chunkSize, lastAll: max(0, of.SizeBytes-1) / chunkSize,
	}
	p.start = b.header + nonceSize + p.first*(chunkSize+tagSize)
	p.end = p.start + min((p.last+1)*chunkSize, of.SizeBytes) - p.first*chunkSize + (p.last-p.first+1)*tagSize
	return p
}

// open opens the chunks, in their place.
func (p *chunkRange) open(aead cipher.AEAD, object []byte) ([]byte, error) {
	out := object[:0] // what is opened is behind what is still to be opened
	for n := p.first; n <= p.last; n++ {
		chunk := object[:min(chunkSize+tagSize, len(object))]
		object = object[len(chunk):]
		plain, err := aead.Open(chunk[:0], chunkNonce(n, n == p.lastAll), chunk, nil)
		if err != nil {
			return nil, fmt.Errorf("bytes %d to %d do not open: %w", n*chunkSize, min((n+1)*chunkSize, p.of.SizeBytes), coldstream.ErrCorrupt)
		}
		out = append(out, plain...)
	}
	at := p.offset - p.first*chunkSize
	return out[at : at+p.length : at+p.length], nil
}

// chunkNonce is age's: eleven bytes of counter, and whether it is the last chunk.
func chunkNonce(n int64, isLast bool) []byte { //nolint:revive // age's flag
	nonce := make([]byte, chacha20poly1305.NonceSize)
	binary.BigEndian.PutUint64(nonce[3:], uint64(n))
	if isLast {
		nonce[len(nonce)-1] = 1
	}
	return nonce
}

// heads are the keys of objects that were read before, so that each header is read once.
type heads struct {
	mu  sync.Mutex
	all map[string]*head
}

// keptHeads bounds them: far more packs than are read at once, and some hundred bytes of each.
const keptHeads = 4096

type head struct {
	mu   sync.Mutex // held while it is read
	aead cipher.AEAD
}

func newHeads() *heads { return &heads{all: map[string]*head{}} }

func (h *heads) of(key string) *head {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.all[key]
	if known == nil {
		if len(h.all) >= keptHeads {
			clear(h.all)
		}
		known = &head{}
		h.all[key] = known
	}
	return known
}

func (h *heads) forget(key string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, key)
}

// near is how far off bytes may be for one request to bring them and the header.
const near = 256 << 10

// get gives what opens an object's chunks. Where the header was to be read first, the chunks
// may come with it.
func (h *heads) get(ctx context.Context, s *Store, b *box, p *chunkRange) (aead cipher.AEAD, object []byte, err error) {
	known := h.of(p.of.Key)
	known.mu.Lock()
	defer known.mu.Unlock()
	if known.aead != nil {
		return known.aead, nil, nil
	}
	head := b.header + nonceSize
	length := head
	if p.end <= near {
		length = p.end
	}
	got, err := s.inner.Read(ctx, p.of.Key, 0, length)
	if err != nil {
		return nil, nil, err
	}
	if known.aead, err = b.chunks(got[:head]); err != nil || length == head {
		return known.aead, nil, err
	}
	return known.aead, got[p.start:], nil
}

// chunks gives what opens the chunks behind a header and its nonce.
func (b *box) chunks(header []byte) (cipher.AEAD, error) { return chunksOf(header, b.identity) }

func chunksOf(header []byte, identity age.Identity) (cipher.AEAD, error) {
	at := len(header) - nonceSize
	fileKey, err := age.DecryptHeader(header[:at], identity)
	if err != nil {
		return nil, errCorrupt
	}
	key, err := hkdf.Key(sha256.New, fileKey, header[at:], "payload", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive key of chunks: %w", err)
	}
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, fmt.Errorf("open chunks: %w", err)
	}
	return aead, nil
}
