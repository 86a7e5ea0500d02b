package sealed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/mem"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
)

const (
	packKey   = "packs/0000000000/01a203931ab04529c998fd0f/0000000000"
	commitKey = "commits/0000000000/01a203931ab04529c998fd0f/0000000000"
)

func newHeld(t testing.TB, kind keyring.Kind) *keyring.Held {
	t.Helper()
	held, err := keyring.New("00112233445566778899aabbccddeeff", kind)
	if err != nil {
		t.Fatal(err)
	}
	return held
}

func newStore(t testing.TB, inner blob.Store, held *keyring.Held) *Store {
	t.Helper()
	s, err := New(inner, held)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// sizes are those around the ends of chunks.
var sizes = []int{0, 1, 100, chunkSize - 1, chunkSize, chunkSize + 1, 2*chunkSize - 1, 2 * chunkSize, 2*chunkSize + 1, 5*chunkSize + 77, 17*chunkSize + 1}

// TestAgeOpensObjects: with either kind of identity, age itself opens what was sealed, and each
// with its own identity only.
func TestAgeOpensObjects(t *testing.T) {
	for _, kind := range []keyring.Kind{keyring.X25519, keyring.Hybrid} {
		inner, held := mem.New(), newHeld(t, kind)
		s := newStore(t, inner, held)
		data, errData := held.DataIdentity()
		catalog, errCatalog := held.CatalogIdentity()
		if err := errors.Join(errData, errCatalog); err != nil {
			t.Fatal(err)
		}
		for key, identities := range map[string][2]age.Identity{packKey: {data, catalog}, commitKey: {catalog, data}} {
			body := randomBytes(3*chunkSize + 5)
			if err := s.Create(t.Context(), key, body); err != nil {
				t.Fatal(err)
			}
			object, err := blob.ReadAll(t.Context(), inner, key, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			r, err := age.Decrypt(bytes.NewReader(object), identities[0])
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes, %v", key, len(got), err)
			}
			var none *age.NoIdentityMatchError
			if _, err := age.Decrypt(bytes.NewReader(object), identities[1]); !errors.As(err, &none) {
				t.Errorf("%s opens with the other identity: %v", key, err)
			}
		}
	}
}

// TestSizesAndRanges: objects of all sizes have their own size in lists, and any range of
// them is what it was.
func TestSizesAndRanges(t *testing.T) {
	s := newStore(t, mem.New(), newHeld(t, keyring.X25519))
	random := rand.New(rand.NewPCG(2, 2))
	for _, size := range sizes {
		for _, key := range []string{packKey, commitKey} {
			body := randomBytes(size)
			if err := s.Create(t.Context(), key, body); err != nil {
				t.Fatal(err)
			}
			for e, err := range s.List(t.Context(), key, "") {
				if err != nil || e.SizeBytes != int64(size) {
					t.Errorf("%d bytes are listed as %d (%v)", size, e.SizeBytes, err)
				}
			}
			if got, err := blob.ReadAll(t.Context(), s, key, 1<<30); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes: read %d, %v", size, len(got), err)
			}
			for range 50 {
				at := random.IntN(size + 1)
				n := random.IntN(size - at + 1)
				if size > chunkSize && random.IntN(2) == 0 { // around the ends of chunks
					at = chunkSize - 1 + random.IntN(3)
					n = random.IntN(min(3, size-at) + 1)
				}
				got, err := s.ReadSized(t.Context(), blob.Entry{Key: key, SizeBytes: int64(size)}, int64(at), int64(n))
				if err != nil || !bytes.Equal(got, body[at:at+n]) {
					t.Fatalf("%d bytes at %d of %d: %v", n, at, size, err)
				}
				if got, err = s.Read(t.Context(), key, int64(at), int64(n)); err != nil || !bytes.Equal(got, body[at:at+n]) {
					t.Fatalf("%d bytes at %d of %d, without the size: %v", n, at, size, err)
				}
			}
			if _, err := s.Read(t.Context(), key, int64(size), 1); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("a byte behind the end: %v", err)
			}
			if err := s.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			s.heads.forget(key)
		}
	}
	for size := range int64(3 * (chunkSize + tagSize)) {
		plain, err := s.data.plainSize(size)
		if err == nil && s.data.sealedSize(plain) != size {
			t.Fatalf("%d bytes hold %d, which take %d", size, plain, s.data.sealedSize(plain))
		}
	}
}

