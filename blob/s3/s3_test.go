package s3store_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"coldstream/blob"
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

func keepsContract(t *testing.T, s *storetest.S3) {
	storetest.KeepsContract(t, func(t *testing.T, prefix string) (blob.Store, error) {
		return open(t, s, func(o *s3store.Options) { o.Prefix = prefix }), nil
	})
}

func TestContract(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server: run without -short")
	}
	s := storetest.Versitygw(t)
	keepsContract(t, s)
	t.Run("names of others", func(t *testing.T) { passesOverNames(t, s) })
	t.Run("a bucket that is missing", func(t *testing.T) {
		store := open(t, s, func(o *s3store.Options) { o.Bucket = "missing" })
		_, _, errOpen := store.Open(t.Context(), "a")
		for what, err := range map[string]error{"create": store.Create(t.Context(), "a", nil), "open": errOpen} {
			if !errors.Is(err, blob.ErrNoBucket) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v, want blob.ErrNoBucket, which is no absence of an object", what, err)
			}
		}
	})
	t.Run("a class for packs only", func(t *testing.T) {
		var asked []string // the server keeps no classes
		proxy := storetest.NewProxy(t, s.Endpoint, func(_ int, r *http.Request) storetest.Fault {
			asked = append(asked, r.Header.Get("X-Amz-Storage-Class"))
			return storetest.Fault{}
		})
		store := open(t, s, func(o *s3store.Options) {
			o.Endpoint, o.Prefix, o.StorageClass, o.ColdPrefix = proxy.Endpoint, "class", "STANDARD_IA", "packs/"
		})
		for _, key := range []string{"packs/a", "commits/a"} {
			if err := store.Create(t.Context(), key, []byte("body")); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"STANDARD_IA", ""}; !slices.Equal(asked, want) {
			t.Errorf("asked for the classes %q, want %q", asked, want)
		}
	})
}

// passesOverNames puts objects under the prefix that nobody of us made.
func passesOverNames(t *testing.T, s *storetest.S3) {
	store := open(t, s, func(o *s3store.Options) { o.Prefix = "names" })
	for _, name := range []string{"names/Photo.JPG", "names/a b", "names/ok", "namesake/ok"} {
		if _, err := s.Admin.PutObject(t.Context(), s.Bucket, name, strings.NewReader("x"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for e, err := range store.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Key)
	}
	if strings.Join(got, " ") != "ok" {
		t.Errorf("listed %q, want ok alone", got)
	}
	if name, err := store.Foreign(t.Context()); err != nil || name == "" {
		t.Errorf("foreign: %q, %v, want any of the names", name, err)
	}
}

// TestAnswersAreExplained gives answers that no server here gives.
func TestAnswersAreExplained(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		header string // name: value
		is     error
		next   string
	}{
		{403, "AccessDenied", "", fs.ErrPermission, `{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::bucket/a/b/*"}`},
		{403, "ExpiredToken", "", fs.ErrPermission, "log in again"},
		{403, "RequestTimeTooSkewed", "", fs.ErrPermission, "clock"},
		{403, "SignatureDoesNotMatch", "", fs.ErrPermission, "AWS_SECRET_ACCESS_KEY"},
		{403, "InvalidObjectState", "", nil, "restore-object --bucket bucket --key a/b/key"},
		{301, "PermanentRedirect", "X-Amz-Bucket-Region: eu-west-1", nil, "add region=eu-west-1"},
		{400, "AuthorizationHeaderMalformed", "X-Amz-Bucket-Region: eu-west-1", nil, "add region=eu-west-1"},
		{404, "NoSuchBucket", "", blob.ErrNoBucket, "aws s3 mb s3://bucket"},
		{412, "PreconditionFailed", "", fs.ErrExist, ""},
		{409, "ConditionalRequestConflict", "", blob.ErrTemporary, ""},
		{400, "BadDigest", "", blob.ErrTemporary, ""},
		{429, "TooManyRequests", "", blob.ErrTemporary, ""},
		{503, "SlowDown", "", blob.ErrTemporary, ""},
		{500, "InternalError", "", blob.ErrTemporary, ""},
		{501, "NotImplemented", "", errors.ErrUnsupported, ""},
	} {
		t.Run(c.code, func(t *testing.T) {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests++
				if name, value, ok := strings.Cut(c.header, ": "); ok {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte("<Error><Code>" + c.code + "</Code><Message>said</Message></Error>"))
			}))
			defer server.Close()
			store := open(t, &storetest.S3{Endpoint: server.URL, Bucket: "bucket"}, nil)
			err := store.Create(t.Context(), "key", []byte("body"))
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v, want one wrapping %v", err, c.is)
			}
			if c.is == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, blob.ErrTemporary)) {
				t.Errorf("%v says more than the answer", err)
			}
			var failure *blob.Failure
			if c.next != "" && (!errors.As(err, &failure) || !strings.Contains(failure.Hint(), c.next)) {
				t.Errorf("%v does not say what to do: %q", err, c.next)
			}
			if requests != 1 {
				t.Errorf("%d requests, want one: retries are not the driver's", requests)
			}
		})
	}
}

// TestALyingServerIsFound gives a range that is not the one asked for, and a checksum that
// is not that of what was sent.
func TestALyingServerIsFound(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Checksum-Crc32c", "AAAAAA==")
		w.Header().Set("Etag", `"x"`)
		if r.Method == http.MethodGet {
			w.Header().Set("Last-Modified", "Mon, 30 Nov 2026 10:00:00 GMT")
			_, _ = w.Write([]byte("the whole object"))
		}
	}))
	defer server.Close()
	store := open(t, &storetest.S3{Endpoint: server.URL, Bucket: "bucket"}, nil)
	if err := store.Create(t.Context(), "key", []byte("body")); err == nil || !strings.Contains(err.Error(), "other bytes") {
		t.Errorf("create: %v, want that other bytes were stored", err)
	}
	if _, err := store.Read(t.Context(), "key", 4, 5); err == nil || !strings.Contains(err.Error(), "range") {
		t.Errorf("read: %v, want that the range is another", err)
	}
}
