package stores

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"coldstream/blob"
	s3store "coldstream/blob/s3"
	"coldstream/internal/awscreds"
)

// coldPrefix is that of the objects that a storage class is for: packs. All others are
// read whenever a vault is opened.
const coldPrefix = "packs/"

func s3Options() []string {
	return []string{"endpoint", "region", "path_style", "storage_class", "sse", "kms_key", "ca_file", "profile", "versions", "before"}
}

// sseKeyVariable names the file with the key of sse=c.
const sseKeyVariable = "COLDSTREAM_SSE_C_KEY_FILE"

var storageClass = regexp.MustCompile(`^[A-Z][A-Z0-9_]{2,40}$`)

type s3Driver struct {
	options s3store.Options
	creds   awscreds.Options
	first   bool      // versions are read as they were first
	before  time.Time // only what was stored before then; all if zero
}

func newS3(u *bucketURL) (driver, error) {
	get := u.options.Get
	d := &s3Driver{
		creds: awscreds.Options{Profile: get("profile"), Region: get("region")},
		first: get("versions") == "first",
		options: s3store.Options{
			Bucket: u.bucket, Prefix: u.prefix,
			Endpoint:     cmp.Or(get("endpoint"), u.getenv("AWS_ENDPOINT_URL_S3"), u.getenv("AWS_ENDPOINT_URL")),
			Region:       get("region"),
			CAFile:       cmp.Or(get("ca_file"), u.getenv("AWS_CA_BUNDLE")),
			StorageClass: get("storage_class"), ColdPrefix: coldPrefix,
			Encryption: s3store.Encryption{Kind: get("sse"), KMSKey: get("kms_key")},
		},
	}
	if text := get("versions"); text != "" && text != "first" {
		return nil, fmt.Errorf("option versions: %q is not first", text)
	}
	if text := get("before"); text != "" {
		var err error
		if d.before, err = time.Parse(time.RFC3339, text); err != nil || !d.first {
			return nil, fmt.Errorf("option before: %q is no time as 2006-01-02T15:04:05Z, or versions=first is missing", text)
		}
	}
	if text := get("path_style"); text != "" {
		style, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("option path_style: %q is neither true nor false", text)
		}
		d.options.PathStyle = &style
	}
	if class := d.options.StorageClass; class != "" && !storageClass.MatchString(class) {
		return nil, fmt.Errorf("option storage_class: %q is not written as STANDARD_IA or GLACIER_IR is", class)
	}
	if d.options.Encryption.KMSKey != "" && d.options.Encryption.Kind != "kms" {
		return nil, errors.New("option kms_key: it is for sse=kms only")
	}
	var err error
	if d.options.Encryption.Kind == "c" {
		d.options.Encryption.Key, err = readKey(u.getenv(sseKeyVariable))
	}
	if err == nil {
		err = d.options.Check()
	}
	return d, err
}

const sseKeyBytes = 32

// readKey reads a key of 32 bytes, as they are or in base64.
func readKey(file string) ([]byte, error) {
	if file == "" {
		return nil, errors.New("option sse=c: name the file with the key of 32 bytes in " + sseKeyVariable)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("option sse=c: read the key: %w", err)
	}
	if len(key) != sseKeyBytes {
		if key, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(key))); err != nil || len(key) != sseKeyBytes {
			return nil, fmt.Errorf("option sse=c: the file in %s has no key of 32 bytes", sseKeyVariable)
		}
	}
	return key, nil
}

func (d *s3Driver) open(ctx context.Context) (blob.Store, error) {
	creds, err := awscreds.Find(ctx, d.creds)
	if err != nil {
		return nil, &blob.Failure{Err: err, Next: "check AWS_PROFILE or the option profile, and the files that they name"}
	}
	options := d.options
	options.Credentials = creds
	store, err := s3store.Open(options)
	if err != nil || !d.first {
		return store, err
	}
	return store.First(d.before), nil
}