// TestWhatIsNotSealed: what everybody may see, and what is sealed to people.
func TestWhatIsNotSealed(t *testing.T) {
	inner := mem.New()
	s := newStore(t, inner, newHeld(t, keyring.X25519))
	for key, want := range map[string]bool{
		"vault.json": false, "keys/0011223344556677": false, "epochs/0000000001/begun": false,
		"epochs/0000000001/base": true, packKey: true, commitKey: true, "restores/0011223344556677/0000000000": true,
		"tables/0000000000/00": true, "labels/0011223344556677": true, "accepted/00": true, "damaged/0": true, "anything": true,
	} {
		body := []byte("plain and to be seen")
		if err := s.Create(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
		object, err := blob.ReadAll(t.Context(), inner, key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(object, body) == want {
			t.Errorf("%s is sealed: %v", key, !want)
		}
	}
}

// TestCatalogOnly: who has only the catalog's identity stores packs, lists them at their sizes,
// and cannot read them.
func TestCatalogOnly(t *testing.T) {
	inner, held := mem.New(), newHeld(t, keyring.X25519)
	s := newStore(t, inner, held.CatalogOnly())
	body := randomBytes(chunkSize + 1)
	if err := s.Create(t.Context(), packKey, body); err != nil {
		t.Fatal(err)
	}
	for e, err := range s.List(t.Context(), "", "") {
		if err != nil || e.SizeBytes != int64(len(body)) {
			t.Errorf("%+v, %v", e, err)
		}
	}
	if _, err := s.Read(t.Context(), packKey, 0, 1); !errors.Is(err, keyring.ErrCatalogOnly) {
		t.Errorf("read: %v", err)
	}
	if _, _, err := s.Open(t.Context(), packKey); !errors.Is(err, keyring.ErrCatalogOnly) {
		t.Errorf("open: %v", err)
	}
	if got, err := blob.ReadAll(t.Context(), newStore(t, inner, held), packKey, 1<<30); err != nil || !bytes.Equal(got, body) {
		t.Errorf("with the data identity: %d bytes, %v", len(got), err)
	}
}

// lostAnswer creates, and says that it was there already: as a client does that tries again.
type lostAnswer struct{ blob.Store }

func (l lostAnswer) Create(ctx context.Context, key string, body []byte) error {
	if err := l.Store.Create(ctx, key, body); err != nil {
		return err
	}
	return l.Store.Create(ctx, key, body)
}

// TestLostAnswer: a pack that is there already is known by who made it, without the right to
// open it, and another one is not taken for it.
func TestLostAnswer(t *testing.T) {
	inner, held := mem.New(), newHeld(t, keyring.X25519)
	s := newStore(t, lostAnswer{inner}, held.CatalogOnly())
	if err := s.Create(t.Context(), packKey, []byte("a pack")); err != nil {
		t.Errorf("after a lost answer: %v", err)
	}
	if err := s.Create(t.Context(), packKey, []byte("a pack")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("of another: %v", err)
	}
	if err := s.Create(t.Context(), commitKey, []byte("a commit")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("what can be read is for the vault to compare: %v", err)
	}
}

// TestAlteredObjects: no altered, cut or longer object opens as something else, and damage
// costs what is in its chunk, and nothing else of a pack.
func TestAlteredObjects(t *testing.T) {
	for _, size := range []int{3*chunkSize + 100, atOnce + 100} { // opened in one piece, and piece by piece
		alterObjects(t, randomBytes(size), 997*(1+3*(size/atOnce)))
	}
}

func alterObjects(t *testing.T, body []byte, step int) {
	t.Helper()
	inner, held := mem.New(), newHeld(t, keyring.X25519)
	if err := newStore(t, inner, held).Create(t.Context(), packKey, body); err != nil {
		t.Fatal(err)
	}
	object, err := blob.ReadAll(t.Context(), inner, packKey, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	altered := func(object []byte) *Store {
		other := mem.New()
		if err := other.Create(t.Context(), packKey, object); err != nil {
			t.Fatal(err)
		}
		return newStore(t, other, held)
	}
	for at := 0; at < len(object); at += step {
		b := bytes.Clone(object)
		b[at] ^= 1
		s := altered(b)
		if _, err := blob.ReadAll(t.Context(), s, packKey, 1<<30); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Fatalf("altered at %d: %v", at, err)
		}
		hit := (int64(at) - s.data.header - nonceSize) / (chunkSize + tagSize)
		for chunk := range int64(len(body)/chunkSize + 1) {
			_, err := s.ReadSized(t.Context(), blob.Entry{Key: packKey, SizeBytes: int64(len(body))}, chunk*chunkSize, 50)
			if isDamaged := int64(at) < s.data.header+nonceSize || chunk == hit; isDamaged != errors.Is(err, coldstream.ErrCorrupt) {
				t.Fatalf("altered at %d: chunk %d: %v", at, chunk, err)
			}
		}
	}
	for _, n := range []int{0, 1, 100, 200, chunkSize, len(object) - 117, len(object) - 1, int(newStore(t, inner, held).data.header) + nonceSize + (len(body)/chunkSize)*(chunkSize+tagSize)} {
		if _, err := blob.ReadAll(t.Context(), altered(object[:n]), packKey, 1<<30); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	for _, more := range []int{1, 16, 17, chunkSize} {
		if _, err := blob.ReadAll(t.Context(), altered(append(bytes.Clone(object), make([]byte, more)...)), packKey, 1<<30); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%d bytes more: %v", more, err)
		}
	}
}

// TestReplacedObject: an object that is another one than when its header was read is read anew,
// the next time.
func TestReplacedObject(t *testing.T) {
	inner, held := mem.New(), newHeld(t, keyring.X25519)
	s := newStore(t, inner, held)
	for i, body := range [][]byte{[]byte("one pack"), []byte("another!")} {
		if err := s.Create(t.Context(), packKey, body); err != nil {
			t.Fatal(err)
		}
		read := func() ([]byte, error) {
			return s.ReadSized(t.Context(), blob.Entry{Key: packKey, SizeBytes: int64(len(body))}, 0, int64(len(body)))
		}
		if _, err := read(); (i == 1) != errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("the first read: %v", err)
		}
		if got, err := read(); err != nil || !bytes.Equal(got, body) {
			t.Errorf("the second read: %q, %v", got, err)
		}
		if err := inner.Delete(t.Context(), packKey); err != nil {
			t.Fatal(err)
		}
	}
}

// counting counts what is asked for.
type counting struct {
	blob.Store
	asked []string
}

func (c *counting) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	c.asked = append(c.asked, fmt.Sprintf("%d+%d", offset, length))
	return c.Store.Read(ctx, key, offset, length)
}

