package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
)

// AcceptLoss writes down that damage is known and accepted, so that what is damaged later
// stands out. It takes nothing away, and changes nothing of what is read or healed.
func (v *Vault) AcceptLoss(ctx context.Context, now time.Time, damage ...*DamageError) error {
	for _, d := range damage {
		a := d.Acceptance(now)
		key := v.objects.AcceptanceKey(a.ID())
		payload, err := a.Append(nil)
		if err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
		o, err := v.objects.Seal(format.KindAcceptance, key, payload)
		if err != nil {
			return err
		}
		err = v.objects.Create(ctx, o)
		if errors.Is(err, fs.ErrExist) {
			_, err = v.loadAcceptance(ctx, key) // accepted before
		}
		if err != nil {
			return fmt.Errorf("accept a loss: %w", err)
		}
	}
	return v.Flush(ctx)
}

// acceptances are the losses that were accepted.
type acceptances []*format.Acceptance

// has says that damage was accepted: all that it costs, of the same object in the same way.
func (a acceptances) has(d *DamageError) bool {
	return slices.ContainsFunc(a, func(known *format.Acceptance) bool {
		return known.Object == d.Object && known.Kind == d.Kind &&
			known.Incarnation == d.Stream.Incarnation && known.Partition == d.Stream.Partition &&
			known.FirstOffset <= d.FirstOffset && max(d.FirstOffset, d.NextOffset) <= known.NextOffset
	})
}

// listAcceptances reads all accepted losses. One that is damaged accepts nothing.
func (v *Vault) listAcceptances(ctx context.Context) (all acceptances, damage []*DamageError, err error) {
	for entry, err := range v.objects.List(ctx, format.AcceptedPrefix, "") {
		if err != nil {
			return nil, nil, fmt.Errorf("list accepted losses: %w", err)
		}
		a, err := v.loadAcceptance(ctx, entry.Key)
		var damaged *DamageError
		switch {
		case errors.As(err, &damaged):
			damage = append(damage, damaged)
		case err != nil:
			return nil, nil, err
		default:
			all = append(all, a)
		}
	}
	return all, damage, nil
}

func (v *Vault) loadAcceptance(ctx context.Context, key string) (*format.Acceptance, error) {
	if _, err := format.ParseAcceptanceKey(key); err != nil {
		return nil, &DamageError{Object: key, Kind: KindUnexpected, Cause: err}
	}
	payload, _, err := v.objects.Load(ctx, format.KindAcceptance, key)
	if err != nil {
		return nil, err
	}
	a, err := format.DecodeAcceptance(payload)
	switch {
	case errors.Is(err, coldstream.ErrUnsupported):
		return nil, fmt.Errorf("decode %s: %w", key, err)
	case err == nil && v.objects.AcceptanceKey(a.ID()) != key:
		err = errors.New("it is the acceptance of another loss")
	}
	if err != nil {
		return nil, &DamageError{Object: key, Kind: KindAltered, Cause: err}
	}
	return a, nil
}

// readAccepted finds out which damage of the catalog was accepted, if there is any damage.
func (c *Catalog) readAccepted(ctx context.Context, v *Vault) (err error) {
	if len(c.damage) > 0 && c.accepted == nil {
		c.accepted, _, err = v.listAcceptances(ctx) // damage of theirs is for verify to tell
	}
	return err
}

// settleAccepted sorts out what was accepted, and says which snapshots damage concerns.
func (ver *verifier) settleAccepted(ctx context.Context, catalog *Catalog) error {
	accepted, damage, err := ver.vault.listAcceptances(ctx)
	if err != nil {
		return err
	}
	ver.add(damage...)
	r := &ver.report
	if r.Concerned, err = catalog.readConcerned(ctx, r.Problems); err != nil {
		return err
	}
	var open []*DamageError
	for _, d := range r.Problems {
		if accepted.has(d) {
			r.Accepted = append(r.Accepted, d)
		} else {
			open = append(open, d)
		}
	}
	r.Problems = open
	return nil
}
