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
	w := &Writer{vault: v, now: opts.Now, catalog: catalog}
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("make writer ID: %w", err)
	}
	w.id = format.NewWriter(opts.Now().UnixMilli(), random)
	return w, nil
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
	var receipt Receipt
	commit := &format.Commit{
		ID:       format.CommitID{Epoch: w.catalog.epoch, Writer: w.id, Seq: w.commits},
		TimeMs:   w.now().UnixMilli(),
		BaseHash: w.catalog.baseHash,
		Parents:  w.catalog.parents(),
	}
	w.commits++
	blocks, err := buildAllBlocks(changes.Data)
	if err != nil {
		return receipt, err
	}
	facts := newFactsBuilder(&changes, blocks)
	for _, b := range blocks {
		receipt.Batches += b.row.Batches
		receipt.Records += b.row.Records
	}
	if err := w.storePack(ctx, blocks, facts, &receipt); err != nil {
		return receipt, err
	}
	commit.Facts = facts.build(commit.TimeMs)
	if changes.Snapshot != nil {
		if commit.Snapshot, err = w.storeSnapshot(ctx, changes.Snapshot, facts, &receipt); err != nil {
			return receipt, err
		}
	}
	return receipt, w.storeCommit(ctx, commit, &receipt)
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
func (w *Writer) storePack(ctx context.Context, blocks []*block, facts *factsBuilder, receipt *Receipt) error {
	p := planPack(blocks)
	if len(p.frames) == 0 {
		return nil
	}
	id := format.PackID{Epoch: w.catalog.epoch, Writer: w.id, Number: w.packs}
	w.packs++
	body, frames, err := p.encode(ctx, w.vault.info.ID, id)
	if err != nil {
		return fmt.Errorf("encode pack %s: %w", id.Key(), err)
	}
	if err := w.vault.store.Create(ctx, id.Key(), body); err != nil {
		return fmt.Errorf("create %s: %w", id.Key(), err)
	}
	facts.pack = &format.Pack{ID: id, SizeBytes: int64(len(body)), Frames: frames}
	receipt.stored(body)
	return nil
}

func (r *Receipt) stored(body []byte) {
	r.Objects++
	r.BytesStored += int64(len(body))
}

func (w *Writer) storeSnapshot(ctx context.Context, s *NewSnapshot, facts *factsBuilder, receipt *Receipt) (*format.Snapshot, error) {
	out := &format.Snapshot{TimeMs: s.Time.UnixMilli(), ClusterID: s.ClusterID}
	if _, err := rand.Read(out.ID[:]); err != nil {
		return nil, fmt.Errorf("make snapshot ID: %w", err)
	}
	for _, view := range s.Views {
		out.Views = append(out.Views, format.View{
			Stream: facts.index(view.Stream), Scan: view.Scan,
			LogStartOffset: view.LogStartOffset, NextOffset: view.NextOffset, LastEpoch: view.LastEpoch,
		})
	}
	encoded, err := encodeMetadata(&s.Metadata)
	if err != nil {
		return nil, err
	}
	for _, e := range encoded {
		ref := section{Name: e.name, Missing: e.missing}
		if e.missing == "" {
			if ref.Table, err = w.storeSection(ctx, e.payload, receipt); err != nil {
				return nil, err
			}
			ref.SizeBytes = int64(len(e.payload))
		}
		out.Sections = append(out.Sections, ref)
	}
	receipt.Snapshot = SnapshotID(out.ID)
	return out, nil
}

// storeSection stores a part of the metadata, once per content.
func (w *Writer) storeSection(ctx context.Context, payload []byte, receipt *Receipt) (format.TableID, error) {
	hash := format.HashOf(payload)
	if id, ok := w.catalog.sections[hash]; ok {
		return id, nil
	}
	id := format.TableID{Epoch: w.catalog.epoch, Hash: hash}
	body, err := w.vault.seal(format.KindSection, id.Key(), payload)
	if err != nil {
		return id, err
	}
	err = w.vault.store.Create(ctx, id.Key(), body)
	switch {
	case errors.Is(err, fs.ErrExist):
		// Another writer stored the same content: only the very same bytes count.
		if err := w.proveSame(ctx, id.Key(), body); err != nil {
			return id, err
		}
	case err != nil:
		return id, fmt.Errorf("create %s: %w", id.Key(), err)
	default:
		receipt.stored(body)
	}
	return id, nil
}

func (w *Writer) proveSame(ctx context.Context, key string, body []byte) error {
	there, err := blob.ReadAll(ctx, w.vault.store, key, maxCatalogObject)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if !slices.Equal(there, body) {
		return &DamageError{Object: key, Kind: "altered", Cause: errors.New("it is not what its name says")}
	}
	return nil
}

func (w *Writer) storeCommit(ctx context.Context, commit *format.Commit, receipt *Receipt) error {
	key := commit.ID.Key()
	if _, ok := w.catalog.joined(commit); !ok {
		return fmt.Errorf("commit %s would not join what the vault holds: nothing of it was stored", key)
	}
	payload, err := commit.Append(nil)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	body, err := w.vault.seal(format.KindCommit, key, payload)
	if err != nil {
		return err
	}
	if err := w.vault.store.Create(ctx, key, body); err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	// The look: only a commit whose epoch is still the newest is saved.
	if err := w.vault.look(ctx); err != nil {
		return err
	}
	digest := format.Digest(body)
	w.catalog.link(commit, digest)
	receipt.stored(body)
	receipt.VaultHash = hex.EncodeToString(digest[:])
	_, err = w.catalog.apply(commit)
	return err
}
