package vault

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// survey is one listing of commits, marks of damage, epochs and perhaps packs, in place of
// one for each: on object storage every listing costs as much as a write, and time.
//
// Commits stand before epochs in it. So a commit that was there before the survey began is
// in it, and the newest epoch of the survey is at least as new as the epoch of any commit in
// it: what an epoch later than that commit says of it was made after the epoch's begin. The
// look after all was read, which no survey can answer, is as it was.
type survey struct{ entries []blob.Entry }

// Where surveys end: before packs, or behind them.
const (
	untilPacks  = format.PacksPrefix
	untilTheEnd = format.RestoresPrefix
)

// surveyUntil lists the keys before another one.
func (v *Vault) surveyUntil(ctx context.Context, last string) (*survey, error) {
	s := &survey{}
	for entry, err := range v.objects.List(ctx, "", "") {
		if err != nil {
			return nil, fmt.Errorf("list the vault: %w", err)
		}
		if entry.Key >= last {
			break
		}
		s.entries = append(s.entries, entry)
	}
	return s, nil
}

// list is [blob.Store.List] of what the survey saw.
func (s *survey) list(prefix, after string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		for _, entry := range s.entries {
			if entry.Key > after && strings.HasPrefix(entry.Key, prefix) && !yield(entry, nil) {
				return
			}
		}
	}
}

// listed lists what the survey saw, or where there is none what is there now.
func (v *Vault) listed(ctx context.Context, s *survey, prefix, after string) iter.Seq2[blob.Entry, error] {
	if s == nil {
		return v.objects.List(ctx, prefix, after)
	}
	return s.list(prefix, after)
}

// firstLook is the look before an epoch is read. Where requests cost, it lists at once what
// else is listed then.
func (v *Vault) firstLook(ctx context.Context, opts *catalogOptions) (*epochsFound, error) {
	if !v.objects.IsFar() {
		return v.look(ctx, 0)
	}
	last := untilPacks
	if !opts.reader { // who writes looks for packs that are missing
		last = untilTheEnd
	}
	var err error
	if opts.survey, err = v.surveyUntil(ctx, last); err != nil {
		return nil, err
	}
	return findEpochs(opts.survey.list(format.EpochsPrefix, ""), 0)
}

// lookAgain is the look after: whether an epoch is still the newest, and has the base that
// it had. Where listings cost, the two objects of the next epoch are asked for by name: an
// epoch begins with one of them, neither is ever taken away while its epoch is the newest,
// and both would have to be lost for the answer to be wrong.
func (v *Vault) lookAgain(ctx context.Context, found *epochsFound) (*epochsFound, error) {
	if !v.objects.IsFar() || !found.base || !found.begun {
		return v.look(ctx, found.newest)
	}
	next := []string{format.BegunKey(found.newest + 1), format.BaseKey(found.newest + 1)}
	areThere := make([]bool, len(next))
	err := v.each(ctx, len(next), func(ctx context.Context, i int) (err error) {
		if areThere[i], err = v.objects.IsThere(ctx, next[i]); err != nil {
			return fmt.Errorf("look for a newer epoch: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if slices.Contains(areThere, true) {
		return v.look(ctx, found.newest)
	}
	still := *found
	return &still, nil
}
