package format

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"coldstream"
)

// seedsOf gives the vectors of a structure, of which there must be some.
func seedsOf(f *testing.F, structure string) [][]byte {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", structure+"-*"))
	if err != nil {
		f.Fatal(err)
	}
	if len(names) == 0 {
		f.Fatalf("no vector in testdata is a %s", structure)
	}
	var seeds [][]byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	return seeds
}

// fuzzDecoder holds what every decoder promises: what it accepts encodes to the same
// bytes, and what it does not is either damaged or of a newer version, never both.
func fuzzDecoder(f *testing.F, structure string, again func([]byte) ([]byte, error)) {
	f.Helper()
	for _, seed := range seedsOf(f, structure) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		input := bytes.Clone(b)
		got, err := again(b)
		checkError(t, err)
		if err == nil && !bytes.Equal(got, input) {
			t.Errorf("encoded again it is\n%q, not\n%q", got, input)
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	if err != nil && errors.Is(err, coldstream.ErrCorrupt) == errors.Is(err, coldstream.ErrUnsupported) {
		t.Errorf("error %v is not one of ErrCorrupt and ErrUnsupported", err)
	}
}

func FuzzDecodeVaultInfo(f *testing.F)  { fuzzDecoder(f, "vault", againInfo) }
func FuzzDecodeCommit(f *testing.F)     { fuzzDecoder(f, "commit", againCommit) }
func FuzzDecodeTable(f *testing.F)      { fuzzDecoder(f, "table", againTable) }
func FuzzDecodeBase(f *testing.F)       { fuzzDecoder(f, "base", againBase) }
func FuzzDecodeChapter(f *testing.F)    { fuzzDecoder(f, "chapter", againChapter) }
func FuzzDecodeAcceptance(f *testing.F) { fuzzDecoder(f, "acceptance", againAcceptance) }
func FuzzDecodeTags(f *testing.F)       { fuzzDecoder(f, "tags", againTagsChange) }
func FuzzDecodeTagList(f *testing.F)    { fuzzDecoder(f, "taglist", againTags) }
func FuzzDecodeLabel(f *testing.F)      { fuzzDecoder(f, "label", againLabel) }
func FuzzDecodeViews(f *testing.F)      { fuzzDecoder(f, "views", againViews) }
func FuzzDecodePackHeader(f *testing.F) { fuzzDecoder(f, "packheader", againHeader) }
func FuzzDecodeDescriptor(f *testing.F) { fuzzDecoder(f, "description", againDescriptor) }
func FuzzDecodeCluster(f *testing.F)    { fuzzDecoder(f, "cluster", againCluster) }
func FuzzDecodeTopics(f *testing.F)     { fuzzDecoder(f, "topics", againTopics) }
func FuzzDecodeGroups(f *testing.F)     { fuzzDecoder(f, "groups", againGroups) }
func FuzzDecodeAdministration(f *testing.F) {
	fuzzDecoder(f, "administration", againAdministration)
}
func FuzzDecodeDefaults(f *testing.F)      { fuzzDecoder(f, "defaults", againDefaults) }
func FuzzDecodeShort(f *testing.F)         { fuzzDecoder(f, "short", againShort) }
func FuzzDecodeGroupsMissing(f *testing.F) { fuzzDecoder(f, "groupsmissing", againGroupsMissing) }

// FuzzDecodePackIndex puts the right hash and lengths around what it tries, and tries it
// without them as well.
func FuzzDecodePackIndex(f *testing.F) {
	for _, seed := range seedsOf(f, "packindex") {
		f.Add(seed[skippableHead : len(seed)-sha256.Size-4])
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := DecodePackIndex(b)
		checkError(t, err)
		whole := closedIndex(b)
		got, err := againIndex(whole)
		checkError(t, err)
		if err == nil && !bytes.Equal(got, whole) {
			t.Errorf("encoded again it is\n%q, not\n%q", got, whole)
		}
	})
}

// FuzzOpen puts the right hash behind what it tries. How well a payload is compressed is
// the writer's choice, so what is accepted need only hold the same when sealed again.
func FuzzOpen(f *testing.F) {
	for _, seed := range seedsOf(f, "envelope") {
		f.Add(seed[:len(seed)-sha256.Size])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, err := Open(body, testEnvelope)
		checkError(t, err)
		payload, err := Open(closed(body), testEnvelope)
		checkError(t, err)
		if err != nil {
			return
		}
		object, err := new(Sealer).Seal(testEnvelope, payload)
		if err != nil {
			t.Fatalf("accepted, but cannot be sealed again: %v", err)
		}
		if again, err := Open(object, testEnvelope); err != nil || !bytes.Equal(again, payload) {
			t.Errorf("sealed again it holds %d bytes of %d, error %v", len(again), len(payload), err)
		}
	})
}

// FuzzDecodeFrame names the right hash of what it tries.
func FuzzDecodeFrame(f *testing.F) {
	for _, seed := range seedsOf(f, "frame") {
		f.Add(seed, uint32(54))
	}
	codec := NewFrameCodec()
	defer codec.Close()
	stored, frame, err := codec.Encode(*testDescriptor(900), [][]byte{bytes.Repeat([]byte("123"), 300)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored, uint32(frame.DecodedLength))
	f.Fuzz(func(t *testing.T, stored []byte, length uint32) {
		length %= 4 << 20 // what one test may take
		codec := NewFrameCodec()
		defer codec.Close()
		decoded, d, err := codec.Decode(stored, frameOf(stored, int64(length)))
		checkError(t, err)
		if err != nil {
			return
		}
		if len(decoded) != int(length) {
			t.Fatalf("%d bytes, want %d", len(decoded), length)
		}
		again, frame := codec.AppendRaw(nil, d, [][]byte{decoded})
		if got, _, err := codec.Decode(again, frame); err != nil || !bytes.Equal(got, decoded) {
			t.Errorf("encoded again it holds %d bytes of %d, error %v", len(got), len(decoded), err)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	for _, key := range append(badKeys(), testPackID.Key(), testEnvelope.Key, BegunKey(3), BaseKey(4294967295),
		Mark{testPackID, WholePack}.Key(), Mark{testPackID, 83}.Key()) {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		pack, err := ParsePackKey(key)
		checkError(t, err)
		if err == nil && pack.Key() != key {
			t.Errorf("pack %q has the key %q", key, pack.Key())
		}
		commit, err := ParseCommitKey(key)
		checkError(t, err)
		if err == nil && commit.Key() != key {
			t.Errorf("commit %q has the key %q", key, commit.Key())
		}
		mark, err := ParseMarkKey(key)
		checkError(t, err)
		if err == nil && mark.Key() != key {
			t.Errorf("mark %q has the key %q", key, mark.Key())
		}
		epoch, isBegun, err := ParseEpochKey(key)
		checkError(t, err)
		if err == nil && (isBegun && BegunKey(epoch) != key || !isBegun && BaseKey(epoch) != key) {
			t.Errorf("epoch %d does not have the key %q", epoch, key)
		}
	})
}
