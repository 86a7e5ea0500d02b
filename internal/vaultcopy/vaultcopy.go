// Package vaultcopy copies snapshots, and all that they show, from one vault into another.
// Where the copy stands is read from the target's heads, so that it can be cut off at any
// time and goes on from there.
package vaultcopy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault"
)

// Options say what to copy. The zero value of each field but Now is its default.
type Options struct {
	// Topics chooses the topics; nil takes all.
	Topics *coldstream.Patterns
	// Snapshots chooses the snapshots; nil takes all.
	Snapshots func(vault.SnapshotID) bool
	// BufferBytes bounds what is read before it is encoded; 16 MiB by default.
	BufferBytes int
	// DryRun finds out what would be copied, and stores nothing.
	DryRun   bool
	Now      func() time.Time
	Observer coldstream.Observer
}

// Result says what a copy did, as far as it came.
type Result struct {
	Copied  []vault.SnapshotID // in their order
	Present int                // chosen snapshots that the target had already
	// Partial are snapshots that the target has with fewer topics than were asked for. Saved
	// snapshots do not change.
	Partial []vault.SnapshotID

	Offsets, Batches, Records, BytesRead int64
	BytesStored, ObjectsStored           int64
	Gaps                                 []coldstream.Gap
	VaultHash                            string
}

// ErrBelow means that a snapshot shows offsets below those with which the copy of a
// partition begins.
var ErrBelow = errors.New("it shows offsets below those with which the target begins")

// packBytes is when what was encoded is committed.
const packBytes = 32 << 20

// Copy copies snapshots in their order, oldest first.
func Copy(ctx context.Context, from, to *vault.Vault, opts Options) (*Result, error) {
	if opts.BufferBytes <= 0 {
		opts.BufferBytes = 16 << 20
	}
	if opts.Observer == nil {
		opts.Observer = coldstream.NoObserver{}
	}
	c := &copier{from: from, to: to, opts: opts, result: &Result{}}
	err := c.open(ctx)
	if err == nil {
		err = c.copyAll(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, c.commit(context.WithoutCancel(ctx), nil))
	}
	if opts.DryRun {
		return c.result, err
	}
	return c.result, errors.Join(err, to.Flush(context.WithoutCancel(ctx)))
}

type copier struct {
	from, to *vault.Vault
	opts     Options
	result   *Result

	source *vault.Catalog
	writer *vault.Writer
	have   map[vault.SnapshotID]int // snapshots of the target, with the number of their views
	starts map[scan]int64           // the first offset that the target has

	asOf    time.Time // of what is pending
	pending pending
}

type scan struct {
	stream coldstream.Stream
	number uint32
}

// pending is what the next commit will hold.
type pending struct {
	data  []vault.StreamData
	bytes int // of data
	parts []*vault.Part
	size  int64 // of parts
	gaps  []vault.StreamGap
	scans []vault.ScanStart
}

func (c *copier) open(ctx context.Context) (err error) {
	if c.source, err = c.from.OpenCatalog(ctx); err != nil {
		return fmt.Errorf("open the source: %w", err)
	}
	if damage := c.source.Damage(); len(damage) > 0 {
		return fmt.Errorf("the catalog of the source is damaged: %w", damage[0])
	}
	target, err := c.to.OpenCatalog(ctx)
	if err == nil && len(target.Damage()) > 0 {
		err = target.Damage()[0]
	}
	if err == nil {
		c.writer, err = c.to.NewWriter(ctx, vault.WriterOptions{Now: c.opts.Now})
	}
	if err != nil {
		return fmt.Errorf("open the target: %w", err)
	}
	c.have, c.starts = map[vault.SnapshotID]int{}, map[scan]int64{}
	for _, s := range target.Snapshots() {
		c.have[s.ID] = len(s.Views)
		for _, view := range s.Views {
			c.begins(view)
		}
	}
	return nil
}

// begins notes where a stream begins in the target.
func (c *copier) begins(view vault.View) {
	of := scan{view.Stream, view.Scan}
	if at, known := c.starts[of]; !known || view.LogStartOffset < at {
		c.starts[of] = view.LogStartOffset
	}
}

func (c *copier) copyAll(ctx context.Context) error {
	if err := c.checkPatterns(); err != nil {
		return err
	}
	for _, s := range c.source.Snapshots() {
		if c.opts.Snapshots != nil && !c.opts.Snapshots(s.ID) {
			continue
		}
		views, topics := c.choose(&s)
		count, there := c.have[s.ID]
		switch {
		case there && count < len(views):
			c.result.Partial = append(c.result.Partial, s.ID)
			continue
		case there:
			c.result.Present++
			continue
		case len(views) == 0 && c.opts.Topics != nil:
			continue // nothing of what was asked for
		}
		if err := c.copySnapshot(ctx, &s, views, topics); err != nil {
			return fmt.Errorf("copy snapshot %s: %w", s.ID, err)
		}
	}
	return nil
}

// topicsOf lists the incarnations of topics that views are of, for patterns to choose from.
func topicsOf(views []vault.View) []coldstream.Topic {
	var out []coldstream.Topic
	for i, view := range views {
		if i == 0 || views[i-1].Stream.Incarnation != view.Stream.Incarnation {
			out = append(out, coldstream.Topic{Name: view.Stream.Topic, ID: view.Stream.TopicID})
		}
	}
	return out
}

// checkPatterns refuses a pattern that matches nothing in any snapshot of the source.
func (c *copier) checkPatterns() error {
	if c.opts.Topics == nil {
		return nil
	}
	all := map[coldstream.TopicID]map[string]bool{}
	var topics []coldstream.Topic
	for _, s := range c.source.Snapshots() {
		for _, t := range topicsOf(s.Views) {
			if all[t.ID] == nil {
				all[t.ID] = map[string]bool{}
			}
			if !all[t.ID][t.Name] {
				all[t.ID][t.Name] = true
				topics = append(topics, t)
			}
		}
	}
	_, err := c.opts.Topics.Select(topics)
	return err
}

