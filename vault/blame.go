package vault

import (
	"errors"
	"fmt"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
)

// lostRanges blames what of the catalog cannot be read for ranges that no row covers.
func lostRanges(stream coldstream.Stream, damage []*DamageError, lost []lineage.Range) []*DamageError {
	var out []*DamageError
	for _, r := range lost {
		out = append(out, lostRange(stream, damage, r))
	}
	return out
}

// lostRange blames what of the catalog cannot be read; a commit that only does not join
// was read, and does not hold the range.
func lostRange(stream coldstream.Stream, damage []*DamageError, lost lineage.Range) *DamageError {
	d := &DamageError{Kind: KindMissing, Stream: stream, FirstOffset: lost.FirstOffset, NextOffset: lost.NextOffset,
		Object: format.AllCommits, Cause: errors.New("no readable commit holds these offsets")}
	suspects := 0
	for _, suspect := range damage {
		if suspect.Kind == KindDoesNotJoin || suspect.Stream.Topic != "" && suspect.Stream.Topic != stream.Topic {
			continue
		}
		if suspects++; suspects == 1 {
			d.Object, d.Kind = suspect.Object, suspect.Kind
			d.Cause = fmt.Errorf("no readable commit holds these offsets: %w", suspect.Cause)
		}
	}
	if suspects > 1 {
		d.Cause = fmt.Errorf("%w (%d objects of the catalog are damaged: any may have held them)", d.Cause, suspects)
	}
	return d
}
