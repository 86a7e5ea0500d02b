// Package stores opens the storage that a vault's URL names: it is the one place that
// knows every driver.
package stores

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"coldstream"
	"coldstream/blob"
	fsstore "coldstream/blob/fs"
	"coldstream/blob/retry"
)

// Location is where a vault is, or is to be.
type Location struct {
	shown  string
	driver driver
	folder string // "" if it is no folder
}

// driver opens one kind of storage.
type driver interface {
	// open gives a client; it need not ask the storage.
	open(ctx context.Context) (blob.Store, error)
}

// occupied is a store that can tell of anything at all under its prefix.
type occupied interface {
	Foreign(ctx context.Context) (name string, err error)
}

// UsageError is a URL that is not one of a vault.
type UsageError struct {
	err  error
	hint string
}

func (e *UsageError) Error() string { return e.err.Error() }

// Unwrap is the cause.
func (e *UsageError) Unwrap() error { return e.err }

// UsageHint says how it is written.
func (e *UsageError) UsageHint() string { return e.hint }

var scheme = regexp.MustCompile(`^([a-z][a-z0-9+.-]+):`)

// bucketURL is a URL of a bucket or container, taken apart.
type bucketURL struct {
	scheme, bucket, prefix string
	options                url.Values
	getenv                 func(string) string
}

// shown is the URL for people: without options, which may have a secret in them.
func (u *bucketURL) shown() string {
	return strings.TrimSuffix(u.scheme+"://"+u.bucket+"/"+u.prefix, "/")
}

// kind is one scheme of vault URLs.
type kind struct {
	example string
	options []string
	driver  func(u *bucketURL) (driver, error)
}

func kinds() map[string]kind {
	return map[string]kind{
		"s3":      {"s3://BUCKET/PREFIX?region=REGION", s3Options(), newS3},
		"gs":      {"gs://BUCKET/PREFIX", gcsOptions(), newGCS},
		"azblob":  {"azblob://CONTAINER/PREFIX?account=ACCOUNT", azureOptions(), newAzure},
		"elastio": elastioKind(),
	}
}

// Parse reads a vault's URL, or the path of a folder. Nothing is opened.
func Parse(raw string, getenv func(string) string) (*Location, error) {
	m := scheme.FindStringSubmatch(raw)
	if m == nil {
		path, err := filepath.Abs(raw)
		if err != nil {
			return nil, fmt.Errorf("vault %q: %w", raw, err)
		}
		return &Location{shown: path, folder: path, driver: folder(path)}, nil
	}
	all := kinds()
	k, known := all[m[1]]
	switch {
	case m[1] == "file":
		return nil, &UsageError{fmt.Errorf("vault %q: a folder has no scheme", raw), "write the path alone"}
	case !known:
		var names []string
		for name := range all {
			names = append(names, name)
		}
		slices.Sort(names)
		return nil, &UsageError{fmt.Errorf("vault: storage %q: %w", m[1], coldstream.ErrUnsupported),
			"name a folder, or a URL that begins with: " + strings.Join(names, ", ")}
	}
	if k.driver == nil {
		return parseElastio(raw, getenv)
	}
	u, err := k.parse(m[1], raw)
	if err != nil {
		return nil, err
	}
	u.getenv = getenv
	d, err := k.driver(u)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("vault %s: %w", u.shown(), err), "write it as " + k.example}
	}
	return &Location{shown: u.shown(), driver: d}, nil
}

// prefixSegment is what every storage takes in a name as it is.
var prefixSegment = regexp.MustCompile(`^[A-Za-z0-9_!'()*.=,@~+-]+$`)

const maxPrefixBytes = 400

// parse takes a URL apart. Nothing of one that may have a secret in it is repeated.
func (k *kind) parse(name, raw string) (*bucketURL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("vault: the %s URL cannot be read", name), "write it as " + k.example}
	}
	if u.User != nil {
		return nil, credentialsInURL(name)
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("vault: the options of the %s URL cannot be read", name), "write it as " + k.example}
	}
	for option, values := range options {
		if err := k.check(name, option, values); err != nil {
			return nil, err
		}
	}
	if at, err := url.Parse(options.Get("endpoint")); err == nil && (at.User != nil || at.RawQuery != "") {
		return nil, credentialsInURL(name)
	}
	prefix := strings.Trim(u.Path, "/")
	shown := (&bucketURL{scheme: name, bucket: u.Host, prefix: prefix}).shown()
	if u.Host == "" || u.Fragment != "" || len(prefix) > maxPrefixBytes {
		return nil, &UsageError{fmt.Errorf("vault %s: it is not a bucket and a prefix", shown), "write it as " + k.example}
	}
	for segment := range strings.SplitSeq(prefix, "/") {
		if prefix != "" && (!prefixSegment.MatchString(segment) || strings.Trim(segment, ".") == "") {
			return nil, &UsageError{fmt.Errorf("vault %s: %q cannot be part of a prefix", shown, segment), "use letters, digits, '-' and '_'"}
		}
	}
	return &bucketURL{scheme: name, bucket: u.Host, prefix: prefix, options: options}, nil
}

