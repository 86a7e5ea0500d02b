package storetest

import (
	"testing"

	"coldstream/blob"
	"coldstream/blob/blobtest"
	"coldstream/blob/retry"
)

// KeepsContract holds a driver against the contract of stores at the level shared, each
// check under a prefix of its own. What is tested is what commands use: with retries, for
// a server may ask racing writers to come again.
func KeepsContract(t *testing.T, open func(t *testing.T, prefix string) (blob.Store, error)) {
	t.Helper()
	for _, check := range blobtest.Checks(blobtest.Shared) {
		t.Run(check.Name, func(t *testing.T) {
			prefix := NewPrefix()
			err := check.Run(t.Context(), func() (blob.Store, error) {
				s, err := open(t, prefix)
				if err != nil {
					return nil, err
				}
				return retry.New(s, retry.Options{}), nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
