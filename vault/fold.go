package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// readCommits folds the epoch's commits.
func (c *Catalog) readCommits(ctx context.Context, v *Vault) error {
	var all []blob.Entry
	for entry, err := range v.listed(ctx, c.opts.survey, format.CommitsPrefix(c.epoch), "") {
		if err != nil {
			return fmt.Errorf("list commits: %w", err)
		}
		all = append(all, entry)
	}
	v, stop := v.ahead(ctx, all)
	defer stop()
	for _, entry := range all {
		c.commitBytes += entry.SizeBytes
		id, err := format.ParseCommitKey(entry.Key)
		if err != nil {
			c.report(entry.Key, KindUnexpected, err)
			continue
		}
		if err := c.foldWithParents(ctx, v, id); err != nil {
			return err
		}
	}
	c.retry()
	for _, commit := range c.waiting {
		c.report(commit.ID.Key(), KindDoesNotJoin, errors.New("it builds on offsets that no readable commit holds"))
		if c.opts.reader {
			c.take(commit)
		}
	}
	c.waiting = nil
	if !c.hasBase && len(c.commits) > 0 {
		c.report(format.VaultKey, KindAltered, errors.New("neither the base nor any commit opens as an object of the vault ID that it says"))
	}
	return nil
}

// foldWithParents folds a commit behind all that it was built on, whatever the order of
// the listing. What a commit names, and the listing did not have, is asked for by its
// name: it may have been made while the listing went on. Only names wait here, so that
// a long chain takes no memory; a commit with parents to read first is read twice.
func (c *Catalog) foldWithParents(ctx context.Context, v *Vault, id format.CommitID) error {
	todo := []format.CommitID{id}
	opened := map[format.CommitID]bool{}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		if c.state(id).seen {
			todo = todo[:len(todo)-1]
			continue
		}
		commit, payload, digest, err := c.readCommit(ctx, v, id)
		var damage *DamageError
		if errors.As(err, &damage) {
			c.lose(id)
			c.damage = append(c.damage, damage)
			continue
		}
		if err != nil {
			return err
		}
		// Hashes exclude that a commit is its own ancestor; one that claims it is opened once.
		if unseen := c.unseenParents(commit); len(unseen) > 0 && !opened[id] {
			opened[id] = true
			todo = append(todo, unseen...)
			continue
		}
		if c.opts.reader {
			c.state(id).payload = payload
		}
		c.fold(commit, digest)
	}
	return nil
}

// readCommit reads one commit. What cannot be a commit of this epoch is damage.
func (c *Catalog) readCommit(ctx context.Context, v *Vault, id format.CommitID) (commit *format.Commit, payload []byte, digest format.Hash, err error) {
	key := id.Key()
	payload, digest, err = v.objects.Load(ctx, format.KindCommit, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, digest, &DamageError{Object: key, Kind: KindMissing, Cause: fmt.Errorf("a later commit names it: %w", err)}
	}
	if err != nil {
		return nil, nil, digest, err
	}
	commit, err = format.DecodeCommit(payload)
	switch {
	case errors.Is(err, coldstream.ErrUnsupported):
		return nil, nil, digest, fmt.Errorf("decode %s: %w", key, err)
	case err != nil:
		return nil, nil, digest, &DamageError{Object: key, Kind: KindAltered, Cause: err}
	case !c.hasBase:
		c.baseHash, c.hasBase = commit.BaseHash, true
	}
	if commit.ID != id || commit.BaseHash != c.baseHash {
		return nil, nil, digest, &DamageError{Object: key, Kind: KindAltered, Cause: errors.New("it was made for another key or another base")}
	}
	return commit, payload, digest, nil
}

func (c *Catalog) state(id format.CommitID) *commitState {
	s := c.commits[id]
	if s == nil {
		s = &commitState{}
		c.commits[id] = s
	}
	return s
}

func (c *Catalog) unseenParents(commit *format.Commit) []format.CommitID {
	var out []format.CommitID
	for _, parent := range commit.Parents {
		if !c.state(parent.ID).seen {
			out = append(out, parent.ID)
		}
	}
	return out
}

// fold takes a commit in if it joins; else it waits for what others may bring.
func (c *Catalog) fold(commit *format.Commit, digest format.Hash) {
	c.link(commit, digest)
	if !c.apply(commit) {
		c.waiting = append(c.waiting, commit)
	}
}

