//go:build long

package azurestore_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
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
	t.Run("a tier for packs only", func(t *testing.T) {
		var asked []string
		server := strings.TrimSuffix(a.Endpoint, "/"+storetest.AzureAccount)
		proxy := storetest.NewProxy(t, server, func(_ int, r *http.Request) storetest.Fault {
			asked = append(asked, r.Header.Get("X-Ms-Access-Tier"))
			return storetest.Fault{}
		})
		s, err := azurestore.Open(azurestore.Options{Container: "vaults", Prefix: "tier", Tier: "Cool", ColdPrefix: "packs/",
			Login: azurestore.Login{ConnectionString: strings.Replace(a.ConnectionString, server, proxy.Endpoint, 1)}})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"packs/a", "commits/a"} {
			if err := s.Create(t.Context(), key, []byte("body")); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"Cool", ""}; !slices.Equal(asked, want) {
			t.Errorf("asked for the tiers %q, want %q", asked, want)
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