// TestRequests: a range costs one request, and the first one of a pack at most one more.
func TestRequests(t *testing.T) {
	c := &counting{Store: mem.New()}
	s := newStore(t, c, newHeld(t, keyring.X25519))
	of := blob.Entry{Key: packKey, SizeBytes: 100 * chunkSize}
	if err := s.Create(t.Context(), packKey, randomBytes(int(of.SizeBytes))); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{50 * chunkSize, 0, 10*chunkSize + 5} {
		if _, err := s.ReadSized(t.Context(), of, at, 2*chunkSize); err != nil {
			t.Fatal(err)
		}
	}
	head := s.data.header + nonceSize
	sealedChunk := int64(chunkSize + tagSize)
	want := []string{
		fmt.Sprintf("0+%d", head), fmt.Sprintf("%d+%d", head+50*sealedChunk, 2*sealedChunk),
		fmt.Sprintf("%d+%d", head, 2*sealedChunk), fmt.Sprintf("%d+%d", head+10*sealedChunk, 3*sealedChunk),
	}
	if diff := cmp.Diff(want, c.asked); diff != "" {
		t.Errorf("requests (-want +got)\n%s", diff)
	}
	c.asked, s = nil, newStore(t, c, newHeld(t, keyring.X25519))
	if _, err := s.ReadSized(t.Context(), of, 0, chunkSize); !errors.Is(err, coldstream.ErrCorrupt) || len(c.asked) != 1 {
		t.Errorf("with another vault's identity: %v, %d requests", err, len(c.asked))
	}
}

