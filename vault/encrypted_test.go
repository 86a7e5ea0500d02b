package vault

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"coldstream/blob"
	"coldstream/blob/mem"
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

// TestEncrypted runs tests of this package once more, on encrypted vaults: with -tags long all of
// them.
func TestEncrypted(t *testing.T) {
	if *encrypted {
		t.Skip("this is that run")
	}
	args := []string{"-encrypted", "-test.count=1", "-seed", strconv.FormatUint(*seed, 10), "-test.skip", "^Test(Encrypted|ReadingWithoutUs|ReadersReadWhatTheyAskFor|Year|BusyTimes)$"} // they look at objects, or measure plain vaults
	if !allOfItEncrypted {
		args = append(args, "-test.short", "-test.run", "^Test(Damage(Truncated|Replayed|Deleted)|Healing|WhoMarks|FalseMarksCostNothing|Turn|HoldsAndTurns|"+
			"InterleavedWriters|ForkedWriters|FailedCommit|CommitAcrossTurns|NothingTwiceInHistories|AcceptedLoss|CrashedInit|Misread.*|SectionThatIsNone|"+
			"ReadingFarAwayStorage|FramesAreReadTogether|RoundTrip|.*Rights.*)$")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = os.Environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !bytes.Contains(out, []byte("PASS")) {
		t.Errorf("nothing was run: %s", out)
	}
}

// TestNamesTellNothing: no object of an encrypted vault is named by what everybody can compute
// from its content, and of two vaults with the same content each has names of its own.
func TestNamesTellNothing(t *testing.T) {
	names := map[string]bool{}
	for range 2 {
		k := &kit{T: t, store: mem.New()}
		v, err := Init(t.Context(), k.store, InitOptions{Now: k.now, Encryption: testEncryption()})
		if err != nil {
			t.Fatal(err)
		}
		k.vault = v
		s := stream("orders", 0)
		k.commit(k.writer(), Changes{Data: data(s, piece(t, 0, 12, 1)), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: 12, LastEpoch: 1})})
		k.turn()
		lost := &DamageError{Object: "epochs/0000000000/base", Kind: KindMissing}
		if err := v.AcceptLoss(t.Context(), testTime, lost); err != nil {
			t.Fatal(err)
		}
		tables := append(keys(t, k.store, format.TablesPrefix), keys(t, k.store, format.AcceptedPrefix)...)
		if len(tables) < 5 {
			t.Fatalf("only %v", tables)
		}
		for _, key := range tables {
			name := key[strings.LastIndexByte(key, '/')+1:]
			if names[name] {
				t.Errorf("%s is in both vaults", key)
			}
			names[name] = true
			if name == lost.ID() {
				t.Errorf("%s is named by a hash of what was lost", key)
			}
			if kind, err := format.KindOf(body(t, k.store, key)); err == nil && strings.HasPrefix(key, format.TablesPrefix) {
				payload, _, err := v.objects.Load(t.Context(), kind, key)
				if err != nil {
					t.Fatal(err)
				}
				if format.HashOf(payload).String() == name {
					t.Errorf("%s is named by a hash of its content", key)
				}
			}
		}
		k.mustBeSound()
	}
}

// naming is storage that has names for people.
type naming struct {
	blob.Store
	words []string
}

func (n *naming) Describe(words ...string) { n.words = append(n.words, words...) }

// TestNoNamesForPeople: storage that shows names, as Elastio does, is told none of an encrypted vault.
func TestNoNamesForPeople(t *testing.T) {
	for _, e := range []*Encryption{nil, testEncryption()} {
		store := &naming{Store: mem.New()}
		v, err := Init(t.Context(), store, InitOptions{Now: time.Now, Encryption: e})
		if err != nil {
			t.Fatal(err)
		}
		v.Describe("cluster-1", "orders")
		if got := len(store.words) > 0; got != (e == nil) {
			t.Errorf("encrypted %v: told %v", e != nil, store.words)
		}
	}
}

// catalogOnly is the same vault for a backup host.
func (k *kit) catalogOnly() *kit {
	k.Helper()
	held, ok := testKeys.Load(k.vault.ID())
	if !ok {
		k.Fatal("not encrypted")
	}
	v, err := Open(k.Context(), k.store, func(context.Context, string) (keyring.Key, error) {
		return heldByHost{held.(*keyring.Held)}, nil
	})
	if err != nil {
		k.Fatal(err)
	}
	return &kit{T: k.T, store: k.store, vault: v, ticks: k.ticks}
}

type heldByHost struct{ held *keyring.Held }

func (k heldByHost) Open(context.Context, keyring.Public, keyring.Objects) (*keyring.Held, error) {
	return k.held.CatalogOnly(), nil
}

