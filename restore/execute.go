package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"coldstream"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// The records of a restore.
const (
	recordHold   = 0
	recordPlan   = 1
	recordResult = 2
)

// ErrNotRecorded is wrapped by errors that say that a record of the restore could not be stored.
var ErrNotRecorded = errors.New("keep the restore's record")

// UnrecordedError says that a restore came to its end, and its last record could not be stored.
// The result that comes with it is what was done.
type UnrecordedError struct {
	Restore vault.RestoreID
	// Held says that the vault still holds the snapshot for the restore.
	Held  bool
	cause error
}

func (e *UnrecordedError) Error() string {
	return fmt.Sprintf("restore %s came to its end, but its last record could not be stored: %v", e.Restore, e.cause)
}

func (e *UnrecordedError) Unwrap() error { return e.cause }

// execution is a plan being carried out.
type execution struct {
	plan       *Plan
	producer   coldstream.ProducerIdentity
	partitions map[*partitionPlan]*partitionProgress
	large      chan struct{} // its one place is taken while a large batch is decoded
	rate       *rate.Limiter // of all lanes together
	pieces     *pieces
	broke      error // what ended all of it, and not one partition
}

// partitionProgress belongs to the lane that produces the partition.
type partitionProgress struct {
	topicID  coldstream.TopicID
	next     int64 // the target's end as we made it
	sequence int32
	offsets  offsetMap
	segment  firstSegment
	records  int64
	aborted  int64
	pending  int64 // undecided
	sent     bool  // something may be in the target
	proven   bool  // the log has what it shall have
	err      error
	notRead  bool // err is of storage that did not answer, and not of what is stored
	// left is the end that the log had when a restore that was cut off was taken up, and tail the
	// header of the batch before it, if it could be read.
	left int64
	tail recordbatch.Batch
	// configsErr says that all records are there, and the topic's configs are not.
	configsErr error
}

// Execute carries the plan out. The result says how far it came, also with an error; an
// error before the first write says that nothing was changed.
func (p *Plan) Execute(ctx context.Context) (*Result, error) {
	x := &execution{plan: p, partitions: map[*partitionPlan]*partitionProgress{}, large: make(chan struct{}, 1), rate: newRate(p.req.MaxRateBytes)}
	if p.past != nil {
		return x.executeGroups(ctx)
	}
	x.pieces = newPieces(p.pieceRuns, x.record)
	wanted := p.wantedOffsets()
	for _, t := range p.topics {
		for _, part := range t.partitions {
			x.partitions[part] = &partitionProgress{
				next: part.at, segment: t.firstSegment(),
				offsets: offsetMap{wanted: wanted[part], answers: map[int64]int64{}},
			}
		}
	}
	if err := x.announce(ctx); err != nil {
		return nil, err
	}
	x.tellWayBack()
	err := x.run(ctx)
	x.broke = err
	result := x.result()
	if result.Unfinished = x.isUnfinished(ctx); result.Unfinished {
		return result, err // it has no end yet, and holds its snapshot
	}
	if recordErr := x.record(context.WithoutCancel(ctx), recordResult, x.resultRecord(result)); err == nil && recordErr != nil {
		err = x.unrecorded(recordErr)
	}
	return result, err
}

func (x *execution) unrecorded(cause error) error {
	return &UnrecordedError{Restore: x.plan.ID, Held: x.plan.req.StateFile == "", cause: cause}
}

// announce holds the snapshot, gets a producer ID, and writes the plan, before anything
// is changed in the target. If it fails the hold ends. A restore that goes on did all that before.
func (x *execution) announce(ctx context.Context) error {
	if x.plan.resumes != nil {
		x.takeUpProducer()
		return nil
	}
	if err := x.hold(ctx); err != nil {
		return err
	}
	var err error
	if x.producer, err = x.plan.target.InitProducer(ctx); err != nil {
		return x.letGo(ctx, fmt.Errorf("get a producer ID: %w", err))
	}
	if err := x.record(ctx, recordPlan, x.planRecord()); err != nil {
		return x.letGo(ctx, err)
	}
	return nil
}

