package recorddiff_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream/internal/recorddiff"
)

// A copy that was made for a comparison is forgiven nothing.
func TestCopied(t *testing.T) {
	for name, test := range map[string]struct {
		original, copied *recorddiff.Side
		at               recorddiff.Placement
		want             recorddiff.Result
	}{
		"the same": {
			original: side(3, 7, "a bc"), copied: side(3, 7, "a bc"),
			want: recorddiff.Result{Range: recorddiff.Range{FirstOffset: 3, NextOffset: 7}, Records: 3},
		},
		"what was not committed is left out": {
			original: side(0, 4, "aubu"), copied: side(0, 4, "a b "),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 4}, Records: 2},
		},
		"what was not committed came back": {
			original: side(0, 3, "aub"), copied: side(0, 3, "aub"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 2, First: 1, Kind: recorddiff.MissingLeft, Count: 1},
		},
		"one is missing at the end": {
			original: side(0, 3, "abc"), copied: side(0, 2, "ab"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 2, First: 2, Kind: recorddiff.MissingRight, Count: 1},
		},
		"one is missing at the start": {
			original: side(0, 3, "abc"), copied: side(1, 3, "bc"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 2, First: 0, Kind: recorddiff.MissingRight, Count: 1},
		},
		"one too many": {
			original: side(0, 2, "ab"), copied: side(0, 3, "abc"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 2}, Records: 2, First: 2, Kind: recorddiff.MissingLeft, Count: 1},
		},
		"moved": {
			original: side(0, 3, "ab "), copied: side(0, 3, "a b"),
			want: recorddiff.Result{Range: recorddiff.Range{NextOffset: 3}, Records: 1, First: 1, Kind: recorddiff.MissingRight, Count: 2},
		},
		"moved, and may be": {
			original: side(5, 10, "a ubc"), copied: side(0, 3, "abc"), at: recorddiff.OtherOffsets,
			want: recorddiff.Result{Range: recorddiff.Range{FirstOffset: 5, NextOffset: 10}, Records: 3},
		},
		"moved, and not the same": {
			original: side(5, 8, "abc"), copied: side(0, 3, "axc"), at: recorddiff.OtherOffsets,
			want: recorddiff.Result{Range: recorddiff.Range{FirstOffset: 5, NextOffset: 8}, Records: 2, First: 6, Kind: recorddiff.Content, Detail: "value", Count: 1},
		},
		"moved, and one is missing": {
			original: side(5, 8, "abc"), copied: side(0, 2, "ab"), at: recorddiff.OtherOffsets,
			want: recorddiff.Result{Range: recorddiff.Range{FirstOffset: 5, NextOffset: 8}, Records: 2, First: 7, Kind: recorddiff.MissingRight, Count: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			test.original.Compacted, test.copied.Compacted = true, true // which excuses nothing here
			got, err := recorddiff.Copied(t.Context(), test.original, test.copied, test.at, func(int64, int64) {})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A side that cannot be read to its end is never the same.
func TestCopiedThatCannotBeRead(t *testing.T) {
	for name, sides := range map[string][2]*recorddiff.Side{
		"original": {side(0, 3, "ab!"), side(0, 3, "abc")},
		"copy":     {side(0, 3, "abc"), side(0, 3, "ab!")},
	} {
		if got, err := recorddiff.Copied(t.Context(), sides[0], sides[1], recorddiff.SameOffsets, func(int64, int64) {}); err == nil {
			t.Errorf("%s: %+v, and no error", name, got)
		}
	}
}
