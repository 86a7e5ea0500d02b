package s3store_test

import (
	"testing"

	"coldstream/blob"
	"coldstream/blob/blobtest"
	s3store "coldstream/blob/s3"
	"coldstream/blob/storetest"
	"coldstream/internal/awscreds"
)

// open opens a prefix of a server's bucket.
func open(t *testing.T, s *storetest.S3, change func(*s3store.Options)) *s3store.Store {
	t.Helper()
	s.Setenv(t)
	found, err := awscreds.Find(t.Context(), awscreds.Options{})
	if err != nil {
		t.Fatal(err)
	}
	opts := s3store.Options{Bucket: s.Bucket, Prefix: "a/b", Endpoint: s.Endpoint, Region: storetest.Region, Credentials: found}
	if change != nil {
		change(&opts)
	}
	store, err := s3store.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// keepsContract runs the contract on prefixes of a server.
func keepsContract(t *testing.T, s *storetest.S3, open func(prefix string) (blob.Store, error)) {
	for _, check := range blobtest.Checks(blobtest.Shared) {
		t.Run(check.Name, func(t *testing.T) {
			prefix := storetest.NewPrefix()
			if err := check.Run(t.Context(), func() (blob.Store, error) { return open(prefix) }); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestContract(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server: run without -short")
	}
	s := storetest.Versitygw(t)
	keepsContract(t, s, func(prefix string) (blob.Store, error) {
		return open(t, s, func(o *s3store.Options) { o.Prefix = prefix }), nil
	})
}
