//go:build long

package azurestore_test

import (
	"errors"
	"testing"

	"coldstream/blob"
	azurestore "coldstream/blob/azure"
	"coldstream/blob/storetest"
)

func TestContract(t *testing.T) {
	a := storetest.Azurite(t)
	a.MakeContainer(t, "vaults")
	storetest.KeepsContract(t, func(_ *testing.T, prefix string) (blob.Store, error) {
		return azurestore.Open(azurestore.Options{Container: "vaults", Prefix: prefix, Login: azurestore.Login{ConnectionString: a.ConnectionString}})
	})
	t.Run("a container that is missing", func(t *testing.T) {
		s, err := azurestore.Open(azurestore.Options{Account: storetest.AzureAccount, Container: "missing", Endpoint: a.Endpoint, Login: azurestore.Login{AccountKey: storetest.AzureKey}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Create(t.Context(), "a", nil); !errors.Is(err, blob.ErrNoBucket) {
			t.Errorf("create: %v, want blob.ErrNoBucket", err)
		}
		if _, _, err := s.Open(t.Context(), "a"); !errors.Is(err, blob.ErrNoBucket) {
			t.Errorf("open: %v, want blob.ErrNoBucket", err)
		}
	})
	t.Run("a wrong key", func(t *testing.T) {
		s, err := azurestore.Open(azurestore.Options{Account: storetest.AzureAccount, Container: "vaults", Endpoint: a.Endpoint, Login: azurestore.Login{AccountKey: "d3Jvbmc="}})
		if err != nil {
			t.Fatal(err)
		}
		var failure *blob.Failure
		if _, _, err := s.Open(t.Context(), "a"); !errors.As(err, &failure) {
			t.Errorf("open: %v, want a failure with what to do", err)
		}
	})
}
