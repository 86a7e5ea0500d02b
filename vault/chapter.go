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
func (c *chapter) encode(ctx context.Context, v *Vault) (payload, views []byte, err error) {
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
	if payload, err = out.Append(nil); err != nil || len(c.snapshots) == 0 {
		return payload, nil, err
	}
	m := &viewsMaker{ids: map[coldstream.Stream]int{}}
	if err := c.eachViews(ctx, v, m.add); err != nil {
		return nil, nil, err
	}
	views, err = m.build().Append(nil)
	return payload, views, err
}

// eachViews takes one snapshot of the chapter after the other, with its views. Those of one
// earlier chapter are in memory at a time. What is missing may be retired, which is for the
// look to say.
func (c *chapter) eachViews(ctx context.Context, v *Vault, take func(*Snapshot, *format.PackedViews, []format.View)) error {
	var from *shelvedViews
	var packed *format.PackedViews
	for i := range c.snapshots {
		s, at := &c.snapshots[i], 0
		var err error
		switch of := s.place.chapter; {
		case of == nil:
			from = nil
			packed, at, err = s.packed(ctx)
		case of != from:
			from = of
			packed, err = loadViews(ctx, v.objects, of)
			fallthrough
		default:
			at = s.place.index
		}
		var views []format.View
		if err == nil && at >= 0 {
			if views, err = packed.Views(at); err != nil {
				err = s.place.damaged(err)
			}
		}
		if err != nil {
			return err
		}
		take(s, packed, views)
	}
	return nil
}

// viewsMaker puts the views of a chapter's snapshots together, whatever they come from.
type viewsMaker struct {
	ids     map[coldstream.Stream]int // in the order in which they came
	streams []coldstream.Stream
	out     format.Views

	from  *format.PackedViews
	known []int // of its streams, the ID and 1; 0 if it is not known yet
}

func (m *viewsMaker) add(s *Snapshot, from *format.PackedViews, views []format.View) {
	if m.from != from {
		m.from, m.known = from, make([]int, len(from.Streams))
	}
	for i := range views {
		views[i].Stream = m.id(views[i].Stream)
	}
	m.out.Snapshots = append(m.out.Snapshots, format.SnapshotViews{ID: format.SnapshotID(s.ID), Views: views})
}

func (m *viewsMaker) id(stream int) int {
	if m.known[stream] == 0 {
		ref := m.from.Streams[stream]
		s := coldstream.Stream{Incarnation: m.from.Incarnations[ref.Incarnation], Partition: ref.Partition}
		id, ok := m.ids[s]
		if !ok {
			id = len(m.streams)
			m.ids[s] = id
			m.streams = append(m.streams, s)
		}
		m.known[stream] = id + 1
	}
	return m.known[stream] - 1
}

// build gives all views. Each snapshot's were sorted by stream, and so they stay.
func (m *viewsMaker) build() *format.Views {
	sorted := slices.Clone(m.streams)
	m.out.Incarnations, m.out.Streams = listStreams(sorted)
	index := make([]int, len(sorted))
	for i, s := range sorted {
		index[m.ids[s]] = i
	}
	for _, of := range m.out.Snapshots {
		for i := range of.Views {
			of.Views[i].Stream = index[of.Views[i].Stream]
		}
	}
	return &m.out
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

// openChapter reads a chapter that is to be made anew.
func (c *Catalog) openChapter(ctx context.Context, ref *format.ChapterRef) (*chapter, error) {
	in, err := c.vault.loadChapter(ctx, ref)
	if err != nil {
		return nil, err
	}
	out := &chapter{
		firstEpoch: in.FirstEpoch, lastEpoch: in.LastEpoch, commits: in.Commits, packs: map[format.PackID]int64{},
		snapshots: c.shelve(ref, in.Snapshots),
	}
	for _, p := range in.Packs {
		out.packs[p.ID] = p.SizeBytes
	}
	return out, nil
}

// shelve gives the snapshots of a chapter.
func (c *Catalog) shelve(ref *format.ChapterRef, snapshots []format.Snapshot) []Snapshot {
	at := &shelvedViews{ref: *ref, ids: make([]format.SnapshotID, len(snapshots))}
	out := make([]Snapshot, len(snapshots))
	for i := range snapshots {
		at.ids[i] = snapshots[i].ID
		out[i] = headerOf(&snapshots[i])
		out[i].place = viewsPlace{shelf: c.shelf, chapter: at, index: i}
	}
	return out
}

// ownSnapshot gives the snapshot of a commit of the epoch.
func (c *Catalog) ownSnapshot(commit *format.Commit) Snapshot {
	out := headerOf(commit.Snapshot)
	out.place = viewsPlace{shelf: c.shelf, commit: c.state(commit.ID).payload}
	return out
}

func headerOf(s *format.Snapshot) Snapshot {
	out := Snapshot{
		ID: SnapshotID(s.ID), Time: time.UnixMilli(s.TimeMs).UTC(), ClusterID: s.ClusterID, SizeBytes: s.SizeBytes, sections: s.Sections,
	}
	if s.ParentMs != format.NoParent {
		out.ParentTime = time.UnixMilli(s.ParentMs).UTC()
	}
	return out
}

// readChapters takes the snapshots of earlier epochs in, without their views. A chapter that
// cannot be read costs its snapshots; the rows are elsewhere.
func (c *Catalog) readChapters(ctx context.Context, v *Vault) error {
	if !c.opts.chapters {
		return nil
	}
	var objects []blob.Entry
	for i := range c.chapters {
		ref := &c.chapters[i]
		objects = append(objects, blob.Entry{Key: ref.Chapter.Key(), SizeBytes: ref.SizeBytes})
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
	if chapter == nil {
		return nil
	}
	for _, p := range chapter.Packs {
		c.packs[p.ID] = p.SizeBytes
	}
	for _, commit := range chapter.Commits {
		c.digests[commit.Hash] = true
	}
	if c.opts.reader {
		c.addSnapshots(c.shelve(ref, chapter.Snapshots))
	}
	return nil
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