// FuzzHostileObject: whatever lies in the storage, it opens as what was sealed or is damage.
func FuzzHostileObject(f *testing.F) {
	held := newHeld(f, keyring.X25519)
	inner := mem.New()
	s := newStore(f, inner, held)
	for i, size := range []int{0, 10, chunkSize + 3} {
		key := fmt.Sprintf("commits/%d", i)
		if err := s.Create(f.Context(), key, randomBytes(size)); err != nil {
			f.Fatal(err)
		}
		object, err := blob.ReadAll(f.Context(), inner, key, 1<<30)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
	}
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAA 30\n\n--- \n"))
	f.Fuzz(func(t *testing.T, object []byte) {
		other := mem.New()
		if err := other.Create(t.Context(), commitKey, object); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, other, held)
		_, err := blob.ReadAll(t.Context(), s, commitKey, 1<<30)
		_, errRange := s.Read(t.Context(), commitKey, 0, 1)
		for _, err := range []error{err, errRange} {
			if err != nil && !errors.Is(err, coldstream.ErrCorrupt) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v", err)
			}
		}
	})
}

// TestReadBack: a bit that flips between sealing and storing is found, by who can open packs and by
// who cannot.
func TestReadBack(t *testing.T) {
	held := newHeld(t, keyring.X25519)
	for _, held := range []*keyring.Held{held, held.CatalogOnly()} {
		box := newStore(t, mem.New(), held).data
		for _, size := range []int{0, 1, chunkSize, 2*chunkSize + 9} {
			body := randomBytes(size)
			object, fileKey, err := box.seal(nil, body)
			if err != nil {
				t.Fatal(err)
			}
			if err := box.readBack(object, body, fileKey); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			for _, at := range []int{0, int(box.header) - 3, int(box.header) + 3, len(object) - tagSize - 1, len(object) - 1} {
				object[at] ^= 1
				if err := box.readBack(object, body, fileKey); !errors.Is(err, format.ErrReadBack) {
					t.Errorf("%d bytes, altered at %d: %v", size, at, err)
				}
				object[at] ^= 1
			}
			if size > 0 {
				body[size/2] ^= 1
				if err := box.readBack(object, body, fileKey); !errors.Is(err, format.ErrReadBack) {
					t.Errorf("%d bytes, altered after they were sealed: %v", size, err)
				}
			}
		}
	}
}

// BenchmarkSeal is what encryption costs a backup, with what is opened again to prove it.
func BenchmarkSeal(b *testing.B) {
	box := newStore(b, mem.New(), newHeld(b, keyring.X25519).CatalogOnly()).data
	body := randomBytes(48 << 20)
	b.SetBytes(int64(len(body)))
	var room []byte
	for b.Loop() {
		var fileKey []byte
		var err error
		if room, fileKey, err = box.seal(room, body); err != nil {
			b.Fatal(err)
		}
		if err := box.readBack(room, body, fileKey); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is what it costs a restore: frames of about a mebibyte.
func BenchmarkOpen(b *testing.B) {
	s := newStore(b, mem.New(), newHeld(b, keyring.X25519))
	of := blob.Entry{Key: packKey, SizeBytes: 48 << 20}
	if err := s.Create(b.Context(), packKey, randomBytes(int(of.SizeBytes))); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1 << 20)
	for b.Loop() {
		if _, err := s.ReadSized(b.Context(), of, 5<<20+77, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
