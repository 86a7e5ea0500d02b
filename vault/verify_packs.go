package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
	"coldstream/vault/internal/pack"
)

// checkPacks reads packs on all cores, one pack at a time in memory for each. Rows of as many as fit
// are read at a time.
func (ver *verifier) checkPacks(ctx context.Context, c *Catalog) error {
	ids := make([]format.PackID, 0, len(ver.packs))
	var total int64
	for id, content := range ver.packs {
		if !content.bad {
			ids = append(ids, id)
			total += content.size
		}
	}
	slices.SortFunc(ids, format.PackID.Compare)
	ver.opts.Observer.Observe(&coldstream.Planned{Activity: "verify", Bytes: total + ver.report.BytesChecked})
	for len(ids) > 0 {
		some := ver.fewPacks(ids)
		ids = ids[len(some):]
		if err := ver.checkSomePacks(ctx, c, some); err != nil {
			return err
		}
	}
	return nil
}

// fewPacks are the first packs, with no more rows than are to be in memory at a time.
func (ver *verifier) fewPacks(ids []format.PackID) []format.PackID {
	rows := 0
	for i, id := range ids {
		if rows += ver.packs[id].count; rows > rowsAtOnce && i > 0 {
			return ids[:i]
		}
	}
	return ids
}

func (ver *verifier) checkSomePacks(ctx context.Context, c *Catalog, ids []format.PackID) error {
	if err := ver.gatherRows(ctx, c, func(id format.PackID) bool {
		_, found := slices.BinarySearchFunc(ids, id, format.PackID.Compare)
		return found
	}); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, id := range ids {
		group.Go(func() error { return ver.checkPack(ctx, ver.packs[id]) })
	}
	return group.Wait()
}

func (ver *verifier) checkPack(ctx context.Context, content *packContent) error {
	key := content.id.Key()
	body, err := ver.vault.objects.Pack(ctx, content.id, content.size)
	if errors.Is(err, coldstream.ErrCorrupt) {
		return ver.checkPieces(ctx, content, err)
	}
	if err != nil {
		var damage *DamageError
		if errors.As(object.AsDamage(key, err), &damage) {
			ver.foundDamaged(content, allFrames, damage)
			return nil
		}
		return fmt.Errorf("read %s: %w", key, err)
	}
	header := format.AppendPackHeader(nil, ver.vault.info.ID, content.id)
	if err := content.checkSize(int64(len(body)), header); err != nil {
		ver.foundDamaged(content, allFrames, &DamageError{Object: key, Kind: KindAltered, Cause: err})
		return nil
	}
	if !bytes.HasPrefix(body, header) {
		ver.foundAround(content.id, errHeader)
	}
	if err := content.checkIndex(body, int64(len(header))); err != nil {
		ver.foundAround(content.id, err)
	}
	codec := format.NewFrameCodec()
	defer codec.Close()
	for start, entry := range content.frames {
		if start > int64(len(body)) || entry.StoredLength > int64(len(body))-start {
			err = fmt.Errorf("%d bytes, and a frame of %d at %d", len(body), entry.StoredLength, start)
		} else {
			err = checkFrame(codec, body[start:start+entry.StoredLength], entry, content.rowsOf(start))
		}
		if err != nil {
			ver.foundDamaged(content, start, &DamageError{Object: key, Kind: KindAltered, Cause: err})
		}
	}
	ver.checked(int64(len(body)))
	return ctx.Err()
}

// checkPieces reads a sealed pack that does not open as a whole frame by frame: what does not
// open may be only a part of it.
func (ver *verifier) checkPieces(ctx context.Context, content *packContent, whole error) error {
	for start := range content.frames {
		if err := ver.checkOneFrame(ctx, content, start); err != nil {
			return err
		}
	}
	if !ver.hasDamage(content) {
		ver.foundAround(content.id, whole)
	}
	return ctx.Err()
}

// hasDamage says that a frame of a pack was found to be damaged.
func (ver *verifier) hasDamage(content *packContent) bool {
	ver.mu.Lock()
	defer ver.mu.Unlock()
	for start := range content.frames {
		if ver.damaged.has(content.id, start) {
			return true
		}
	}
	return false
}

// checkFrame checks a frame's hash, its description, each batch, and that rows say what
// the batches are.
func checkFrame(codec *format.FrameCodec, stored []byte, entry format.Frame, rows []packRow) error {
	frame, err := pack.DecodeFrame(codec, stored, entry)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		batches, err := frame.Of(r.stream, &r.Row)
		if err != nil {
			return err
		}
		if err := pack.CheckRow(batches, &r.Row); err != nil {
			return fmt.Errorf("%s offsets [%d, %d): %w", r.stream.TopicPartition(), r.FirstOffset, r.NextOffset, err)
		}
	}
	return nil
}