// hold is checked against the vault again: the snapshot may have been forgotten since
// the plan was made.
func (x *execution) hold(ctx context.Context) error {
	hold, err := x.holdRecord(ctx)
	if err != nil {
		return err
	}
	document, err := json.Marshal(hold)
	if err != nil {
		return fmt.Errorf("encode the restore's record: %w", err)
	}
	err = x.plan.trail.Hold(ctx, x.plan.ID, x.plan.Snapshot, document)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w in %s: %w", ErrNotRecorded, x.plan.where(), err)
	if errors.Is(err, coldstream.ErrForgotten) {
		return x.letGo(ctx, x.plan.forgotten(err))
	}
	return err
}

// letGo ends a hold under which nothing was done.
func (x *execution) letGo(ctx context.Context, cause error) error {
	return errors.Join(cause, x.record(context.WithoutCancel(ctx), recordResult, map[string]any{"error": cause.Error()}))
}

func (x *execution) record(ctx context.Context, n uint32, document any) error {
	b, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encode the restore's record: %w", err)
	}
	if err := x.plan.trail.PutRestoreRecord(ctx, x.plan.ID, n, b); err != nil {
		return fmt.Errorf("%w in %s: %w", ErrNotRecorded, x.plan.where(), err)
	}
	return nil
}

func (x *execution) run(ctx context.Context) error {
	meet := x.meetAgain
	if x.plan.resumes != nil {
		meet = x.meetLeft
	}
	if err := meet(ctx); err != nil {
		return err
	}
	if err := x.write(ctx); err != nil {
		x.broke = err
		x.breakOff(ctx)
		return err
	}
	last, cancel := lastSteps(ctx)
	defer cancel()
	x.cutLeadingGaps(last)
	x.proveEnds(last)
	x.putBackConfigs(last)
	if err := ctx.Err(); err != nil {
		return err
	}
	x.commitGroups(ctx)
	return ctx.Err()
}

// lastSteps is a context for what is left to do once all records are there. An interrupt
// does not end it at once: it would leave whole topics with the configs of the restore.
func lastSteps(ctx context.Context) (context.Context, context.CancelFunc) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(undoPatience, cancel) })
	return last, func() {
		stop()
		cancel()
	}
}

func (x *execution) write(ctx context.Context) error {
	if err := x.prepareTopics(ctx); err != nil {
		return err
	}
	if err := x.findTopicIDs(ctx); err != nil {
		return err
	}
	return x.produceAll(ctx)
}

// warnIncomplete names the topics that the restore made and did not finish.
func (x *execution) warnIncomplete(ctx context.Context, topics []string) {
	if len(topics) == 0 {
		return
	}
	what, them := "topic "+topics[0]+" is", "it"
	if len(topics) > 1 {
		what, them = fmt.Sprintf("%d topics (%s) are", len(topics), listed(topics)), "them"
	}
	hint := "delete " + them + " and restore again"
	if x.isUnfinished(ctx) {
		hint = "resume the restore"
	}
	x.plan.req.Observer.Observe(&coldstream.Warning{
		Text: what + " incomplete, and keeps the configs of the restore (no retention, no compaction)", Hint: hint,
	})
}

// cutLeadingGaps deletes the filler: the log starts where the source's did. So it does
// where the records ended too early: nobody shall read filler.
func (x *execution) cutLeadingGaps(ctx context.Context) {
	starts := map[coldstream.TopicPartition]int64{}
	for part, progress := range x.partitions {
		if start := part.stream.View.LogStartOffset; part.filler > 0 && progress.next >= start {
			starts[part.target] = start
		}
	}
	if len(starts) == 0 {
		return
	}
	if err := x.plan.target.DeleteRecords(ctx, starts); err != nil {
		for part, progress := range x.partitions {
			if part.filler > 0 && progress.err == nil {
				progress.err = fmt.Errorf("delete the filler below offset %d: %w", part.stream.View.LogStartOffset, err)
			}
		}
	}
}

