package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// WriterOptions say what is not read from the surroundings.
type WriterOptions struct {
	Now func() time.Time
}

// Writer adds commits to a vault. Any number of writers, in any number of processes, may
// do so at once. A Writer is used by one goroutine at a time.
type Writer struct {
	vault   *Vault
	now     func() time.Time
	catalog *Catalog
	id      format.Writer
	packs   uint32
	commits uint32
}

// NewWriter reads how far the vault has got. It needs memory for streams, not for rows.
func (v *Vault) NewWriter(ctx context.Context, opts WriterOptions) (*Writer, error) {
	catalog, err := v.openCatalog(ctx, catalogOptions{})
	if err != nil {
		return nil, err
	}
	if !catalog.hasBase {
		// Nothing can be built on a base that nobody knows any more.
		return nil, fmt.Errorf("open vault for writing: %w", errors.Join(asErrors(catalog.damage)...))
	}
	w := &Writer{vault: v, now: opts.Now, catalog: catalog}
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

// Head says how far the vault has got with a stream: what this writer opened and what it
// has committed since.
func (w *Writer) Head(s coldstream.Stream) (Head, bool) { return w.catalog.head(s) }

// Damage lists what of the catalog could not be read. What only lost commits told is
// not covered any more, and will be fetched again where the cluster still has it.
func (w *Writer) Damage() []*DamageError { return w.catalog.Damage() }

// Commit stores changes: packs first, then metadata, then the commit, then the look
// whether its epoch is still the newest. Only when it returns nil is anything saved; an
// error leaves the vault as it was, or with the changes in it, and the same changes may
// be committed again.
func (w *Writer) Commit(ctx context.Context, changes Changes) (Receipt, error) {
	blocks, err := buildAllBlocks(changes.Data)
	if err != nil {
		return Receipt{}, err
	}
	c := &commitInMaking{
		Writer: w,
		pack:   planPack(blocks),
		facts:  newFactsBuilder(&changes, blocks),
		commit: &format.Commit{
			// A name is never used again: an attempt that failed may have stored its object.
			ID:       format.CommitID{Epoch: w.catalog.epoch, Writer: w.id, Seq: w.commits},
			TimeMs:   w.now().UnixMilli(),
			BaseHash: w.catalog.baseHash,
			Parents:  w.catalog.parents(),
		},
	}
	w.commits++
	c.commit.Facts = c.facts.build(c.commit.TimeMs)
	if changes.Snapshot != nil {
		if err := c.addSnapshot(changes.Snapshot); err != nil {
			return Receipt{}, err
		}
	}
	if err := c.store(ctx, changes.Snapshot); err != nil {
		return Receipt{}, err
	}
	for _, b := range blocks {
		c.receipt.Batches += b.row.Batches
		c.receipt.Records += b.row.Records
	}
	return c.receipt, nil
}

// commitInMaking is one call of [Writer.Commit].
type commitInMaking struct {
	*Writer
	pack    *pack
	facts   *factsBuilder
	commit  *format.Commit
	receipt Receipt
}

// store is rule "write". What would not join is refused before anything is stored.
func (c *commitInMaking) store(ctx context.Context, snapshot *NewSnapshot) error {
	if _, ok := c.catalog.joined(c.commit); !ok {
		return fmt.Errorf("commit %s would not join what the vault holds: nothing of it was stored", c.commit.ID.Key())
	}
	if err := c.storePack(ctx); err != nil {
		return err
	}
	if snapshot != nil {
		if err := c.storeSections(ctx, &snapshot.Metadata); err != nil {
			return err
		}
	}
	return c.storeCommit(ctx)
}

func buildAllBlocks(data []StreamData) ([]*block, error) {
	var blocks []*block
	for i := range data {
		b, err := buildBlocks(data[i])
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b...)
	}
	return blocks, nil
}

