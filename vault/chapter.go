package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// chapter is what bases keep of the commits of some epochs: which they took, the packs
// that these named, and their snapshots.
type chapter struct {
	firstEpoch, lastEpoch uint32
	commits               []format.CommitRef
	packs                 map[format.PackID]int64 // sizes
	snapshots             []Snapshot
}

// addEarlier takes in the chapter of earlier epochs.
func (c *chapter) addEarlier(earlier *chapter) {
	c.firstEpoch = earlier.firstEpoch
	c.commits = append(earlier.commits, c.commits...)
	maps.Copy(c.packs, earlier.packs)
	followSnapshots(earlier.snapshots, c.snapshots)
	c.snapshots = append(earlier.snapshots, c.snapshots...)
}

// encode gives the payloads of the chapter and, if it has snapshots, of their views.
func (c *chapter) encode() (payload, views []byte, err error) {
	out := &format.Chapter{FirstEpoch: c.firstEpoch, LastEpoch: c.lastEpoch, Commits: c.commits}
	slices.SortFunc(out.Commits, func(a, b format.CommitRef) int { return a.ID.Compare(b.ID) })
	for id, size := range c.packs {
		out.Packs = append(out.Packs, format.PackSize{ID: id, SizeBytes: size})
	}
	slices.SortFunc(out.Packs, func(a, b format.PackSize) int { return a.ID.Compare(b.ID) })
	// A writer that could not read that its commit was taken stored the snapshot again.
	known := map[SnapshotID]bool{}
	c.snapshots = slices.DeleteFunc(c.snapshots, func(s Snapshot) bool {
		again := known[s.ID]
		known[s.ID] = true
		return again
	})
	for i := range c.snapshots {
		s := &c.snapshots[i]
		out.Snapshots = append(out.Snapshots, format.Snapshot{
			ID: format.SnapshotID(s.ID), TimeMs: s.Time.UnixMilli(), ClusterID: s.ClusterID, SizeBytes: s.SizeBytes, Sections: s.sections,
			ParentMs: s.parentMs(),
		})
	}
	if payload, err = out.Append(nil); err == nil && len(c.snapshots) > 0 {
		views, err = viewsOf(c.snapshots).Append(nil)
	}
	return payload, views, err
}

func viewsOf(snapshots []Snapshot) *format.Views {
	index := map[coldstream.Stream]int{}
	var streams []coldstream.Stream
	for i := range snapshots {
		for _, view := range snapshots[i].Views {
			if _, ok := index[view.Stream]; !ok {
				index[view.Stream] = 0
				streams = append(streams, view.Stream)
			}
		}
	}
	out := &format.Views{}
	out.Incarnations, out.Streams = listStreams(streams)
	for i, s := range streams { // sorted now
		index[s] = i
	}
	for i := range snapshots {
		of := format.SnapshotViews{ID: format.SnapshotID(snapshots[i].ID)}
		for _, v := range snapshots[i].Views {
			of.Views = append(of.Views, format.View{
				Stream: index[v.Stream], Scan: v.Scan, LogStartOffset: v.LogStartOffset, NextOffset: v.NextOffset, LastEpoch: v.LastEpoch,
			})
		}
		out.Snapshots = append(out.Snapshots, of)
	}
	return out
}

func (s *Snapshot) parentMs() int64 {
	if s.ParentTime.IsZero() {
		return format.NoParent
	}
	return s.ParentTime.UnixMilli()
}

// decodeFailed says what it means that an object whose hash is right cannot be decoded.
func decodeFailed(id format.TableID, err error) error {
	if errors.Is(err, coldstream.ErrCorrupt) {
		return &DamageError{Object: id.Key(), Kind: KindAltered, Cause: err}
	}
	return fmt.Errorf("decode %s: %w", id.Key(), err)
}

// loadChapter reads a chapter without the views of its snapshots.
func (v *Vault) loadChapter(ctx context.Context, ref *format.ChapterRef) (*format.Chapter, error) {
	payload, err := v.objects.Content(ctx, format.KindChapter, ref.Chapter, ref.SizeBytes)
	if err != nil {
		return nil, err
	}
	c, err := format.DecodeChapter(payload)
	if err != nil {
		return nil, decodeFailed(ref.Chapter, err)
	}
	if c.FirstEpoch != ref.FirstEpoch || c.LastEpoch != ref.LastEpoch || (len(c.Snapshots) > 0) != (ref.ViewsSizeBytes > 0) {
		return nil, &DamageError{Object: ref.Chapter.Key(), Kind: KindAltered, Cause: errors.New("it is not the chapter that the base says")}
	}
	for i := range c.Snapshots {
		if c.ByTime { // nothing is known but that they stand in the order of their times
			c.Snapshots[i].ParentMs = c.Snapshots[max(i-1, 0)].TimeMs
		}
	}
	return c, nil
}

// loadWholeChapter reads a chapter and the views of its snapshots.
func (v *Vault) loadWholeChapter(ctx context.Context, ref *format.ChapterRef) (*chapter, error) {
	c, err := v.loadChapter(ctx, ref)
	if err != nil {
		return nil, err
	}
	out := &chapter{firstEpoch: c.FirstEpoch, lastEpoch: c.LastEpoch, commits: c.Commits, packs: map[format.PackID]int64{}}
	for _, p := range c.Packs {
		out.packs[p.ID] = p.SizeBytes
	}
	if ref.ViewsSizeBytes > 0 {
		out.snapshots, err = v.loadViews(ctx, ref, c.Snapshots)
	}
	return out, err
}

