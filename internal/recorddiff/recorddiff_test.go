package recorddiff_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/internal/recorddiff"
	"coldstream/recordbatch"
)

// side has a record at each offset that is given, with the offset's letter for a value.
func side(first, next int64, values string) *recorddiff.Side {
	return &recorddiff.Side{LogStartOffset: first, NextOffset: next, Records: func(_ context.Context, from, to int64) iter.Seq2[recorddiff.Record, error] {
		return func(yield func(recorddiff.Record, error) bool) {
			for i, value := range values {
				offset := first + int64(i)
				if value == ' ' || offset < from || offset >= to {
					continue
				}
				if value == '!' {
					yield(recorddiff.Record{}, errors.New("cut off"))
					return
				}
				r := recordbatch.Absolute{Offset: offset, Value: []byte(string(value))}
				if !yield(recorddiff.Record{Absolute: r, Uncommitted: value == 'u'}, nil) {
					return
				}
			}
		}
	}}
}

func TestPartition(t *testing.T) {
	for name, test := range map[string]struct {
		left, right *recorddiff.Side
		compacted   bool
		gaps        []coldstream.Gap // of the right side
		want        recorddiff.Result
	}{
		"same": {
			left: side(0, 3, "abc"), right: side(0, 3, "abc"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 3},
		},
		"outside of what both have": {
			left: side(0, 3, "abc"), right: side(1, 5, "bcde"),
			want: recorddiff.Result{
				Range: recorddiff.Range{FirstOffset: 1, NextOffset: 3}, Records: 2,
				LeftOnly: []recorddiff.Range{{NextOffset: 1}}, RightOnly: []recorddiff.Range{{FirstOffset: 3, NextOffset: 5}},
			},
		},
		"nothing in common": {
			left: side(0, 2, "ab"), right: side(5, 7, "fg"),
			want: recorddiff.Result{
				Range:    recorddiff.Range{FirstOffset: 5, NextOffset: 5},
				LeftOnly: []recorddiff.Range{{NextOffset: 2}}, RightOnly: []recorddiff.Range{{FirstOffset: 5, NextOffset: 7}},
			},
		},
		"other content": {
			left: side(0, 4, "abcd"), right: side(0, 4, "axcx"),
			want: recorddiff.Result{
				Range: recorddiff.Range{NextOffset: 4}, Records: 2, First: 1, Kind: recorddiff.Content, Detail: "value", Count: 2,
			},
		},
		"missing on the right": {
			left: side(0, 3, "abc"), right: side(0, 3, "a c"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 2, First: 1, Kind: recorddiff.MissingRight, Count: 1},
		},
		"missing on the left": {
			left: side(0, 3, "ab "), right: side(0, 3, "abc"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 2, First: 2, Kind: recorddiff.MissingLeft, Count: 1},
		},
		"compacted away": {
			left: side(0, 3, "abc"), right: side(0, 3, "  c"), compacted: true,
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 1, Compacted: 2},
		},
		"compacted, and other content": {
			left: side(0, 3, "abc"), right: side(0, 3, "  x"), compacted: true,
			want: recorddiff.Result{
				Range: recorddiff.Range{NextOffset: 3}, Compacted: 2, First: 2, Kind: recorddiff.Content, Detail: "value", Count: 1,
			},
		},
		"not committed": {
			left: side(0, 3, "auc"), right: side(0, 3, "a c"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 2, LeftOut: 1},
		},
		"in a gap": {
			left: side(0, 3, "abc"), right: side(0, 3, "a c"), gaps: []coldstream.Gap{{FirstOffset: 1, NextOffset: 2}},
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 2, Unknown: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.right.Compacted, test.right.Gaps = test.compacted, test.gaps
			passed := int64(0)
			got, err := recorddiff.Partition(t.Context(), test.left, test.right, func(offsets, _ int64) { passed += offsets })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if passed != got.NextOffset-got.FirstOffset {
				t.Errorf("told of %d offsets, compared %d", passed, got.NextOffset-got.FirstOffset)
			}
		})
	}
}

func TestPartitionEndsWithAnErrorOfASide(t *testing.T) {
	_, err := recorddiff.Partition(t.Context(), side(0, 3, "abc"), side(0, 3, "a!c"), func(int64, int64) {})
	if err == nil {
		t.Error("a side that was cut off counts as compared")
	}
	_, err = recorddiff.Partition(t.Context(), side(0, 2, "ab"), &recorddiff.Side{NextOffset: 2, Records: twice}, func(int64, int64) {})
	if !errors.Is(err, coldstream.ErrCorrupt) {
		t.Errorf("an offset that comes twice: %v", err)
	}
}

func twice(context.Context, int64, int64) iter.Seq2[recorddiff.Record, error] {
	return func(yield func(recorddiff.Record, error) bool) {
		r := recorddiff.Record{Absolute: recordbatch.Absolute{Value: []byte("a")}}
		if yield(r, nil) {
			yield(r, nil)
		}
	}
}
