package elastio

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"coldstream/blob"
)

// manifest is the first entry of a catalog point.
type manifest struct {
	Version int    `json:"version"`
	Number  uint64 `json:"number"`
	// Records are the points of packs that this one makes count, its own and those of the
	// catalog points that it covers.
	Records []*dataPoint `json:"records"`
	// Covers are catalog points whose objects this one has as well, so that nobody need
	// read them.
	Covers []string `json:"covers"`
	// Knows are newer catalog points that its maker knew: a listing may lack them.
	Knows []knownPoint `json:"knows"`
}

const manifestVersion = 1

// dataPoint is a recovery point of packs.
type dataPoint struct {
	ID      string       `json:"id"`
	Objects []dataObject `json:"objects"` // as they follow each other

	listed bool
	keys   map[string]int
}

type dataObject struct {
	Key       string `json:"key"`
	SizeBytes int64  `json:"size"`
}

func (d *dataPoint) has(key string) bool {
	_, ok := d.keys[key]
	return ok
}

type knownPoint struct {
	ID     string `json:"id"`
	Number uint64 `json:"number"`
}

// place is where an object is: in a file of the cache, or in a point of packs.
type place struct {
	extent
	file    string
	records *dataPoint
}

// catalogPoint is one that was read.
type catalogPoint struct {
	knownPoint
	manifest *manifest
	file     string
}

// index is what a vault's recovery points hold.
type index struct {
	dir       string // of the files of catalog points
	temporary bool   // dir goes when the store is closed
	places    map[string]*place
	points    map[string]*catalogPoint // that were read
	covered   map[string]bool
	listed    map[string]point
	newest    uint64
}

func (x *index) has(key string) bool { return x.places[key] != nil }

// openIndex reads catalog points, newest first: most others are covered by these.
func openIndex(ctx context.Context, p *program, cacheDir string) (*index, error) {
	x := &index{
		places: map[string]*place{}, points: map[string]*catalogPoint{}, covered: map[string]bool{}, listed: map[string]point{},
	}
	if err := x.openDir(cacheDir); err != nil {
		return nil, err
	}
	points, err := p.list(ctx)
	if err == nil {
		err = x.readAll(ctx, p, points)
	}
	if err != nil {
		return nil, errors.Join(err, x.close())
	}
	return x, nil
}

func (x *index) openDir(cacheDir string) (err error) {
	if x.dir = cacheDir; x.dir != "" {
		return os.MkdirAll(x.dir, 0o700)
	}
	x.temporary = true
	x.dir, err = os.MkdirTemp("", "coldstream-elastio-")
	return err
}

func (x *index) close() error {
	if !x.temporary {
		return nil
	}
	return removeAll(x.dir)
}

// readAll reads the catalog points of a listing, and those that the listing lacks and
// that others know.
func (x *index) readAll(ctx context.Context, p *program, points []point) error {
	var todo []knownPoint
	for _, at := range points {
		x.listed[at.id] = at
		if at.tags[tagKind] != kindCatalog {
			continue
		}
		number, err := strconv.ParseUint(at.tags[tagNumber], 10, 63)
		if err != nil {
			number = 0 // the tag only tells in which order to read
		}
		todo = append(todo, knownPoint{at.id, number})
	}
	for len(todo) > 0 {
		slices.SortFunc(todo, func(a, b knownPoint) int {
			return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.ID, b.ID))
		})
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if x.covered[next.ID] || x.points[next.ID] != nil {
			continue
		}
		m, err := x.read(ctx, p, next)
		if err != nil {
			return err
		}
		if m != nil {
			todo = append(todo, m.Knows...)
		}
	}
	return nil
}

// read takes in a catalog point. One that was cut off, or is neither listed nor to be
// read, is none.
func (x *index) read(ctx context.Context, p *program, at knownPoint) (*manifest, error) {
	file := filepath.Join(x.dir, at.ID+".tar")
	m, places, err := readCatalogFile(file)
	_, isListed := x.listed[at.ID]
	if err != nil { // not in the cache, or altered there
		for range 2 { // a read may fail once
			if err = fetchCatalog(ctx, p, at.ID, file); err == nil || ctx.Err() != nil {
				break
			}
		}
		var failed *programError
		switch {
		case errors.As(err, &failed) && !isListed:
			x.covered[at.ID] = true // it is gone: what it held is missing, and the vault says so
			return nil, ctx.Err()
		case err != nil && !errors.Is(err, errCut):
			return nil, fmt.Errorf("read recovery point %s: %w", at.ID, err)
		case err == nil:
			m, places, err = readCatalogFile(file)
		}
	}
	if errors.Is(err, errCut) {
		x.covered[at.ID] = true // it was never finished, and nobody was told that it was
		return nil, nil         //nolint:nilnil // no manifest, and no error
	}
	if err != nil {
		return nil, fmt.Errorf("read recovery point %s: %w", at.ID, err)
	}
	x.take(&catalogPoint{knownPoint{at.ID, m.Number}, m, file}, places)
	return m, nil
}

