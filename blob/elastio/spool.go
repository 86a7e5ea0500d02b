package elastio

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// spool keeps packs in files, so that ranges of them can be read: a recovery point can be
// read only front to back. Its size is bounded; what was used longest ago goes first, and
// is read again when somebody asks for it.
type spool struct {
	program *program
	parent  string
	most    int64

	mu      sync.Mutex // held while a recovery point is read: one at a time
	dir     string
	size    int64
	files   map[string]*list.Element // of *spooled, by key
	recent  *list.List               // the most recently used first
	made    int
	waiting map[string]*reading
}

// spooled is a pack in the spool.
type spooled struct {
	key  string
	path string
	size int64
}

// reading is a recovery point that was read up to some object, and waits there.
type reading struct {
	download *download
	box      *boxReader
	next     int
}

// keptOpen is how many recovery points wait to be read on.
const keptOpen = 4

func newSpool(p *program, parent string, most int64) *spool {
	return &spool{program: p, parent: parent, most: most, files: map[string]*list.Element{}, recent: list.New(), waiting: map[string]*reading{}}
}

// open opens a pack's file, and makes it first if it is not there.
func (s *spool) open(ctx context.Context, d *dataPoint, key string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, err := s.use(key); f != nil || err != nil {
		return f, err
	}
	if s.dir == "" {
		dir, err := os.MkdirTemp(s.parent, "coldstream-spool-")
		if err != nil {
			return nil, fmt.Errorf("make a spool for what is read from Elastio: %w", err)
		}
		s.dir = dir
	}
	if err := s.fetch(ctx, d, d.keys[key]); err != nil {
		return nil, fmt.Errorf("recovery point %s: %w", d.ID, err)
	}
	f, err := s.use(key)
	if f == nil && err == nil {
		err = fmt.Errorf("recovery point %s does not have it where its catalog says", d.ID)
	}
	return f, err
}

func (s *spool) use(key string) (*os.File, error) {
	e := s.files[key]
	if e == nil {
		return nil, nil //nolint:nilnil // it is not there, which is no error
	}
	s.recent.MoveToFront(e)
	return os.Open(e.Value.(*spooled).path)
}

// fetch reads a recovery point up to its object number last. One that is small beside the
// spool is read whole: its end comes at no cost, and no process waits.
func (s *spool) fetch(ctx context.Context, d *dataPoint, last int) error {
	r := s.waiting[d.ID]
	if r == nil || r.next > last {
		if err := s.begin(ctx, d); err != nil {
			return err
		}
		r = s.waiting[d.ID]
	}
	defer context.AfterFunc(ctx, r.download.call.cancel)()
	var total int64
	for _, o := range d.Objects {
		total += o.SizeBytes
	}
	whole := total <= s.most/2
	for whole || r.next <= last {
		e, err := r.box.next()
		if errors.Is(err, io.EOF) {
			return s.drop(d.ID)
		}
		if err == nil {
			err = s.keep(e)
		}
		if err != nil {
			return errors.Join(err, s.drop(d.ID))
		}
		r.next++
	}
	return nil
}

// begin reads a recovery point from its front, and lets others go that wait.
func (s *spool) begin(ctx context.Context, d *dataPoint) error {
	if err := s.drop(d.ID); err != nil {
		return err
	}
	for id := range s.waiting {
		if len(s.waiting) < keptOpen {
			break
		}
		if err := s.drop(id); err != nil {
			return err
		}
	}
	// The program outlives the call that needs its first bytes; Close ends it.
	down, err := s.program.restore(context.WithoutCancel(ctx), d.ID)
	if err != nil {
		return err
	}
	s.waiting[d.ID] = &reading{download: down, box: newBoxReader(down)}
	return nil
}

func (s *spool) drop(id string) error {
	r := s.waiting[id]
	if r == nil {
		return nil
	}
	delete(s.waiting, id)
	return r.download.Close()
}

// keep writes an object into the spool, and makes room for it.
func (s *spool) keep(e *entry) error {
	if known := s.files[e.name]; known != nil {
		s.recent.MoveToFront(known)
		_, err := io.Copy(io.Discard, e.body)
		return err
	}
	for s.size+e.size > s.most && s.recent.Len() > 0 {
		if err := s.evict(); err != nil {
			return err
		}
	}
	s.made++
	path := filepath.Join(s.dir, strconv.Itoa(s.made))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, e.body)
	if err = errors.Join(err, f.Close()); err == nil && n != e.size {
		err = errCut
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	s.size += n
	s.files[e.name] = s.recent.PushFront(&spooled{e.name, path, n})
	return nil
}

func (s *spool) evict() error {
	oldest := s.recent.Back()
	of := s.recent.Remove(oldest).(*spooled)
	delete(s.files, of.key)
	s.size -= of.size
	return os.Remove(of.path) // who reads it has it open
}

func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for id := range s.waiting {
		err = errors.Join(err, s.drop(id))
	}
	return errors.Join(err, removeAll(s.dir))
}
