package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

// Standing is how far the vault has got, for those who ask how well a cluster is protected:
// the catalog, and what else commits tell of some topics.
type Standing struct {
	*Catalog
	vault   *Vault
	reached *reachedReader
	writers map[format.Writer]*WriterStanding
	streams map[coldstream.Stream]*StreamStanding
}

// StreamStanding is what rows and gaps tell of a stream.
type StreamStanding struct {
	Gaps []FoundGap // by first offset
	// NewestMs is the largest timestamp of a record, -1 if there is none. Producers set it.
	NewestMs int64
	// Offsets and Bytes are of all rows, so that one can be had from the other.
	Offsets, Bytes int64
}

// FoundGap is a gap and when it was found.
type FoundGap struct {
	coldstream.Gap
	Found time.Time
}

// WriterStanding is one process that has added commits in the catalog's epoch.
type WriterStanding struct {
	ID      string
	Name    string // of its program and host; empty where it did not say
	Commits int
	Newest  time.Time // of its commits, by its own clock
}

// OpenStanding reads how far the vault has got, and more of the topics that are wanted.
func (v *Vault) OpenStanding(ctx context.Context, wants func(topic string) bool) (*Standing, error) {
	var s *Standing
	if _, err := v.withFacts(ctx, catalogOptions{reader: true, chapters: true}, func(c *Catalog) error {
		s = &Standing{
			Catalog: c, vault: v,
			reached: newReachedReader(), writers: map[format.Writer]*WriterStanding{}, streams: map[coldstream.Stream]*StreamStanding{},
		}
		if err := c.eachCommit(func(commit *format.Commit) error { s.take(commit); return nil }); err != nil {
			return err
		}
		return c.eachFacts(ctx, wants, func(_ string, facts *format.Facts) error { s.visit(facts, wants); return nil })
	}); err != nil {
		return nil, err
	}
	s.sortStatements()
	for _, stream := range s.streams {
		slices.SortFunc(stream.Gaps, func(a, b FoundGap) int {
			return cmp.Or(cmp.Compare(a.FirstOffset, b.FirstOffset), cmp.Compare(a.NextOffset, b.NextOffset))
		})
		// A gap that two writers met is one.
		stream.Gaps = slices.CompactFunc(stream.Gaps, func(a, b FoundGap) bool { return a.Gap == b.Gap })
	}
	return s, nil
}

func (s *Standing) take(commit *format.Commit) {
	s.reached.take(commit)
	w := s.writers[commit.ID.Writer]
	if w == nil {
		w = &WriterStanding{ID: fmt.Sprintf("%x", commit.ID.Writer[:])}
		s.writers[commit.ID.Writer] = w
	}
	w.Commits++
	if at := time.UnixMilli(commit.TimeMs).UTC(); at.After(w.Newest) {
		w.Newest = at
	}
}

func (s *Standing) visit(facts *format.Facts, wants func(topic string) bool) {
	at := func(i int) *StreamStanding {
		stream := facts.StreamAt(i)
		if !wants(stream.Topic) {
			return nil
		}
		known := s.streams[stream]
		if known == nil {
			known = &StreamStanding{NewestMs: -1}
			s.streams[stream] = known
		}
		return known
	}
	for i := range facts.Rows {
		r := &facts.Rows[i]
		if stream := at(r.Stream); stream != nil {
			stream.NewestMs = max(stream.NewestMs, r.MaxTimestampMs)
			stream.Offsets, stream.Bytes = stream.Offsets+r.NextOffset-r.FirstOffset, stream.Bytes+r.Length
		}
	}
	for _, g := range facts.Gaps {
		if stream := at(g.Stream); stream != nil {
			gap := coldstream.Gap{TopicPartition: facts.StreamAt(g.Stream).TopicPartition(), FirstOffset: g.FirstOffset, NextOffset: g.NextOffset, Cause: g.Cause}
			stream.Gaps = append(stream.Gaps, FoundGap{gap, time.UnixMilli(g.TimeMs).UTC()})
		}
	}
}

