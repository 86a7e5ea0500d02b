// Package backup moves a Source into a vault: it decides what to fetch and when to
// commit. What has been saved is read from the vault's heads and kept nowhere else.
package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"coldstream"
	"coldstream/vault"
)

// Options say what a run backs up and how. The zero value of each field but Now is its
// default.
type Options struct {
	// Topics chooses the topics; nil takes all but internal ones.
	Topics *coldstream.Patterns
	// Interval is the longest time that fetched data waits for its commit while the run
	// goes on; 30 s by default.
	Interval time.Duration
	// BufferBytes bounds the fetched bytes that wait to be encoded; as many may be encoded
	// meanwhile. 12 MiB by default.
	BufferBytes int
	// PackBytes is what packs stay below, unless data suddenly compresses worse: then one may be
	// larger by what a full buffer becomes. One fills while two are stored. 24 MiB by default.
	PackBytes int
	// Name tells people which process it is: a program and its host. The vault keeps it.
	Name string
	// NoReadBack leaves out to decode what was encoded once more, and to compare it.
	NoReadBack bool
	// TurnAfter is how many commits an epoch of the vault may have before a run that ends
	// turns it, so that it stays quick to open; [vault.TurnAfter] by default. One with
	// [vault.TurnAfterBytes] of commits is turned whatever their number.
	TurnAfter int
	// Tags are what each snapshot is made with.
	Tags coldstream.Tags
	// MaxRate bounds the bytes of batches that are read in a second; 0 is no bound.
	MaxRate int64
	// NeverRescan names topics whose compacted partitions are not read again in full, though keys
	// that were deleted may come back at a restore then; nil names none. It may change its mind.
	NeverRescan func(topic string) bool
	// Now is the clock.
	Now func() time.Time
	// Observer is told of progress.
	Observer coldstream.Observer
}

// PartitionError is a partition, or with Partition -1 a whole topic, that could not be
// saved, and why.
type PartitionError struct {
	coldstream.TopicPartition
	Err error
}

// Fork reports that a log lost its end, which the vault holds, and went on differently:
// offsets from FirstOffset on that were saved before are kept apart.
type Fork struct {
	coldstream.TopicPartition
	Epoch       int32
	FirstOffset int64
	NextOffset  int64
}

// Result says what a run did. It is filled in as far as the run came, also when it
// returned an error.
type Result struct {
	Snapshot  vault.SnapshotID // zero if none was made
	VaultHash string
	// SnapshotTime and ParentTime are those of the snapshot and of the one that it was built
	// on directly; the latter is zero if there is none.
	SnapshotTime, ParentTime time.Time

	TopicCount, PartitionCount  int
	Batches, Records, BytesRead int64
	BytesStored, ObjectsStored  int64

	Gaps  []coldstream.Gap
	Forks []Fork
	// Rescanned are compacted partitions that were read again in full, because tombstones may
	// have been missed.
	Rescanned []Rescanned
	// MayRescan are, of a dry run, those of which only reading what is new can tell.
	MayRescan []coldstream.TopicPartition
	Failed    []PartitionError
	Denied    []PartitionError
	// GroupsMissing are the consumer groups that the snapshot lacks.
	GroupsMissing []coldstream.MissingGroups
	// Healed is what was fetched again because its copies in the vault were damaged. Of
	// the counts above only the last two contain it.
	Healed []Healed
	// Damage is what of the vault's catalog could not be read, and what of the chosen topics
	// only damaged packs hold and could not be fetched again.
	Damage []*vault.DamageError
	// OlderDamage is what costs only older states of the chosen topics: nothing of this run
	// is built on it, and its snapshot does not show it.
	OlderDamage []*vault.DamageError
}

// HasSnapshot says that the run made its snapshot.
func (r *Result) HasSnapshot() bool { return r.Snapshot != vault.SnapshotID{} }

// Incomplete says that something named in the result is not as asked.
func (r *Result) Incomplete() bool {
	return len(r.Gaps)+len(r.Forks)+len(r.Failed)+len(r.Denied)+len(r.GroupsMissing) > 0
}

