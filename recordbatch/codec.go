package recordbatch

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"coldstream"
)

// ErrTooLarge means that decoded records pass the limit that the caller set.
var ErrTooLarge = fmt.Errorf("decoded, the records take more memory than allowed: %w", coldstream.ErrUnsupported)

// maxZstdWindow is the largest window that Kafka's clients and brokers read.
const maxZstdWindow = 128 << 20

// Decoder decodes batches; it keeps its decompressors for the next one. It is used by
// one goroutine at a time.
type Decoder struct {
	zstd *zstd.Decoder
	gzip *gzip.Reader
	lz4  *lz4.Reader
}

// NewDecoder makes a decoder; its memory is taken when it is first used.
func NewDecoder() *Decoder { return &Decoder{} }

// decompress returns the decoded payload, of at most limit bytes. It aliases the input
// if that is not compressed.
func (d *Decoder) decompress(codec Codec, payload []byte, limit int64) ([]byte, error) {
	var from io.Reader
	var err error
	switch codec {
	case CodecNone:
		if int64(len(payload)) > limit {
			return nil, ErrTooLarge
		}
		return payload, nil
	case CodecSnappy:
		return decodeSnappy(payload, limit)
	case CodecGzip:
		from, err = d.gzipReader(payload)
	case CodecLZ4:
		from = d.lz4Reader(bytes.NewReader(payload))
	case CodecZstd:
		from, err = d.zstdReader(payload)
	default:
		return nil, fmt.Errorf("records compressed with %s: %w", codec, coldstream.ErrUnsupported)
	}
	if err != nil {
		return nil, corruptf("decompress %s records: %v", codec, err)
	}
	return d.read(codec, from, limit)
}

// read reads all that a decompressor gives, if that is not more than limit bytes. It
// doubles its memory, but never beyond the limit, as a bytes.Buffer would.
func (d *Decoder) read(codec Codec, from io.Reader, limit int64) ([]byte, error) {
	limit = max(0, min(limit, math.MaxInt-1))
	out := make([]byte, 0, min(firstRead, limit+1)) // one more byte tells that there are more
	for {
		n, err := from.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case int64(len(out)) > limit, errors.Is(err, zstd.ErrWindowSizeExceeded):
			return nil, ErrTooLarge
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, corruptf("decompress %s records: %v", codec, err)
		case len(out) == cap(out):
			larger := make([]byte, len(out), min(2*int64(cap(out)), limit+1))
			copy(larger, out)
			out = larger
		}
	}
}

const firstRead = 16 << 10

func (d *Decoder) gzipReader(payload []byte) (io.Reader, error) {
	if d.gzip == nil {
		r, err := gzip.NewReader(bytes.NewReader(payload))
		d.gzip = r
		return r, err
	}
	return d.gzip, d.gzip.Reset(bytes.NewReader(payload))
}

func (d *Decoder) lz4Reader(payload io.Reader) io.Reader {
	if d.lz4 == nil {
		d.lz4 = lz4.NewReader(nil)
	}
	d.lz4.Reset(payload)
	return d.lz4
}

// zstdReader decodes as a stream, so that reading can stop at a limit. That takes the
// window that a frame claims, once per decoder.
func (d *Decoder) zstdReader(payload []byte) (io.Reader, error) {
	if d.zstd == nil {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, err
		}
		d.zstd = r
	}
	return d.zstd, d.zstd.Reset(bytes.NewReader(payload))
}

// xerialMagic begins what Java's snappy streams write: a header, then blocks with their
// lengths in front. Other clients write one plain block.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0} //nolint:gochecknoglobals // a constant

const (
	xerialHeader = 16
	xerialBlock  = 32 << 10
)

// decodeSnappy adds up what the blocks say, and takes memory once.
func decodeSnappy(payload []byte, limit int64) ([]byte, error) {
	size := int64(0)
	err := eachSnappyBlock(payload, func(block []byte) error {
		n, err := s2.DecodedLen(block)
		if err != nil {
			return err
		}
		// Snappy cannot expand a byte to more than 64: a length that lies costs nothing.
		if size += int64(n); n > 64*len(block) {
			return fmt.Errorf("%d bytes out of %d", n, len(block))
		}
		if size > limit {
			return ErrTooLarge
		}
		return nil
	})
	var out []byte
	if err == nil {
		out = make([]byte, 0, size)
		err = eachSnappyBlock(payload, func(block []byte) error {
			decoded, err := s2.Decode(out[len(out):cap(out)], block)
			out = out[:len(out)+len(decoded)] // they are there already
			return err
		})
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, corruptf("decompress snappy records: %v", err)
	}
	return out, nil
}

func eachSnappyBlock(payload []byte, do func(block []byte) error) error {
	if !bytes.HasPrefix(payload, xerialMagic) {
		return do(payload)
	}
	if len(payload) < xerialHeader {
		return errors.New("short header")
	}
	for rest := payload[xerialHeader:]; len(rest) > 0; {
		if len(rest) < 4 {
			return errors.New("short block")
		}
		n := uint64(binary.BigEndian.Uint32(rest))
		if n > uint64(len(rest)-4) {
			return fmt.Errorf("block of %d bytes where %d are left", n, len(rest)-4)
		}
		if err := do(rest[4 : 4+n]); err != nil {
			return err
		}
		rest = rest[4+n:]
	}
	return nil
}

// compress writes records as Java's producer would.
func compress(codec Codec, raw []byte) ([]byte, error) {
	var out bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case CodecNone:
		return raw, nil
	case CodecSnappy:
		return encodeSnappy(raw), nil
	case CodecGzip:
		w = gzip.NewWriter(&out)
	case CodecLZ4:
		z := lz4.NewWriter(&out)
		if err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1)); err != nil {
			return nil, fmt.Errorf("make lz4 writer: %w", err)
		}
		w = z
	case CodecZstd:
		z, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, fmt.Errorf("make zstd writer: %w", err)
		}
		w = z
	default:
		return nil, fmt.Errorf("compress records with %s: %w", codec, coldstream.ErrUnsupported)
	}
	_, err := w.Write(raw)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("compress records with %s: %w", codec, err)
	}
	return out.Bytes(), nil
}

func encodeSnappy(raw []byte) []byte {
	out := append([]byte{}, xerialMagic...)
	out = append(out, 0, 0, 0, 1, 0, 0, 0, 1)
	for len(raw) > 0 {
		n := min(len(raw), xerialBlock)
		block := s2.EncodeSnappy(nil, raw[:n])
		out = binary.BigEndian.AppendUint32(out, uint32(len(block)))
		out, raw = append(out, block...), raw[n:]
	}
	return out
}
