package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"coldstream"
	"coldstream/vault"
)

// A state file takes the place of the vault for the records of restores, where the vault must
// not be written to. It is lines of JSON: first what it is and of which vault, then records.
// A last line that does not end was cut off while it was written, and is not there.
const (
	stateFormat  = "coldstream restore state"
	stateVersion = 1
	maxStateSize = 1 << 30
)

type stateHeader struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Vault   string `json:"vault"`
}

// stateLine is a record. The hash is of the document as it stands in the line.
type stateLine struct {
	Restore  string          `json:"restore"`
	Record   uint32          `json:"record"`
	SHA256   string          `json:"sha256"`
	Document json.RawMessage `json:"document"`
}

type stateKey struct {
	restore vault.RestoreID
	record  uint32
}

// stateFile is a [trail]: what is in the vault can be read, and what is new goes into the file.
type stateFile struct {
	path    string
	vault   *vault.Vault // only to be read
	isThere bool
	length  int64 // of the lines that are whole
	size    int64 // when it was read, or written to last
	records map[stateKey][]byte
	begun   []vault.RestoreID
}

// openState makes the vault one that is only read, if a state file is asked for. The file itself
// is made with its first record.
func (p *Plan) openState() error {
	if p.req.StateFile == "" {
		return nil
	}
	p.vault = p.vault.ReadOnly()
	s := &stateFile{path: p.req.StateFile, vault: p.vault, records: map[stateKey][]byte{}}
	p.trail = s
	_, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p.meetNoState()
	case err != nil:
		return cannotMake(s.path, err)
	case !p.req.GroupsOnly && len(p.req.Command) == 0:
		return &RefusedError{
			Reasons: []string{fmt.Sprintf("state file %s is there already", s.path)},
			Advice:  Advice{Text: "name a file that is not there; nothing is ever written over"},
		}
	}
	return s.read()
}

// meetNoState proves that the file can be made, and that it was not meant to be read.
func (p *Plan) meetNoState() error {
	path := p.req.StateFile
	if p.req.GroupsOnly && p.req.RestoreID == "" {
		return &UsageError{
			Text: fmt.Sprintf("state file %s is not there", path), Advice: Advice{Remedy: RemedyRestoreOrState},
		}
	}
	folder, err := os.Stat(filepath.Dir(path))
	if err == nil && !folder.IsDir() {
		err = fmt.Errorf("%s is no folder", filepath.Dir(path))
	}
	if err != nil {
		return cannotMake(path, err)
	}
	return nil
}

func cannotMake(path string, err error) error {
	return &RefusedError{Reasons: []string{fmt.Sprintf("state file %s cannot be made: %v", path, err)}, Advice: Advice{Text: "name a file in a folder that is there"}}
}

// warnOfNoHold says what a restore lacks that may not write to the vault.
func (p *Plan) warnOfNoHold() {
	if p.req.StateFile != "" && !p.req.Held {
		p.warn("with a state file nothing is written to the vault, so nothing holds snapshot %s: if forget and prune take it away meanwhile, the restore fails", p.Snapshot.ID)
	}
}

// where names the place of the restore's records, for people.
func (p *Plan) where() string {
	if p.req.StateFile != "" {
		return "state file " + p.req.StateFile
	}
	return "the vault"
}

func (s *stateFile) read() error {
	f, err := os.Open(s.path)
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxStateSize+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && len(content) > maxStateSize {
		err = fmt.Errorf("it has more than %d bytes", maxStateSize)
	}
	if err == nil {
		err = s.decode(content)
	}
	if err != nil {
		return fmt.Errorf("read state file %s: %w", s.path, err)
	}
	s.isThere, s.size = true, int64(len(content))
	return nil
}

// decode reads what a state file holds.
func (s *stateFile) decode(content []byte) error {
	var header stateHeader
	line, rest, ok := bytes.Cut(content, []byte("\n"))
	if !ok || decodeLine(line, &header) != nil || header.Format != stateFormat {
		return errors.New("it is no state file of a restore")
	}
	if header.Version != stateVersion {
		return fmt.Errorf("it is of version %d: %w", header.Version, coldstream.ErrUnsupported)
	}
	if header.Vault != s.vault.ID() {
		return fmt.Errorf("it belongs to vault %s, and this is vault %s", header.Vault, s.vault.ID())
	}
	for n := 2; ; n++ {
		s.length = int64(len(content) - len(rest))
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return nil
		}
		if err := s.take(line); err != nil {
			return fmt.Errorf("line %d: %w: %w", n, coldstream.ErrCorrupt, err)
		}
	}
}

