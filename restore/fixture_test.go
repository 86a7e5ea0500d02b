package restore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream"
	"coldstream/blob/mem"
	"coldstream/kafka"
	"coldstream/kafka/kafkatest"
	"coldstream/recordbatch"
	"coldstream/vault"
)

// testNow is when these restores happen.
var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// recentMs is the timestamp of records if a test does not say one: no retention is short
// enough to delete them.
var recentMs = testNow.Add(-time.Minute).UnixMilli()

// breakingStore is a store in memory that fails where a test says so.
type breakingStore struct {
	*mem.Store
	breaks func(method, key string) error // nil: nothing does
	reads  func(key string)               // told of each Read, if not nil
	isAway error                          // what each Read fails with, if not nil
}

func (s *breakingStore) Read(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if s.reads != nil {
		s.reads(key)
	}
	if s.isAway != nil {
		return nil, s.isAway
	}
	return s.Store.Read(ctx, key, offset, length)
}

func (s *breakingStore) Create(ctx context.Context, key string, body []byte) error {
	if s.breaks != nil {
		if err := s.breaks("create", key); err != nil {
			return err
		}
	}
	return s.Store.Create(ctx, key, body)
}

// world is a vault in memory, filled by hand, and an embedded cluster to restore into.
type world struct {
	store  *breakingStore
	vault  *vault.Vault
	fake   *kfake.Cluster
	target *kafka.Client
	// defaults are what the source's brokers told.
	defaults *coldstream.TopicDefaults
	// backups is their number: each is a minute after the one before.
	backups int
}

func newWorld(t *testing.T, opts ...kfake.Opt) *world {
	t.Helper()
	w := &world{store: &breakingStore{Store: mem.New()}, defaults: &coldstream.TopicDefaults{}, fake: kafkatest.StartFake(t, append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)}
	var err error
	if w.vault, err = vault.Init(t.Context(), w.store, vault.InitOptions{Now: func() time.Time { return testNow }}); err != nil {
		t.Fatal(err)
	}
	w.target = w.connect(t, 3*time.Second)
	return w
}