// link keeps which commits no other names: the newest commit of a backup names all that
// it has seen, directly or through others.
func (c *Catalog) link(commit *format.Commit, digest format.Hash) {
	s := c.state(commit.ID)
	s.seen, s.read, s.digest, s.snapshotMs = true, true, digest, format.NoParent
	for _, ref := range commit.Parents {
		parent := c.state(ref.ID)
		parent.named = true
		s.depth, s.snapshotMs = max(s.depth, parent.depth), max(s.snapshotMs, parent.snapshotMs)
		if parent.read && parent.digest != ref.Hash {
			c.report(ref.ID.Key(), KindAltered, fmt.Errorf("%s names it with another content", commit.ID.Key()))
		}
	}
	s.depth++
	if commit.Snapshot != nil {
		commit.Snapshot.ParentMs, s.snapshotMs = s.snapshotMs, commit.Snapshot.TimeMs
	}
	c.deepest = max(c.deepest, s.depth)
}

// lose gives a commit that cannot be read its place where the listing has it: nothing else
// tells what it was built on.
func (c *Catalog) lose(id format.CommitID) {
	s := c.state(id)
	s.seen, s.depth, s.snapshotMs = true, c.deepest+1, format.NoParent
}

// parents are the commits to name in the next one.
func (c *Catalog) parents() []format.CommitRef {
	var out []format.CommitRef
	for id, s := range c.commits {
		if s.read && !s.named {
			out = append(out, format.CommitRef{ID: id, Hash: s.digest})
		}
	}
	slices.SortFunc(out, func(a, b format.CommitRef) int { return a.ID.Compare(b.ID) })
	return out
}

// isProven says that all that the commit's writer had seen was taken in.
func (c *Catalog) isProven(commit *format.Commit) bool {
	for _, ref := range commit.Parents {
		if s := c.state(ref.ID); !s.joined || s.digest != ref.Hash {
			return false
		}
	}
	// One without parents was built on the base, which is empty in epoch 0.
	return len(commit.Parents) > 0 || commit.ID.Epoch > 0
}

// retry takes in each waiting commit that joins, until none of the rest does: later
// commits may have brought again what a lost one held.
func (c *Catalog) retry() {
	for {
		var rest []*format.Commit
		for _, commit := range c.waiting {
			if !c.apply(commit) {
				rest = append(rest, commit)
			}
		}
		done := len(rest) == len(c.waiting)
		if c.waiting = rest; done {
			return
		}
	}
}

// apply takes a commit in, or leaves it out whole.
func (c *Catalog) apply(commit *format.Commit) bool {
	heads, ok := c.joined(commit)
	if !ok {
		return false
	}
	for stream, h := range heads {
		c.setHead(&commit.Facts, stream, h)
	}
	if commit.Snapshot != nil {
		c.addPasses(&commit.Facts, commit.Snapshot)
	}
	c.state(commit.ID).joined = true
	c.take(commit)
	return true
}

// take keeps what readers need of a commit.
func (c *Catalog) take(commit *format.Commit) {
	if commit.Snapshot != nil {
		c.takeSnapshot(commit)
	}
	for i := range commit.Facts.Packs {
		c.packs[commit.Facts.Packs[i].ID] = commit.Facts.Packs[i].SizeBytes
	}
	if c.opts.reader {
		c.taken = append(c.taken, commit.ID)
	}
	if c.opts.taken != nil {
		c.opts.taken(commit)
	}
}

// joined returns the heads that a commit would change, as it would leave them. It is false if a row or gap of
// the commit lies past a head, or its snapshot's view past what is there.
func (c *Catalog) joined(commit *format.Commit) (map[int]*headState, bool) {
	facts := &commit.Facts
	touched := map[int]*headState{}
	head := func(stream int) *headState {
		h, ok := touched[stream]
		if known := c.headAt(facts, stream); !ok && known != nil {
			h = known.clone()
			touched[stream] = h
		}
		return h
	}
	for _, scan := range facts.Scans {
		touched[scan.Stream] = beginScan(head(scan.Stream), scan)
	}
	proven := c.isProven(commit)
	for _, e := range extentsOf(facts) {
		h := head(e.stream)
		switch {
		case h == nil || e.scan > h.scan:
			return nil, false
		case e.scan < h.scan: // a scan that is over does not move the head
		case proven && e.firstOffset <= h.reach:
			h.add(e.extent)
		case !h.extend(e.extent):
			return nil, false
		}
	}
	if commit.Snapshot != nil {
		for _, view := range commit.Snapshot.Views {
			h, ok := touched[view.Stream]
			if !ok {
				h = c.headAt(facts, view.Stream) // only looked at: there are many
			}
			if !h.covers(view) && (!proven || !h.reaches(view)) {
				return nil, false
			}
		}
	}
	return touched, true
}

