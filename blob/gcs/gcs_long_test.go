//go:build long

package gcsstore_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"coldstream/blob"
	gcsstore "coldstream/blob/gcs"
	"coldstream/blob/storetest"
)

func TestContract(t *testing.T) {
	g := storetest.FakeGCS(t)
	storetest.KeepsContract(t, func(t *testing.T, prefix string) (blob.Store, error) {
		return gcsstore.Open(t.Context(), gcsstore.Options{Bucket: g.Bucket, Prefix: prefix, Endpoint: g.Endpoint, Anonymous: true})
	})
	t.Run("a bucket that is missing", func(t *testing.T) {
		s, err := gcsstore.Open(t.Context(), gcsstore.Options{Bucket: "missing", Endpoint: g.Endpoint, Anonymous: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Create(t.Context(), "a", nil); !errors.Is(err, blob.ErrNoBucket) {
			t.Errorf("create: %v, want blob.ErrNoBucket", err)
		}
		for _, err := range s.List(t.Context(), "", "") {
			if !errors.Is(err, blob.ErrNoBucket) {
				t.Errorf("list: %v, want blob.ErrNoBucket", err)
			}
		}
	})
	t.Run("a class for packs only", func(t *testing.T) {
		var asked []string
		proxy := storetest.NewProxy(t, g.Endpoint, func(_ int, r *http.Request) storetest.Fault {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			asked = append(asked, string(regexp.MustCompile(`"storageClass":"[A-Z]*"`).Find(body)))
			return storetest.Fault{}
		})
		s, err := gcsstore.Open(t.Context(), gcsstore.Options{Bucket: g.Bucket, Prefix: "class", Endpoint: proxy.Endpoint, Anonymous: true, StorageClass: "NEARLINE", ColdPrefix: "packs/"})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"packs/a", "commits/a"} {
			if err := s.Create(t.Context(), key, []byte("body")); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{`"storageClass":"NEARLINE"`, ""}; !slices.Equal(asked, want) {
			t.Errorf("asked for the classes %q, want %q", asked, want)
		}
	})
	t.Run("a boundary in the body", func(t *testing.T) {
		s, err := gcsstore.Open(t.Context(), gcsstore.Options{Bucket: g.Bucket, Prefix: "boundary", Endpoint: g.Endpoint, Anonymous: true})
		if err != nil {
			t.Fatal(err)
		}
		body := []byte("x\r\n--coldstream-7f3b1c9ae5d24086\r\ny\r\n--coldstream-7f3b1c9ae5d24086---\r\n")
		if err := s.Create(t.Context(), "a", body); err != nil {
			t.Fatal(err)
		}
		stored, err := os.ReadFile(filepath.Join(g.Dir, "boundary", "a"))
		if err != nil || !bytes.Equal(stored, body) {
			t.Errorf("stored %q, %v", stored, err)
		}
	})
}
