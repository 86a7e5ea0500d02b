package elastio

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// A recovery point is a tar of objects under their keys. Its first entry may be a
// manifest, its last one says what came before: a point without it was cut off.
const (
	manifestName = "coldstream/manifest.json"
	sealName     = "coldstream/end.json"
	maxManifest  = 256 << 20
	maxSeal      = 4 << 10
)

var errCut = errors.New("it ends before its end, or differs from what was written")

// boxSeal is the last entry.
type boxSeal struct {
	Entries int    `json:"entries"`
	SHA256  string `json:"sha256"` // of all names, sizes and contents before
}

// digester hashes entries as they are written or read.
type digester struct {
	hash    hash.Hash
	entries int
}

func newDigester() *digester { return &digester{hash: sha256.New()} }

func (d *digester) begin(name string, size int64) {
	var lengths [16]byte
	binary.BigEndian.PutUint64(lengths[:8], uint64(len(name)))
	binary.BigEndian.PutUint64(lengths[8:], uint64(size))
	d.hash.Write(lengths[:])
	d.hash.Write([]byte(name))
	d.entries++
}

func (d *digester) seal() boxSeal {
	return boxSeal{Entries: d.entries, SHA256: hex.EncodeToString(d.hash.Sum(nil))}
}

// boxWriter writes the entries of a recovery point.
type boxWriter struct {
	tar    *tar.Writer
	digest *digester
}

func newBoxWriter(w io.Writer) *boxWriter { return &boxWriter{tar.NewWriter(w), newDigester()} }

// add writes an entry of size bytes that body has.
func (w *boxWriter) add(name string, size int64, body io.Reader) error {
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444}); err != nil {
		return err
	}
	w.digest.begin(name, size)
	_, err := io.CopyN(io.MultiWriter(w.tar, w.digest.hash), body, size)
	return err
}

// finish writes what makes the box whole.
func (w *boxWriter) finish() error {
	body, err := json.Marshal(w.digest.seal())
	if err != nil {
		return err
	}
	if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: sealName, Size: int64(len(body)), Mode: 0o444}); err != nil {
		return err
	}
	if _, err := w.tar.Write(body); err != nil {
		return err
	}
	return w.tar.Close()
}

// boxReader reads the entries of a recovery point one after the other.
type boxReader struct {
	tar    *tar.Reader
	from   *counter
	digest *digester
}

// counter knows how far a stream was read. It hides what else the stream can do, so that
// tar reads it byte after byte.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func newBoxReader(r io.Reader) *boxReader {
	from := &counter{r: r}
	return &boxReader{tar: tar.NewReader(from), from: from, digest: newDigester()}
}

// entry is one object in a box. Its body ends with the next call of next.
type entry struct {
	name   string
	size   int64
	offset int64 // of the body in the box
	body   io.Reader
}

// next returns the next entry, or io.EOF behind the last of a box that is whole. The
// bodies of all entries before must have been read.
func (r *boxReader) next() (*entry, error) {
	h, err := r.tar.Next()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, tar.ErrHeader):
		return nil, fmt.Errorf("%w: %w", errCut, err)
	case err != nil:
		return nil, err
	case h.Typeflag != tar.TypeReg || h.Size < 0:
		return nil, fmt.Errorf("%w: entry %q is no object", errCut, h.Name)
	}
	if h.Name == sealName {
		return nil, r.check(h.Size)
	}
	r.digest.begin(h.Name, h.Size)
	return &entry{h.Name, h.Size, r.from.n, io.TeeReader(r.tar, r.digest.hash)}, nil
}

// check compares what was read with what the box says, and reads the stream to its end:
// only then does the program say that it gave all.
func (r *boxReader) check(size int64) error {
	if size > maxSeal {
		return fmt.Errorf("%w: its last entry has %d bytes", errCut, size)
	}
	body, err := io.ReadAll(r.tar)
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	var seal boxSeal
	if err := json.Unmarshal(body, &seal); err != nil || seal != r.digest.seal() {
		return errCut
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(r.from, 1<<20)); err != nil {
		return err
	}
	return io.EOF
}
