package vault

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"coldstream/blob/mem"
	"coldstream/recordbatch"
)

// TestReadingWithoutUs reads packs with nothing of ours: a zstd that knows only its own
// format, and Kafka's own tool for log segments.
func TestReadingWithoutUs(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Kafka's jars: run without -short")
	}
	k := newKit(t, mem.New())
	s := stream("orders", 0)
	var pieces []Piece
	var want []string
	at := int64(100)
	for i, codec := range []recordbatch.Codec{
		recordbatch.CodecNone, recordbatch.CodecGzip, recordbatch.CodecSnappy, recordbatch.CodecLZ4, recordbatch.CodecZstd, recordbatch.CodecNone,
	} {
		// Enough of each kind that they do not share a block, and blocks in several frames.
		n := 3000
		if i == 0 {
			n = 9000
		}
		for range n / 500 {
			b := batchOf(t, at, 500, 4, codec)
			pieces = append(pieces, Piece{FirstOffset: at, NextOffset: b.NextOffset(), Batches: b})
			for range 500 {
				want = append(want, fmt.Sprintf("%d key-%d value of offset %d in epoch 4", at, at, at))
				at++
			}
		}
	}
	pieces = append(pieces, Piece{FirstOffset: at, NextOffset: at + 1, Batches: markerOf(t, at, 77, 1)})
	k.commit(k.writer(), Changes{Data: []StreamData{{Stream: s, Pieces: pieces}}, Scans: begin(s, 100)})
	packs := keys(t, k.store, "packs/")
	if len(packs) != 1 {
		t.Fatalf("packs: %v", packs)
	}
	log := unzstd(t, body(t, k.store, packs[0]))
	file := filepath.Join(t.TempDir(), "00000000000000000000.log")
	if err := os.WriteFile(file, log, 0o600); err != nil {
		t.Fatal(err)
	}
	dump, err := real.Cluster(t).DumpLog(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(dump, []byte("isvalid: false")) || !bytes.Contains(dump, []byte("endTxnMarker: COMMIT")) {
		t.Errorf("Kafka finds bad batches, or no marker:\n%s", dump)
	}
	if diff := cmp.Diff(want, records(dump)); diff != "" {
		t.Errorf("records: %s", diff)
	}
	t.Logf("%d records in %d batches and a marker, read by kafka-dump-log out of a pack of %d bytes",
		len(want), len(pieces)-1, len(body(t, k.store, packs[0])))
}

// unzstd decompresses with the command line tool, or where there is none with another's
// library, as a plain stream.
func unzstd(t *testing.T, pack []byte) []byte {
	t.Helper()
	if tool, err := exec.LookPath("zstd"); err == nil {
		cmd := exec.CommandContext(t.Context(), tool, "-d", "-c")
		cmd.Stdin = bytes.NewReader(pack)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", tool, err, stderr.Bytes())
		}
		t.Logf("decompressed by %s", tool)
		return out
	}
	r, err := zstd.NewReader(bytes.NewReader(pack))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Log("decompressed by the library github.com/klauspost/compress: no zstd command was found")
	return out
}

var dumped = regexp.MustCompile(`^\| offset: (\d+) .*? key: (.*) payload: (.*)$`)

func records(dump []byte) []string {
	var out []string
	for line := range strings.Lines(string(dump)) {
		if m := dumped.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			out = append(out, m[1]+" "+m[2]+" "+m[3])
		}
	}
	return out
}