func (w *world) connect(t *testing.T, patience time.Duration) *kafka.Client {
	t.Helper()
	c, err := kafka.Connect(t.Context(), kafka.Config{Bootstrap: w.fake.ListenAddrs(), Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// batch is one record batch of a source log. Its zero value of kind is data.
type batch struct {
	firstOffset int64
	// deltas are where its records are; nil means one at each of [0, count).
	deltas      []int32
	count       int32
	lastDelta   int32 // of the header; at least the last of deltas
	epoch       int32
	producer    int64 // 0 is none
	kind        batchKind
	timestampMs int64
	valueBytes  int
}

type batchKind int

const (
	plain batchKind = iota
	transactional
	logAppendTime
	commitMarker
	abortMarker
)

func (b batch) control() bool { return b.kind == commitMarker || b.kind == abortMarker }

// records are those of the batch as a consumer sees them; a control batch has none.
func (b batch) records() []kafkatest.Record {
	var out []kafkatest.Record
	if b.control() {
		return nil
	}
	for _, delta := range b.offsets() {
		out = append(out, kafkatest.Record{
			Offset: b.firstOffset + int64(delta), TimestampMs: b.timeMs(),
			Key: []byte(fmt.Sprint("k", b.firstOffset+int64(delta))), Value: b.value(delta), Headers: nil,
		})
	}
	return out
}

func (b batch) value(delta int32) []byte {
	v := fmt.Sprintf("value %d of %d", b.firstOffset+int64(delta), b.producer)
	return []byte(v + strings.Repeat(".", max(0, b.valueBytes-len(v))))
}

func (b batch) offsets() []int32 {
	if b.deltas != nil {
		return b.deltas
	}
	out := make([]int32, max(1, b.count))
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

func (b batch) timeMs() int64 {
	if b.timestampMs == 0 {
		return recentMs
	}
	return b.timestampMs
}

func (b batch) nextOffset() int64 {
	last := b.lastDelta
	if d := b.offsets(); len(d) > 0 {
		last = max(last, d[len(d)-1])
	}
	return b.firstOffset + int64(last) + 1
}

// encode writes the batch as a broker has it in its log.
func (b batch) encode() []byte {
	var raw []byte
	count := 0
	for _, delta := range b.offsets() {
		r := recordbatch.Record{OffsetDelta: delta, Key: []byte(fmt.Sprint("k", b.firstOffset+int64(delta))), Value: b.value(delta)}
		if b.control() {
			r.Key, r.Value = []byte{0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 7}
			if b.kind == commitMarker {
				r.Key[3] = 1
			}
		}
		if b.kind == logAppendTime {
			r.TimestampDelta = -5 // what the producer said, which nobody sees
		}
		raw = recordbatch.AppendRecord(raw, &r)
		count++
	}
	attributes := map[batchKind]uint16{plain: 0, transactional: 0x10, logAppendTime: 0x08, commitMarker: 0x30, abortMarker: 0x30}[b.kind]
	producer, epoch, sequence := int64(-1), int16(-1), int32(-1)
	if b.producer != 0 {
		producer, epoch, sequence = b.producer, 0, 0
	}
	out := make([]byte, recordbatch.HeaderSize, recordbatch.HeaderSize+len(raw))
	binary.BigEndian.PutUint64(out, uint64(b.firstOffset))
	binary.BigEndian.PutUint32(out[8:], uint32(recordbatch.HeaderSize-12+len(raw)))
	binary.BigEndian.PutUint32(out[12:], uint32(b.epoch))
	out[16] = 2
	binary.BigEndian.PutUint16(out[21:], attributes)
	binary.BigEndian.PutUint32(out[23:], uint32(b.nextOffset()-b.firstOffset-1))
	binary.BigEndian.PutUint64(out[27:], uint64(b.timeMs()))
	binary.BigEndian.PutUint64(out[35:], uint64(b.timeMs()))
	binary.BigEndian.PutUint64(out[43:], uint64(producer))
	binary.BigEndian.PutUint16(out[51:], uint16(epoch))
	binary.BigEndian.PutUint32(out[53:], uint32(sequence))
	binary.BigEndian.PutUint32(out[57:], uint32(count))
	out = append(out, raw...)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// sourceTopic is a topic as a backup found it: what is in its snapshot, and its logs.
type sourceTopic struct {
	coldstream.Topic
	logs   []sourceLog // by partition
	stored bool        // by an earlier backup: the snapshot only shows it
}

// sourceLog is one partition's log [start, next) and its batches, in order.
type sourceLog struct {
	start, next int64
	batches     []batch
	cuts        []int // batches before which another piece begins
	gaps        []coldstream.Gap
	absent      bool // the run could not read it: the snapshot has no view
}

// logOf is a log that holds exactly the batches.
func logOf(batches ...batch) sourceLog {
	l := sourceLog{batches: batches}
	if len(batches) > 0 {
		l.start, l.next = batches[0].firstOffset, batches[len(batches)-1].nextOffset()
	}
	return l
}

// dense is a log of n records from offset start on, some in a batch.
func dense(start int64, n int) sourceLog {
	l := sourceLog{start: start, next: start + int64(n)}
	for at := start; at < l.next; at += 4 {
		l.batches = append(l.batches, batch{firstOffset: at, count: int32(min(4, l.next-at))})
	}
	return l
}

// topicOf is a topic with one log per partition and configs as NAME=VALUE.
func topicOf(name string, logs []sourceLog, configs ...string) sourceTopic {
	t := sourceTopic{Topic: coldstream.Topic{Name: name, ID: coldstream.TopicID{1, 2, 3}}, logs: logs}
	copy(t.ID[3:], name)
	for i := range logs {
		t.Partitions = append(t.Partitions, coldstream.Partition{ID: int32(i), Replicas: []int32{1}})
	}
	slices.Sort(configs)
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		t.Configs = append(t.Configs, coldstream.Config{Name: name, Value: value, Source: "DYNAMIC_TOPIC_CONFIG"})
	}
	return t
}

// backUp stores topics and groups as a backup does, with a snapshot.
func (w *world) backUp(t *testing.T, topics []sourceTopic, groups ...coldstream.Group) vault.SnapshotID {
	t.Helper()
	writer, err := w.vault.NewWriter(t.Context(), vault.WriterOptions{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(topics, func(a, b sourceTopic) int { return strings.Compare(a.Name, b.Name) })
	w.backups++
	at := testNow.Add(time.Duration(w.backups) * time.Minute)
	changes := vault.Changes{Snapshot: &vault.NewSnapshot{Time: at, ClusterID: "source", Metadata: vault.Metadata{
		Cluster: coldstream.Cluster{ID: "source"}, Groups: groups, Missing: map[string]string{}, Defaults: w.defaults,
	}}}
	for _, topic := range topics {
		changes.Snapshot.Metadata.Topics = append(changes.Snapshot.Metadata.Topics, topic.Topic)
		for id, log := range topic.logs {
			if !log.absent {
				data, gaps, scans := len(changes.Data), len(changes.Gaps), len(changes.Scans)
				log.addTo(&changes, coldstream.Stream{
					Incarnation: coldstream.Incarnation{ClusterID: "source", Topic: topic.Name, TopicID: topic.ID}, Partition: int32(id),
				})
				if topic.stored {
					changes.Data, changes.Gaps, changes.Scans = changes.Data[:data], changes.Gaps[:gaps], changes.Scans[:scans]
				}
			}
		}
	}
	receipt, err := writer.Commit(t.Context(), changes)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Snapshot
}

func (l *sourceLog) addTo(changes *vault.Changes, s coldstream.Stream) {
	view := vault.View{Stream: s, LogStartOffset: l.start, NextOffset: l.next, LastEpoch: -1}
	begin := l.start
	data := vault.StreamData{Stream: s}
	if len(l.batches) > 0 {
		begin = min(begin, l.batches[0].firstOffset)
	}
	for i, b := range l.batches {
		if i == 0 || slices.Contains(l.cuts, i) {
			data.Pieces = append(data.Pieces, vault.Piece{FirstOffset: b.firstOffset})
			if i == 0 {
				data.Pieces[0].FirstOffset = begin
			} else {
				data.Pieces[len(data.Pieces)-2].NextOffset = b.firstOffset
			}
		}
		p := &data.Pieces[len(data.Pieces)-1]
		p.Batches, p.NextOffset = append(p.Batches, b.encode()...), b.nextOffset()
	}
	for _, g := range l.gaps {
		changes.Gaps = append(changes.Gaps, vault.StreamGap{Stream: s, FirstOffset: g.FirstOffset, NextOffset: g.NextOffset, Cause: g.Cause})
	}
	if n := len(data.Pieces); n > 0 {
		if len(l.gaps) == 0 {
			data.Pieces[n-1].NextOffset = max(data.Pieces[n-1].NextOffset, l.next)
		}
		changes.Data = append(changes.Data, data)
	} else if l.next > l.start {
		data.Pieces = []vault.Piece{{FirstOffset: l.start, NextOffset: l.next}} // the cleaner left nothing
		changes.Data = append(changes.Data, data)
	}
	changes.Scans = append(changes.Scans, vault.ScanStart{Stream: s, FirstOffset: begin, Started: testNow})
	changes.Snapshot.Views = append(changes.Snapshot.Views, view)
}

func (w *world) request(req Request) Request {
	req.Now = func() time.Time { return testNow }
	return req
}

// plan makes a plan that must be possible.
func (w *world) plan(t *testing.T, req Request) *Plan {
	t.Helper()
	p, err := MakePlan(t.Context(), w.vault, w.target, w.request(req))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// restore carries a restore out that must come through.
func (w *world) restore(t *testing.T, req Request) *Result {
	t.Helper()
	p := w.plan(t, req)
	if err := p.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	planned := p.DryRun()
	r, err := p.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Incomplete() || r.Damaged() {
		t.Fatalf("the restore is incomplete: %+v", r)
	}
	// A dry run says what is done, to the record.
	for i := range planned.Groups {
		if planned.Groups[i].Status == GroupPlanned {
			planned.Groups[i].Status = GroupCommitted
		}
	}
	if diff := cmp.Diff(planned, r, cmpopts.IgnoreUnexported(Result{}, PartitionResult{})); diff != "" {
		t.Errorf("the dry run said otherwise: -planned +done:\n%s", diff)
	}
	return r
}

// refused fails the test unless a plan is refused for a reason with this text, and
// nothing was made or written in the target.
func (w *world) refused(t *testing.T, req Request, want string) {
	t.Helper()
	before := w.state(t)
	_, err := MakePlan(t.Context(), w.vault, w.target, w.request(req))
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a RefusedError with %q", err, want)
	}
	if diff := cmp.Diff(before, w.state(t)); diff != "" {
		t.Errorf("the target was changed: -before +after:\n%s", diff)
	}
}

// state is the target's topics with their configs and ends.
func (w *world) state(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, topic := range w.topics(t, nil) {
		out[topic.Name] = fmt.Sprint(topic.Configs)
		for i := range topic.Partitions {
			out[topic.Name] += fmt.Sprint(w.ends(t, topic.Name, int32(i)))
		}
	}
	return out
}

// topics are those of the target, with their configs.
func (w *world) topics(t *testing.T, names []string) []coldstream.Topic {
	t.Helper()
	cluster, err := w.target.Metadata(t.Context(), names)
	if err == nil {
		err = w.target.TopicConfigs(t.Context(), cluster.Topics)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cluster.Topics
}

// ends are the log start offset and the high watermark of a target partition.
func (w *world) ends(t *testing.T, topic string, partition int32) [2]int64 {
	t.Helper()
	tp := coldstream.TopicPartition{Topic: topic, Partition: partition}
	ends, err := w.target.LogOffsets(t.Context(), []coldstream.TopicPartition{tp})
	if err != nil || ends[tp].Err != nil {
		t.Fatal(err, ends[tp].Err)
	}
	return [2]int64{ends[tp].LogStartOffset, ends[tp].HighWatermark}
}

// configs are those that a target topic has itself, as NAME=VALUE.
func (w *world) configs(t *testing.T, topic string) []string {
	t.Helper()
	out := []string{}
	for _, c := range w.topics(t, []string{topic})[0].Configs {
		out = append(out, c.Name+"="+c.Value)
	}
	return out
}

// create makes a topic in the target by hand.
func (w *world) create(t *testing.T, topic string, partitions int32, configs ...string) {
	t.Helper()
	n := coldstream.NewTopic{Name: topic, Partitions: partitions, ReplicationFactor: 1, Configs: map[string]string{}}
	for _, c := range configs {
		name, value, _ := strings.Cut(c, "=")
		n.Configs[name] = value
	}
	if err := w.target.CreateTopic(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// produce appends n records to a target partition, as somebody else would.
func (w *world) produce(t *testing.T, topic string, partition int32, n int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.fake.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range n {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte("foreign"), Timestamp: testNow}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the records of a target topic as an ordinary consumer sees them.
func (w *world) read(t *testing.T, topic string) []kafkatest.Record {
	t.Helper()
	records, err := kafkatest.ReadAll(t.Context(), w.fake.ListenAddrs(), topic, kgo.ReadUncommitted())
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// committed are a group's offsets in the target.
func (w *world) committed(t *testing.T, group string) map[string]int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.fake.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	offsets.Each(func(o kadm.OffsetResponse) { out[fmt.Sprintf("%s-%d", o.Topic, o.Partition)] = o.At })
	return out
}

// groupOf is a recorded group with offsets of partition 0, 1, … of a topic.
func groupOf(name, topic string, offsets ...int64) coldstream.Group {
	g := coldstream.Group{Name: name, Type: "classic", State: "Empty"}
	for i, o := range offsets {
		g.Offsets = append(g.Offsets, coldstream.GroupOffset{
			TopicPartition: coldstream.TopicPartition{Topic: topic, Partition: int32(i)}, Offset: o, LeaderEpoch: -1, Metadata: fmt.Sprint("m", o),
		})
	}
	return g
}

// records are what a restore must bring of a partition: those of the batches that are in
// [start, next), in order.
func (l *sourceLog) records() []kafkatest.Record {
	var out []kafkatest.Record
	for _, b := range l.batches {
		for _, r := range b.records() {
			if r.Offset >= l.start && r.Offset < l.next {
				out = append(out, r)
			}
		}
	}
	return out
}

// sameRecords compares key, value and time, and with their offsets.
func sameRecords(t *testing.T, want, got []kafkatest.Record) {
	t.Helper()
	if diff := cmp.Diff(texts(want), texts(got)); diff != "" {
		t.Errorf("records: -want +got:\n%s", diff)
	}
}

func texts(records []kafkatest.Record) []string {
	out := []string{}
	for _, r := range records {
		out = append(out, fmt.Sprintf("%d %q %q %d", r.Offset, r.Key, r.Value, r.TimestampMs))
	}
	return out
}

// moved are the records at consecutive offsets from the given one on.
func moved(records []kafkatest.Record, offset int64) []kafkatest.Record {
	out := slices.Clone(records)
	for i := range out {
		out[i].Offset = offset + int64(i)
	}
	return out
}
