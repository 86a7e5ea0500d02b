package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"

	"coldstream"
	"coldstream/blob"
	"coldstream/internal/keyring"
)

// Open is [blob.Store.Open]. What was not sealed so is an error wrapping
// [coldstream.ErrCorrupt], here or when it is read; a pack without the data identity is
// [keyring.ErrCatalogOnly].
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, int64, error) {
	b := s.boxOf(key)
	if b == nil {
		return s.inner.Open(ctx, key)
	}
	if b.identity == nil {
		return nil, 0, keyring.ErrCatalogOnly
	}
	r, size, err := s.inner.Open(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	if size <= atOnce {
		plain, err := b.openSmall(r, key, size)
		if err != nil {
			return nil, 0, err
		}
		return io.NopCloser(bytes.NewReader(plain)), int64(len(plain)), nil
	}
	o, err := b.open(r, size)
	if err != nil {
		_ = r.Close() // nothing of it was used
		return nil, 0, err
	}
	return o, o.left, nil
}

// atOnce bounds the objects that are opened in one piece: most of a catalog is far smaller than
// what is needed to open an object piece by piece.
const atOnce = 1 << 20

func (b *box) openSmall(r io.ReadCloser, key string, size int64) ([]byte, error) {
	plain, err := b.plainSize(size)
	var object []byte
	if err == nil {
		object = make([]byte, size)
		if _, err = io.ReadFull(r, object); errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if errClose := r.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		return nil, err
	}
	aead, err := b.chunks(object[:b.header+nonceSize])
	if err != nil {
		return nil, err
	}
	return b.rangeOf(blob.Entry{Key: key, SizeBytes: plain}, 0, plain).open(aead, object[b.header+nonceSize:])
}

// opened is the content of a sealed object.
type opened struct {
	source *noted
	plain  io.Reader
	left   int64
}

// noted keeps an error of the storage apart from what age makes of it.
type noted struct {
	io.ReadCloser
	err error
}

// Read is [io.Reader.Read].
func (n *noted) Read(p []byte) (int, error) {
	count, err := n.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return count, err
}

// open begins to read an object of a size. Its header is read first, and no more than that:
// what is not of the length of ours is not parsed.
func (b *box) open(r io.ReadCloser, size int64) (*opened, error) {
	plain, err := b.plainSize(size)
	if err != nil {
		return nil, err
	}
	o := &opened{source: &noted{ReadCloser: r}, left: plain}
	header := make([]byte, b.header)
	if _, err := io.ReadFull(o.source, header); err != nil {
		return nil, o.cause(err)
	}
	fileKey, err := age.DecryptHeader(header, b.identity)
	if err != nil {
		return nil, errCorrupt
	}
	o.plain, err = age.Decrypt(io.MultiReader(bytes.NewReader(header), o.source), age.NewInjectedFileKeyIdentity(fileKey))
	if err != nil {
		return nil, o.cause(err)
	}
	return o, o.checkEnd()
}

// errCorrupt hides what age says: it may have bytes of the object in it.
var errCorrupt = fmt.Errorf("it does not open with the vault's identity: %w", coldstream.ErrCorrupt)

// cause is the storage's error if there was one; else what was sealed is not what it was.
func (o *opened) cause(err error) error {
	switch {
	case o.source.err != nil:
		return o.source.err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return errCorrupt
}

// Read is [io.Reader.Read].
func (o *opened) Read(p []byte) (int, error) {
	if o.left == 0 {
		return 0, io.EOF
	}
	n, err := o.plain.Read(p[:min(int64(len(p)), o.left)])
	o.left -= int64(n)
	if err != nil && (o.left > 0 || !errors.Is(err, io.EOF)) {
		return n, o.cause(err)
	}
	if err := o.checkEnd(); err != nil {
		return 0, err // who asks for just as many bytes as there should be does not look at an error beside them
	}
	return n, nil
}

// checkEnd proves, once all was read, that it ends where it was sealed to end.
func (o *opened) checkEnd() error {
	if o.left > 0 {
		return nil
	}
	if _, err := io.ReadFull(o.plain, make([]byte, 1)); !errors.Is(err, io.EOF) {
		if o.source.err != nil {
			return o.source.err
		}
		return errCorrupt
	}
	return nil
}

// Close is [io.Closer.Close].
func (o *opened) Close() error { return o.source.Close() }