// TestDamageSeenByAHost: who cannot open packs finds the ones that are gone, takes the word of
// others for what is damaged inside, has it fetched again where it comes back as it was, and
// leaves it alone where it might not.
func TestDamageSeenByAHost(t *testing.T) {
	for _, isDense := range []bool{true, false} {
		k := &kit{T: t, store: mem.New()}
		v, err := Init(t.Context(), k.store, InitOptions{Now: k.now, Encryption: testEncryption()})
		if err != nil {
			t.Fatal(err)
		}
		k.vault = v
		s := stream("orders", 0)
		p := piece(t, 0, 12, 1)
		if !isDense {
			p.NextOffset = 15 // a hole at its end
		}
		k.commit(k.writer(), Changes{Data: data(s, p), Scans: begin(s, 0), Snapshot: snapshotOf(View{Stream: s, NextOffset: p.NextOffset, LastEpoch: 1})})
		host := k.catalogOnly()
		if _, err := host.vault.Verify(t.Context(), VerifyOptions{Deep: true}); !errors.Is(err, keyring.ErrCatalogOnly) {
			t.Errorf("a deep verify: %v", err)
		}
		if got := host.verify(VerifyOptions{}).Problems; len(got) > 0 || len(host.losses()) > 0 {
			t.Errorf("of a sound vault: %v, %v", got, host.losses())
		}
		object := raw(t, k.store, k.packIDs()[0].Key())
		object[len(object)/2] ^= 1
		put(t, k.store, k.packIDs()[0].Key(), object)
		if got := host.verify(VerifyOptions{}).Problems; len(got) > 0 {
			t.Errorf("damage that nobody has seen yet: %v", got)
		}
		k.verify(VerifyOptions{Deep: true}) // which marks it
		if got := host.verify(VerifyOptions{}).Problems; len(got) != 1 || got[0].Kind != KindMarked {
			t.Errorf("marked damage: %v", got)
		}
		if got := len(host.losses()); (got > 0) != isDense {
			t.Errorf("%d losses to fetch again, dense %v", got, isDense)
		}
		k.delete(k.packIDs()[0].Key())
		if got := host.losses(); len(got) != 1 {
			t.Errorf("a pack that is gone: %v", got)
		}
	}
}

// TestRemovalIsSigned: a host without the keeper's key turns epochs, and takes nothing away. A base
// that does and that the keeper did not sign is damage, and nothing is built on it.
func TestRemovalIsSigned(t *testing.T) {
	t.Run("encrypted", func(t *testing.T) { removalIsSigned(t, testEncryption()) })
	t.Run("with a keeper's key alone", func(t *testing.T) { removalIsSigned(t, keeperAlone()) })
}

// keeperAlone makes a vault with a keeper's key that is not encrypted.
func keeperAlone() *Encryption {
	return &Encryption{Make: func(id string) (*keyring.Held, []NewKey, error) {
		held, err := keyring.NewKeeper(id)
		testKeys.Store(id, held)
		return held, nil, err
	}}
}

// newKitWith is newKit for a vault with keys.
func newKitWith(t *testing.T, keys *Encryption) *kit {
	t.Helper()
	k := &kit{T: t, store: mem.New()}
	v, err := Init(t.Context(), k.store, InitOptions{Now: k.now, Encryption: keys})
	if err != nil {
		t.Fatal(err)
	}
	k.vault = v
	return k
}

func removalIsSigned(t *testing.T, keys *Encryption) {
	k := newKitWith(t, keys)
	v := k.vault
	s := stream("orders", 0)
	for i := range int64(3) {
		c := Changes{Data: data(s, piece(t, 3*i, 3*i+3, 1)), Snapshot: snapshotOf(View{Stream: s, LogStartOffset: 3 * i, NextOffset: 3*i + 3, LastEpoch: 1})}
		if c.Snapshot.Time = k.now(); i == 0 {
			c.Scans = begin(s, 0)
		}
		k.commit(k.writer(), c)
	}
	host := k.catalogOnly()
	host.turn()
	if err := host.vault.Turn(t.Context(), forgetAll(host)); !isWrongKey(err) || !errors.Is(err, errNoKeeper) {
		t.Errorf("a host forgets: %v", err)
	}
	if _, err := host.vault.Foresee(t.Context(), forgetAll(host)); !isWrongKey(err) {
		t.Errorf("a host foresees: %v", err)
	}
	if got := len(k.catalog().Snapshots()); got != 3 {
		t.Fatalf("%d snapshots", got)
	}
	k.turnWith(forgetAll(k))
	if got := len(host.catalog().Snapshots()); got != 1 {
		t.Fatalf("%d snapshots after a signed removal", got)
	}
	k.mustBeSound()
	epoch := k.catalog().epoch
	base, _, err := v.loadBase(t.Context(), epoch)
	if err != nil || !base.Removed || len(base.Signature) != 64 {
		t.Fatalf("%+v, %v", base, err)
	}
	forged := map[string]func(b *format.Base){
		"unsigned":              func(b *format.Base) { b.Signature, b.SignatureKey = nil, [8]byte{} },
		"altered":               func(b *format.Base) { b.TimeMs++ },
		"another signature":     func(b *format.Base) { b.Signature = append([]byte{}, b.Signature...); b.Signature[5] ^= 1 },
		"of another key":        func(b *format.Base) { b.SignatureKey[0] ^= 1 },
		"signed, as no removal": func(b *format.Base) { b.Removed = false },
	}
	for name, forge := range forged {
		b := *base
		forge(&b)
		payload, err := b.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := v.objects.Seal(format.KindBase, format.BaseKey(epoch), payload)
		if err != nil {
			t.Fatal(err)
		}
		other := copyStore(t, k.store)
		if err := other.Delete(t.Context(), format.BaseKey(epoch)); err != nil {
			t.Fatal(err)
		}
		over := k.over(other)
		if err := over.vault.objects.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		var damage *DamageError
		if _, _, err := over.vault.loadBase(t.Context(), epoch); !errors.As(err, &damage) || damage.Kind != KindAltered {
			t.Errorf("%s: %v", name, err)
		}
		if err := over.vault.Turn(t.Context(), TurnOptions{}); err == nil {
			t.Errorf("%s: a turn was built on it", name)
		}
	}
}
