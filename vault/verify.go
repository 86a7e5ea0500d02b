package vault

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/blob"
	"coldstream/vault/internal/format"
)

// VerifyOptions say how far to look.
type VerifyOptions struct {
	// Deep reads and checks every byte of every pack. Without it packs are only looked
	// for, and their sizes compared; all metadata is read and hashed in both.
	Deep     bool
	Observer coldstream.Observer
}

// VerifyReport is what a verification found.
type VerifyReport struct {
	// Problems are sorted by object and offsets; empty means that all is well.
	Problems     []*DamageError
	BytesChecked int64
	Snapshots    int
	Streams      int
	Packs        int
}

// Verify proves that every object that the catalog names is there and is what was
// stored, and that the rows of each stream join. The error is about the verification
// itself; damage is in the report.
func (v *Vault) Verify(ctx context.Context, opts VerifyOptions) (*VerifyReport, error) {
	if opts.Observer == nil {
		opts.Observer = coldstream.NoObserver{}
	}
	ver := &verifier{vault: v, opts: opts, packs: map[format.PackID]*packContent{}}
	catalog, err := v.openCatalog(ctx, catalogOptions{views: true, visit: ver.visit})
	if err != nil {
		var damage *DamageError
		if errors.As(err, &damage) {
			ver.report.Problems = append(ver.report.Problems, damage)
			return &ver.report, nil
		}
		return nil, err
	}
	ver.report.Problems = catalog.Damage()
	ver.report.Snapshots, ver.report.Streams, ver.report.Packs = len(catalog.snapshots), len(catalog.heads), len(ver.packs)
	if err := ver.checkSections(ctx, catalog); err != nil {
		return nil, err
	}
	if err := ver.checkSizes(ctx); err != nil {
		return nil, err
	}
	if opts.Deep {
		if err := ver.checkPacks(ctx); err != nil {
			return nil, err
		}
	}
	ver.sortProblems()
	return &ver.report, nil
}

// packContent is a pack with the rows that need it.
type packContent struct {
	ref  *packRef
	rows []packRow
	bad  bool
}

type packRow struct {
	stream coldstream.Stream
	format.Row
}

type verifier struct {
	vault *Vault
	opts  VerifyOptions
	packs map[format.PackID]*packContent

	mu     sync.Mutex
	report VerifyReport
}

func (ver *verifier) visit(facts *format.Facts) error {
	for _, p := range facts.Packs {
		if ver.packs[p.ID] == nil {
			ver.packs[p.ID] = &packContent{ref: newPackRef(p, ver.vault.info.ID)}
		}
	}
	for i := range facts.Rows {
		if r := &facts.Rows[i]; r.Length > 0 {
			content := ver.packs[facts.Packs[r.Pack].ID]
			content.rows = append(content.rows, packRow{facts.StreamAt(r.Stream), *r})
		}
	}
	return nil
}

func (ver *verifier) sortProblems() {
	slices.SortFunc(ver.report.Problems, func(a, b *DamageError) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), a.Stream.Compare(b.Stream), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
}

func (ver *verifier) add(problems ...*DamageError) {
	ver.mu.Lock()
	defer ver.mu.Unlock()
	ver.report.Problems = append(ver.report.Problems, problems...)
}

func (ver *verifier) checked(sizeBytes int64) {
	ver.mu.Lock()
	ver.report.BytesChecked += sizeBytes
	ver.mu.Unlock()
	ver.opts.Observer.Observe(&coldstream.Progress{Activity: "verify", Bytes: sizeBytes})
}

func (ver *verifier) checkSections(ctx context.Context, catalog *Catalog) error {
	seen := map[format.Hash]bool{}
	for i := range catalog.snapshots {
		for _, ref := range catalog.snapshots[i].sections {
			if ref.Missing != "" || seen[ref.Table.Hash] {
				continue
			}
			seen[ref.Table.Hash] = true
			payload, err := ver.vault.loadSection(ctx, ref)
			var damage *DamageError
			switch {
			case errors.As(err, &damage):
				ver.add(damage)
			case err != nil:
				return err
			}
			ver.checked(int64(len(payload)))
		}
	}
	return nil
}

// checkSizes looks for every named pack, at its size, in one listing.
func (ver *verifier) checkSizes(ctx context.Context) error {
	sizes := map[string]int64{}
	for entry, err := range ver.vault.store.List(ctx, format.PacksPrefix, "") {
		if err != nil {
			return fmt.Errorf("list packs: %w", err)
		}
		sizes[entry.Key] = entry.SizeBytes
	}
	for id, content := range ver.packs {
		size, there := sizes[id.Key()]
		switch {
		case !there:
			ver.addLoss(content, -1, &DamageError{Object: id.Key(), Kind: "missing", Cause: fs.ErrNotExist})
		case size != content.ref.SizeBytes:
			ver.addLoss(content, -1, &DamageError{Object: id.Key(), Kind: "truncated",
				Cause: fmt.Errorf("it has %d bytes, the catalog says %d", size, content.ref.SizeBytes)})
		}
	}
	return nil
}

