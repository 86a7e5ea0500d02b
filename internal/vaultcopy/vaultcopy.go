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
	tags   *vault.TagReader         // of the source; nil until the first snapshot

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
	return target.EachSnapshot(ctx, func(s *vault.Snapshot) error {
		views, err := s.Views(ctx)
		c.have[s.ID] = len(views)
		for _, view := range views {
			c.begins(view)
		}
		return err
	})
}

// begins notes where a stream begins in the target.
func (c *copier) begins(view vault.View) {
	of := scan{view.Stream, view.Scan}
	if at, known := c.starts[of]; !known || view.LogStartOffset < at {
		c.starts[of] = view.LogStartOffset
	}
}

// due is a snapshot that the target lacks, as far as it is asked for.
type due struct {
	snapshot vault.Snapshot
	views    []vault.View
	topics   map[string]bool
}

func (c *copier) copyAll(ctx context.Context) error {
	if err := c.checkPatterns(ctx); err != nil {
		return err
	}
	all, err := c.listDue(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	// What a snapshot shows must not be younger than the snapshot.
	c.asOf = all[0].snapshot.Time
	streams, err := c.gather(all)
	if err != nil {
		return err
	}
	if err := c.copyStreams(ctx, streams); err != nil {
		return err
	}
	for i := range all {
		if err := c.copySnapshot(ctx, &all[i]); err != nil {
			return fmt.Errorf("copy snapshot %s: %w", all[i].snapshot.ID, err)
		}
	}
	return nil
}

// listDue lists what is to be copied, oldest first.
func (c *copier) listDue(ctx context.Context) ([]due, error) {
	var out []due
	err := c.source.EachSnapshot(ctx, func(s *vault.Snapshot) error {
		if c.opts.Snapshots != nil && !c.opts.Snapshots(s.ID) {
			return nil
		}
		views, topics, err := c.choose(ctx, s)
		if err != nil {
			return err
		}
		count, there := c.have[s.ID]
		switch {
		case there && count < len(views):
			c.result.Partial = append(c.result.Partial, s.ID)
		case there:
			c.result.Present++
		case len(views) > 0 || c.opts.Topics == nil: // else nothing of what was asked for
			out = append(out, due{*s, views, topics})
		}
		return nil
	})
	return out, err
}

// checkPatterns refuses a pattern that matches nothing in any snapshot of the source.
func (c *copier) checkPatterns(ctx context.Context) error {
	if c.opts.Topics == nil {
		return nil
	}
	all := map[coldstream.TopicID]map[string]bool{}
	var topics []coldstream.Topic
	if err := c.source.EachSnapshot(ctx, func(s *vault.Snapshot) error {
		there, err := s.Topics(ctx)
		for _, t := range there {
			if all[t.ID] == nil {
				all[t.ID] = map[string]bool{}
			}
			if !all[t.ID][t.Name] {
				all[t.ID][t.Name] = true
				topics = append(topics, t)
			}
		}
		return err
	}); err != nil {
		return err
	}
	_, err := c.opts.Topics.SelectSaved(topics)
	return err
}

// choose returns the views and topics of a snapshot that are asked for.
func (c *copier) choose(ctx context.Context, s *vault.Snapshot) ([]vault.View, map[string]bool, error) {
	topics, err := s.Topics(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := s.Views(ctx)
	if c.opts.Topics != nil {
		topics, _ = c.opts.Topics.SelectSaved(topics) // what this snapshot lacks another one has
	}
	names, ids := map[string]bool{}, map[string]bool{}
	for _, t := range topics {
		names[t.Name], ids[t.Name+"@"+t.ID.String()] = true, true
	}
	var views []vault.View
	for _, view := range all {
		if ids[view.Stream.Topic+"@"+view.Stream.TopicID.String()] {
			views = append(views, view)
		}
	}
	return views, names, err
}

// copySnapshot stores a snapshot whose data is there.
func (c *copier) copySnapshot(ctx context.Context, d *due) error {
	s := &d.snapshot
	if c.opts.DryRun {
		c.result.Copied = append(c.result.Copied, s.ID)
		return nil
	}
	metadata, err := c.from.Metadata(ctx, s)
	if err != nil {
		return err
	}
	for name, damage := range metadata.Damaged {
		return fmt.Errorf("its section %s: %w", name, damage)
	}
	if c.tags == nil {
		if c.tags, err = c.from.ReadTags(ctx); err != nil {
			return err
		}
	}
	if metadata.Tags, err = c.tags.Of(ctx, s); err != nil {
		return err
	}
	metadata.Topics = slices.DeleteFunc(metadata.Topics, func(t coldstream.Topic) bool { return !d.topics[t.Name] })
	c.asOf = s.Time
	err = c.commit(ctx, &vault.NewSnapshot{
		ID: s.ID, Time: s.Time, ClusterID: s.ClusterID, Views: d.views, Compacted: c.passes(d.views), Metadata: *metadata,
	})
	if err == nil {
		c.result.Copied = append(c.result.Copied, s.ID)
	}
	return err
}

// passes say how far compacted views can be relied on, where the source still knows: of the
// newest snapshot of a stream. So a backup into the copy need not read them again in full.
func (c *copier) passes(views []vault.View) []vault.CompactedView {
	var out []vault.CompactedView
	for _, view := range views {
		head, ok := c.source.Head(view.Stream)
		if ok && head.Pass != nil && head.Pass.Scan == view.Scan && head.Pass.NextOffset == view.NextOffset {
			out = append(out, vault.CompactedView{Stream: view.Stream, AsOf: head.Pass.AsOf, Retention: head.Pass.Retention})
		}
	}
	return out
}
