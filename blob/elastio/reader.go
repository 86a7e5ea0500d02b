package elastio

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reader reads recovery points that others made.
type Reader struct{ program *program }

// NewReader calls the program of the given name or path; "elastio" if it is empty.
func NewReader(name string) *Reader {
	return &Reader{&program{path: withDefault(name, "elastio"), stall: defaultStall, pause: time.Second}}
}

// Tagged lists the recovery points with a tag, ordered by the times that the tags of the
// Python original name, as far as there are any.
func (r *Reader) Tagged(ctx context.Context, key, value string) ([]string, error) {
	points, err := r.program.tagged(ctx, key, value)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(cmp.Compare(firstTime(a), firstTime(b)), strings.Compare(a.id, b.id))
	})
	var out []string
	for _, at := range points {
		out = append(out, at.id)
	}
	return out, nil
}

func firstTime(at point) int64 {
	first := int64(0)
	for name, value := range at.tags {
		ms, err := strconv.ParseInt(value, 10, 64)
		if err == nil && ms > 0 && strings.HasSuffix(name, "_first_msg_timestamp") && (first == 0 || ms < first) {
			first = ms
		}
	}
	return first
}

// Open reads a recovery point. Its end is io.EOF only where the program says that it gave all.
func (r *Reader) Open(ctx context.Context, id string) (io.ReadCloser, error) {
	if err := CheckID(id); err != nil {
		return nil, err
	}
	return r.program.restore(ctx, id)
}

// CheckID refuses what cannot be the ID of a recovery point.
func CheckID(id string) error {
	if !pointID.MatchString(id) {
		return fmt.Errorf("%q is no ID of a recovery point, such as rp-01h8…", id)
	}
	return nil
}