// choose returns the views and topics of a snapshot that are asked for.
func (c *copier) choose(s *vault.Snapshot) ([]vault.View, map[string]bool) {
	topics := topicsOf(s.Views)
	if c.opts.Topics != nil {
		topics, _ = c.opts.Topics.Select(topics) // what this snapshot lacks another one has
	}
	names, ids := map[string]bool{}, map[string]bool{}
	for _, t := range topics {
		names[t.Name], ids[t.Name+"@"+t.ID.String()] = true, true
	}
	var views []vault.View
	for _, view := range s.Views {
		if ids[view.Stream.Topic+"@"+view.Stream.TopicID.String()] {
			views = append(views, view)
		}
	}
	return views, names
}

// copySnapshot copies what a snapshot shows and the target lacks, topic by topic, and then
// the snapshot itself.
func (c *copier) copySnapshot(ctx context.Context, s *vault.Snapshot, views []vault.View, topics map[string]bool) error {
	metadata, err := c.from.Metadata(ctx, s)
	if err != nil {
		return err
	}
	for name, damage := range metadata.Damaged {
		return fmt.Errorf("its section %s: %w", name, damage)
	}
	metadata.Topics = slices.DeleteFunc(metadata.Topics, func(t coldstream.Topic) bool { return !topics[t.Name] })
	c.asOf = s.Time
	for rest := views; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Stream.Topic == rest[0].Stream.Topic {
			n++
		}
		if err := c.copyTopic(ctx, s, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if c.opts.DryRun {
		c.result.Copied = append(c.result.Copied, s.ID)
		return nil
	}
	err = c.commit(ctx, &vault.NewSnapshot{ID: s.ID, Time: s.Time, ClusterID: s.ClusterID, Views: views, Metadata: *metadata})
	if err != nil {
		return err
	}
	c.result.Copied = append(c.result.Copied, s.ID)
	return nil
}

// task is a view of which the target lacks something.
type task struct {
	wanted vault.View // from where the target ends
	begins bool
	// gone is what lies between the target's end and all that the source still has.
	gone *vault.StreamGap
}

func (c *copier) copyTopic(ctx context.Context, s *vault.Snapshot, views []vault.View) error {
	var tasks []task
	for _, view := range views {
		t, lacks, err := c.lack(ctx, view)
		if err != nil {
			return fmt.Errorf("%s: %w", view.Stream.TopicPartition(), err)
		}
		c.begins(view)
		if lacks {
			tasks = append(tasks, t)
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	wanted := make([]vault.View, len(tasks))
	for i := range tasks {
		wanted[i] = tasks[i].wanted
		c.result.Offsets += wanted[i].NextOffset - wanted[i].LogStartOffset
	}
	if c.opts.DryRun {
		return nil
	}
	h, err := c.from.OpenHistory(ctx, wanted, vault.HistoryOptions{SnapshotTime: s.Time})
	if err != nil {
		return err
	}
	for i, stream := range h.Streams() {
		if err := c.copyStream(ctx, &tasks[i], stream); err != nil {
			return fmt.Errorf("%s: %w", tasks[i].wanted.Stream.TopicPartition(), err)
		}
	}
	return nil
}

// lack says what the target lacks of a view.
func (c *copier) lack(ctx context.Context, view vault.View) (task, bool, error) {
	t := task{wanted: view}
	head, known := c.writer.Head(view.Stream)
	if !known || head.Scan < view.Scan {
		t.begins = true
		return t, true, nil
	}
	if start, shown := c.starts[scan{view.Stream, view.Scan}]; shown && view.LogStartOffset < start {
		return t, false, ErrBelow
	}
	if head.Scan > view.Scan {
		return t, false, nil // the commit says if it is not there
	}
	at := head.NextOffset
	if fork, is, err := c.forkedAt(ctx, view, head); err != nil {
		return t, false, err
	} else if is {
		at = fork
	}
	if at >= view.NextOffset {
		return t, false, nil
	}
	if t.wanted.LogStartOffset = at; at < view.LogStartOffset {
		if floor := c.floor(view); at < floor {
			t.gone = &vault.StreamGap{
				Stream: view.Stream, Scan: view.Scan, FirstOffset: at, NextOffset: floor, Cause: coldstream.GapLogStartAdvanced,
			}
			t.wanted.LogStartOffset = floor
		}
	}
	return t, true, nil
}

// floor is the lowest offset that the source may still have of a view's stream.
func (c *copier) floor(view vault.View) int64 {
	if head, ok := c.source.Head(view.Stream); ok && head.Scan == view.Scan {
		return min(head.Floor, view.LogStartOffset)
	}
	return 0
}

// forkedAt says where a log lost its end that the target holds: there a leader epoch
// begins that the target has not heard of. That it lost its end more than once since shows
// only in what the view itself reads.
func (c *copier) forkedAt(ctx context.Context, view vault.View, target vault.Head) (int64, bool, error) {
	last := int32(-1)
	if n := len(target.Epochs); n > 0 {
		last = target.Epochs[n-1].Epoch
	}
	if view.LastEpoch <= last {
		return 0, false, nil
	}
	h, err := c.from.OpenHistory(ctx, []vault.View{view}, vault.HistoryOptions{})
	if err != nil {
		return 0, false, err
	}
	for _, run := range h.Streams()[0].Runs {
		for _, e := range run.Epochs() {
			if e.Epoch > last {
				return e.FirstOffset, e.FirstOffset < target.NextOffset, nil
			}
		}
	}
	return 0, false, nil
}
