package vault

import (
	"context"
	"errors"
	"flag"
	"sync"
	"testing"

	"coldstream/blob"
	"coldstream/internal/keyring"
	"coldstream/vault/internal/format"
	"coldstream/vault/internal/sealed"
)

// encrypted makes the vaults of all tests encrypted ones; what TestEncrypted runs.
var encrypted = flag.Bool("encrypted", false, "let tests make encrypted vaults")

// testKeys are what opens the vaults that tests made, by their IDs.
var testKeys sync.Map

// encryption is of a new vault of a test: none, but with -encrypted.
func encryption() *Encryption {
	if !*encrypted {
		return nil
	}
	return testEncryption()
}

func testEncryption() *Encryption {
	return &Encryption{Make: func(id string) (*keyring.Held, []NewKey, error) {
		held, err := keyring.New(id, keyring.X25519)
		testKeys.Store(id, held)
		return held, nil, err
	}}
}

// testKey opens a vault without a detour over files.
type testKey struct{ held *keyring.Held }

func (k testKey) Open(_ context.Context, of keyring.Public, _ keyring.Objects) (*keyring.Held, error) {
	if k.held.Public != of {
		return nil, keyring.Wrong("", errors.New("vault.json has other public keys"))
	}
	return k.held, nil
}

// reopened opens a vault that a test made, as another process would.
func reopened(t *testing.T, store blob.Store) (*Vault, error) {
	t.Helper()
	return Open(t.Context(), store, func(_ context.Context, id string) (keyring.Key, error) {
		held, ok := testKeys.Load(id)
		if !ok {
			return nil, keyring.Wrong("", errors.New("no test made this vault"))
		}
		return testKey{held.(*keyring.Held)}, nil
	})
}

// seen is a store as the vault in it sees it: what tests forge is sealed, too.
func seen(t testing.TB, store blob.Store) blob.Store {
	t.Helper()
	b, err := blob.ReadAll(context.Background(), store, format.VaultKey, 1<<20)
	if err != nil {
		return store
	}
	info, err := format.DecodeVaultInfo(b)
	if err != nil || !info.IsEncrypted() {
		return store
	}
	held, ok := testKeys.Load(info.ID.String())
	if !ok {
		t.Fatalf("no test made vault %s", info.ID)
	}
	view, err := sealed.New(store, held.(*keyring.Held))
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// isWrongKey says that a vault does not open with this key.
func isWrongKey(err error) bool {
	var wrong *keyring.WrongKeyError
	return errors.As(err, &wrong)
}
