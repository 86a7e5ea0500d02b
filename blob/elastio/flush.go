package elastio

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	knowsAtMost = 64      // newer points to name: a listing is late by minutes, not by days
	coverAtMost = 1 << 30 // bytes of other catalog points that one repeats
	attempts    = 3       // to store a catalog point
)

// recordsPoint is the recovery point of packs of this run.
type recordsPoint struct {
	dataPoint
	upload *upload
	box    *boxWriter
}

func (r *recordsPoint) has(key string) bool { return r != nil && r.dataPoint.has(key) }

func (s *Store) beginRecords(ctx context.Context) (*recordsPoint, error) {
	u, err := s.program.backup(ctx, s.words+"-records", s.tags(kindRecords))
	if err != nil {
		return nil, err
	}
	r := &recordsPoint{upload: u, box: newBoxWriter(u)}
	r.keys = map[string]int{}
	return r, nil
}

func (s *Store) tags(kind string) []string {
	return []string{tagVault + "=" + s.opts.Vault, tagKind + "=" + kind}
}

func (r *recordsPoint) add(ctx context.Context, key string, body []byte) error {
	if err := r.box.add(key, int64(len(body)), bytes.NewReader(body)); err != nil {
		return r.upload.why(ctx, err)
	}
	r.keys[key] = len(r.Objects)
	r.Objects = append(r.Objects, dataObject{key, int64(len(body))})
	return nil
}

// finish commits the recovery point. It counts once a catalog point names it.
func (r *recordsPoint) finish(ctx context.Context) (err error) {
	if err = r.box.finish(); err != nil {
		return r.upload.why(ctx, err)
	}
	r.ID, err = r.upload.commit(ctx)
	return err
}

// Flush makes durable what was created: the recovery point of packs first, then the one of
// all else, which names it. After an error nothing of it counts, and nothing more can be
// created.
func (s *Store) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if err := s.flush(ctx); err != nil {
		s.broken = fmt.Errorf("store in Elastio vault %s: %w", s.opts.Vault, err)
		return s.broken
	}
	return nil
}

func (s *Store) flush(ctx context.Context) error {
	m := &manifest{Version: manifestVersion, Number: s.index.newest + 1, Records: []*dataPoint{}, Covers: []string{}, Knows: []knownPoint{}}
	if s.records != nil {
		r := s.records
		s.records = nil
		if err := r.finish(ctx); err != nil {
			return err
		}
		s.index.listed[r.ID] = point{id: r.ID}
		m.Records = append(m.Records, &r.dataPoint)
	}
	if len(s.staged)+len(m.Records) == 0 {
		return nil
	}
	covers := s.index.toCover(m.Number)
	s.index.describe(m, covers)
	file := filepath.Join(s.index.dir, "new-"+strconv.FormatUint(m.Number, 10)+"-"+strconv.Itoa(os.Getpid()))
	if err := writeFile(file, func(w io.Writer) error { return s.writeCatalog(w, m, covers) }); err != nil {
		return err
	}
	defer os.Remove(file) //nolint:errcheck // it was renamed, or is of no use
	id, err := s.storeCatalog(ctx, file, m.Number)
	if err != nil {
		return err
	}
	stored := filepath.Join(s.index.dir, id+".tar")
	if err := os.Rename(file, stored); err != nil {
		return err
	}
	m, places, err := readCatalogFile(stored)
	if err != nil {
		return err
	}
	s.index.listed[id] = point{id: id, tags: map[string]string{tagKind: kindCatalog}}
	s.index.take(&catalogPoint{knownPoint{id, m.Number}, m, stored}, places)
	s.staged = map[string][]byte{}
	return nil
}

// toCover are the catalog points that point n repeats: those since n less its lowest bit, as
// in a binary counter. So each object is repeated log n times at most, and who opens n
// points reads log n.
func (x *index) toCover(n uint64) []*catalogPoint {
	low := n & -n
	var out []*catalogPoint
	var total int64
	for _, c := range x.newestFirst() {
		if c.Number <= n-low || isIn(out, c.ID) {
			continue
		}
		info, err := os.Stat(c.file)
		if err != nil || total+info.Size() > coverAtMost {
			break
		}
		total += info.Size()
		out = append(out, c)
	}
	return out
}

func (x *index) newestFirst() []*catalogPoint {
	return slices.SortedFunc(maps.Values(x.points), func(a, b *catalogPoint) int {
		return cmp.Or(cmp.Compare(b.Number, a.Number), strings.Compare(b.ID, a.ID))
	})
}

// isIn says that one of the points covers another.
func isIn(points []*catalogPoint, id string) bool {
	return slices.ContainsFunc(points, func(c *catalogPoint) bool { return slices.Contains(c.manifest.Covers, id) })
}

// describe writes into a manifest what the points that it covers say, and which others there are.
func (x *index) describe(m *manifest, covers []*catalogPoint) {
	for _, c := range covers {
		m.Covers = append(m.Covers, c.ID)
		m.Covers = append(m.Covers, c.manifest.Covers...)
		for _, d := range c.manifest.Records {
			if !slices.ContainsFunc(m.Records, func(have *dataPoint) bool { return have.ID == d.ID }) {
				m.Records = append(m.Records, d)
			}
		}
	}
	slices.Sort(m.Covers)
	m.Covers = slices.Compact(m.Covers)
	for _, c := range x.newestFirst() {
		if _, found := slices.BinarySearch(m.Covers, c.ID); !found && !x.isCovered(c.ID) && len(m.Knows) < knowsAtMost {
			m.Knows = append(m.Knows, c.knownPoint)
		}
	}
}

// writeCatalog writes a catalog point: its manifest, its own objects, those of others.
func (s *Store) writeCatalog(w io.Writer, m *manifest, covers []*catalogPoint) error {
	box := newBoxWriter(w)
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := box.add(manifestName, int64(len(body)), bytes.NewReader(body)); err != nil {
		return err
	}
	written := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(s.staged)) {
		written[key] = true
		if err := box.add(key, int64(len(s.staged[key])), bytes.NewReader(s.staged[key])); err != nil {
			return err
		}
	}
	for _, c := range covers {
		if err := copyCatalog(box, c.file, written); err != nil {
			return err
		}
	}
	return box.finish()
}

// copyCatalog copies the objects of another catalog point that are not written yet.
func copyCatalog(box *boxWriter, file string, written map[string]bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	for r := newBoxReader(f); ; {
		e, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", file, err)
		case e.name == manifestName || written[e.name]:
			_, err = io.Copy(io.Discard, e.body)
		default:
			written[e.name] = true
			err = box.add(e.name, e.size, e.body)
		}
		if err != nil {
			return err
		}
	}
}

// storeCatalog hands a catalog point to the program. It tries again: twice the same point
// is once too many, and harmless.
func (s *Store) storeCatalog(ctx context.Context, file string, number uint64) (id string, err error) {
	tags := append(s.tags(kindCatalog), tagNumber+"="+strconv.FormatUint(number, 10))
	for range attempts {
		if id, err = s.storeOnce(ctx, file, tags); err == nil || ctx.Err() != nil {
			return id, err
		}
	}
	return "", err
}

func (s *Store) storeOnce(ctx context.Context, file string, tags []string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	u, err := s.program.backup(ctx, s.words+"-catalog", tags)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(u, f); err != nil {
		return "", u.why(ctx, err)
	}
	return u.commit(ctx)
}
