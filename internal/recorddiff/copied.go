package recorddiff

import (
	"context"
	"fmt"
)

// Placement says what is known of the offsets of a copy.
type Placement int

// The placements of a copy.
const (
	SameOffsets  Placement = iota // each record is where its original was
	OtherOffsets                  // records are in the same order, and may be elsewhere
)

// Copied holds a whole copy, as a restore makes one, against its original. Each committed record
// of the original must be in the copy, in order, and nothing else: nothing is forgiven as in
// [Partition]. Offsets of the result are the original's, but for records that only the copy has.
func Copied(ctx context.Context, original, copied *Side, at Placement, told func(offsets, bytes int64)) (*Result, error) {
	whole := Range{original.LogStartOffset, original.NextOffset}
	m := &meeting{result: &Result{Range: whole}, left: original, right: copied, told: told, at: whole.FirstOffset}
	err := m.runCopy(ctx, at)
	m.tell(whole.NextOffset)
	return m.result, err
}

func (m *meeting) runCopy(ctx context.Context, at Placement) error {
	a, err := newCursor(ctx, m.left, Range{m.left.LogStartOffset, m.left.NextOffset})
	if err != nil {
		return fmt.Errorf("read the original: %w", err)
	}
	defer a.stop()
	b, err := newCursor(ctx, m.right, Range{m.right.LogStartOffset, m.right.NextOffset})
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	defer b.stop()
	for a.has || b.has {
		var left, right bool
		switch {
		case a.has && a.record.Uncommitted:
			left = true
		case !b.has || a.has && at == SameOffsets && a.record.Offset < b.record.Offset:
			m.differ(a.record.Offset, MissingRight, "")
			left = true
		case !a.has || at == SameOffsets && b.record.Offset < a.record.Offset:
			m.differ(b.record.Offset, MissingLeft, "")
			right = true
		default:
			m.both(&a.record, &b.record)
			left, right = true, true
		}
		if left {
			if err := a.advance(); err != nil {
				return fmt.Errorf("read the original: %w", err)
			}
		}
		if right {
			if err := b.advance(); err != nil {
				return fmt.Errorf("read the copy: %w", err)
			}
		}
	}
	return nil
}
