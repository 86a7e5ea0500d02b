// Package elastiolegacy reads recovery points as the Python original of this tool wrote
// them, a line of JSON for each record, and shows them as a cluster that can be backed up.
package elastiolegacy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"coldstream"
)

// ClusterID stands for the cluster, whose real ID the recovery points do not tell.
const ClusterID = "elastio-legacy"

// Problem is a line that fits nothing. It was left out.
type Problem struct {
	RecoveryPoint string
	Line          int64 // from 1 on
	Reason        string
}

// keptProblems is how many problems are kept of all points; the rest is counted.
const keptProblems = 1000

// Import is recovery points in a spool.
type Import struct {
	dir    string
	points []*pointFile // in the order in which they were added
	// Problems are lines that were left out; MoreProblems counts those not kept.
	Problems     []Problem
	MoreProblems int64
	Records      int64
}

// pointFile is the records of one recovery point.
type pointFile struct {
	id         string
	path       string
	partitions map[coldstream.TopicPartition]*pieces
}

// pieces is where the records of a partition lie in a point's file, ascending by offset.
type pieces struct {
	extents     [][2]int64 // from, to
	firstOffset int64
	lastOffset  int64
}

// New makes an empty import that keeps its records in files under dir, which is the caller's.
func New(dir string) *Import { return &Import{dir: dir} }

// Add reads a recovery point to its end.
func (im *Import) Add(ctx context.Context, id string, r io.Reader) (err error) {
	p := &pointFile{id: id, path: filepath.Join(im.dir, strconv.Itoa(len(im.points))), partitions: map[coldstream.TopicPartition]*pieces{}}
	f, err := os.OpenFile(p.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep recovery point %s: %w", id, err)
	}
	out := bufio.NewWriterSize(f, 1<<20)
	err = im.readLines(ctx, p, bufio.NewReaderSize(r, 1<<20), out)
	if err == nil {
		err = out.Flush()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("recovery point %s: %w", id, err)
	}
	im.points = append(im.points, p)
	return nil
}

func (im *Import) readLines(ctx context.Context, p *pointFile, in *bufio.Reader, out io.Writer) error {
	var buf, record []byte
	at := int64(0)
	for number := int64(1); ; number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := readLine(in, buf[:0])
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTooLong):
		case err != nil:
			return err
		case len(text) == 0:
			continue // an empty line is no record
		}
		buf = text
		l, reason := p.accept(text, err)
		if reason != nil {
			im.leaveOut(Problem{p.id, number, reason.Error()})
			continue
		}
		record = appendRecord(record[:0], &l.Absolute)
		if _, err := out.Write(record); err != nil {
			return err
		}
		p.place(l, at, at+int64(len(record)))
		at += int64(len(record))
		im.Records++
	}
}

var errTooLong = fmt.Errorf("it is longer than %d bytes", maxLine)

// readLine reads a line without its end. One that is too long is passed over, and is
// errTooLong; behind the last one is io.EOF.
func readLine(in *bufio.Reader, buf []byte) ([]byte, error) {
	var tooLong error
	for read := 0; ; {
		piece, err := in.ReadSlice('\n')
		read += len(piece)
		if len(buf)+len(piece) > maxLine {
			tooLong, buf = errTooLong, buf[:0]
		}
		if tooLong == nil {
			buf = append(buf, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (read == 0 || !errors.Is(err, io.EOF)):
			return buf, err
		}
		return bytes.TrimSuffix(buf, []byte("\n")), tooLong
	}
}

// accept reads a line, which must go on behind the one before of its partition.
func (p *pointFile) accept(text []byte, readErr error) (*line, error) {
	if readErr != nil {
		return nil, readErr
	}
	l, err := parseLine(text)
	if err != nil {
		return nil, err
	}
	if before := p.partitions[l.TopicPartition]; before != nil && l.Offset <= before.lastOffset {
		return nil, fmt.Errorf("offset %d of %s comes after offset %d", l.Offset, l.TopicPartition, before.lastOffset)
	}
	return l, nil
}

// place notes where a record lies.
func (p *pointFile) place(l *line, from, to int64) {
	of := p.partitions[l.TopicPartition]
	if of == nil {
		of = &pieces{firstOffset: l.Offset}
		p.partitions[l.TopicPartition] = of
	}
	of.lastOffset = l.Offset
	if n := len(of.extents); n > 0 && of.extents[n-1][1] == from {
		of.extents[n-1][1] = to
		return
	}
	of.extents = append(of.extents, [2]int64{from, to})
}

func (im *Import) leaveOut(problem Problem) {
	if len(im.Problems) >= keptProblems {
		im.MoreProblems++
		return
	}
	im.Problems = append(im.Problems, problem)
}

// Topics are the topics of all points, sorted.
func (im *Import) Topics() []string {
	all := map[string]bool{}
	for _, p := range im.points {
		for tp := range p.partitions {
			all[tp.Topic] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// pointsOf are the points that have records of a topic.
func (im *Import) pointsOf(topic string) []*pointFile {
	var out []*pointFile
	for _, p := range im.points {
		for tp := range p.partitions {
			if tp.Topic == topic {
				out = append(out, p)
				break
			}
		}
	}
	return out
}
