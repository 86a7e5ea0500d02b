package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
	"coldstream/vault/internal/pack"
)

// WriterOptions say what is not read from the surroundings.
type WriterOptions struct {
	Now func() time.Time
	// Name tells people who writes: a program and its host. The vault keeps it.
	Name string
	// NoReadBack leaves out to decode again what was encoded, and to compare it.
	NoReadBack bool
	// PackBytes is what most packs stay below, without their headers and indexes; 48 MiB by
	// default. Memory for it is taken once a pack has 1 MiB.
	PackBytes int
}

const defaultPackBytes = 48 << 20

// encoding is what of it concerns packs.
func (o *WriterOptions) encoding() pack.Options {
	return pack.Options{NoReadBack: o.NoReadBack, PackBytes: cmp.Or(o.PackBytes, defaultPackBytes)}
}

// Writer adds commits to a vault. Any number of writers, in any number of processes, may
// do so at once. A Writer is used by one goroutine at a time, but that while one commits
// another may make parts and packs, and others store packs.
type Writer struct {
	vault   *Vault
	now     func() time.Time
	catalog *Catalog
	id      format.Writer
	name    string
	commits uint32
	listed  reachedList
	encoder *pack.Encoder

	mu        sync.Mutex // guards what follows
	packEpoch uint32     // the catalog's epoch, which packs are stored for
	packs     uint32
}

// NewWriter reads how far the vault has got. It needs memory for streams, not for rows.
func (v *Vault) NewWriter(ctx context.Context, opts WriterOptions) (*Writer, error) {
	catalog, err := v.openWriting(ctx)
	if err != nil {
		return nil, err
	}
	if opts.NoReadBack {
		v = v.with(v.objects.NoReadBack())
	}
	w := &Writer{vault: v, now: opts.Now, name: opts.Name, catalog: catalog, packEpoch: catalog.epoch}
	w.encoder = pack.NewEncoder(opts.encoding())
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("make writer ID: %w", err)
	}
	w.id = format.NewWriter(opts.Now().UnixMilli(), random)
	return w, nil
}

func asErrors(damage []*DamageError) []error {
	out := make([]error, len(damage))
	for i, d := range damage {
		out[i] = d
	}
	return out
}

// ID is that of the writer in [WriterStanding].
func (w *Writer) ID() string { return w.id.String() }

// Head says how far the vault has got with a stream: what this writer opened and what it
// has committed since.
func (w *Writer) Head(s coldstream.Stream) (Head, bool) { return w.catalog.head(s) }

// Damage lists what of the catalog could not be read. What only lost commits told is
// not covered any more, and will be fetched again where the cluster still has it.
func (w *Writer) Damage() []*DamageError { return w.catalog.Damage() }

// Commit stores changes: packs first, then metadata, then the commit, then the look
// whether its epoch is still the newest. If it is not, the newer epoch is opened, and what
// it did not take is stored in it. Only when Commit returns nil is anything saved; an
// error leaves the vault as it was, or with the changes in it, and the same changes may
// be committed again. A snapshot with a view of what was released meanwhile is refused
// with [ErrReleased], and must be taken again.
func (w *Writer) Commit(ctx context.Context, changes Changes) (Receipt, error) {
	c := &commitInMaking{Writer: w}
	if changes.Snapshot != nil {
		if c.receipt.Snapshot = changes.Snapshot.ID; c.receipt.Snapshot == (SnapshotID{}) {
			if _, err := rand.Read(c.receipt.Snapshot[:]); err != nil {
				return Receipt{}, fmt.Errorf("make snapshot ID: %w", err)
			}
		}
	}
	for {
		if err := c.prepare(ctx, &changes); err != nil {
			return Receipt{}, err
		}
		err := c.store(ctx, changes.Snapshot)
		if err == nil {
			w.encoder.Reuse(c.pack.body)
			if c.lists != nil {
				w.listed = reachedList{c.commit.ID.Epoch, c.commit.ID.Seq, c.lists}
			}
			return c.receiptOf(c.pack), nil
		}
		if !errors.Is(err, errTurned) {
			return Receipt{}, err
		}
		saved, err := c.reopen(ctx)
		if err != nil {
			return Receipt{}, err
		}
		if saved {
			return c.receiptOf(c.pack), nil
		}
	}
}