// Run backs up everything up to the end offsets that it sees at its start, and makes a
// snapshot. Then it fetches again what packs of the vault have lost. When ctx is done it
// commits what was fetched, makes no snapshot, and returns ctx's error with the result so
// far.
func Run(ctx context.Context, source coldstream.Source, v *vault.Vault, opts Options) (*Result, error) {
	r := &run{opts: opts.withDefaults(), source: source, result: &Result{}, limit: newLimit(opts.MaxRate)}
	plan, err := makePlan(ctx, source, v, r.opts)
	if err != nil {
		return r.result, err
	}
	r.plan = plan
	plan.describe(r.result)
	v.Describe(plan.words()...)
	if err = r.execute(ctx); err == nil {
		err = r.heal(ctx, v)
	}
	if flushErr := v.Flush(context.WithoutCancel(ctx)); flushErr != nil {
		return r.result, fmt.Errorf("nothing of this backup is saved: %w", flushErr)
	}
	if err == nil && !v.IsPermanent() && (plan.writer.EpochCommits() >= r.opts.TurnAfter || plan.writer.EpochBytes() >= vault.TurnAfterBytes) {
		r.turn(ctx, v)
	}
	return r.result, err
}

// heal fetches again what packs have lost. The new data is saved whether it succeeds or
// not, and what is not healed is named as damage.
func (r *run) heal(ctx context.Context, v *vault.Vault) error {
	healing, err := r.planHealing(ctx)
	if err == nil {
		err = healing.heal(ctx, v)
		healing.report(r.result)
	}
	if err != nil && !isInterrupt(ctx, err) {
		r.opts.Observer.Observe(&coldstream.Warning{
			Text: fmt.Sprintf("the backup is saved, but the records that damaged packs have lost were not fetched again: %v", err),
			Hint: "the next backup tries again",
		})
		err = nil
	}
	return err
}

// turn makes the vault quick to open again. What was backed up is saved whether it
// succeeds or not.
func (r *run) turn(ctx context.Context, v *vault.Vault) {
	if err := v.Turn(ctx, vault.TurnOptions{}); err != nil {
		r.opts.Observer.Observe(&coldstream.Warning{
			Text: fmt.Sprintf("the backup is saved, but the vault was not made quicker to open: %v", err),
			Hint: "the next backup tries again",
		})
	}
}

// DryRun finds out what Run would fetch, and stores nothing. Of the result, the counts
// of topics and partitions, gaps, what was denied, and what would be healed are set;
// BytesRead stays 0. Offsets is the number of offsets that would be read.
func DryRun(ctx context.Context, source coldstream.Source, v *vault.Vault, opts Options) (result *Result, offsets int64, err error) {
	result = &Result{}
	r := &run{opts: opts.withDefaults(), source: source, result: result}
	plan, err := makePlan(ctx, source, v, r.opts)
	if err != nil {
		return result, 0, err
	}
	r.plan = plan
	plan.describe(result)
	healing, err := r.planHealing(ctx)
	if err != nil {
		return result, 0, err
	}
	healing.foresee()
	healing.report(result)
	result.Rescanned = plan.rescanned()
	for _, p := range plan.partitions {
		if p.mayReadAgain(plan.began) {
			result.MayRescan = append(result.MayRescan, p.stream.TopicPartition())
		}
		if gap, due := p.gapAhead(); due {
			result.Gaps = append(result.Gaps, gap)
		}
		offsets += max(0, p.stopOffset-max(p.nextOffset, p.logStartOffset))
	}
	return result, offsets, nil
}

func (o Options) withDefaults() Options {
	if o.Interval <= 0 {
		o.Interval = 30 * time.Second
	}
	if o.BufferBytes <= 0 {
		o.BufferBytes = defaultBuffer
	}
	if o.PackBytes <= 0 {
		o.PackBytes = packParts * defaultBuffer
	}
	if o.TurnAfter <= 0 {
		o.TurnAfter = vault.TurnAfter
	}
	if o.Observer == nil {
		o.Observer = coldstream.NoObserver{}
	}
	return o
}

// run is one backup under way.
type run struct {
	opts   Options
	source coldstream.Source
	plan   *plan
	result *Result
	limit  *limit

	snapshotTime time.Time // of the run's snapshot, once that was tried
}

func (r *run) execute(ctx context.Context) error {
	c := newCollector(r)
	err := c.fetch(ctx)
	if err == nil {
		err = c.finish(ctx)
	}
	if err != nil && isInterrupt(ctx, err) {
		err = c.keep(ctx, err)
	}
	c.report(r.result)
	return err
}

// isInterrupt says that err is only ctx's end.
func isInterrupt(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
