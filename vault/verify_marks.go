package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// damagedFrames are packs and frames that were found to be damaged, and how.
type damagedFrames map[format.Mark]*DamageError

// of is what was found of a frame, or of its whole pack; nil if that is nothing.
func (d damagedFrames) of(id format.PackID, start int64) *DamageError {
	if whole := d[format.Mark{Pack: id, Start: format.WholePack}]; whole != nil {
		return whole
	}
	return d[format.Mark{Pack: id, Start: start}]
}

func (d damagedFrames) has(id format.PackID, start int64) bool { return d.of(id, start) != nil }

func (d damagedFrames) marks() []format.Mark {
	out := make([]format.Mark, 0, len(d))
	for m := range d {
		out = append(out, m)
	}
	return out
}

// foundDamaged notes damage of a pack, or of one frame of it. What it costs is said at
// the end, when all of it is known.
func (ver *verifier) foundDamaged(content *packContent, start int64, damage *DamageError) {
	ver.mu.Lock()
	defer ver.mu.Unlock()
	content.bad = content.bad || start == allFrames
	ver.damaged[format.Mark{Pack: content.id, Start: start}] = damage
}

// checkMarks reads the marks and, where packs are not read anyway, the frames that they
// name: a mark alone proves nothing.
func (ver *verifier) checkMarks(ctx context.Context, c *Catalog) error {
	marked, err := ver.vault.listMarks(ctx, nil)
	if err != nil {
		return err
	}
	if len(marked) > 0 && !ver.opts.Deep {
		packs := map[format.PackID]bool{}
		for m := range marked {
			packs[m.Pack] = true
		}
		if err := ver.gatherRows(ctx, c, func(id format.PackID) bool { return packs[id] }); err != nil {
			return err
		}
	}
	for m := range marked {
		payload, _, err := ver.vault.objects.Load(ctx, format.KindMark, m.Key())
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			ver.add(damage)
		case errors.Is(err, fs.ErrNotExist):
			continue // a turn took it, with its pack
		case err != nil:
			return err
		case len(payload) > 0:
			ver.add(&DamageError{Object: m.Key(), Kind: KindAltered, Cause: fmt.Errorf("it should be empty, and holds %d bytes", len(payload))})
		}
		content := ver.packs[m.Pack]
		if ver.opts.Deep || content == nil || content.bad {
			continue
		}
		if m.Start == format.WholePack {
			if err := ver.checkAround(ctx, content); err != nil {
				return err
			}
		}
		if _, named := content.frames[m.Start]; !named {
			continue
		}
		if err := ver.checkOneFrame(ctx, content, m.Start); err != nil {
			return err
		}
	}
	return nil
}

// checkOneFrame reads a frame without the rest of its pack.
func (ver *verifier) checkOneFrame(ctx context.Context, content *packContent, start int64) error {
	key, entry := content.id.Key(), content.frames[start]
	stored, err := ver.vault.objects.PackRange(ctx, &format.Pack{ID: content.id, SizeBytes: content.size}, start, entry.StoredLength)
	if err == nil {
		codec := format.NewFrameCodec()
		defer codec.Close()
		err = checkFrame(codec, stored, entry, content.rowsOf(start))
		ver.checked(int64(len(stored)))
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, keyring.ErrCatalogOnly) { // whoever marked it may have been right
		ver.foundDamaged(content, start, &DamageError{Object: key, Kind: KindMarked,
			Cause: errors.New("a run found it damaged; only a key that opens packs can tell whether it still is")})
		return nil
	}
	var damage *DamageError
	if !errors.As(object.AsDamage(key, err), &damage) {
		return fmt.Errorf("read %s: %w", key, err)
	}
	ver.foundDamaged(content, start, damage)
	return nil
}

// joinRanges brings what one damage costs into order, and puts ranges that touch together.
func joinRanges(costs []*DamageError) []*DamageError {
	slices.SortFunc(costs, func(a, b *DamageError) int {
		return cmp.Or(a.Stream.Compare(b.Stream), cmp.Compare(a.FirstOffset, b.FirstOffset))
	})
	var out []*DamageError
	for _, d := range costs {
		if n := len(out); n > 0 && out[n-1].Stream == d.Stream && out[n-1].NextOffset >= d.FirstOffset {
			out[n-1].NextOffset = max(out[n-1].NextOffset, d.NextOffset)
			continue
		}
		out = append(out, d)
	}
	return out
}