// take adds what a catalog point holds.
func (x *index) take(c *catalogPoint, places map[string]*place) {
	x.points[c.ID] = c
	x.newest = max(x.newest, c.manifest.Number)
	for _, id := range c.manifest.Covers {
		x.covered[id] = true
	}
	for key, at := range places {
		if x.places[key] == nil {
			x.places[key] = at
		}
	}
	for _, d := range c.manifest.Records {
		_, d.listed = x.listed[d.ID]
		d.keys = map[string]int{}
		for i, o := range d.Objects {
			d.keys[o.Key] = i
			if x.places[o.Key] == nil {
				x.places[o.Key] = &place{extent: extent{0, o.SizeBytes}, records: d}
			}
		}
	}
}

// fetchCatalog reads a catalog point into a file, whole or not at all.
func fetchCatalog(ctx context.Context, p *program, id, file string) (err error) {
	d, err := p.restore(ctx, id)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // it does not fail
	return writeFile(file, func(w io.Writer) error {
		r := newBoxReader(io.TeeReader(d, w))
		for {
			e, err := r.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				_, err = io.Copy(io.Discard, e.body)
			}
			if err != nil {
				var failed *programError
				if errors.As(err, &failed) {
					return failed // that, and not that the stream was cut
				}
				return err
			}
		}
	})
}

// writeFile makes a file that is there whole or not at all.
func writeFile(file string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// readCatalogFile reads a file of the cache and proves that it is whole.
func readCatalogFile(file string) (m *manifest, places map[string]*place, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	places = map[string]*place{}
	for r := newBoxReader(f); ; {
		e, err := r.next()
		switch {
		case errors.Is(err, io.EOF) && m == nil:
			return nil, nil, fmt.Errorf("%w: it has no manifest", errCut)
		case errors.Is(err, io.EOF):
			return m, places, nil
		case err != nil:
			return nil, nil, err
		case e.name == manifestName && m == nil && e.size <= maxManifest:
			m, err = readManifest(e.body)
		default:
			if err = blob.CheckKey(e.name); err == nil {
				places[e.name] = &place{extent: extent{e.offset, e.size}, file: file}
				_, err = io.Copy(io.Discard, e.body)
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

func readManifest(r io.Reader) (*manifest, error) {
	body, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCut, err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	var m manifest
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("its manifest has version %d, which this program does not know", m.Version)
	}
	for _, d := range m.Records {
		if d == nil || !pointID.MatchString(d.ID) {
			return nil, errors.New("its manifest names what is no recovery point")
		}
		for _, o := range d.Objects {
			if err := blob.CheckKey(o.Key); err != nil || o.SizeBytes < 0 {
				return nil, fmt.Errorf("its manifest names object %q of %d bytes", o.Key, o.SizeBytes)
			}
		}
	}
	for _, k := range m.Knows {
		if !pointID.MatchString(k.ID) {
			return nil, errors.New("its manifest names what is no recovery point")
		}
	}
	return &m, nil
}

// isThere says whether a point of packs can be read: it is listed, or it answers. A
// listing may lack what is there.
func (x *index) isThere(ctx context.Context, p *program, d *dataPoint) error {
	if d.listed {
		return nil
	}
	var err error
	for range 2 {
		if err = probe(ctx, p, d.ID); err == nil {
			d.listed = true
			return nil
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("recovery point %s is not listed and cannot be read (%w): %w", d.ID, err, fs.ErrNotExist)
}

func probe(ctx context.Context, p *program, id string) error {
	d, err := p.restore(ctx, id)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // it does not fail
	_, err = io.ReadFull(d, make([]byte, 512))
	return err
}

func (x *index) strays() []string {
	named := map[string]bool{}
	for _, at := range x.places {
		if at.records != nil {
			named[at.records.ID] = true
		}
	}
	var out []string
	for id, at := range x.listed {
		if at.tags[tagKind] == kindRecords && !named[id] {
			out = append(out, id)
		}
		if at.tags[tagKind] == kindCatalog && x.covered[id] && x.points[id] == nil && !x.isCovered(id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// isCovered says that a point that was read has all that another one holds.
func (x *index) isCovered(id string) bool {
	for c := range maps.Values(x.points) {
		if slices.Contains(c.manifest.Covers, id) {
			return true
		}
	}
	return false
}
