package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// shelf is where a catalog's snapshots have their views from: those of a chapter from its
// views object, those of the epoch's own commits from these. It keeps one views object at a
// time, for all views of a vault are more than fits into memory.
type shelf struct {
	vault *Vault
	found epochsFound // when the catalog was opened

	mu      sync.Mutex
	objects *object.Store // perhaps with views read ahead
	last    *shelvedViews // whose views are kept
	newer   *Catalog      // what took the place of views that went with a turn
	damage  []*DamageError
}

// shelvedViews are the views of a chapter's snapshots. The shelf guards what changes.
type shelvedViews struct {
	ref  format.ChapterRef
	ids  []format.SnapshotID
	open *format.PackedViews // nil unless it is the shelf's last
	// damage says that they cannot be read.
	damage *DamageError
	// topics are those of all the snapshots together, once that is known.
	topics []coldstream.Incarnation
	read   bool
}

// viewsPlace says where the views of a snapshot are. The zero value is that of a snapshot
// without any.
type viewsPlace struct {
	shelf   *shelf
	chapter *shelvedViews
	index   int    // in the chapter
	commit  []byte // the payload of the commit, of the epoch's own
}

// packed gives the views of a snapshot, and its index among them.
func (s *Snapshot) packed(ctx context.Context) (*format.PackedViews, int, error) {
	switch at := &s.place; {
	case at.chapter != nil:
		return at.shelf.packed(ctx, s)
	case at.commit != nil:
		commit, err := format.DecodeCommit(at.commit) // it was decoded before
		if err != nil {
			return nil, 0, err
		}
		return format.ViewsOfCommit(commit), 0, nil
	}
	return &format.PackedViews{}, -1, nil
}

// stored gives the views of a snapshot as they are stored, with their streams.
func (s *Snapshot) stored(ctx context.Context) (*format.Facts, []format.View, error) {
	packed, i, err := s.packed(ctx)
	if err != nil || i < 0 {
		return &format.Facts{}, nil, err
	}
	views, err := packed.Views(i)
	if err != nil {
		return nil, nil, s.place.damaged(err)
	}
	return &format.Facts{Incarnations: packed.Incarnations, Streams: packed.Streams}, views, nil
}

// Views are what the snapshot shows, sorted by stream. They are read from the vault: where they
// are damaged the error is a [*DamageError], and where the snapshot was forgotten meanwhile it
// wraps [coldstream.ErrForgotten].
func (s *Snapshot) Views(ctx context.Context) ([]View, error) {
	streams, views, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]View, len(views))
	for i, v := range views {
		out[i] = View{
			Stream: streams.StreamAt(v.Stream), Scan: v.Scan,
			LogStartOffset: v.LogStartOffset, NextOffset: v.NextOffset, LastEpoch: v.LastEpoch,
		}
	}
	return out, nil
}

// Incarnations are those of the topics that the snapshot shows, sorted. An error is as that of
// [Snapshot.Views].
func (s *Snapshot) Incarnations(ctx context.Context) ([]coldstream.Incarnation, error) {
	packed, i, err := s.packed(ctx)
	if err != nil || i < 0 {
		return nil, err
	}
	if packed.Count(i) == len(packed.Streams) { // each of them once
		return incarnationsOf(packed), nil
	}
	views, err := packed.Views(i)
	if err != nil {
		return nil, s.place.damaged(err)
	}
	var out []coldstream.Incarnation
	last := -1
	for _, v := range views {
		if of := packed.Streams[v.Stream].Incarnation; of != last {
			last, out = of, append(out, packed.Incarnations[of])
		}
	}
	return out, nil
}

// Topics are those that the snapshot shows: names and IDs, for patterns to choose from.
func (s *Snapshot) Topics(ctx context.Context) ([]coldstream.Topic, error) {
	incarnations, err := s.Incarnations(ctx)
	out := make([]coldstream.Topic, 0, len(incarnations))
	for _, in := range incarnations {
		if n := len(out); n == 0 || out[n-1].Name != in.Topic || out[n-1].ID != in.TopicID {
			out = append(out, coldstream.Topic{Name: in.Topic, ID: in.TopicID})
		}
	}
	return out, err
}

// Partitions is the number of the snapshot's views.
func (s *Snapshot) Partitions(ctx context.Context) (int, error) {
	packed, i, err := s.packed(ctx)
	if err != nil || i < 0 {
		return 0, err
	}
	return packed.Count(i), nil
}

// Shows says that the snapshot has a view of a topic.
func (s *Snapshot) Shows(ctx context.Context, topic coldstream.Incarnation) (bool, error) {
	if at := &s.place; at.chapter != nil && at.shelf.lacks(at.chapter, topic) {
		return false, nil
	}
	incarnations, err := s.Incarnations(ctx)
	_, found := slices.BinarySearchFunc(incarnations, topic, coldstream.Incarnation.Compare)
	return found, err
}

// lacks says that none of a chapter's snapshots has a topic, if that is known.
func (s *shelf) lacks(c *shelvedViews, topic coldstream.Incarnation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.read {
		return false
	}
	_, found := slices.BinarySearchFunc(c.topics, topic, coldstream.Incarnation.Compare)
	return !found
}