// storePack makes one pack of all blocks that have bytes.
func (c *commitInMaking) storePack(ctx context.Context) error {
	if len(c.pack.frames) == 0 {
		return nil
	}
	id := format.PackID{Epoch: c.catalog.epoch, Writer: c.id, Number: c.packs}
	c.packs++
	body, frames, err := c.pack.encode(ctx, c.vault.info.ID, id)
	if err != nil {
		return fmt.Errorf("encode pack %s: %w", id.Key(), err)
	}
	if err := c.create(ctx, id.Key(), body); err != nil {
		return err
	}
	c.commit.Facts.Packs = []format.Pack{{ID: id, SizeBytes: int64(len(body)), Frames: frames}}
	return nil
}

// create stores an object that may be there already: a store that tries again after an
// answer was lost finds its own, and another writer may have stored the same section.
// Only the very same bytes count.
func (c *commitInMaking) create(ctx context.Context, key string, body []byte) error {
	err := c.vault.store.Create(ctx, key, body)
	switch {
	case errors.Is(err, fs.ErrExist):
		return c.proveSame(ctx, key, body)
	case err != nil:
		return fmt.Errorf("create %s: %w", key, err)
	}
	c.receipt.stored(body)
	return nil
}

func (c *commitInMaking) proveSame(ctx context.Context, key string, body []byte) error {
	there, err := blob.ReadAll(ctx, c.vault.store, key, maxCatalogObject)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if !slices.Equal(there, body) {
		return &DamageError{Object: key, Kind: KindAltered, Cause: errors.New("it is there already, and is not what its name says")}
	}
	return nil
}

func (r *Receipt) stored(body []byte) {
	r.Objects++
	r.BytesStored += int64(len(body))
}

func (c *commitInMaking) addSnapshot(s *NewSnapshot) error {
	out := &format.Snapshot{TimeMs: s.Time.UnixMilli(), ClusterID: s.ClusterID}
	if _, err := rand.Read(out.ID[:]); err != nil {
		return fmt.Errorf("make snapshot ID: %w", err)
	}
	for _, view := range s.Views {
		out.Views = append(out.Views, format.View{
			Stream: c.facts.index(view.Stream), Scan: view.Scan,
			LogStartOffset: view.LogStartOffset, NextOffset: view.NextOffset, LastEpoch: view.LastEpoch,
		})
	}
	c.commit.Snapshot, c.receipt.Snapshot = out, SnapshotID(out.ID)
	return nil
}

func (c *commitInMaking) storeSections(ctx context.Context, m *Metadata) error {
	encoded, err := encodeMetadata(m)
	if err != nil {
		return err
	}
	for _, e := range encoded {
		ref := section{Name: e.name, Missing: e.missing}
		if e.missing == "" {
			if ref.Table, err = c.storeSection(ctx, e.payload); err != nil {
				return err
			}
			ref.SizeBytes = int64(len(e.payload))
		}
		c.commit.Snapshot.Sections = append(c.commit.Snapshot.Sections, ref)
	}
	return nil
}

// storeSection stores a part of the metadata, once per content.
func (c *commitInMaking) storeSection(ctx context.Context, payload []byte) (format.TableID, error) {
	hash := format.HashOf(payload)
	if id, ok := c.catalog.sections[hash]; ok {
		return id, nil
	}
	id := format.TableID{Epoch: c.catalog.epoch, Hash: hash}
	body, err := c.vault.seal(format.KindSection, id.Key(), payload)
	if err != nil {
		return id, err
	}
	return id, c.create(ctx, id.Key(), body)
}

func (c *commitInMaking) storeCommit(ctx context.Context) error {
	key := c.commit.ID.Key()
	payload, err := c.commit.Append(nil)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	body, err := c.vault.seal(format.KindCommit, key, payload)
	if err != nil {
		return err
	}
	if err := c.create(ctx, key, body); err != nil {
		return err
	}
	// The look: only a commit whose epoch is still the newest is saved.
	if _, err := c.vault.look(ctx); err != nil {
		return err
	}
	digest := format.Digest(body)
	c.receipt.VaultHash = hex.EncodeToString(digest[:])
	return c.catalog.fold(c.commit, digest)
}
