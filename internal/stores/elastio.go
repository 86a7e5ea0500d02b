package stores

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path/filepath"

	"coldstream/blob"
	"coldstream/blob/elastio"
)

// programVariable names the elastio program where it is not in PATH under its own name.
const programVariable = "COLDSTREAM_ELASTIO"

func elastioKind() kind {
	return kind{example: "elastio:NAME?host=HOST", options: []string{"host"}}
}

type elastioDriver struct{ options elastio.Options }

// parseElastio reads elastio:NAME, which is no URL with slashes.
func parseElastio(raw string, getenv func(string) string) (*Location, error) {
	k := elastioKind()
	u, err := url.Parse(raw)
	if err != nil || u.Opaque == "" || u.Fragment != "" {
		return nil, &UsageError{fmt.Errorf("vault: %q is not elastio: and the name of a vault", raw), "write it as " + k.example}
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("vault %s: its options cannot be read", raw), "write it as " + k.example}
	}
	for option, values := range options {
		if err := k.check("elastio", option, values); err != nil {
			return nil, err
		}
	}
	d := &elastioDriver{elastio.Options{Vault: u.Opaque, Host: options.Get("host"), Program: getenv(programVariable)}}
	if err := d.options.Check(); err != nil {
		return nil, &UsageError{fmt.Errorf("vault %s: %w", raw, err), "write it as " + k.example}
	}
	if cache := cacheHome(getenv); cache != "" {
		sum := sha256.Sum256([]byte(u.Opaque + "\x00" + options.Get("host")))
		d.options.CacheDir = filepath.Join(cache, "coldstream", "elastio", hex.EncodeToString(sum[:8]))
	}
	return &Location{shown: "elastio:" + u.Opaque, driver: d}, nil
}

// cacheHome is the user's folder for what may be deleted at any time; "" if there is none.
func cacheHome(getenv func(string) string) string {
	if dir := getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache")
	}
	return ""
}

func (d *elastioDriver) open(ctx context.Context) (blob.Store, error) {
	return elastio.Open(ctx, d.options)
}

// SpoolIn says where packs are kept that are read from storage that cannot read ranges.
// It is false where the storage can.
func (l *Location) SpoolIn(dir string) bool {
	d, ok := l.driver.(*elastioDriver)
	if ok {
		d.options.SpoolDir = cmp.Or(dir, d.options.SpoolDir)
	}
	return ok
}
