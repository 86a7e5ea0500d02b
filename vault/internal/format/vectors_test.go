package format

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

var (
	update = flag.Bool("update", false, "write vectors that are not there yet; those that are stay as they are")
	seed   = flag.Uint64("seed", 0, "repeat a random test; 0 takes a new seed")
)

// newRand makes a source of randomness whose seed a failure prints.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with -seed %d", s)
		}
	})
	return rand.New(rand.NewPCG(s, s))
}

// vector is a stored structure as a file in testdata. Its bytes never change.
type vector struct {
	file   string // the name up to the first dash says which structure it is
	encode func(t *testing.T) []byte
	// again decodes and encodes again.
	again func(b []byte) ([]byte, error)
	// libraryBytes says that the bytes depend on the version of the zstd encoder, so that
	// only decoding them must stay the same.
	libraryBytes bool
	versionAt    int  // where the structure's version is, if no hash guards it
	newest       byte // version of the structure, if not 1
}

// reencoded makes an error of encoding one that no decoder gives: what was accepted must
// encode.
func reencoded(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, errors.New("accepted, but does not encode again: " + err.Error())
	}
	return b, nil
}

func allVectors() []vector {
	var all []vector
	for _, some := range [][]vector{infoVectors(), envelopeVectors(), commitVectors(), tableVectors(), baseVectors(), chapterVectors(), acceptanceVectors(), labelVectors(), tagsVectors(), packVectors(), sectionVectors()} {
		all = append(all, some...)
	}
	return all
}

func readVector(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatalf("%v (new vectors are written by -update)", err)
	}
	return b
}

func TestVectorsStayAsTheyAre(t *testing.T) {
	known := map[string]bool{}
	for _, v := range allVectors() {
		known[v.file] = true
		t.Run(v.file, func(t *testing.T) {
			encoded := v.encode(t)
			name := filepath.Join("testdata", v.file)
			if _, err := os.Stat(name); *update && errors.Is(err, fs.ErrNotExist) {
				err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(name, encoded, 0o644))
				if err != nil {
					t.Fatal(err)
				}
			}
			want := readVector(t, v.file)
			if !v.libraryBytes {
				if diff := cmp.Diff(want, encoded); diff != "" {
					t.Errorf("encoded differently than before (-vector +now)\n%s", diff)
				}
			}
			again, err := v.again(want)
			if err != nil {
				t.Fatalf("decode: %v", err)
			}
			if !v.libraryBytes && !bytes.Equal(again, want) {
				t.Error("decoded and encoded again it is not the same")
			}
		})
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && !known[e.Name()] {
			t.Errorf("testdata/%s belongs to no vector", e.Name())
		}
	}
}

// TestNothingMissingNothingMore cuts every vector at every byte, adds one, and spoils the
// version.
func TestNothingMissingNothingMore(t *testing.T) {
	for _, v := range allVectors() {
		t.Run(v.file, func(t *testing.T) {
			whole := readVector(t, v.file)
			for n := range whole {
				if _, err := v.again(whole[:n]); !errors.Is(err, coldstream.ErrCorrupt) {
					t.Fatalf("the first %d of %d bytes: error %v, want ErrCorrupt", n, len(whole), err)
				}
			}
			for _, more := range []byte{0, 1, '\n', 0xff} {
				if _, err := v.again(append(bytes.Clone(whole), more)); !errors.Is(err, coldstream.ErrCorrupt) {
					t.Errorf("with %#x behind it: error %v, want ErrCorrupt", more, err)
				}
			}
		})
	}
}

// TestOtherVersions is about those structures whose version is not under a hash of their
// own; the others have tests beside them.
func TestOtherVersions(t *testing.T) {
	for _, v := range allVectors() {
		if v.versionAt == 0 {
			continue
		}
		next := max(v.newest, Version) + 1
		for version, want := range map[byte]error{0: coldstream.ErrCorrupt, next: coldstream.ErrUnsupported, 255: coldstream.ErrUnsupported} {
			b := readVector(t, v.file)
			b[v.versionAt] = version
			if _, err := v.again(b); !errors.Is(err, want) {
				t.Errorf("%s of version %d: error %v, want %v", v.file, version, err, want)
			}
			b[v.versionAt-1] ^= 0x20
			if _, err := v.again(b); !errors.Is(err, coldstream.ErrCorrupt) {
				t.Errorf("%s with another magic: error %v, want ErrCorrupt", v.file, err)
			}
		}
	}
}

