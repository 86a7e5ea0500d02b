package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"coldstream"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/lineage"
	"coldstream/vault/internal/pack"
)

// Losses is what damaged packs cost of the newest histories of streams.
type Losses struct {
	// Ranges are sorted by stream and offset and do not overlap.
	Ranges []LostRange

	found    []format.Mark
	accepted acceptances
}

// IsAccepted says that somebody accepted the loss ([Vault.AcceptLoss]).
func (l *Losses) IsAccepted(d *DamageError) bool { return l.accepted.has(d) }

// LostRange is offsets that nothing in the vault holds but a damaged pack.
type LostRange struct {
	// Damage names the pack, the stream and the offsets.
	Damage *DamageError
	Scan   uint32
	// Epochs says where the leader epochs of the stream's newest history begin, ascending.
	// Only batches that agree with them are the ones that were lost.
	Epochs []coldstream.EpochStart
	// Dense says that each offset held a data record, as far as the catalog knows.
	Dense bool
}

// Losses looks for packs that are missing or have another size, and at those that are
// marked. Only if there are any, rows are read: those of topics that topics is true of.
// Nothing is stored.
func (w *Writer) Losses(ctx context.Context, topics func(topic string) bool) (*Losses, error) {
	v, known := w.vault, w.catalog
	for {
		f := &lossFinder{vault: v, topics: topics}
		found, err := f.run(ctx, known)
		known = nil
		if err != nil {
			return nil, fmt.Errorf("look for damaged packs: %w", err)
		}
		now, err := v.lookAgain(ctx, found)
		if err != nil {
			return nil, err
		}
		if now.isStill(found) { // what a newer epoch took away is not missing
			if len(f.losses.Ranges) > 0 {
				f.losses.accepted, _, err = v.listAcceptances(ctx)
			}
			return &f.losses, err
		}
	}
}

