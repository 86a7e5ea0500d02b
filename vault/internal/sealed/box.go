package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"

	"coldstream"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
)

// How age lays out what it seals (age-encryption.org/v1): a header, whose length is always the
// same where there is one recipient; a nonce; and chunks, each with a tag behind it.
const (
	nonceSize = 16
	chunkSize = 64 << 10
	tagSize   = 16
)

// box seals to one of a vault's identities, and opens what is sealed to it.
type box struct {
	recipient age.Recipient
	identity  age.Identity // nil if it is not held
	header    int64        // bytes
}

func newBox(recipient func() (age.Recipient, error), identity func() (age.Identity, error)) (*box, error) {
	b := &box{}
	var err error
	if b.recipient, err = recipient(); err != nil {
		return nil, err
	}
	if b.identity, err = identity(); err != nil && !errors.Is(err, keyring.ErrCatalogOnly) {
		return nil, err
	}
	var empty bytes.Buffer
	if _, err := writeSealed(&empty, nil, b.recipient); err != nil {
		return nil, err
	}
	b.header = int64(empty.Len()) - nonceSize - tagSize
	return b, nil
}

// wrapped is a recipient that keeps the key of the object that was sealed to it: so what was
// sealed can be opened and compared by who may not open what others sealed.
type wrapped struct {
	age.Recipient
	fileKey []byte
}

// Wrap is [age.Recipient.Wrap].
func (w *wrapped) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	w.fileKey = slices.Clone(fileKey)
	return w.Recipient.Wrap(fileKey)
}

func writeSealed(to io.Writer, body []byte, recipient age.Recipient) (fileKey []byte, err error) {
	keeping := &wrapped{Recipient: recipient}
	w, err := age.Encrypt(to, keeping)
	if err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt: %w", err)
	}
	return keeping.fileKey, nil
}

// seal makes an object of a body, in room if that is enough.
func (b *box) seal(room, body []byte) (object, fileKey []byte, err error) {
	size := b.sealedSize(int64(len(body)))
	if int64(cap(room)) < size {
		room = make([]byte, 0, size)
	}
	out := bytes.NewBuffer(room[:0])
	if fileKey, err = writeSealed(out, body, b.recipient); err != nil {
		return nil, nil, err
	}
	if int64(out.Len()) != size {
		return nil, nil, fmt.Errorf("%d bytes became %d where %d were expected", len(body), out.Len(), size)
	}
	return out.Bytes(), fileKey, nil
}

// readBack opens a sealed object again, each chunk into the same little memory, and compares. Who
// holds the identity begins with the header, as a reader does.
func (b *box) readBack(object, body, fileKey []byte) error {
	identity := b.identity
	if identity == nil {
		identity = age.NewInjectedFileKeyIdentity(fileKey)
	}
	aead, err := chunksOf(object[:b.header+nonceSize], identity)
	if err != nil {
		return format.ErrReadBack
	}
	object = object[b.header+nonceSize:]
	room := make([]byte, 0, chunkSize)
	for n := int64(0); n == 0 || len(body) > 0; n++ {
		sealed, plain := object[:min(chunkSize+tagSize, len(object))], body[:min(chunkSize, len(body))]
		object, body = object[len(sealed):], body[len(plain):]
		again, err := aead.Open(room, chunkNonce(n, len(body) == 0), sealed, nil)
		if err != nil || !bytes.Equal(again, plain) {
			return format.ErrReadBack
		}
	}
	return nil
}

// sealedSize is what bytes take when they are sealed.
func (b *box) sealedSize(plain int64) int64 {
	return b.header + nonceSize + plain + tagSize*max(1, (plain+chunkSize-1)/chunkSize)
}

// plainSize is how many bytes a sealed object of a size holds.
func (b *box) plainSize(sealed int64) (int64, error) {
	rest := sealed - b.header - nonceSize
	chunks := (rest + chunkSize + tagSize - 1) / (chunkSize + tagSize)
	plain := rest - chunks*tagSize
	if rest < tagSize || b.sealedSize(plain) != sealed {
		return max(0, plain), fmt.Errorf("%d bytes are no sealed object: %w", sealed, coldstream.ErrCorrupt)
	}
	return plain, nil
}