// addLoss reports damage of a pack, or of one frame of it, for each range of offsets
// that is lost with it.
func (ver *verifier) addLoss(content *packContent, frame int, damage *DamageError) {
	content.bad = content.bad || frame < 0
	rows := slices.Clone(content.rows)
	rows = slices.DeleteFunc(rows, func(r packRow) bool { return frame >= 0 && r.Frame != frame })
	slices.SortFunc(rows, func(a, b packRow) int {
		return cmp.Or(a.stream.Compare(b.stream), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
	var out []*DamageError
	for _, r := range rows {
		if n := len(out); n > 0 && out[n-1].Stream == r.stream && out[n-1].NextOffset >= r.FirstOffset {
			out[n-1].NextOffset = max(out[n-1].NextOffset, r.NextOffset)
			continue
		}
		d := *damage
		d.Stream, d.FirstOffset, d.NextOffset = r.stream, r.FirstOffset, r.NextOffset
		out = append(out, &d)
	}
	if len(out) == 0 {
		out = append(out, damage)
	}
	ver.add(out...)
}

// checkPacks reads packs on all cores, one pack at a time in memory for each.
func (ver *verifier) checkPacks(ctx context.Context) error {
	ids := make([]format.PackID, 0, len(ver.packs))
	var total int64
	for id, content := range ver.packs {
		if !content.bad {
			ids = append(ids, id)
			total += content.ref.SizeBytes
		}
	}
	slices.SortFunc(ids, format.PackID.Compare)
	ver.opts.Observer.Observe(&coldstream.Planned{Activity: "verify", Bytes: total + ver.report.BytesChecked})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, id := range ids {
		group.Go(func() error { return ver.checkPack(ctx, ver.packs[id]) })
	}
	return group.Wait()
}

func (ver *verifier) checkPack(ctx context.Context, content *packContent) error {
	key := content.ref.ID.Key()
	body, err := blob.ReadAll(ctx, ver.vault.store, key, content.ref.SizeBytes)
	if err != nil {
		damage := packDamage(key, err)
		var d *DamageError
		if errors.As(damage, &d) {
			ver.addLoss(content, -1, d)
			return nil
		}
		return fmt.Errorf("read %s: %w", key, err)
	}
	if err := ver.checkAround(content, body); err != nil {
		ver.addLoss(content, -1, &DamageError{Object: key, Kind: "altered", Cause: err})
		return nil
	}
	codec := format.NewFrameCodec()
	defer codec.Close()
	for i, entry := range content.ref.Frames {
		start := content.ref.starts[i]
		if err := checkFrame(codec, body[start:start+int64(entry.StoredLength)], entry, content.rowsOf(i)); err != nil {
			ver.addLoss(content, i, &DamageError{Object: key, Kind: "altered", Cause: err})
		}
	}
	ver.checked(int64(len(body)))
	return ctx.Err()
}

// checkAround compares what of a pack is not in a frame with what it must be.
func (ver *verifier) checkAround(content *packContent, body []byte) error {
	header := format.AppendPackHeader(nil, ver.vault.info.ID, content.ref.ID)
	index := format.AppendPackIndex(nil, content.ref.Frames)
	want := int64(len(header) + len(index))
	for _, f := range content.ref.Frames {
		want += int64(f.StoredLength)
	}
	switch {
	case int64(len(body)) != want:
		return fmt.Errorf("%d bytes where header, frames and index have %d", len(body), want)
	case !bytes.HasPrefix(body, header):
		return errors.New("its header is not that of this pack of this vault")
	case !bytes.HasSuffix(body, index):
		return errors.New("its index is not what the catalog says")
	}
	return nil
}

func (c *packContent) rowsOf(frame int) []packRow {
	var out []packRow
	for _, r := range c.rows {
		if r.Frame == frame {
			out = append(out, r)
		}
	}
	return out
}

// checkFrame checks a frame's hash, its description, each batch, and that rows say what
// the batches are.
func checkFrame(codec *format.FrameCodec, stored []byte, entry format.Frame, rows []packRow) error {
	decoded, descriptor, err := codec.Decode(stored, entry)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if !descriptor.Describes(r.stream, &r.Row) {
			return fmt.Errorf("its description does not name %s offsets [%d, %d)", r.stream.TopicPartition(), r.FirstOffset, r.NextOffset)
		}
		if err := checkRow(decoded[r.Offset:r.Offset+r.Length], &r.Row); err != nil {
			return fmt.Errorf("%s offsets [%d, %d): %w", r.stream.TopicPartition(), r.FirstOffset, r.NextOffset, err)
		}
	}
	return nil
}

func checkRow(content []byte, r *format.Row) error {
	var batches, records int64
	next := int64(-1)
	for len(content) > 0 {
		batch, rest, err := nextChecked(content)
		if err != nil {
			return err
		}
		if batches == 0 && batch.BaseOffset() != r.BaseOffset {
			return fmt.Errorf("its first batch is at %d, the catalog says %d", batch.BaseOffset(), r.BaseOffset)
		}
		if batches > 0 && batch.BaseOffset() < next {
			return fmt.Errorf("batch at %d overlaps the one before", batch.BaseOffset())
		}
		batches, next, content = batches+1, batch.NextOffset(), rest
		if !batch.IsControl() {
			records += int64(batch.RecordCount())
		}
	}
	if batches != r.Batches || records != r.Records || next > r.NextOffset {
		return fmt.Errorf("%d batches with %d records up to %d, the catalog says %d with %d up to %d",
			batches, records, next, r.Batches, r.Records, r.NextOffset)
	}
	return nil
}