// commitInMaking is one call of [Writer.Commit].
type commitInMaking struct {
	*Writer
	pack    *Pack
	lists   []coldstream.Incarnation // topics that the commit lists as whole
	facts   *factsBuilder
	commit  *format.Commit
	digest  format.Hash // of the commit, once it is stored
	receipt Receipt
}

// receiptOf counts what a pack became to what else was stored.
func (c *commitInMaking) receiptOf(p *Pack) Receipt {
	c.receipt.Objects += p.made.Objects
	c.receipt.BytesStored += p.made.BytesStored
	return c.receipt
}

// prepare makes the commit for the epoch that is open. What was released counts as
// covered, and is left out.
func (c *commitInMaking) prepare(ctx context.Context, changes *Changes) error {
	less, err := c.catalog.withoutReleased(changes)
	if err != nil {
		return err
	}
	if less != changes || c.pack == nil {
		if c.pack = less.Pack; c.pack == nil {
			parts, err := c.encodeAll(ctx, less)
			if err != nil {
				return err
			}
			c.pack = c.Pack(parts)
		}
	}
	var reached *format.Reached
	reached, c.lists = c.reached(less.Reached)
	c.facts = newFactsBuilder(less, c.pack.blocks, c.lists)
	c.commit = &format.Commit{
		// A name is never used again: an attempt that failed may have stored its object.
		ID:       format.CommitID{Epoch: c.catalog.epoch, Writer: c.id, Seq: c.commits},
		TimeMs:   cmp.Or(less.AsOf, c.now()).UnixMilli(),
		BaseHash: c.catalog.baseHash,
		Parents:  c.catalog.parents(),
		Reached:  reached,
	}
	c.commits++
	c.commit.Facts = c.facts.build(c.commit.TimeMs)
	for _, topic := range c.lists {
		reached.Topics = append(reached.Topics, c.facts.incarnation(topic))
	}
	if less.Snapshot != nil {
		c.addSnapshot(less.Snapshot)
	}
	c.receipt.Batches, c.receipt.Records = 0, 0
	for _, b := range c.pack.blocks {
		c.receipt.Batches += b.Row.Batches
		c.receipt.Records += b.Row.Records
	}
	return nil
}

// store is rule "write". What would not join is refused before anything is stored.
func (c *commitInMaking) store(ctx context.Context, snapshot *NewSnapshot) error {
	if err := c.catalog.checkFloors(c.commit); err != nil {
		return err
	}
	heads, ok := c.catalog.joined(c.commit)
	if !ok {
		return fmt.Errorf("commit %s would not join what the vault holds: nothing of it was stored", c.commit.ID.Key())
	}
	if snapshot != nil {
		for _, view := range c.commit.Snapshot.Views {
			h, changed := heads[view.Stream]
			if !changed {
				h = c.catalog.headAt(&c.commit.Facts, view.Stream)
			}
			c.commit.Snapshot.SizeBytes += h.bytes
		}
	}
	if err := c.storeContent(ctx, snapshot); err != nil {
		return err
	}
	return c.storeCommit(ctx)
}

// storeContent stores the pack and the sections, which do not wait for each other. The commit
// that names them waits for all.
func (c *commitInMaking) storeContent(ctx context.Context, snapshot *NewSnapshot) error {
	calls := []func(ctx context.Context) error{func(ctx context.Context) (err error) {
		c.commit.Facts.Packs, err = c.pack.storeFor(ctx, c.catalog.epoch)
		return err
	}}
	if snapshot != nil {
		calls = append(calls, func(ctx context.Context) error { return c.storeSections(ctx, &snapshot.Metadata) })
	}
	return c.vault.each(ctx, len(calls), func(ctx context.Context, i int) error { return calls[i](ctx) })
}

// create stores an object, and counts it if it was not there.
func (c *commitInMaking) create(ctx context.Context, o *object.Sealed) error {
	created, err := c.vault.objects.Ensure(ctx, o)
	if created {
		c.mu.Lock()
		c.receipt.stored(o)
		c.mu.Unlock()
	}
	return err
}

func (r *Receipt) stored(o *object.Sealed) {
	r.Objects++
	r.BytesStored += o.StoredBytes()
}