func incarnationsOf(packed *format.PackedViews) []coldstream.Incarnation {
	out, last := make([]coldstream.Incarnation, 0, len(packed.Incarnations)), -1
	for _, stream := range packed.Streams {
		if stream.Incarnation != last {
			last, out = stream.Incarnation, append(out, packed.Incarnations[stream.Incarnation])
		}
	}
	return out
}

// damaged is what it means that views cannot be decoded although their object's hash is right.
func (p *viewsPlace) damaged(err error) error {
	if p.chapter == nil {
		return err
	}
	err = decodeFailed(p.chapter.ref.Views, err)
	p.shelf.mu.Lock()
	defer p.shelf.mu.Unlock()
	return p.shelf.note(p.chapter, err)
}

// note keeps damage of views: nobody asks for them again. The caller has locked.
func (s *shelf) note(c *shelvedViews, err error) error {
	if errors.As(err, &c.damage) {
		s.damage = append(s.damage, c.damage)
	}
	return err
}

// damages are those of views that were asked for.
func (s *shelf) damages() []*DamageError {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.damage)
}

// packed gives the views of a snapshot of a chapter.
func (s *shelf) packed(ctx context.Context, of *Snapshot) (*format.PackedViews, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := of.place.chapter
	switch {
	case s.newer != nil:
		return s.packedNewer(ctx, of)
	case c.damage != nil:
		return nil, 0, c.damage
	case c.open != nil:
		return c.open, of.place.index, nil
	}
	open, err := loadViews(ctx, s.objects, c)
	var damage *DamageError
	if errors.As(err, &damage) {
		now, lookErr := s.vault.look(ctx, s.found.newest)
		if lookErr != nil {
			return nil, 0, lookErr
		}
		if !now.isStill(&s.found) { // what is missing went with a turn
			if s.newer, err = s.vault.OpenCatalog(ctx); err != nil {
				return nil, 0, err
			}
			return s.packedNewer(ctx, of)
		}
		return nil, 0, s.note(c, err)
	}
	if err != nil {
		return nil, 0, err
	}
	if s.last != nil {
		s.last.open = nil
	}
	s.last, c.open = c, open
	if !c.read {
		c.read, c.topics = true, incarnationsOf(open)
	}
	return open, of.place.index, nil
}

// packedNewer looks for a snapshot's views in what the vault turned to.
func (s *shelf) packedNewer(ctx context.Context, of *Snapshot) (*format.PackedViews, int, error) {
	now, err := s.newer.find(of.ID)
	if err != nil {
		return nil, 0, err
	}
	return now.packed(ctx)
}

// loadViews reads the views of a chapter.
func loadViews(ctx context.Context, objects *object.Store, c *shelvedViews) (*format.PackedViews, error) {
	payload, err := objects.Content(ctx, format.KindViews, c.ref.Views, c.ref.ViewsSizeBytes)
	if err != nil {
		return nil, err
	}
	views, err := format.OpenViews(payload)
	if err != nil {
		return nil, decodeFailed(c.ref.Views, err)
	}
	same := views.Len() == len(c.ids)
	for i := range c.ids {
		same = same && views.ID(i) == c.ids[i]
	}
	if !same {
		return nil, &DamageError{Object: c.ref.Views.Key(), Kind: KindAltered, Cause: errors.New("it is of other snapshots than its chapter")}
	}
	return views, nil
}

// isOld says that the catalog turned, which was seen because views were missing.
func (s *shelf) isOld() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newer != nil
}

// find is the snapshot with an ID. Where it is not there it was forgotten, unless damage is in
// the way of knowing that.
func (c *Catalog) find(id SnapshotID) (*Snapshot, error) {
	for i := range slices.Backward(c.snapshots) {
		if c.snapshots[i].ID == id {
			return &c.snapshots[i], nil
		}
	}
	if len(c.damage) > 0 {
		return nil, fmt.Errorf("snapshot %s is not in what can be read: %w", id, errors.Join(asErrors(c.damage)...))
	}
	return nil, fmt.Errorf("snapshot %s: %w", id, coldstream.ErrForgotten)
}

// EachSnapshot takes one snapshot after the other, oldest first, whose views are all wanted: they
// are read in this order, and where storage is far ahead of need.
func (c *Catalog) EachSnapshot(ctx context.Context, take func(*Snapshot) error) error {
	var ahead []blob.Entry
	var last *shelvedViews
	for i := range c.snapshots {
		if of := c.snapshots[i].place.chapter; of != nil && of != last {
			last = of
			ahead = append(ahead, blob.Entry{Key: of.ref.Views.Key(), SizeBytes: of.ref.ViewsSizeBytes})
		}
	}
	if c.shelf != nil {
		objects, stop := c.vault.objects.Ahead(ctx, ahead)
		defer stop()
		c.shelf.readFrom(objects)
		defer c.shelf.readFrom(c.vault.objects)
	}
	for i := range c.snapshots {
		s := c.snapshots[i]
		if err := take(&s); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) readFrom(objects *object.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = objects
}
