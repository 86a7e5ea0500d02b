package stores

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"coldstream/blob"
	"coldstream/blob/mem"
)

func none(string) string { return "" }

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"s3://bucket/a/b?region=eu-west-1":          "s3://bucket/a/b",
		"s3://bucket":                               "s3://bucket",
		"s3://bucket/?endpoint=http://127.0.0.1:1/": "s3://bucket",
		"gs://bucket/prefix?storage_class=NEARLINE": "gs://bucket/prefix",
		"azblob://box/prefix?account=abc":           "azblob://box/prefix",
	} {
		l, err := Parse(raw, none)
		if err != nil || l.String() != want {
			t.Errorf("%s: %v, %v; want %s", raw, l, err, want)
		}
	}
	for raw, says := range map[string]string{
		"s3://user:hidden@bucket/p":                    "credentials",
		"s3://bucket/p?secret_access_key=hidden":       "credentials",
		"azblob://box/p?account=abc&sig=hidden":        "credentials",
		"s3://bucket/p?regoin=x":                       "did you mean region",
		"s3://bucket/p?region=":                        "one value",
		"s3://bucket/p?region=a&region=b":              "one value",
		"s3://bucket/p?path_style=perhaps":             "path_style",
		"s3://bucket/p?versions=last":                  "versions",
		"s3://bucket/p?versions=first&before=noon":     "before",
		"s3://bucket/p?before=2026-01-02T03:04:05Z":    "versions=first",
		"s3://bucket/p?sse=x":                          "sse",
		"s3://bucket/p?kms_key=x":                      "kms_key",
		"s3://bucket/p?sse=c":                          "COLDSTREAM_SSE_C_KEY_FILE",
		"s3://bucket/p?storage_class=cheap":            "storage_class",
		"s3://bucket/p?endpoint=http://u:hidden@h":     "credentials",
		"s3://bucket/a//b":                             "prefix",
		"s3://bucket/a/../b":                           "prefix",
		"s3:///prefix":                                 "bucket",
		"gs://bucket/p?region=x":                       "region",
		"azblob://box/p":                               "account",
		"azblob://box/p?account=abc&storage_class=HOT": "Hot",
		"file:///tmp/x":                                "scheme",
		"ftp://host/x":                                 "s3",
	} {
		_, err := Parse(raw, none)
		var usage *UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%s: %v, want a usage error", raw, err)
			continue
		}
		text := usage.Error() + " " + usage.UsageHint()
		if !strings.Contains(text, says) || strings.Contains(text, "hidden") {
			t.Errorf("%s: %q, want that it says %q and no secret", raw, text, says)
		}
	}
}

// without is a store with some rights missing.
type without struct {
	blob.Store
	create error
}

func (w without) Create(ctx context.Context, key string, body []byte) error {
	if w.create != nil {
		return w.create
	}
	return w.Store.Create(ctx, key, body)
}

func TestProbe(t *testing.T) {
	inner := mem.New()
	if err := inner.Create(t.Context(), "epochs/0000000000/begun", nil); err != nil {
		t.Fatal(err)
	}
	if p := ProbeVault(t.Context(), inner); p.Level != "shared" || p.Rights[0].Err != nil || p.Rights[1].Err != nil || p.Rights[2].Err != nil {
		t.Errorf("%+v", p)
	}
	if p := ProbeVault(t.Context(), without{inner, fs.ErrPermission}); !errors.Is(p.Rights[2].Err, fs.ErrPermission) {
		t.Errorf("a reader: %+v", p)
	}
	if p := ProbeVault(t.Context(), without{inner, errors.ErrUnsupported}); p.Level != "archive" || p.Rights[2].Err != nil {
		t.Errorf("without conditions: %+v", p)
	}
	if p := ProbeVault(t.Context(), mem.New()); p.Rights[0].Err == nil || p.Rights[1].Err == nil {
		t.Errorf("no vault: %+v", p)
	}
}