// rejection is a change of a good value that makes it a bad one.
type rejection[T any] struct {
	name   string
	change func(T)
	want   error
	text   string
}

func checkRejections[T any](t *testing.T, good func() T, encode func(T) error, list []rejection[T]) {
	t.Helper()
	if err := encode(good()); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			v := good()
			c.change(v)
			err := encode(v)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q and %v", err, c.text, c.want)
			}
		})
	}
}

// The values that vectors and tests are made of.
var (
	testVault  = VaultID{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	testWriter = NewWriter(1_760_000_000_000, [6]byte{1, 2, 3, 4, 5, 6})
	testTime   = int64(1_760_000_001_234)
)

func testIncarnations() []coldstream.Incarnation {
	return []coldstream.Incarnation{
		{ClusterID: "4L6g3nShT-eMCtK--X86sw", Topic: "orders", TopicID: coldstream.TopicID{0xd0, 1, 2, 15: 9}},
		{ClusterID: "old", Topic: "payments", Number: 3},
	}
}

func testFrames() []Frame {
	return []Frame{
		{StoredLength: 700, DecodedLength: 5000, Hash: [16]byte{0: 1, 15: 2}},
		{StoredLength: 90, DecodedLength: 61, Hash: [16]byte{0: 3, 15: 4}},
	}
}

func testFacts(epoch uint32) Facts {
	return Facts{
		Incarnations: testIncarnations(),
		Streams:      []StreamRef{{0, 0}, {0, 7}, {1, 2147483647}},
		Packs:        []Pack{{ID: PackID{epoch, testWriter, 5}, SizeBytes: 1234, Frames: testFrames()}},
		Scans:        []Scan{{Stream: 0, Number: 0, FirstOffset: 95, StartedMs: testTime - 10}, {Stream: 2, Number: 4, FirstOffset: 0, StartedMs: -1}},
		Rows: []Row{
			{
				Stream: 0, FirstOffset: 100, NextOffset: 200, Pack: 0, Frame: 0, Offset: 0, Length: 4000,
				BaseOffset: 98, Epochs: []EpochStart{{0, 98}, {3, 150}}, MaxTimestampMs: testTime, CommitMs: testTime + 1,
				Batches: 7, Records: 88, MaxBatchBytes: 1000,
				Markers:      []Marker{{120, 4000, 2, true}, {199, 4001, 0, false}},
				Transactions: []TransactionStart{{4000, 2, 98}, {4001, 0, 160}},
			},
			{Stream: 0, FirstOffset: 200, NextOffset: 230, BaseOffset: 200, MaxTimestampMs: -1, CommitMs: testTime + 1},
			{
				Stream: 2, Scan: 4, FirstOffset: 0, NextOffset: 1, Frame: 1, Length: 61, MaxTimestampMs: -1,
				CommitMs: testTime + 1, Batches: 1, MaxBatchBytes: 61,
			},
		},
		Gaps: []Gap{
			{Stream: 0, FirstOffset: 95, NextOffset: 100, Cause: coldstream.GapLogStartAdvanced, TimeMs: testTime},
			{Stream: 1, Scan: 1, FirstOffset: 10, NextOffset: 11, Cause: coldstream.GapTruncated, TimeMs: testTime},
			{Stream: 2, Scan: 4, FirstOffset: 1, NextOffset: 1 << 62, Cause: coldstream.GapTopicDeleted, TimeMs: testTime},
		},
	}
}

func testSnapshot(epoch uint32) *Snapshot {
	return &Snapshot{
		ID: SnapshotID{0xca, 0xfe, 7: 1}, TimeMs: testTime, ClusterID: "4L6g3nShT-eMCtK--X86sw", SizeBytes: 4061,
		Views: []View{
			{Stream: 0, LogStartOffset: 100, NextOffset: 230, LastEpoch: 3},
			{Stream: 2, Scan: 4, LogStartOffset: 0, NextOffset: 0, LastEpoch: -1},
		},
		Sections: []SectionRef{
			{Name: "cluster", Table: TableID{Epoch: epoch, Hash: HashOf([]byte("cluster"))}, SizeBytes: 321},
			{Name: "groups", Missing: "the coordinator did not answer"},
		},
	}
}
