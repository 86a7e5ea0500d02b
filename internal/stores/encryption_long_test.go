//go:build long

package stores

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"coldstream"
	"coldstream/blob"
	"coldstream/blob/storetest"
)

// TestServerSideEncryption stores and reads with each option sse, by a server with TLS whose
// certificate ca_file names, and asks the server what it encrypted with.
func TestServerSideEncryption(t *testing.T) {
	s, caFile := storetest.SecureMinIO(t)
	s.Setenv(t)
	key := bytes.Repeat([]byte{9}, 32)
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(sseKeyVariable, keyFile)
	ofCustomer, err := encrypt.NewSSEC(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options string
		read    encrypt.ServerSide
		want    map[string]string
	}{
		"none":             {"", nil, map[string]string{"X-Amz-Server-Side-Encryption": ""}},
		"the server's key": {"&sse=s3", nil, map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}},
		"a key by name":    {"&sse=kms&kms_key=" + storetest.KMSKey, nil, map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "arn:aws:kms:" + storetest.KMSKey}},
		"a key of our own": {"&sse=c", ofCustomer, map[string]string{"X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256"}},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := storetest.NewPrefix()
			at, err := Parse(s.URL(prefix)+"&ca_file="+caFile+c.options, os.Getenv)
			if err != nil {
				t.Fatal(err)
			}
			store, err := at.Open(t.Context(), coldstream.NoObserver{})
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Create(t.Context(), "packs/a", []byte("body")); err != nil {
				t.Fatal(err)
			}
			if body, err := blob.ReadAll(t.Context(), store, "packs/a", 100); err != nil || string(body) != "body" {
				t.Errorf("read %q, %v", body, err)
			}
			if part, err := store.Read(t.Context(), "packs/a", 1, 2); err != nil || string(part) != "od" {
				t.Errorf("read a part %q, %v", part, err)
			}
			info, err := s.Admin.StatObject(t.Context(), s.Bucket, prefix+"/packs/a", minio.StatObjectOptions{ServerSideEncryption: c.read})
			if err != nil {
				t.Fatal(err)
			}
			for header, want := range c.want {
				if got := info.Metadata.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}
			_, err = s.Admin.StatObject(t.Context(), s.Bucket, prefix+"/packs/a", minio.StatObjectOptions{})
			if (err != nil) != (c.read != nil) {
				t.Errorf("without the key: %v", err)
			}
		})
	}
}
