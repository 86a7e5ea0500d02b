package vault

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// TagReader knows what was said of the snapshots of a vault. It is used by one goroutine.
type TagReader struct {
	vault   *Vault
	changes map[SnapshotID][]format.TagsID // ascending
	damage  []*DamageError
}

// ReadTags lists what was said of snapshots after they were made.
func (v *Vault) ReadTags(ctx context.Context) (*TagReader, error) {
	r := &TagReader{vault: v.RememberingSections(), changes: map[SnapshotID][]format.TagsID{}}
	for entry, err := range v.objects.List(ctx, format.TagsPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list tags: %w", err)
		}
		id, err := format.ParseTagsKey(entry.Key)
		if err != nil {
			r.damage = append(r.damage, &DamageError{Object: entry.Key, Kind: KindUnexpected, Cause: err})
			continue
		}
		of := SnapshotID(id.Snapshot)
		r.changes[of] = append(r.changes[of], id)
	}
	for _, of := range r.changes { // listed by epoch
		slices.SortFunc(of, func(a, b format.TagsID) int {
			return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Epoch, b.Epoch))
		})
	}
	return r, nil
}

// Damage lists what could not be read of what was said. It counts as a pin.
func (r *TagReader) Damage() []*DamageError { return r.damage }

// Of gives what is said of a snapshot. Where that is damaged the snapshot
// counts as pinned.
func (r *TagReader) Of(ctx context.Context, s *Snapshot) (coldstream.Tags, error) {
	now, err := r.made(ctx, s)
	if err != nil {
		return now, err
	}
	for _, id := range r.changes[s.ID] {
		change, err := r.vault.loadTags(ctx, id)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // it went with the snapshot
		case err != nil:
			if err := r.took(err); err != nil {
				return now, err
			}
			now.Pinned = true
			continue
		}
		// Who cannot take a snapshot away cannot take away what keeps it.
		pinned := change.Tags.Pinned || now.Pinned && r.vault.signer != nil && len(change.Signature) == 0
		now = change.Tags
		now.Pinned = pinned
	}
	return now, nil
}

// made gives what was said of a snapshot when it was made.
func (r *TagReader) made(ctx context.Context, s *Snapshot) (coldstream.Tags, error) {
	for _, ref := range s.sections {
		if ref.Name != SectionTags || ref.Missing != "" {
			continue
		}
		payload, err := r.vault.loadSection(ctx, ref)
		var tags coldstream.Tags
		if err == nil {
			if tags, err = format.DecodeTags(payload); err != nil {
				err = object.AsDamage(ref.Table.Key(), err)
			}
		}
		if err != nil {
			return coldstream.Tags{Pinned: true}, r.took(err)
		}
		return tags.Clone(), nil
	}
	return coldstream.Tags{}, nil
}

// took keeps damage, and gives back every other error.
func (r *TagReader) took(err error) error {
	var damage *DamageError
	if !errors.As(err, &damage) {
		return err
	}
	r.damage = append(r.damage, damage)
	return nil
}

func (v *Vault) loadTags(ctx context.Context, id format.TagsID) (*format.TagsChange, error) {
	key := id.Key()
	payload, _, err := v.objects.Load(ctx, format.KindTags, key)
	if err != nil {
		return nil, err
	}
	change, err := format.DecodeTagsChange(payload)
	if err != nil {
		return nil, object.AsDamage(key, err)
	}
	if len(change.Signature) > 0 {
		message, err := change.ToSign(v.info.ID, id)
		if err != nil {
			return nil, err
		}
		if err := v.proveSigned(key, message, change.Signature, change.SignatureKey); err != nil {
			return nil, err
		}
	}
	return change, nil
}

// ChangeTags changes what is said of a snapshot. Nothing is overwritten: what is said is
// a new object, which takes the place of those before. change may be asked more than once. A snapshot that is not there
// any more wraps [coldstream.ErrForgotten]. Taking a pin away in a vault with a
// keeper's key needs that key.
//
// As with [Vault.Hold], a turn lists tags after it began the new epoch: either it sees
// this change, or the look that follows here sees the new epoch, and then all begins again.
func (v *Vault) ChangeTags(ctx context.Context, id SnapshotID, change func(*coldstream.Tags)) (coldstream.Tags, error) {
	for {
		now, err := v.changeTags(ctx, id, change)
		if errors.Is(err, errTurned) || errors.Is(err, fs.ErrExist) {
			continue // or somebody else changed them at once
		}
		if err != nil {
			return now, fmt.Errorf("tag snapshot %s: %w", id, err)
		}
		return now, v.Flush(ctx)
	}
}

func (v *Vault) changeTags(ctx context.Context, id SnapshotID, change func(*coldstream.Tags)) (now coldstream.Tags, err error) {
	c, err := v.OpenCatalog(ctx)
	if err != nil {
		return now, err
	}
	s, err := c.find(id)
	if err != nil {
		return now, err
	}
	r, err := v.ReadTags(ctx)
	if err != nil {
		return now, err
	}
	before, err := r.Of(ctx, s)
	if err != nil {
		return now, err
	}
	now = before.Clone()
	if now.Values == nil {
		now.Values = map[string]string{}
	}
	change(&now)
	if now.Equal(&before) && len(r.damage) == 0 {
		return now, nil
	}
	at := format.TagsID{Epoch: c.epoch, Snapshot: format.SnapshotID(id)}
	if earlier := r.changes[id]; len(earlier) > 0 {
		last := earlier[len(earlier)-1]
		if at.Number = last.Number + 1; at.Number == 0 {
			return now, &DamageError{Object: last.Key(), Kind: KindAltered, Cause: errors.New("no number is higher, so nothing can be said after it")}
		}
	}
	made := &format.TagsChange{Tags: now}
	if before.Pinned && !now.Pinned {
		if err := v.signTags(made, at); err != nil {
			return now, err
		}
	}
	if err := v.storeTags(ctx, at, made); err != nil {
		return now, err
	}
	found, err := v.lookAgain(ctx, &epochsFound{newest: c.epoch, begun: true, base: true})
	if err == nil && found.newest > c.epoch {
		err = errTurned
	}
	return now, err
}

// signTags signs what takes a pin away, in a vault with a keeper's key.
func (v *Vault) signTags(change *format.TagsChange, at format.TagsID) error {
	if v.signer == nil {
		return nil
	}
	message, err := change.ToSign(v.info.ID, at)
	if err == nil {
		change.Signature, change.SignatureKey, err = v.signMessage(message)
	}
	return err
}

func (v *Vault) storeTags(ctx context.Context, at format.TagsID, change *format.TagsChange) error {
	payload, err := change.Append(nil)
	if err != nil {
		return fmt.Errorf("encode %s: %w", at.Key(), err)
	}
	o, err := v.objects.Seal(format.KindTags, at.Key(), payload)
	if err != nil {
		return err
	}
	return v.objects.Create(ctx, o)
}

// checkTags reads all that was said of snapshots after they were made.
func (ver *verifier) checkTags(ctx context.Context) error {
	r, err := ver.vault.ReadTags(ctx)
	if err != nil {
		return err
	}
	ver.add(r.damage...)
	for _, of := range r.changes {
		for _, id := range of {
			_, err := ver.vault.loadTags(ctx, id)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := ver.took(err); err != nil {
				return err
			}
		}
	}
	return nil
}