// MarkLosses makes readers prefer what is fetched again.
func (v *Vault) MarkLosses(ctx context.Context, l *Losses) error {
	for _, m := range l.found {
		if err := v.mark(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// lossFinder finds out what is damaged, and what that costs.
type lossFinder struct {
	vault  *Vault
	topics func(string) bool
	// affected are the scans with a row in a frame that may be damaged; rows are theirs.
	affected map[scanOf]bool
	rows     map[scanOf]*lineage.Set
	marked   marks
	// damaged is what is proved to be: what lacks in the listing, and marked frames that
	// were read. Others that were read are whole.
	damaged damagedFrames
	whole   map[format.Mark]bool
	codec   *format.FrameCodec
	losses  Losses
}

func (f *lossFinder) run(ctx context.Context, known *Catalog) (*epochsFound, error) {
	var seen *survey
	if known != nil { // once: the next time it is old
		seen, known.opts.survey = known.opts.survey, nil
	}
	named, found, err := f.vault.namedPacks(ctx, known)
	if err != nil {
		return nil, err
	}
	if err := f.findMissing(ctx, named, seen); err != nil {
		return nil, err
	}
	if f.marked, err = f.vault.listMarks(ctx, seen); err != nil {
		return nil, err
	}
	for m := range f.marked {
		if _, ok := named[m.Pack]; !ok {
			delete(f.marked, m)
		}
	}
	if err := f.findAround(ctx, named); err != nil {
		return nil, err
	}
	for m := range f.damaged {
		if !f.marked[m] {
			f.losses.found = append(f.losses.found, m)
		}
	}
	if len(f.marked)+len(f.damaged) == 0 {
		return found, nil
	}
	// Rows are read twice, so that only those that are needed are kept.
	c, err := f.vault.withFacts(ctx, catalogOptions{reader: true}, func(c *Catalog) error {
		f.affected, f.rows = map[scanOf]bool{}, map[scanOf]*lineage.Set{}
		err := c.eachFacts(ctx, f.topics, f.findAffected)
		if err != nil || len(f.affected) == 0 {
			return err
		}
		return c.eachFacts(ctx, f.topics, f.visit)
	})
	if err != nil {
		return nil, err
	}
	f.whole, f.codec = map[format.Mark]bool{}, format.NewFrameCodec()
	defer f.codec.Close()
	for scan, set := range f.rows {
		if h := c.heads[scan.stream]; h == nil || h.scan != scan.scan {
			continue
		}
		if err := f.findLost(ctx, newestView(scan, set, c), set); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(f.losses.Ranges, func(a, b LostRange) int {
		return cmp.Or(a.Damage.Stream.Compare(b.Damage.Stream), cmp.Compare(a.Damage.FirstOffset, b.Damage.FirstOffset))
	})
	return found, nil
}

// namedPacks are the packs that the catalog names, with their sizes. No rows are read, and
// nothing again that a writer has read, unless that was damaged: it takes in less than readers do.
func (v *Vault) namedPacks(ctx context.Context, known *Catalog) (map[format.PackID]int64, *epochsFound, error) {
	if known != nil && len(known.damage) == 0 {
		c := &Catalog{
			chapters: known.chapters, packs: maps.Clone(known.packs), digests: map[format.Hash]bool{},
			opts: catalogOptions{chapters: true},
		}
		if err := c.readChapters(ctx, v); err != nil {
			return nil, nil, err
		}
		if len(c.damage) == 0 {
			return c.packs, &known.found, nil
		}
	}
	c, err := v.openCatalog(ctx, catalogOptions{reader: true, chapters: true})
	if err != nil {
		return nil, nil, err
	}
	return c.packs, &c.found, nil
}

func (f *lossFinder) findMissing(ctx context.Context, named map[format.PackID]int64, seen *survey) error {
	sizes, err := f.vault.packSizes(ctx, seen)
	if err != nil {
		return err
	}
	f.damaged = damagedFrames{}
	for id, size := range named {
		damage := sizes.damage(id, size)
		if damage != nil && damage.Kind == KindMissing {
			// A listing alone is not believed.
			isThere, err := f.vault.objects.IsPackThere(ctx, id)
			if err != nil {
				return err
			}
			if isThere {
				continue
			}
		}
		if damage != nil {
			f.damaged[format.Mark{Pack: id, Start: format.WholePack}] = damage
		}
	}
	return nil
}

// findAround looks at packs that are marked as a whole and are there at their size: their
// header or index may be damaged.
func (f *lossFinder) findAround(ctx context.Context, named map[format.PackID]int64) error {
	for m := range f.marked {
		if m.Start != format.WholePack || f.damaged[m] != nil {
			continue
		}
		damage, err := f.vault.readAround(ctx, m.Pack, named[m.Pack])
		if err != nil {
			return err
		}
		if damage != nil {
			f.damaged[m] = damage
		}
	}
	return nil
}

// packSizes are the packs that are there, by their keys.
type packSizes map[string]int64

func (v *Vault) packSizes(ctx context.Context, s *survey) (packSizes, error) {
	sizes := packSizes{}
	for entry, err := range v.listed(ctx, s, format.PacksPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list packs: %w", err)
		}
		sizes[entry.Key] = entry.SizeBytes
	}
	return sizes, nil
}

// damage says how a pack is not as the catalog names it; nil if it may be.
func (p packSizes) damage(id format.PackID, want int64) *DamageError {
	size, there := p[id.Key()]
	kind := KindTruncated
	switch {
	case !there:
		return &DamageError{Object: id.Key(), Kind: KindMissing, Cause: fs.ErrNotExist}
	case size == want:
		return nil
	case size > want:
		kind = KindAltered
	}
	return &DamageError{Object: id.Key(), Kind: kind, Cause: fmt.Errorf("it has %d bytes, the catalog says %d", size, want)}
}

// findAffected notes the scans that have a row in a frame that may be damaged.
func (f *lossFinder) findAffected(_ string, facts *format.Facts) error {
	packs := newPackRefs(facts, f.vault.info.ID)
	for i := range facts.Rows {
		r := &facts.Rows[i]
		if p := packs.of(r); p != nil && f.isDoubtful(p.ID, p.Starts[r.Frame]) {
			f.affected[scanOf{facts.StreamAt(r.Stream), r.Scan}] = true
		}
	}
	return nil
}

func (f *lossFinder) visit(_ string, facts *format.Facts) error {
	packs := newPackRefs(facts, f.vault.info.ID)
	for i := range facts.Rows {
		r := &facts.Rows[i]
		scan := scanOf{facts.StreamAt(r.Stream), r.Scan}
		if !f.affected[scan] || !f.topics(scan.stream.Topic) {
			continue
		}
		if f.rows[scan] == nil {
			f.rows[scan] = &lineage.Set{}
		}
		f.rows[scan].Rows = append(f.rows[scan].Rows, lineage.Row{Row: *r, InPack: packs.of(r)})
	}
	return nil
}

// isDoubtful is true of frames that are damaged, of packs of another size, and of marked
// frames, unless they were read and are whole.
func (f *lossFinder) isDoubtful(id format.PackID, start int64) bool {
	return (f.damaged.has(id, start) || f.marked.has(id, start)) && !f.whole[format.Mark{Pack: id, Start: start}]
}

// findLost finds what of a scan only damaged frames hold. A mark alone proves nothing: its
// frame is read before it counts as lost, for what is fetched again later can be less, in
// a compacted topic, than what the vault holds.
func (f *lossFinder) findLost(ctx context.Context, view View, set *lineage.Set) error {
	for set.Doubt(f.isDoubtful) {
		settled := true
		covered := set.Cover(view)
		for i := range covered.Runs {
			run := &covered.Runs[i]
			if !run.Doubtful {
				continue
			}
			isWhole, err := f.prove(ctx, run)
			if err != nil {
				return err
			}
			settled = settled && !isWhole
		}
		if settled {
			f.keepLost(view, set, covered.Runs)
			return nil
		}
	}
	return nil
}

// prove reads a frame, unless that was done. It is true if the frame is whole. A pack of
// another size, or with another header or index, may have lost no frame: what is dense is
// fetched again all the same, for it comes back as it was, and nobody needs the pack any more.
func (f *lossFinder) prove(ctx context.Context, run *Run) (isWhole bool, err error) {
	ref := run.Ref
	m := format.Mark{Pack: ref.Pack.ID, Start: ref.Pack.Starts[ref.Row.Frame]}
	if f.whole[m] {
		return true, nil
	}
	if _, known := f.damaged[m]; known {
		return false, nil
	}
	if pack := f.damaged[format.Mark{Pack: m.Pack, Start: format.WholePack}]; pack != nil && (pack.Kind == KindMissing || run.Dense()) {
		return false, nil
	}
	_, err = pack.ReadFrame(ctx, f.vault.objects, f.codec, ref.Pack, ref.Row.Frame)
	var damage *DamageError
	switch {
	case err == nil:
		f.whole[m] = true
		return true, nil
	case errors.As(err, &damage):
		f.damaged[m] = damage
		return false, nil
	case errors.Is(err, keyring.ErrCatalogOnly):
		// What is dense comes back as it was, if it was damaged at all. Else what is fetched
		// again can be less, and the frame may be whole: that is for who can read it to heal.
		f.whole[m] = !run.Dense()
		if run.Dense() {
			f.damaged[m] = &DamageError{Object: m.Pack.Key(), Kind: KindMarked, Cause: err}
		}
		return f.whole[m], nil
	}
	return false, fmt.Errorf("read %s: %w", m.Pack.Key(), err)
}

// keepLost keeps what is lost, joined where one damage costs several runs.
func (f *lossFinder) keepLost(view View, set *lineage.Set, runs []Run) {
	var epochs []coldstream.EpochStart
	for _, e := range lineage.Of(set.Rows, view) {
		epochs = append(epochs, coldstream.EpochStart(e))
	}
	var last *LostRange
	for i := range runs {
		run := &runs[i]
		if !run.Doubtful {
			continue
		}
		damage := f.damaged.of(run.Ref.Pack.ID, run.Ref.Pack.Starts[run.Ref.Row.Frame])
		if last != nil && last.Damage.NextOffset == run.FirstOffset && last.Damage.Object == damage.Object {
			last.Damage.NextOffset, last.Dense = run.NextOffset, last.Dense && run.Dense()
			continue
		}
		f.losses.Ranges = append(f.losses.Ranges, LostRange{
			Damage: costing(damage, view.Stream, run), Scan: view.Scan, Epochs: epochs, Dense: run.Dense(),
		})
		last = &f.losses.Ranges[len(f.losses.Ranges)-1]
	}
}

// costing says of damage which run of a stream it costs.
func costing(damage *DamageError, stream coldstream.Stream, run *Run) *DamageError {
	d := *damage
	d.Stream, d.FirstOffset, d.NextOffset = stream, run.FirstOffset, run.NextOffset
	return &d
}
