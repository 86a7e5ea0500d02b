package vault

import (
	"encoding/hex"
	"errors"
	"fmt"

	"coldstream/vault/internal/format"
)

// ParseVaultHash reads what [Receipt.VaultHash] says.
func ParseVaultHash(text string) (hash [32]byte, err error) {
	b, err := hex.DecodeString(text)
	if copy(hash[:], b); err != nil || len(b) != len(hash) {
		return hash, fmt.Errorf("%q is no vault hash of 64 hex digits", text)
	}
	return hash, nil
}

// checkExpected looks for the commit that printed a vault hash: among those that bases
// took, which are listed for ever, and those of this epoch. With it all is there that it
// was built on, or the rest of the verification says what is not.
func (ver *verifier) checkExpected(catalog *Catalog) {
	if ver.opts.Expect == nil || catalog.digests[*ver.opts.Expect] {
		return
	}
	for _, s := range catalog.commits {
		if s.read && s.digest == *ver.opts.Expect {
			return
		}
	}
	ver.add(&DamageError{Object: format.AllCommits, Kind: KindMissing,
		Cause: errors.New("no commit has the expected vault hash: the vault does not hold that state, or does not hold it any more")})
}