func (s *stateFile) take(line []byte) error {
	var l stateLine
	if err := decodeLine(line, &l); err != nil {
		return err
	}
	id, err := vault.ParseRestoreID(l.Restore)
	if err != nil {
		return err
	}
	key := stateKey{id, l.Record}
	switch _, twice := s.records[key]; {
	case l.SHA256 != hashOf(l.Document):
		return errors.New("the record does not fit its hash")
	case twice:
		return fmt.Errorf("record %d of restore %s is there twice", l.Record, id)
	}
	s.note(key, l.Document)
	return nil
}

func (s *stateFile) note(key stateKey, document []byte) {
	s.records[key] = document
	if !slices.Contains(s.begun, key.restore) {
		s.begun = append(s.begun, key.restore)
	}
}

func decodeLine(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value in a line")
	}
	return nil
}

func hashOf(document []byte) string {
	h := sha256.Sum256(document)
	return hex.EncodeToString(h[:])
}

// holds says that the file has records of a restore.
func (s *stateFile) holds(id vault.RestoreID) bool { return slices.Contains(s.begun, id) }

// Restores lists those of the vault and of the file.
func (s *stateFile) Restores(ctx context.Context) ([]vault.Restore, error) {
	all, err := s.vault.Restores(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range s.begun {
		_, begun := s.records[stateKey{id, recordHold}]
		_, ended := s.records[stateKey{id, recordResult}]
		r := vault.Restore{ID: id, Begun: begun, Ended: ended}
		for key := range s.records {
			if key.restore == id {
				r.LastRecord = max(r.LastRecord, key.record)
			}
		}
		all = append(all, r)
	}
	return all, nil
}

// RestoreRecord reads a record of the file or of the vault.
func (s *stateFile) RestoreRecord(ctx context.Context, id vault.RestoreID, n uint32) ([]byte, error) {
	if !s.holds(id) {
		return s.vault.RestoreRecord(ctx, id, n)
	}
	document, ok := s.records[stateKey{id, n}]
	if !ok {
		return nil, fmt.Errorf("record %d in %s: %w", n, s.path, fs.ErrNotExist)
	}
	return document, nil
}

// Hold holds nothing: it only proves that what it names is still there.
func (s *stateFile) Hold(ctx context.Context, id vault.RestoreID, snapshot *vault.Snapshot, document []byte) error {
	if err := s.PutRestoreRecord(ctx, id, recordHold, document); err != nil {
		return err
	}
	return s.vault.ProveHeld(ctx, snapshot, document)
}

// PutRestoreRecord adds a line to the file, which is durable then.
func (s *stateFile) PutRestoreRecord(_ context.Context, id vault.RestoreID, n uint32, document []byte) error {
	key := stateKey{id, n}
	if _, ok := s.records[key]; ok {
		return fmt.Errorf("record %d of restore %s: %w", n, id, fs.ErrExist)
	}
	document, err := json.Marshal(json.RawMessage(document)) // as it will stand in the line
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	line, err := json.Marshal(stateLine{id.String(), n, hashOf(document), document})
	if err != nil {
		return fmt.Errorf("encode a record: %w", err)
	}
	if !s.isThere {
		header, err := json.Marshal(stateHeader{stateFormat, stateVersion, s.vault.ID()})
		if err != nil {
			return fmt.Errorf("encode the header: %w", err)
		}
		line = slices.Concat(header, []byte("\n"), line)
	}
	if s.length+int64(len(line)) >= maxStateSize {
		return fmt.Errorf("state file %s would have more than %d bytes, and nothing could read it", s.path, maxStateSize)
	}
	if err := s.add(append(line, '\n')); err != nil {
		return err
	}
	s.note(key, document)
	return nil
}

// add writes behind the lines that are whole. A file that is not there is made, and nobody
// else's is taken for it.
func (s *stateFile) add(lines []byte) error {
	flags := os.O_WRONLY
	if !s.isThere {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := os.OpenFile(s.path, flags, 0o600)
	if err != nil {
		return err
	}
	isNew := !s.isThere
	info, err := f.Stat()
	if err == nil && info.Size() != s.size {
		err = errors.New("another restore writes to the file")
	}
	if err == nil {
		err = f.Truncate(s.length)
	}
	if err == nil {
		_, err = f.WriteAt(lines, s.length)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && isNew {
		err = syncFolder(filepath.Dir(s.path))
	}
	switch {
	case err == nil:
		s.isThere = true
		s.length += int64(len(lines))
		s.size = s.length
	case isNew:
		err = errors.Join(err, os.Remove(s.path)) // nothing was begun
	}
	return err
}

// syncFolder makes the name of a new file durable, where the system knows such a thing.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	err = folder.Sync()
	if closeErr := folder.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
