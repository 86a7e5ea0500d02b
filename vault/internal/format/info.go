package format

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const infoFormat = "coldstream-vault"

// VaultInfo is the content of vault.json.
type VaultInfo struct {
	ID        VaultID
	CreatedMs int64
	// The vault's public keys; empty in a vault without encryption.
	DataRecipient, CatalogRecipient, KeeperKey string
	// Exclusive says that the storage does not create on condition, and that one process at
	// a time writes.
	Exclusive bool
	// Lock says how objects are locked as they are created; its zero value locks none.
	Lock Lock
}

// Lock is what a storage that can lock objects is asked for.
type Lock struct {
	Mode    string // LockGovernance or LockCompliance
	Seconds int64  // for how long; at least 1 where there is a mode
}

// The modes of locks, as S3 has them.
const (
	LockGovernance = "governance"
	LockCompliance = "compliance"
)

// MaxLockSeconds is a hundred years.
const MaxLockSeconds = 36500 * 24 * 3600

// Check refuses what is no lock; that there is none is one.
func (l Lock) Check() error {
	switch {
	case l == Lock{}:
		return nil
	case l.Mode != LockGovernance && l.Mode != LockCompliance:
		return fmt.Errorf("mode of locks %q: it is neither %s nor %s", l.Mode, LockGovernance, LockCompliance)
	case l.Seconds < 1 || l.Seconds > MaxLockSeconds:
		return fmt.Errorf("locks of %d seconds: they last from a second to 100 years", l.Seconds)
	}
	return nil
}

// IsEncrypted says that the vault's objects are sealed.
func (v *VaultInfo) IsEncrypted() bool { return v.DataRecipient != "" || v.CatalogRecipient != "" }

// HasKeeper says that removal is signed.
func (v *VaultInfo) HasKeeper() bool { return v.KeeperKey != "" }

type infoJSON struct {
	Format           string `json:"format"`
	Version          int    `json:"version"`
	VaultID          string `json:"vault_id"`
	Created          string `json:"created"`
	DataRecipient    string `json:"data_recipient,omitempty"`
	CatalogRecipient string `json:"catalog_recipient,omitempty"`
	KeeperKey        string `json:"keeper_key,omitempty"`
	Exclusive        bool   `json:"exclusive,omitempty"`
	LockMode         string `json:"lock_mode,omitempty"`
	LockSeconds      int64  `json:"lock_seconds,omitempty"`
}

const timeFormat = "2006-01-02T15:04:05.000Z"

// Append writes vault.json.
func (v *VaultInfo) Append(dst []byte) []byte {
	b, err := json.MarshalIndent(infoJSON{
		Format: infoFormat, Version: Version, VaultID: v.ID.String(),
		Created:       time.UnixMilli(v.CreatedMs).UTC().Format(timeFormat),
		DataRecipient: v.DataRecipient, CatalogRecipient: v.CatalogRecipient, KeeperKey: v.KeeperKey, Exclusive: v.Exclusive,
		LockMode: v.Lock.Mode, LockSeconds: v.Lock.Seconds,
	}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("format: encode vault.json: %v", err)) // strings and numbers always encode
	}
	return append(append(dst, b...), '\n')
}

// DecodeVaultInfo reads vault.json. The version is looked at first, so that a newer vault
// is told from a damaged one.
func DecodeVaultInfo(b []byte) (*VaultInfo, error) {
	var probe struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(b, &probe); err != nil {
		return nil, corruptf("vault.json is not JSON: %v", err)
	}
	if probe.Format != infoFormat {
		return nil, corruptf("vault.json is of format %q, not %q", probe.Format, infoFormat)
	}
	if probe.Version < 1 {
		return nil, corruptf("vault.json of version %d", probe.Version)
	}
	if probe.Version != Version {
		return nil, unsupportedf("vault format version %d (this program knows version %d)", probe.Version, Version)
	}
	var j infoJSON
	if err := strictJSON(b, &j); err != nil {
		return nil, err
	}
	v := &VaultInfo{
		DataRecipient: j.DataRecipient, CatalogRecipient: j.CatalogRecipient, KeeperKey: j.KeeperKey,
		Exclusive: j.Exclusive, Lock: Lock{Mode: j.LockMode, Seconds: j.LockSeconds},
	}
	if err := v.Lock.Check(); err != nil {
		return nil, corruptf("vault.json: %v", err)
	}
	id, err := hex.DecodeString(j.VaultID)
	if err != nil || len(id) != len(v.ID) {
		return nil, corruptf("vault.json: vault_id %q", j.VaultID)
	}
	copy(v.ID[:], id)
	created, err := time.Parse(timeFormat, j.Created)
	if err != nil {
		return nil, corruptf("vault.json: created %q", j.Created)
	}
	v.CreatedMs = created.UnixMilli()
	for _, key := range []string{v.DataRecipient, v.CatalogRecipient, v.KeeperKey} {
		if !isPlain(key) {
			return nil, corruptf("vault.json: key %q", key)
		}
	}
	if !bytes.Equal(v.Append(nil), b) {
		return nil, corruptf("vault.json is not in its one form")
	}
	return v, nil
}

// isPlain says that JSON writes s in one way only.
func isPlain(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"\<>&`, c) })
}

// unknownField is how encoding/json begins to say it; there is no error to tell it by.
const unknownField = "json: unknown field"

// strictJSON decodes one document without unknown fields.
func strictJSON(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if strings.HasPrefix(err.Error(), unknownField) {
			return unsupportedf("decode JSON: %v", err) // a newer version wrote it
		}
		return corruptf("decode JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return corruptf("decode JSON: bytes behind the document")
	}
	return nil
}
