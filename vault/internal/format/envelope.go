package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Kind says what an envelope holds.
type Kind byte

// The kinds of catalog objects.
const (
	KindCommit  Kind = 1
	KindBase    Kind = 2
	KindTable   Kind = 3
	KindSection Kind = 4
	KindRestore Kind = 5
	KindChapter Kind = 6
	KindViews   Kind = 7
	KindMark    Kind = 8
	// KindAcceptance is of an accepted loss.
	KindAcceptance Kind = 9
	// KindLabel is of what tells whose a key is.
	KindLabel Kind = 10
	// KindTags is of what was said of a snapshot after it was made.
	KindTags Kind = 11

	newestKind = KindTags
)

const (
	envelopeMagic = "CSTR"
	// maxPayload bounds what an envelope may hold when decoded. With what is around it an
	// object stays within 1 GiB, which is the most that is read of one.
	maxPayload = 1<<30 - 1<<10

	// keyIDSize is the length of the name of the key that something is sealed to; all of
	// it is zero where it is not sealed.
	keyIDSize = 8

	sealingNone     = 0
	compressionNone = 0
	compressionZstd = 1
)

// Envelope says what an object is and where it belongs. It goes around every catalog
// object.
type Envelope struct {
	Kind    Kind
	VaultID VaultID
	Key     string
}

// Expect is what a reader knows of an object before it opens it.
type Expect = Envelope

// Sealer makes catalog objects. The zero value is ready, and safe for use by several
// goroutines. It keeps an encoder for the next object: its tables take more than a
// mebibyte, where most objects are of a few hundred bytes. It is not one for the whole
// process: an encoder that was made in one synctest bubble cannot be used in another.
type Sealer struct {
	mu   sync.Mutex
	idle *zstd.Encoder
}

// ErrReadBack means that what was just encoded, or sealed, does not give what went in. Nothing of it
// was stored: it is a failure of this host, and no damage of the vault.
var ErrReadBack = errors.New("what was just encoded does not decode to what went in: this host's memory or processor cannot be trusted")

// Seal makes an object of a payload: compressed where that is smaller, decoded again and
// compared, closed by the SHA-256 of all before.
func (s *Sealer) Seal(e Envelope, payload []byte) ([]byte, error) {
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("%d bytes are more than a catalog object may hold (%d)", len(payload), maxPayload)
	}
	stored, compression := payload, byte(compressionNone)
	small, err := s.compress(payload)
	if err != nil {
		return nil, err
	}
	if len(small) < len(payload) {
		stored, compression = small, compressionZstd
	}
	dst := append([]byte(envelopeMagic), Version, byte(e.Kind), sealingNone, compression)
	dst = append(dst, make([]byte, keyIDSize)...)
	dst = append(dst, e.VaultID[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Key)))
	dst = append(dst, e.Key...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(payload)))
	dst = binary.BigEndian.AppendUint64(dst, uint64(len(stored)))
	dst = append(dst, stored...)
	sum := sha256.Sum256(dst)
	dst = append(dst, sum[:]...)
	again, err := Open(dst, e)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, payload) {
		return nil, ErrReadBack
	}
	return dst, nil
}

func (s *Sealer) compress(payload []byte) ([]byte, error) {
	s.mu.Lock()
	enc := s.idle
	s.idle = nil
	s.mu.Unlock()
	if enc == nil {
		var err error
		if enc, err = newZstdEncoder(zstd.SpeedDefault); err != nil {
			return nil, fmt.Errorf("make zstd encoder: %w", err)
		}
	}
	small := enc.EncodeAll(payload, nil)
	if len(payload) <= maxBlock { // a larger one leaves the encoder with a history as large
		s.mu.Lock()
		s.idle = enc
		s.mu.Unlock()
	}
	return small, nil
}

// Digest is the hash that closes an object, by which others name its exact content. It
// is only of meaning for what [Open] accepted.
func Digest(object []byte) Hash {
	var h Hash
	copy(h[:], object[max(0, len(object)-sha256.Size):])
	return h
}

// KindOf is what an object says that it holds. Nothing of it is proven.
func KindOf(object []byte) (Kind, error) {
	const at = len(envelopeMagic) + 1
	if len(object) <= at {
		return 0, corruptf("%d bytes are no object", len(object))
	}
	return Kind(object[at]), nil
}

// Open proves that an object is whole and the one that was stored under its key, and
// returns its payload.
func Open(object []byte, want Expect) ([]byte, error) {
	if len(object) < sha256.Size {
		return nil, corruptf("%d bytes are no object", len(object))
	}
	body := object[:len(object)-sha256.Size]
	if sum := sha256.Sum256(body); sum != Digest(object) {
		return nil, corruptf("the object does not match its own hash")
	}
	r := &reader{b: body}
	r.magic(envelopeMagic)
	kind, sealing, compression := Kind(r.byte()), r.byte(), r.byte()
	var keyID [keyIDSize]byte
	r.into(keyID[:])
	var vaultID VaultID
	r.into(vaultID[:])
	key := string(r.take(r.fixed16()))
	decodedLength, storedLength := r.fixed64(), r.fixed64()
	if r.err == nil && storedLength != uint64(len(r.b)) {
		r.fail("payload of %d bytes where %d are said", len(r.b), storedLength)
	}
	if r.err != nil {
		return nil, r.err
	}
	switch {
	case kind > newestKind:
		return nil, unsupportedf("object of kind %d", kind)
	case sealing != sealingNone:
		return nil, unsupportedf("object sealed with method %d to key %x", sealing, keyID)
	case keyID != [keyIDSize]byte{}:
		return nil, corruptf("object that is not sealed, but to key %x", keyID)
	case compression > compressionZstd:
		return nil, unsupportedf("object compressed with method %d", compression)
	case vaultID != want.VaultID:
		return nil, corruptf("the object belongs to vault %s, not to %s", vaultID, want.VaultID)
	case key != want.Key:
		return nil, corruptf("the object was stored as %q, not as %q", key, want.Key)
	case kind != want.Kind:
		return nil, corruptf("the object is of kind %d, not %d", kind, want.Kind)
	case decodedLength > maxPayload:
		return nil, corruptf("payload of %d bytes", decodedLength)
	}
	return decodePayload(r.b, compression, int(decodedLength))
}

func decodePayload(stored []byte, compression byte, length int) ([]byte, error) {
	if compression == compressionNone {
		if len(stored) != length {
			return nil, corruptf("payload of %d bytes where %d are said", len(stored), length)
		}
		return bytes.Clone(stored), nil
	}
	dec, err := newZstdDecoder(int64(length))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	defer dec.Close()
	return decodeZstd(dec, stored, int64(length), nil)
}

func (r *reader) fixed16() int {
	b := r.take(2)
	if b == nil {
		return 0
	}
	return int(binary.BigEndian.Uint16(b))
}

func (r *reader) fixed64() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}