// sortStatements puts them into the order of the catalog, the newest first: which commit is
// newer no clock says. One that does not join tells of data that is not there.
func (s *Standing) sortStatements() {
	r := s.reached
	r.said = slices.DeleteFunc(r.said, func(at reachedStatement) bool { return !s.state(at.commit).joined })
	slices.SortFunc(r.said, func(a, b reachedStatement) int {
		return cmp.Or(cmp.Compare(s.state(b.commit).depth, s.state(a.commit).depth), b.commit.Compare(a.commit))
	})
}

// Stream is what rows and gaps tell of a stream.
func (s *Standing) Stream(stream coldstream.Stream) StreamStanding {
	if known := s.streams[stream]; known != nil {
		return *known
	}
	return StreamStanding{NewestMs: -1}
}

// Writers are those that have added commits since a time, by ID: in the order in which they began.
func (s *Standing) Writers(since time.Time) []WriterStanding {
	var out []WriterStanding
	for id, w := range s.writers {
		if !w.Newest.Before(since) {
			of := *w
			of.Name = s.reached.names[id]
			out = append(out, of)
		}
	}
	slices.SortFunc(out, func(a, b WriterStanding) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// LastSnapshot is the newest snapshot with a topic, of those that can be read; nil if there is none.
func (s *Standing) LastSnapshot(ctx context.Context, topic coldstream.Incarnation) (*Snapshot, error) {
	for i := range slices.Backward(s.snapshots) {
		shows, err := s.snapshots[i].showsReadably(ctx, topic)
		if err != nil {
			return nil, err
		}
		if shows {
			return &s.snapshots[i], nil
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// showsReadably says that a snapshot can be read and shows a topic.
func (s *Snapshot) showsReadably(ctx context.Context, topic coldstream.Incarnation) (bool, error) {
	shows, err := s.Shows(ctx, topic)
	if errors.Is(err, coldstream.ErrCorrupt) || errors.Is(err, coldstream.ErrForgotten) {
		return false, nil
	}
	return shows, err
}

// ReachedAt says as of when the vault last held all of a topic: all that was in its logs then
// is saved. Ahead says that a newer time was passed over because it lies ahead of now: some
// clock is wrong. It is false if the vault never did.
//
// It is what a commit said of this epoch. Of earlier ones, and by programs that do not say
// it, snapshots are left, with their times: those of backups that ran to their end.
func (s *Standing) ReachedAt(ctx context.Context, topic coldstream.Incarnation, now time.Time) (at time.Time, ahead, ok bool, err error) {
	for i := range s.reached.said {
		said := &s.reached.said[i]
		switch {
		case !s.reached.says(said, topic):
		case said.asOf.After(now.Add(clockTolerance)):
			ahead = true
		default:
			return said.asOf, ahead, true, nil
		}
	}
	for i := range slices.Backward(s.snapshots) {
		snapshot := &s.snapshots[i]
		shows, err := snapshot.showsReadably(ctx, topic)
		if err != nil {
			return time.Time{}, ahead, false, err
		}
		if !shows {
			continue
		}
		short, err := s.vault.isShort(ctx, snapshot, topic)
		switch {
		case err != nil:
			return time.Time{}, ahead, false, err
		case short:
		case snapshot.Time.After(now.Add(clockTolerance)):
			ahead = true
		default:
			return snapshot.Time, ahead, true, nil
		}
	}
	return time.Time{}, ahead, false, nil
}

// isShort says that a snapshot shows less of a topic than was due when it was taken. Where that
// cannot be read it may.
func (v *Vault) isShort(ctx context.Context, s *Snapshot, topic coldstream.Incarnation) (bool, error) {
	for _, ref := range s.sections {
		if ref.Name != SectionShort {
			continue
		}
		m := &Metadata{}
		payload, err := v.loadSection(ctx, ref)
		if err == nil {
			err = m.decode(ref.Name, payload)
		}
		if errors.Is(err, coldstream.ErrCorrupt) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("metadata section %s of snapshot %s: %w", ref.Name, s.ID, err)
		}
		return slices.ContainsFunc(m.Short, func(p coldstream.ShortPartition) bool {
			return p.Topic == topic.Topic && p.TopicID == topic.TopicID
		}), nil
	}
	return false, nil
}