func (c *commitInMaking) addSnapshot(s *NewSnapshot) {
	out := &format.Snapshot{ID: format.SnapshotID(c.receipt.Snapshot), TimeMs: s.Time.UnixMilli(), ClusterID: s.ClusterID}
	passes := s.Compacted
	for i, view := range s.Views {
		if len(passes) > 0 && passes[0].Stream == view.Stream {
			out.Passes = append(out.Passes, passes[0].stored(i))
			passes = passes[1:]
		}
		out.Views = append(out.Views, format.View{
			Stream: c.facts.index(view.Stream), Scan: view.Scan,
			LogStartOffset: view.LogStartOffset, NextOffset: view.NextOffset, LastEpoch: view.LastEpoch,
		})
	}
	c.commit.Snapshot = out
}

func (c *commitInMaking) storeSections(ctx context.Context, m *Metadata) error {
	encoded, err := encodeMetadata(m)
	if err != nil {
		return err
	}
	refs := make([]section, len(encoded))
	var shared []section
	for i, e := range encoded {
		refs[i] = section{Name: e.name, Missing: e.missing}
		if e.missing == "" {
			refs[i].SizeBytes = int64(len(e.payload))
			refs[i].Table = format.TableID{Epoch: c.catalog.epoch, Hash: c.vault.objects.NameOf(e.payload)}
			if known, ok := c.catalog.sections[refs[i].Table.Hash]; ok {
				shared = append(shared, section{Table: known, SizeBytes: refs[i].SizeBytes})
			}
		}
	}
	missing, err := c.shareSections(ctx, refs, shared)
	if err != nil {
		return err
	}
	err = c.vault.each(ctx, len(missing), func(ctx context.Context, i int) error {
		key := refs[missing[i]].Table.Key()
		o, err := c.vault.objects.Seal(format.KindSection, key, encoded[missing[i]].payload)
		if err != nil {
			return err
		}
		return c.create(ctx, o)
	})
	c.commit.Snapshot.Sections = append(c.commit.Snapshot.Sections, refs...)
	return err
}

// shareSections names sections that are stored already, once per content, and says which of refs are not.
func (c *commitInMaking) shareSections(ctx context.Context, refs, shared []section) (missing []int, err error) {
	fast, stop := c.vault.sectionsAhead(ctx, shared)
	defer stop()
	for i := range refs {
		if refs[i].Missing != "" {
			continue
		}
		known, ok := c.catalog.sections[refs[i].Table.Hash]
		if ok {
			damage, err := c.provenSection(ctx, fast, section{Table: known, SizeBytes: refs[i].SizeBytes})
			if err != nil {
				return nil, err
			}
			if damage == nil || damage.Kind != KindMissing && known == refs[i].Table {
				refs[i].Table = known // what is there and altered cannot be replaced under its name
				continue
			}
		}
		missing = append(missing, i)
	}
	return missing, nil
}

// provenSection reads a section that a new snapshot is to share with older ones: it shall
// not share their damage. Damage is reported, and what is missing stored again.
func (c *commitInMaking) provenSection(ctx context.Context, fast *Vault, s section) (*DamageError, error) {
	_, err := fast.loadSection(ctx, s)
	var damage *DamageError
	if errors.As(err, &damage) {
		c.catalog.damage = append(c.catalog.damage, damage)
		return damage, c.catalog.readAccepted(ctx, c.vault)
	}
	return nil, err
}

func (c *commitInMaking) storeCommit(ctx context.Context) error {
	key := c.commit.ID.Key()
	payload, err := c.commit.Append(nil)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	o, err := c.vault.objects.Seal(format.KindCommit, key, payload)
	if err != nil {
		return err
	}
	if err := c.create(ctx, o); err != nil {
		return err
	}
	c.digest = o.Digest()
	c.receipt.VaultHash = c.digest.String()
	// The look: only a commit whose epoch is still the newest is saved.
	found, err := c.vault.lookAgain(ctx, &epochsFound{newest: c.catalog.epoch, begun: true, base: true})
	switch {
	case err != nil:
		return err
	case found.newest > c.catalog.epoch:
		return errTurned
	}
	c.catalog.commitBytes += o.SizeBytes()
	c.catalog.fold(c.commit, c.digest)
	if c.commit.Snapshot != nil {
		c.receipt.ParentTime = c.parentTime(ctx)
	}
	return nil
}
