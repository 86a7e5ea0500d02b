package format

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

func testInfos() map[string]*VaultInfo {
	return map[string]*VaultInfo{
		"vault-exclusive.json": {ID: testVault, CreatedMs: testTime, Exclusive: true},
		"vault-keeper.json":    {ID: testVault, CreatedMs: testTime, KeeperKey: "ed25519:keeper"},
		"vault-locked.json":    {ID: testVault, CreatedMs: testTime, Lock: Lock{Mode: LockCompliance, Seconds: 30 * 24 * 3600}},
		"vault-plain.json":     {ID: testVault, CreatedMs: testTime},
		"vault-encrypted.json": {
			ID: testVault, CreatedMs: -1, DataRecipient: "age1data", CatalogRecipient: "age1catalog", KeeperKey: "ed25519:keeper",
		},
	}
}

func againInfo(b []byte) ([]byte, error) {
	v, err := DecodeVaultInfo(b)
	if err != nil {
		return nil, err
	}
	return v.Append(nil), nil
}

func infoVectors() []vector {
	var out []vector
	for file, info := range testInfos() {
		out = append(out, vector{file: file, again: againInfo, encode: func(*testing.T) []byte { return info.Append(nil) }})
	}
	return out
}

func TestVaultInfoRoundTrip(t *testing.T) {
	for file, want := range testInfos() {
		got, err := DecodeVaultInfo(want.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
		if got.IsEncrypted() != strings.Contains(file, "encrypted") {
			t.Errorf("%s: IsEncrypted is %v", file, got.IsEncrypted())
		}
	}
}

func TestVaultInfoRejections(t *testing.T) {
	corrupt, unsupported := coldstream.ErrCorrupt, coldstream.ErrUnsupported
	plain := string((&VaultInfo{ID: testVault, CreatedMs: testTime}).Append(nil))
	for _, c := range []struct {
		name, from, to string
		want           error
		text           string
	}{
		{"another format", "coldstream-vault", "elsewhere", corrupt, `format "elsewhere"`},
		{"version 0", `"version": 1`, `"version": 0`, corrupt, "version 0"},
		{"version below", `"version": 1`, `"version": -1`, corrupt, "version -1"},
		{"later version", `"version": 1`, `"version": 2`, unsupported, "version 2 (this program knows version 1)"},
		{"later version with more in it", `"version": 1`, `"version": 2, "more": {}`, unsupported, "version 2"},
		{"unknown field", `"version": 1`, `"version": 1, "more": 1`, unsupported, `unknown field "more"`},
		{"version as text", `"version": 1`, `"version": "1"`, corrupt, "not JSON"},
		{"white space", `"version": 1`, `"version":  1`, corrupt, "one form"},
		{"field twice", `"version": 1`, `"version": 1, "version": 1`, corrupt, "one form"},
		{"upper case field", `"version": 1`, `"Version": 1`, corrupt, "one form"},
		{"short ID", `eeff"`, `ee"`, corrupt, "vault_id"},
		{"upper case ID", `eeff"`, `eeFF"`, corrupt, "one form"},
		{"ID that is none", `eeff"`, `eefg"`, corrupt, "vault_id"},
		{"time that is none", `T08`, `T28`, corrupt, "created"},
		{"time with more digits", `.234Z`, `.2340Z`, corrupt, "created"},
		{"empty recipient", `"version": 1`, `"version": 1, "keeper_key": ""`, corrupt, "one form"},
		{"recipient that needs escapes", `"version": 1`, `"version": 1, "keeper_key": "a&b"`, corrupt, `key "a&b"`},
		{"not JSON", "}", "", corrupt, "not JSON"},
		{"more behind it", "}\n", "}\n{}", corrupt, "not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(plain, c.from, c.to, 1)
			if changed == plain {
				t.Fatalf("%q is not in %s", c.from, plain)
			}
			_, err := DecodeVaultInfo([]byte(changed))
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %q and %v", err, c.text, c.want)
			}
		})
	}
}
