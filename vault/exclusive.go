package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"coldstream"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/object"
)

// ErrReplaces is wrapped by errors that say that a storage does not create on condition:
// it takes a key that is taken, and replaces what is there.
var ErrReplaces = object.ErrReplaces

// IsExclusive says that one process at a time may write to the vault, as its storage does
// not create on condition.
func (v *Vault) IsExclusive() bool { return v.info.Exclusive }

// proveConditions creates once more what was just created, which is empty and is never
// taken away: only a refusal proves that the storage creates on condition. Several say
// that they do and replace. What the proof fails on is taken away again.
func (v *Vault) proveConditions(ctx context.Context) error {
	if !v.objects.IsFar() || v.info.Exclusive || v.IsPermanent() {
		return nil
	}
	err := v.objects.CreatePlain(ctx, format.BegunKey(0), nil)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return fmt.Errorf("prove that the storage creates on condition: %w", err)
	}
	for _, key := range []string{format.BaseKey(0), format.BegunKey(0), format.VaultKey} {
		if err := v.objects.Delete(ctx, key); err != nil {
			return fmt.Errorf("%w, and %s could not be taken away again: %w", ErrReplaces, key, err)
		}
	}
	return ErrReplaces
}

// How long who finds an epoch without its base waits in an exclusive vault. A process that
// was killed while it made the base may have sent it: it arrives within a minute, or its
// connection has ended.
const (
	exclusiveWait = 2 * time.Minute
	exclusiveLook = 5 * time.Second
)

// awaitBase waits until the base of the newest epoch is there, or can no longer come.
func (v *Vault) awaitBase(ctx context.Context, found *epochsFound) (appeared bool, err error) {
	if v.Observer != nil {
		v.Observer.Observe(&coldstream.Warning{Text: fmt.Sprintf(
			"waiting up to %v for %s: another process began it and may still be at work", exclusiveWait, format.BaseKey(found.newest))})
	}
	end, tick := time.NewTimer(exclusiveWait), time.NewTicker(exclusiveLook)
	defer end.Stop()
	defer tick.Stop()
	for {
		now, err := v.look(ctx, found.newest)
		if err != nil || !now.isStill(found) {
			return err == nil, err
		}
		select {
		case <-tick.C:
		case <-end.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