// check refuses an option that is not one of the storage's.
func (k *kind) check(name, option string, values []string) error {
	switch {
	case slices.Contains(k.options, option) && len(values) == 1 && values[0] != "":
		return nil
	case slices.Contains(k.options, option):
		return &UsageError{fmt.Errorf("vault: option %s of the %s URL needs one value", option, name), "write it as " + k.example}
	case isSecret(option):
		return credentialsInURL(name)
	}
	hint := "the options are: " + strings.Join(k.options, ", ")
	if near := coldstream.Nearest(option, k.options); len(near) > 0 {
		hint = "did you mean " + near[0] + "? " + hint
	}
	return &UsageError{fmt.Errorf("vault: unknown option %q of the %s URL", option, name), hint}
}

// isSecret says that an option looks like one that carries a secret.
func isSecret(option string) bool {
	option = strings.ToLower(option)
	if option == "sig" || option == "sas" {
		return true
	}
	return slices.ContainsFunc([]string{"secret", "password", "token", "access", "credential", "signature", "account_key"},
		func(part string) bool { return strings.Contains(option, part) })
}

func credentialsInURL(name string) error {
	where := map[string]string{
		"s3":     "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE), or a role",
		"gs":     "GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login, or a service account",
		"azblob": "AZURE_STORAGE_CONNECTION_STRING, AZURE_CLIENT_ID and the like, az login, or a managed identity",
	}[name]
	return &UsageError{fmt.Errorf("vault: credentials do not belong into the %s URL, where other users of this host can read them", name),
		"use " + cmp.Or(where, "the environment")}
}

// String is the location for people; it has no secrets.
func (l *Location) String() string { return l.shown }

// Folder is the path of a vault in a folder.
func (l *Location) Folder() (path string, ok bool) { return l.folder, l.folder != "" }

// MayLock says that it is of a kind of storage that may be able to lock objects.
func (l *Location) MayLock() bool {
	_, ok := l.driver.(*s3Driver)
	return ok
}

// Open opens the storage. A folder that is missing wraps fs.ErrNotExist; a bucket that is
// missing is found by the first call of a method. What fails for the time being is tried
// again, which the observer is told.
func (l *Location) Open(ctx context.Context, obs coldstream.Observer) (blob.Store, error) {
	store, err := l.driver.open(ctx)
	if err != nil || l.folder != "" {
		return store, err
	}
	return patient(store, obs), nil
}

// patient tries again what fails for the time being. A driver that gathers objects does so
// itself: it knows what may be done twice.
func patient(store blob.Store, obs coldstream.Observer) blob.Store {
	if _, gathers := store.(blob.Flusher); gathers {
		return store
	}
	return retry.New(store, retry.Options{Observer: obs})
}

// Create opens the storage of a vault that is to be made: a folder is made if it is
// missing, a bucket is not. What has something in it already is an [*OccupiedError].
func (l *Location) Create(ctx context.Context, obs coldstream.Observer) (blob.Store, error) {
	if l.folder != "" {
		return createFolder(l.folder)
	}
	store, err := l.driver.open(ctx)
	if err != nil {
		return nil, err
	}
	if o, ok := store.(occupied); ok {
		name, err := o.Foreign(ctx)
		if err != nil {
			return nil, err
		}
		if name != "" {
			return nil, &OccupiedError{name}
		}
	}
	return patient(store, obs), nil
}

// OccupiedError says that a vault would be made among other things.
type OccupiedError struct{ Name string }

func (e *OccupiedError) Error() string { return fmt.Sprintf("it is not empty: it has %q", e.Name) }

type folder string

func (f folder) open(context.Context) (blob.Store, error) { return fsstore.Open(string(f)) }

func createFolder(path string) (blob.Store, error) {
	name, err := fsstore.Foreign(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case name != "":
		return nil, &OccupiedError{name}
	}
	return fsstore.Create(path)
}