// covers says that a view lies within what the head holds. A view of an older leader
// epoch may be of a fork: another writer has seen since that the log lost its end.
func (h *headState) covers(view format.View) bool {
	return h.reaches(view) && (view.Scan < h.scan || view.LastEpoch < h.epochs.Last() || view.NextOffset <= h.nextOffset)
}

// reaches says that a view lies within what any history of the stream held.
func (h *headState) reaches(view format.View) bool {
	return h != nil && view.Scan <= h.scan && view.LogStartOffset >= h.floor &&
		(view.Scan < h.scan || view.NextOffset <= h.reach)
}

// beginScan applies the fact that a reading began at a log start: what lies below was
// not there any more. Two writers that meet a new stream at once may both begin it.
func beginScan(h *headState, scan format.Scan) *headState {
	if h == nil || scan.Number > h.scan {
		begun := &headState{scan: scan.Number, nextOffset: scan.FirstOffset, reach: scan.FirstOffset, floor: -1, startedMs: scan.StartedMs}
		if h != nil {
			begun.pass = h.pass
		}
		return begun
	}
	if scan.Number == h.scan {
		h.startedMs = min(h.startedMs, scan.StartedMs)
		h.nextOffset = max(h.nextOffset, scan.FirstOffset)
		h.reach = max(h.reach, scan.FirstOffset)
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
		out = append(out, streamExtent{r.Stream, r.Scan, extent{r.FirstOffset, r.NextOffset, r.Epochs, r.Length, isHoley(r), r.CommitMs}})
	}
	for _, g := range facts.Gaps {
		out = append(out, streamExtent{g.Stream, g.Scan, extent{firstOffset: g.FirstOffset, nextOffset: g.NextOffset}})
	}
	slices.SortStableFunc(out, func(a, b streamExtent) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.scan, b.scan), cmp.Compare(a.firstOffset, b.firstOffset))
	})
	return out
}

// isHoley says that a row lacks some of its offsets. Each marker is a record of a control batch.
func isHoley(r *format.Row) bool {
	return r.BaseOffset != r.FirstOffset || r.Records+int64(len(r.Markers)) != r.NextOffset-r.FirstOffset
}

func (c *Catalog) takeSnapshot(commit *format.Commit) {
	for _, ref := range commit.Snapshot.Sections {
		if ref.Missing == "" {
			c.sections[ref.Table.Hash] = ref.Table
		}
	}
	if c.opts.reader {
		c.placed = append(c.placed, placedSnapshot{commit.ID, c.state(commit.ID).depth, c.ownSnapshot(commit)})
	}
}

// placedSnapshot is a snapshot with what says where it stands among those of its epoch.
type placedSnapshot struct {
	commit format.CommitID
	depth  int
	Snapshot
}

// placeSnapshots puts those of the epoch's commits behind those of earlier epochs, in the
// order of the fold: each behind those it was built on. Of two that know nothing of each
// other the one at the end of the shorter chain is the older one: so a process that goes on
// overtakes one that has ended, whatever their clocks say.
func (c *Catalog) placeSnapshots() {
	slices.SortFunc(c.placed, func(a, b placedSnapshot) int {
		return cmp.Or(cmp.Compare(a.depth, b.depth), a.commit.Compare(b.commit))
	})
	fresh := make([]Snapshot, len(c.placed))
	for i := range c.placed {
		fresh[i] = c.placed[i].Snapshot
	}
	c.addSnapshots(fresh)
	c.placed = nil
}

// addSnapshots keeps the snapshots of later epochs, each once: a writer that had no answer
// may have stored it again.
func (c *Catalog) addSnapshots(later []Snapshot) {
	followSnapshots(c.snapshots, later)
	for i := range later {
		if s := &later[i]; !c.snapshotIDs[s.ID] {
			c.snapshotIDs[s.ID] = true
			c.snapshots = append(c.snapshots, *s)
		}
	}
}

// followSnapshots says of those snapshots that were built on a base, and on nothing since,
// which was the newest in it.
func followSnapshots(before, later []Snapshot) {
	if len(before) == 0 {
		return
	}
	for i := range later {
		if later[i].ParentTime.IsZero() {
			later[i].ParentTime = before[len(before)-1].Time
		}
	}
}
