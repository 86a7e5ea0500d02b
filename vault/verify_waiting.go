package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"coldstream/vault/internal/format"
)

// errInTheWay is what a damaged object costs that no base names yet.
var errInTheWay = errors.New("the next backup may need its name, and fail; nothing is lost if the object is deleted")

// checkWaiting reads the tables of an epoch that has begun and has no base yet: whoever
// makes that will meet them.
func (ver *verifier) checkWaiting(ctx context.Context, found *epochsFound) error {
	if found.newest == 0 || found.base {
		return nil
	}
	if used, err := ver.vault.hasCommits(ctx, found.newest); err != nil || used {
		return err // it had a base, which is damage of another kind
	}
	for entry, err := range ver.vault.objects.List(ctx, format.TablesOf(found.newest), "") {
		if err != nil {
			return fmt.Errorf("list the tables of epoch %d: %w", found.newest, err)
		}
		size, err := ver.vault.objects.ProveContent(ctx, entry.Key)
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			damage.Cause = fmt.Errorf("%w: %w", errInTheWay, damage.Cause)
			ver.add(damage)
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		}
		ver.checked(size)
	}
	return nil
}
