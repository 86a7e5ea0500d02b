package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coldstream/internal/stores"
	"coldstream/vault"
)

// lockOptions say how long nobody may delete what a vault stores.
type lockOptions struct {
	last, mode string
}

const (
	lockGovernance = "governance"
	lockCompliance = "compliance"
)

func (o *lockOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.last, "lock", "", "lock each object for this `TIME` (30d, 2w, 36h) as it is stored: nobody deletes or replaces it before; for S3 buckets with object lock")
	f.StringVar(&o.mode, "lock-mode", lockGovernance, "`MODE` of the locks: governance (who has a right of its own may end them) or compliance (nobody may, not even the owner of the account)")
}

// lock reads the options for a vault in a place.
func (o *lockOptions) lock(at *stores.Location) (vault.Lock, error) {
	var lock vault.Lock
	switch {
	case *o == (lockOptions{}): // of a demo, which has no flags
		return lock, nil
	case o.mode != lockGovernance && o.mode != lockCompliance:
		return lock, usagef("use governance or compliance", fmt.Errorf("unknown --lock-mode %q", o.mode))
	case o.last == "" && o.mode != lockGovernance:
		return lock, usagef("add --lock, as --lock 30d", errors.New("--lock-mode is for vaults with a lock"))
	case o.last == "":
		return lock, nil
	}
	last, err := parseDays(o.last)
	if err == nil {
		lock = vault.Lock{Compliance: o.mode == lockCompliance, For: last}
		err = lock.Check()
	}
	if err != nil {
		return lock, usagef("write it as 30d, 2w or 36h", fmt.Errorf("--lock: %w", err))
	}
	if _, isFolder := at.Folder(); isFolder {
		return lock, usagef("lock backups in an S3 bucket with object lock", fmt.Errorf("--lock: %s is a folder, and who may write to a folder may delete what is in it", at))
	}
	if !at.MayLock() {
		return lock, usagef("use the storage's own retention; docs/storage.md says how", fmt.Errorf("--lock: coldstream sets no locks on objects in %s, only on those in S3", at))
	}
	return lock, nil
}
