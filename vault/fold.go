package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

// readCommit reads one commit. What cannot be a commit of this epoch is damage.
func (c *Catalog) readCommit(ctx context.Context, v *Vault, key string) (*format.Commit, error) {
	id, err := format.ParseCommitKey(key)
	if err != nil {
		return nil, &DamageError{Object: key, Kind: "unexpected", Cause: err}
	}
	payload, digest, err := v.load(ctx, format.KindCommit, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamageError{Object: key, Kind: "missing", Cause: err}
	}
	if err != nil {
		return nil, err
	}
	commit, err := format.DecodeCommit(payload)
	if err != nil {
		if errors.Is(err, coldstream.ErrUnsupported) {
			return nil, fmt.Errorf("decode %s: %w", key, err)
		}
		return nil, &DamageError{Object: key, Kind: "altered", Cause: err}
	}
	if commit.ID != id || commit.BaseHash != c.baseHash {
		return nil, &DamageError{Object: key, Kind: "altered", Cause: errors.New("it was made for another key or another base")}
	}
	c.link(commit, digest)
	return commit, nil
}

// link keeps which commits no other names: the newest commit of a backup names all that
// it has seen, directly or through others.
func (c *Catalog) link(commit *format.Commit, digest format.Hash) {
	c.tips[commit.ID] = digest
	for _, parent := range commit.Parents {
		c.named[parent.ID] = parent.Hash
	}
}

func (c *Catalog) has(id format.CommitID) bool {
	_, ok := c.tips[id]
	return ok
}

// parents are the commits to name in the next one.
func (c *Catalog) parents() []format.CommitRef {
	var out []format.CommitRef
	for id, digest := range c.tips {
		if _, ok := c.named[id]; !ok {
			out = append(out, format.CommitRef{ID: id, Hash: digest})
		}
	}
	slices.SortFunc(out, func(a, b format.CommitRef) int { return a.ID.Compare(b.ID) })
	return out
}

// join takes in each waiting commit that joins, until none of the rest does.
func (c *Catalog) join(waiting []*format.Commit) ([]*format.Commit, error) {
	for {
		var rest []*format.Commit
		for _, commit := range waiting {
			joined, err := c.apply(commit)
			if err != nil {
				return nil, err
			}
			if !joined {
				rest = append(rest, commit)
			}
		}
		if len(rest) == len(waiting) || len(rest) == 0 {
			return rest, nil
		}
		waiting = rest
	}
}

// apply takes a commit in, or leaves it out whole.
func (c *Catalog) apply(commit *format.Commit) (bool, error) {
	heads, ok := c.joined(commit)
	if !ok {
		return false, nil
	}
	for stream, h := range heads {
		c.heads[commit.Facts.StreamAt(stream)] = h
	}
	if commit.Snapshot != nil {
		c.takeSnapshot(&commit.Facts, commit.Snapshot)
	}
	if c.visit != nil {
		return true, c.visit(&commit.Facts)
	}
	return true, nil
}

// joined returns the heads as a commit would leave them. It is false if a row or gap of
// the commit lies past a head, or its snapshot's view past what is there.
func (c *Catalog) joined(commit *format.Commit) (map[int]*headState, bool) {
	facts := &commit.Facts
	touched := map[int]*headState{}
	head := func(stream int) *headState {
		h, ok := touched[stream]
		if !ok && c.heads[facts.StreamAt(stream)] != nil {
			h = c.heads[facts.StreamAt(stream)].clone()
			touched[stream] = h
		}
		return h
	}
	for _, scan := range facts.Scans {
		touched[scan.Stream] = beginScan(head(scan.Stream), scan)
	}
	for _, e := range extentsOf(facts) {
		h := head(e.stream)
		if h == nil || e.scan > h.scan || e.scan == h.scan && !h.extend(e.extent) {
			return nil, false
		}
	}
	if commit.Snapshot != nil {
		for _, view := range commit.Snapshot.Views {
			if !head(view.Stream).covers(view) {
				return nil, false
			}
		}
	}
	return touched, true
}

// covers says that a view lies within what the head holds.
func (h *headState) covers(view format.View) bool {
	if h == nil || view.Scan > h.scan || view.LogStartOffset < h.floor {
		return false
	}
	return view.Scan < h.scan || view.NextOffset <= h.nextOffset
}

// beginScan applies the fact that a reading began at a log start: what lies below was
// not there any more. Two writers that meet a new stream at once may both begin it.
func beginScan(h *headState, scan format.Scan) *headState {
	if h == nil || scan.Number > h.scan {
		return &headState{scan: scan.Number, nextOffset: scan.FirstOffset, floor: -1}
	}
	if scan.Number == h.scan {
		h.nextOffset = max(h.nextOffset, scan.FirstOffset)
	}
	return h
}

type streamExtent struct {
	stream int
	scan   uint32
	extent
}

// extentsOf gives the rows and gaps of a commit by stream and offset: so each joins what
// is before it.
func extentsOf(facts *format.Facts) []streamExtent {
	out := make([]streamExtent, 0, len(facts.Rows)+len(facts.Gaps))
	for i := range facts.Rows {
		r := &facts.Rows[i]
		out = append(out, streamExtent{r.Stream, r.Scan, extent{r.FirstOffset, r.NextOffset, r.Epochs, r.Length}})
	}
	for _, g := range facts.Gaps {
		out = append(out, streamExtent{g.Stream, g.Scan, extent{firstOffset: g.FirstOffset, nextOffset: g.NextOffset}})
	}
	slices.SortStableFunc(out, func(a, b streamExtent) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.scan, b.scan), cmp.Compare(a.firstOffset, b.firstOffset))
	})
	return out
}

func (c *Catalog) takeSnapshot(facts *format.Facts, s *format.Snapshot) {
	for _, ref := range s.Sections {
		if ref.Missing == "" {
			c.sections[ref.Table.Hash] = ref.Table
		}
	}
	if !c.keepViews {
		return
	}
	out := Snapshot{
		ID: SnapshotID(s.ID), Time: time.UnixMilli(s.TimeMs).UTC(), ClusterID: s.ClusterID,
		Views: make([]View, len(s.Views)), sections: s.Sections,
	}
	for i, view := range s.Views {
		stream := facts.StreamAt(view.Stream)
		out.Views[i] = View{
			Stream: stream, Scan: view.Scan,
			LogStartOffset: view.LogStartOffset, NextOffset: view.NextOffset, LastEpoch: view.LastEpoch,
		}
		out.SizeBytes += c.heads[stream].bytes
	}
	c.snapshots = append(c.snapshots, out)
}

// Snapshots returns the restore points, oldest first. The slice is the caller's, what it
// refers to is shared.
func (c *Catalog) Snapshots() []Snapshot { return slices.Clone(c.snapshots) }

// Damage lists the catalog's objects that are missing or altered, and the commits that
// do not join without them.
func (c *Catalog) Damage() []*DamageError { return slices.Clone(c.damage) }

// head returns how far the vault has got with a stream.
func (c *Catalog) head(s coldstream.Stream) (Head, bool) {
	h, ok := c.heads[s]
	if !ok {
		return Head{}, false
	}
	head := Head{Scan: h.scan, NextOffset: h.nextOffset}
	for _, e := range h.epochs {
		head.Epochs = append(head.Epochs, coldstream.EpochStart(e))
	}
	return head, true
}