// proveEnds compares each log's ends with what was planned: nobody else wrote there.
func (x *execution) proveEnds(ctx context.Context) {
	var tps []coldstream.TopicPartition
	for part, progress := range x.partitions {
		if progress.err == nil {
			tps = append(tps, part.target)
		}
	}
	if len(tps) == 0 {
		return
	}
	offsets, err := x.plan.target.LogOffsets(ctx, tps)
	for part, progress := range x.partitions {
		if progress.err != nil {
			continue
		}
		log := offsets[part.target]
		switch view := part.stream.View; {
		case err != nil:
			progress.err = fmt.Errorf("prove the log's end: %w", err)
		case log.Err != nil:
			progress.err = fmt.Errorf("prove the log's end: %w", log.Err)
		case log.HighWatermark != progress.next:
			progress.err = fmt.Errorf("the log ends at offset %d, where %d was expected: another producer writes to it", log.HighWatermark, progress.next)
		case part.exact && (log.LogStartOffset != view.LogStartOffset || progress.next != view.NextOffset):
			progress.err = fmt.Errorf("the log holds offsets [%d, %d), where [%d, %d) were expected", log.LogStartOffset, log.HighWatermark, view.LogStartOffset, view.NextOffset)
		default:
			progress.offsets.next, progress.proven = progress.next, true
		}
	}
}

// putBackConfigs ends the restore of each topic whose partitions all came through. Of the
// others those that the restore made keep the configs under which nothing is removed, and
// those that were there get their own: somebody may live with them.
func (x *execution) putBackConfigs(ctx context.Context) {
	var incomplete []string
	for _, t := range x.plan.topics {
		failed := x.topicFailed(t)
		switch {
		case failed && t.create:
			incomplete = append(incomplete, t.target)
			continue
		case failed:
			x.leaveAsItWas(ctx, t)
			continue
		}
		if !x.plan.req.PutBackRetention {
			x.plan.hold(t, x.retained(t), x.plan.req.Now())
		}
		change := t.configs.putBack()
		if len(change.Set)+len(change.Remove) == 0 {
			continue
		}
		if err := x.plan.target.AlterTopicConfigs(ctx, t.target, change); err != nil {
			for _, part := range t.partitions {
				x.partitions[part].configsErr = fmt.Errorf("put back the configs of topic %s: %w", t.target, err)
			}
			x.warnNotPutBack(t, change, err)
		}
	}
	x.warnIncomplete(ctx, incomplete)
}

// leaveAsItWas gives a topic that was there before its own configs back.
func (x *execution) leaveAsItWas(ctx context.Context, t *topicPlan) {
	t.configs.held = nil
	change := t.configs.undo()
	if err := x.undo(ctx, t, change); err != nil {
		x.warnNotPutBack(t, change, err)
		return
	}
	var records int64
	sent := false
	for _, part := range t.partitions {
		records += x.partitions[part].records
		sent = sent || x.partitions[part].sent
	}
	left := fmt.Sprintf("%d records of the restore are in it", records)
	if records == 0 {
		left = "records of the restore may be in it" // the broker's answer was not waited for
	}
	if sent {
		x.plan.req.Observer.Observe(&coldstream.Warning{
			Text: fmt.Sprintf("topic %s was there before: it has its own configs again, and %s", t.target, left),
		})
	}
}

func (x *execution) warnNotPutBack(t *topicPlan, change coldstream.ConfigChange, err error) {
	x.plan.req.Observer.Observe(&coldstream.Warning{Text: fmt.Sprintf("topic %s may keep the configs of the restore: %v", t.target, err)})
	x.plan.req.Observer.Observe(&coldstream.Notice{
		Text: "put its own back with:", Lines: alterCommands(x.plan.req.Bootstrap, t.target, change),
	})
}

func (x *execution) topicFailed(t *topicPlan) bool {
	return slices.ContainsFunc(t.partitions, func(part *partitionPlan) bool { return x.partitions[part].err != nil })
}

// patched makes a batch ready to send.
func (x *execution) patched(dst []byte, o outgoing, sequence int32) []byte {
	return recordbatch.Batch(o.batch).AppendPatched(dst, recordbatch.Producer{ID: x.producer.ID, Epoch: x.producer.Epoch, Sequence: sequence})
}
