package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"coldstream"
)

var testEnvelope = Envelope{Kind: KindCommit, VaultID: testVault, Key: CommitID{4, testWriter, 1}.Key()}

// Where what is in an envelope; docs/format.md has the same numbers.
const (
	atKind        = 5
	atSealing     = 6
	atCompression = 7
	atKeyID       = 8
	atVaultID     = 16
	atKeyLength   = 32
	atKey         = 34
)

// atLengths is where the lengths of the payload are.
var atLengths = atKey + len(testEnvelope.Key)

func seal(t testing.TB, payload []byte) []byte {
	t.Helper()
	b, err := new(Sealer).Seal(testEnvelope, payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// closed puts the right hash behind what somebody changed.
func closed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

func envelopeVectors() []vector {
	again := func(b []byte) ([]byte, error) {
		payload, err := Open(b, testEnvelope)
		if err != nil {
			return nil, err
		}
		return new(Sealer).Seal(testEnvelope, payload)
	}
	return []vector{
		{file: "envelope-stored.bin", again: again, encode: func(t *testing.T) []byte {
			return seal(t, []byte("too short to compress"))
		}},
		{file: "envelope-empty.bin", again: again, encode: func(t *testing.T) []byte { return seal(t, nil) }},
		{file: "envelope-compressed.bin", again: again, libraryBytes: true, encode: func(t *testing.T) []byte {
			return seal(t, bytes.Repeat([]byte("compress me. "), 1000))
		}},
		markVector("mark-pack.bin", Mark{testPackID, WholePack}),
		markVector("mark-frame.bin", Mark{testPackID, 83}),
	}
}

// markVector is a mark, which holds nothing: what it says is its key.
func markVector(file string, m Mark) vector {
	e := Envelope{Kind: KindMark, VaultID: testVault, Key: m.Key()}
	return vector{
		file: file,
		encode: func(t *testing.T) []byte {
			b, err := new(Sealer).Seal(e, nil)
			if err != nil {
				t.Fatal(err)
			}
			return b
		},
		again: func(b []byte) ([]byte, error) {
			payload, err := Open(b, e)
			if err != nil {
				return nil, err
			}
			return new(Sealer).Seal(e, payload)
		},
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	random := newRand(t)
	for _, size := range []int{0, 1, 100, 255, 256, 257, 1 << 16, maxBlock, maxBlock + 1, 3 << 20} {
		plain, noise := bytes.Repeat([]byte{'x'}, size), make([]byte, size)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		for _, want := range [][]byte{plain, noise} {
			object := seal(t, want)
			got, err := Open(object, testEnvelope)
			if err != nil || !bytes.Equal(want, got) {
				t.Errorf("%d bytes: %d came back, error %v", size, len(got), err)
			}
			if digest := Digest(object); digest != HashOf(object[:len(object)-sha256.Size]) {
				t.Errorf("digest %s is not the hash of what is before it", digest)
			}
		}
	}
}

func TestOldVectorsHoldWhatWasStored(t *testing.T) {
	got, err := Open(readVector(t, "envelope-compressed.bin"), testEnvelope)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(bytes.Repeat([]byte("compress me. "), 1000), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEveryBitOfAnObjectCounts(t *testing.T) {
	object := seal(t, []byte("a payload"))
	for i := range len(object) * 8 {
		b := bytes.Clone(object)
		b[i/8] ^= 1 << (i % 8)
		if _, err := Open(b, testEnvelope); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Fatalf("with bit %d changed: error %v, want ErrCorrupt", i, err)
		}
	}
}

func TestEnvelopeRejections(t *testing.T) {
	type c = rejection[*bytes.Buffer]
	corrupt, unsupported := coldstream.ErrCorrupt, coldstream.ErrUnsupported
	stored := readVector(t, "envelope-stored.bin")
	good := func() *bytes.Buffer { return bytes.NewBuffer(bytes.Clone(stored[:len(stored)-sha256.Size])) }
	open := func(body *bytes.Buffer) error { _, err := Open(closed(body.Bytes()), testEnvelope); return err }
	set := func(at int, value byte) func(*bytes.Buffer) {
		return func(b *bytes.Buffer) { b.Bytes()[at] = value }
	}
	checkRejections(t, good, open, []c{
		{"magic", set(0, 'c'), corrupt, "not a"},
		{"version 0", set(4, 0), corrupt, "version 0"},
		{"later version", set(4, 2), unsupported, "version 2"},
		{"kind 0", set(atKind, 0), corrupt, "kind 0"},
		{"another kind", set(atKind, byte(KindBase)), corrupt, "kind 2, not 1"},
		{"later kind", set(atKind, byte(newestKind)+1), unsupported, "object of kind"},
		{"sealed", set(atSealing, 1), unsupported, "sealed with method 1"},
		{"later compression", set(atCompression, 2), unsupported, "compressed with method 2"},
		{"key without sealing", set(atKeyID, 9), corrupt, "to key 0900000000000000"},
		{"another vault", set(atVaultID, 9), corrupt, "belongs to vault 0911"},
		{"another key", set(atKey, 'C'), corrupt, "was stored as"},
		{"longer key", set(atKeyLength, 0xff), corrupt, "bytes are missing"},
		{"payload length", set(atLengths+7, 1), corrupt, "payload of 21 bytes where 1 are said"},
		{"giant payload length", func(b *bytes.Buffer) {
			binary.BigEndian.PutUint64(b.Bytes()[atLengths:], maxPayload+1)
		}, corrupt, "payload of 1073740801 bytes: "},
		{"stored length", set(atLengths+15, 1), corrupt, "payload of 21 bytes where 1 are said"},
		{"a byte more", func(b *bytes.Buffer) { b.WriteByte(0) }, corrupt, "payload of 22 bytes"},
		{"not zstd", set(atCompression, compressionZstd), corrupt, "zstd frame"},
	})
	for _, other := range []Expect{
		{KindCommit, testVault, "commits/x"}, {KindCommit, VaultID{}, testEnvelope.Key}, {KindRestore, testVault, testEnvelope.Key},
	} {
		if _, err := Open(stored, other); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("opened as %+v: error %v, want ErrCorrupt", other, err)
		}
	}
}

// withPayload makes an envelope around a zstd frame that somebody else made.
func withPayload(frame []byte, length int) []byte {
	head := readHead34()
	head[atCompression] = compressionZstd
	head = binary.BigEndian.AppendUint64(append(head, testEnvelope.Key...), uint64(length))
	head = binary.BigEndian.AppendUint64(head, uint64(len(frame)))
	return closed(append(head, frame...))
}

func readHead34() []byte {
	head := append([]byte(envelopeMagic), Version, byte(KindCommit), sealingNone, compressionNone)
	head = append(append(head, make([]byte, keyIDSize)...), testVault[:]...)
	return binary.BigEndian.AppendUint16(head, uint16(len(testEnvelope.Key)))
}

func TestZstdFrames(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 30)
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	frame := enc.EncodeAll(content, nil)
	raw := appendRawZstd(nil, [][]byte{content}, len(content))
	skippable := appendSkippable(nil, skippableHeader, func(b []byte) []byte { return append(b, 1, 2, 3) })
	// A bomb: blocks of 128 KiB of one repeated byte, without the blocks.
	bomb := binary.LittleEndian.AppendUint64(append([]byte{0x28, 0xb5, 0x2f, 0xfd}, zstdRawLengths, zstdRawWindow), 1<<30-1<<11)
	bomb = append(bomb, 1|zstdBlockRLE<<1, 0, 0x10, 'x')
	for _, c := range []struct {
		name   string
		frame  []byte
		length int
		text   string // empty: accepted
	}{
		{"with a checksum", frame, 300, ""},
		{"raw blocks", raw, 300, ""},
		{"other length", raw, 299, "does not say that it holds 299"},
		{"two frames", append(bytes.Clone(raw), raw...), 300, "bytes too many"},
		{"skippable behind", append(bytes.Clone(raw), skippable...), 300, "bytes too many"},
		{"skippable before", append(bytes.Clone(skippable), raw...), 300, "does not say"},
		{"cut", raw[:len(raw)-1], 300, "bytes are missing"},
		{"checksum cut", frame[:len(frame)-1], 300, "bytes are missing"},
		{"wrong checksum", append(bytes.Clone(frame[:len(frame)-1]), frame[len(frame)-1]^1), 300, "decompress"},
		{"bomb", bomb, 1<<30 - 1<<11, "1 blocks for"},
		{"says no length", append([]byte{0x28, 0xb5, 0x2f, 0xfd}, 0, zstdRawWindow, 1, 0, 0), 0, "does not say"},
		{"nothing", nil, 0, "zstd frame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Open(withPayload(c.frame, c.length), testEnvelope)
			switch {
			case c.text == "" && (err != nil || !bytes.Equal(got, content)):
				t.Errorf("%d bytes, error %v", len(got), err)
			case c.text != "" && (!errors.Is(err, coldstream.ErrCorrupt) || !strings.Contains(err.Error(), c.text)):
				t.Errorf("error %v, want %q", err, c.text)
			}
		})
	}
}

func TestSealRefusesWhatNobodyCouldRead(t *testing.T) {
	if _, err := new(Sealer).Seal(testEnvelope, make([]byte, maxPayload+1)); err == nil {
		t.Error("a payload above the limit was sealed")
	}
	long := testEnvelope
	long.Key = strings.Repeat("k", 1<<16)
	if _, err := new(Sealer).Seal(long, nil); err == nil {
		t.Error("a key that does not fit was sealed")
	}
}