// loadViews gives the snapshots of a chapter with what they show.
func (v *Vault) loadViews(ctx context.Context, ref *format.ChapterRef, snapshots []format.Snapshot) ([]Snapshot, error) {
	payload, err := v.objects.Content(ctx, format.KindViews, ref.Views, ref.ViewsSizeBytes)
	if err != nil {
		return nil, err
	}
	views, err := format.DecodeViews(payload)
	if err != nil {
		return nil, decodeFailed(ref.Views, err)
	}
	if !slices.EqualFunc(views.Snapshots, snapshots, func(v format.SnapshotViews, s format.Snapshot) bool { return v.ID == s.ID }) {
		return nil, &DamageError{Object: ref.Views.Key(), Kind: KindAltered, Cause: errors.New("it is of other snapshots than its chapter")}
	}
	streams := &format.Facts{Incarnations: views.Incarnations, Streams: views.Streams}
	out := make([]Snapshot, len(snapshots))
	for i := range snapshots {
		snapshots[i].Views = views.Snapshots[i].Views
		out[i] = snapshotOfFacts(streams, &snapshots[i])
	}
	return out, nil
}

func snapshotOfFacts(facts *format.Facts, s *format.Snapshot) Snapshot {
	out := Snapshot{
		ID: SnapshotID(s.ID), Time: time.UnixMilli(s.TimeMs).UTC(), ClusterID: s.ClusterID,
		Views: make([]View, len(s.Views)), SizeBytes: s.SizeBytes, sections: s.Sections,
	}
	if s.ParentMs != format.NoParent {
		out.ParentTime = time.UnixMilli(s.ParentMs).UTC()
	}
	for i, view := range s.Views {
		out.Views[i] = View{
			Stream: facts.StreamAt(view.Stream), Scan: view.Scan,
			LogStartOffset: view.LogStartOffset, NextOffset: view.NextOffset, LastEpoch: view.LastEpoch,
		}
	}
	return out
}

// readChapters takes the snapshots of earlier epochs in. A chapter that cannot be read
// costs its snapshots; the rows are elsewhere.
func (c *Catalog) readChapters(ctx context.Context, v *Vault) error {
	if !c.opts.packs && !c.opts.snapshots {
		return nil
	}
	var objects []blob.Entry
	for i := range c.chapters {
		ref := &c.chapters[i]
		objects = append(objects, blob.Entry{Key: ref.Chapter.Key(), SizeBytes: ref.SizeBytes})
		if ref.ViewsSizeBytes > 0 && c.opts.snapshots {
			objects = append(objects, blob.Entry{Key: ref.Views.Key(), SizeBytes: ref.ViewsSizeBytes})
		}
	}
	v, stop := v.ahead(ctx, objects)
	defer stop()
	for i := range c.chapters {
		if err := c.readChapter(ctx, v, &c.chapters[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Catalog) readChapter(ctx context.Context, v *Vault, ref *format.ChapterRef) error {
	chapter, err := v.loadChapter(ctx, ref)
	if err = c.takeDamage(err); err != nil {
		return err
	}
	if chapter == nil { // its views are of no use, and may be damaged as well
		if ref.ViewsSizeBytes > 0 && c.opts.snapshots {
			_, err = v.objects.Content(ctx, format.KindViews, ref.Views, ref.ViewsSizeBytes)
		}
		return c.takeDamage(err)
	}
	for _, p := range chapter.Packs {
		c.packs[p.ID] = p.SizeBytes
	}
	for _, commit := range chapter.Commits {
		c.digests[commit.Hash] = true
	}
	if ref.ViewsSizeBytes == 0 || !c.opts.snapshots {
		return nil
	}
	snapshots, err := v.loadViews(ctx, ref, chapter.Snapshots)
	if err = c.takeDamage(err); err != nil {
		return err
	}
	c.addSnapshots(snapshots)
	if snapshots == nil {
		for i := range chapter.Snapshots {
			c.lostSections = append(c.lostSections, chapter.Snapshots[i].Sections...)
		}
	}
	return nil
}

// takeDamage keeps err as damage, if that is what it is.
func (c *Catalog) takeDamage(err error) error {
	var damage *DamageError
	if errors.As(err, &damage) {
		c.damage = append(c.damage, damage)
		return nil
	}
	return err
}

// hasTaken says that a base took a commit, by the chapters of the newest one: these keep
// what they have heard of for ever.
func (c *Catalog) hasTaken(ctx context.Context, v *Vault, ref format.CommitRef) (bool, error) {
	for i := range c.chapters {
		of := &c.chapters[i]
		if ref.ID.Epoch < of.FirstEpoch || ref.ID.Epoch > of.LastEpoch {
			continue
		}
		chapter, err := v.loadChapter(ctx, of)
		var damage *DamageError
		if errors.As(err, &damage) {
			return false, nil // or retired meanwhile: what is stored again is there twice, which is harmless
		}
		if err != nil {
			return false, err
		}
		return slices.Contains(chapter.Commits, ref), nil
	}
	return false, nil
}
