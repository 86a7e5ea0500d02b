// Package oldvault makes vaults as years of backups leave them, without a cluster and in
// minutes. They have the whole catalog. Packs are files of the right size without content: who reads
// the catalog alone does not notice.
package oldvault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// Kind says what a cluster did, and what saved it.
type Kind struct {
	Name, Title   string
	Commits       int64
	Partitions    int32
	Active        int32 // of the partitions, in turn, in each commit
	SnapshotEvery int64 // commits
	Every         time.Duration
}

// Kinds are those that there are, at scale 1.
func Kinds() []Kind {
	return []Kind{
		{
			Name: "process", Title: "36 days of a process that commits every 30 s: 10,000 partitions, a snapshot every 10 minutes",
			Commits: 36 * 24 * 120, Partitions: 10_000, Active: 10, SnapshotEvery: 20, Every: 30 * time.Second,
		},
		{
			Name: "cron", Title: "a year of backups every 10 minutes: 200 partitions that all get something each time",
			Commits: 365 * 24 * 6, Partitions: 200, Active: 200, SnapshotEvery: 1, Every: 10 * time.Minute,
		},
	}
}

const (
	packsPrefix  = "packs/"
	batchRecords = 20
	perTopic     = 100 // partitions
	clusterID    = "old-cluster"
)

// began is when the first backup was made.
func began() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }

// Make makes a vault in an empty folder. With a smaller scale the time was shorter.
func Make(ctx context.Context, dir string, kind Kind, scale float64) error {
	kind.Commits = max(kind.SnapshotEvery, int64(float64(kind.Commits)*scale))
	m := &maker{Kind: kind, store: &catalogStore{Store: mem.New(), packs: map[string]int{}}, next: make([]int64, kind.Partitions), now: began()}
	if err := m.run(ctx); err != nil {
		return err
	}
	return m.store.writeTo(ctx, dir)
}

type maker struct {
	Kind
	store   *catalogStore
	vault   *vault.Vault
	batch   recordbatch.Batch
	streams []coldstream.Stream
	next    []int64 // by partition
	now     time.Time
}

func (m *maker) clock() time.Time { return m.now }

func (m *maker) run(ctx context.Context) (err error) {
	if m.vault, err = vault.Init(ctx, m.store, vault.InitOptions{Now: m.clock}); err != nil {
		return err
	}
	records := make([]recordbatch.Absolute, batchRecords)
	for i := range records {
		records[i] = recordbatch.Absolute{Offset: int64(i), TimestampMs: began().UnixMilli(), Value: fmt.Appendf(nil, "value %d", i)}
	}
	if m.batch, err = recordbatch.Build(records, recordbatch.CodecNone, recordbatch.Producer{ID: -1, Epoch: -1, Sequence: -1}); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(m.batch[12:], 1) // the leader epoch, which is the broker's
	for i := range m.Partitions {
		in := coldstream.Incarnation{ClusterID: clusterID, Topic: fmt.Sprintf("topic-%03d", i/perTopic), TopicID: coldstream.TopicID{byte(i / perTopic), 15: 1}}
		m.streams = append(m.streams, coldstream.Stream{Incarnation: in, Partition: i % perTopic})
	}
	var w *vault.Writer
	for i := range m.Commits {
		m.now = began().Add(time.Duration(i) * m.Every)
		if w == nil {
			if w, err = m.vault.NewWriter(ctx, vault.WriterOptions{Now: m.clock, NoReadBack: true}); err != nil {
				return err
			}
		}
		if _, err := w.Commit(ctx, m.changes(i)); err != nil {
			return err
		}
		if i < m.Commits-1 && (w.EpochCommits() >= vault.TurnAfter || w.EpochBytes() >= vault.TurnAfterBytes) {
			if err := m.vault.Turn(ctx, vault.TurnOptions{}); err != nil {
				return err
			}
			w = nil
		}
	}
	return nil
}

// changes are what one commit brings.
func (m *maker) changes(commit int64) vault.Changes {
	var c vault.Changes
	for j := range int64(m.Active) {
		p := (commit*int64(m.Active) + j) % int64(m.Partitions)
		s := m.streams[p]
		if m.next[p] == 0 {
			c.Scans = append(c.Scans, vault.ScanStart{Stream: s, Started: m.now})
		}
		batch := slices.Clone(m.batch)
		binary.BigEndian.PutUint64(batch, uint64(m.next[p]))
		c.Data = append(c.Data, vault.StreamData{Stream: s, Pieces: []vault.Piece{{
			FirstOffset: m.next[p], NextOffset: m.next[p] + batchRecords, Batches: batch,
		}}})
		m.next[p] += batchRecords
	}
	slices.SortFunc(c.Data, func(a, b vault.StreamData) int { return a.Stream.Compare(b.Stream) })
	if commit%m.SnapshotEvery == m.SnapshotEvery-1 {
		c.Snapshot = m.snapshot()
	}
	return c
}

func (m *maker) snapshot() *vault.NewSnapshot {
	s := &vault.NewSnapshot{Time: m.now, ClusterID: clusterID, Metadata: vault.Metadata{
		Cluster: coldstream.Cluster{ID: clusterID},
		Groups: []coldstream.Group{{Name: "billing", Offsets: []coldstream.GroupOffset{{
			TopicPartition: m.streams[0].TopicPartition(), Offset: m.next[0], LeaderEpoch: -1,
		}}}},
	}}
	for p, stream := range m.streams {
		if m.next[p] > 0 {
			s.Views = append(s.Views, vault.View{Stream: stream, NextOffset: m.next[p], LastEpoch: 1})
		}
		if topics := s.Metadata.Topics; len(topics) == 0 || topics[len(topics)-1].Name != stream.Topic {
			s.Metadata.Topics = append(topics, coldstream.Topic{Name: stream.Topic, ID: stream.TopicID})
		}
		of := &s.Metadata.Topics[len(s.Metadata.Topics)-1]
		of.Partitions = append(of.Partitions, coldstream.Partition{ID: stream.Partition, Replicas: []int32{1}})
	}
	return s
}

// catalogStore keeps of packs only how large they are.
type catalogStore struct {
	*mem.Store
	packs map[string]int
}

// Create is [blob.Store.Create].
func (s *catalogStore) Create(ctx context.Context, key string, body []byte) error {
	if strings.HasPrefix(key, packsPrefix) {
		s.packs[key] = len(body)
		return nil
	}
	return s.Store.Create(ctx, key, body)
}

// writeTo writes the objects into a folder as blob/fs has them.
func (s *catalogStore) writeTo(ctx context.Context, dir string) error {
	for entry, err := range s.List(ctx, "", "") {
		if err != nil {
			return err
		}
		r, _, err := s.Open(ctx, entry.Key)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close(), write(dir, entry.Key, body)); err != nil {
			return err
		}
	}
	for key, size := range s.packs {
		if err := write(dir, key, nil); err != nil {
			return err
		}
		if err := os.Truncate(filepath.Join(dir, key), int64(size)); err != nil {
			return err
		}
	}
	return nil
}

func write(dir, key string, body []byte) error {
	path := filepath.Join(dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, body, 0o600)
}
