package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"coldstream/vault/internal/format"
)

// marks are the packs and frames that somebody found to be damaged. They are hints and
// take nothing away: of several rows for the same offsets readers prefer one whose frame
// is not marked, and what only marked frames hold is read from these.
type marks map[format.Mark]bool

func (m marks) has(id format.PackID, start int64) bool {
	return m[format.Mark{Pack: id, Start: format.WholePack}] || m[format.Mark{Pack: id, Start: start}]
}

// of is what a mark says of a frame.
func (m marks) of(id format.PackID, _ int64) *DamageError {
	return &DamageError{Object: id.Key(), Kind: KindMarked}
}

// listMarks reads all marks. What else lies there says nothing.
func (v *Vault) listMarks(ctx context.Context, s *survey) (marks, error) {
	all := marks{}
	for entry, err := range v.listed(ctx, s, format.MarksPrefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list marks of damage: %w", err)
		}
		if m, err := format.ParseMarkKey(entry.Key); err == nil {
			all[m] = true
		}
	}
	return all, nil
}

// mark says that a pack or a frame was found to be damaged, to readers and to the next
// backup. That somebody said so before is fine.
func (v *Vault) mark(ctx context.Context, m format.Mark) error {
	o, err := v.objects.Seal(format.KindMark, m.Key(), nil)
	if err != nil {
		return err
	}
	if err := v.objects.Create(ctx, o); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("mark damage: %w", err)
	}
	return nil
}

// markIfPossible is for those who only read: where the store cannot be written to, what
// they found counts by itself, and who looks next finds it again.
func (v *Vault) markIfPossible(ctx context.Context, found ...format.Mark) {
	for _, m := range found {
		if v.mark(ctx, m) != nil {
			return
		}
	}
}

// isGarbageMark is true of a mark that says something of a pack of epochs up to n-2 that
// base n does not name.
func isGarbageMark(key string, n uint32, isNamed func(format.PackID) bool) bool {
	m, err := format.ParseMarkKey(key)
	return err == nil && m.Pack.Epoch+2 <= n && !isNamed(m.Pack)
}
