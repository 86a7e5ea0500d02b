package elastiolegacy

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"coldstream"
	"coldstream/recordbatch"
)

// conflictError is two records at one offset.
type conflictError struct {
	coldstream.TopicPartition
	offset int64
}

func (e *conflictError) Error() string {
	return fmt.Sprintf("%s has two records at offset %d", e.TopicPartition, e.offset)
}

// reader reads a partition's records of one point.
type reader struct {
	file *os.File
	in   *bufio.Reader
	next recordbatch.Absolute
}

func (p *pointFile) open(tp coldstream.TopicPartition) (*reader, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	var parts []io.Reader
	for _, e := range p.partitions[tp].extents {
		parts = append(parts, io.NewSectionReader(f, e[0], e[1]-e[0]))
	}
	return &reader{file: f, in: bufio.NewReaderSize(io.MultiReader(parts...), 64<<10)}, nil
}

// advance reads the next record from an offset on; it is false at the end.
func (r *reader) advance(from int64) (bool, error) {
	for {
		next, err := readRecord(r.in)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if next.Offset >= from {
			r.next = next
			return true, nil
		}
	}
}

// merged yields the records of a partition from an offset on, each once, ascending. Two
// records at one offset end it with a [*conflictError].
func merged(points []*pointFile, tp coldstream.TopicPartition, from int64) iter.Seq2[recordbatch.Absolute, error] {
	return func(yield func(recordbatch.Absolute, error) bool) {
		var open []*reader
		defer func() {
			for _, r := range open {
				_ = r.file.Close() // it was only read
			}
		}()
		for _, p := range points {
			if of := p.partitions[tp]; of == nil || of.lastOffset < from {
				continue
			}
			r, err := p.open(tp)
			if err != nil {
				yield(recordbatch.Absolute{}, err)
				return
			}
			open = append(open, r)
		}
		mergeReaders(slices.Clone(open), tp, from, yield)
	}
}

func mergeReaders(live []*reader, tp coldstream.TopicPartition, from int64, yield func(recordbatch.Absolute, error) bool) {
	advance := func(r *reader, from int64) bool {
		more, err := r.advance(from)
		if err != nil {
			yield(recordbatch.Absolute{}, err)
			return false
		}
		if !more {
			live = slices.DeleteFunc(live, func(other *reader) bool { return other == r })
		}
		return true
	}
	for _, r := range slices.Clone(live) {
		if !advance(r, from) {
			return
		}
	}
	for len(live) > 0 {
		first := slices.MinFunc(live, func(a, b *reader) int { return cmp.Compare(a.next.Offset, b.next.Offset) }).next
		for _, r := range slices.Clone(live) {
			if r.next.Offset != first.Offset {
				continue
			}
			if !isSame(&r.next, &first) {
				yield(recordbatch.Absolute{}, &conflictError{tp, first.Offset})
				return
			}
			if !advance(r, from) {
				return
			}
		}
		if !yield(first, nil) {
			return
		}
	}
}

// span is a range of offsets that some point covers.
type span struct{ firstOffset, lastOffset int64 }

// spans are what the points cover of a partition. What lies between two of them was never
// saved; a hole inside is one that the log itself had.
func spans(points []*pointFile, tp coldstream.TopicPartition) []span {
	var all []span
	for _, p := range points {
		if of := p.partitions[tp]; of != nil {
			all = append(all, span{of.firstOffset, of.lastOffset})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.firstOffset, b.firstOffset) })
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && s.firstOffset <= out[n-1].lastOffset+1 {
			out[n-1].lastOffset = max(out[n-1].lastOffset, s.lastOffset)
			continue
		}
		out = append(out, s)
	}
	return out
}
