package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/blob"
	"coldstream/kafka/kafkatest"
)

func (w *world) object(t *testing.T, prefix string) (string, []byte) {
	t.Helper()
	for _, key := range w.keys(t) {
		if strings.HasPrefix(key, prefix) {
			body, err := blob.ReadAll(t.Context(), w.store, key, 1<<30)
			if err != nil {
				t.Fatal(err)
			}
			return key, body
		}
	}
	t.Fatalf("no object %s…", prefix)
	return "", nil
}

func (w *world) overwrite(t *testing.T, key string, body []byte) {
	t.Helper()
	if err := w.store.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if body == nil {
		return
	}
	if err := w.store.Create(t.Context(), key, body); err != nil {
		t.Fatal(err)
	}
}

// Damage costs the partition that it is in from there on, and nothing else.
func TestMissingPack(t *testing.T) {
	w := newWorld(t)
	first := topicOf("first", []sourceLog{dense(0, 5), dense(7, 5), {}})
	w.backUp(t, []sourceTopic{first})
	key, _ := w.object(t, "packs/")
	first.stored = true
	w.backUp(t, []sourceTopic{first, topicOf("second", []sourceLog{dense(0, 5)})}, groupOf("g", "first", 1), groupOf("h", "second", 2))
	w.overwrite(t, key, nil)
	r, err := w.plan(t, Request{Groups: true}).Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasErrors(t, r, "first-0: object "+key+" is missing, which costs first-0 offsets [0, 5)", "first-1: object "+key+" is missing", "g: failed: ")
	if !r.Damaged() {
		t.Error("the result does not say that stored data is damaged")
	}
	if diff := cmp.Diff(map[string]int64{"second-0": 2}, w.committed(t, "h")); diff != "" {
		t.Errorf("group of the topic beside it: -want +got:\n%s", diff)
	}
	if got := w.ends(t, "first", 1); got[0] != got[1] {
		t.Errorf("first-1 is %v: the filler of its leading gap can be read", got)
	}
}

// Wherever a byte of a pack changes: what is restored is what was stored, up to the
// damage, and the damage is told. Only bytes that say nothing may change unseen.
func TestDamageAnywhereInAPack(t *testing.T) {
	w := newWorld(t)
	var logs []sourceLog
	for p := range 3 {
		var l sourceLog
		for i := range 3 {
			l.batches = append(l.batches, batch{firstOffset: int64(10*p + 2*i), count: 2, valueBytes: 300_000})
		}
		l.start, l.next = int64(10*p), int64(10*p+6)
		logs = append(logs, l)
	}
	topic := topicOf("orders", logs)
	w.backUp(t, []sourceTopic{topic})
	key, body := w.object(t, "packs/")
	damaged := 0
	for at := 0; at < len(body); at += max(1, len(body)/24) {
		altered := slices.Clone(body)
		altered[at] ^= 0x10
		w.overwrite(t, key, altered)
		name := fmt.Sprintf("at-%d", at)
		r, err := w.plan(t, Request{Maps: mapsOf(t, "orders="+name)}).Execute(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Damaged() != r.Incomplete() {
			t.Errorf("byte %d: damaged %v, incomplete %v: %q", at, r.Damaged(), r.Incomplete(), errorsOf(r))
		}
		if r.Damaged() {
			damaged++
		}
		got := w.read(t, name)
		for p := range logs {
			want := logs[p].records()
			n := int(r.Partitions[p].Records)
			if n < len(want) && r.Partitions[p].Error == "" {
				t.Errorf("byte %d: %d of %d records of partition %d, and no error", at, n, len(want), p)
			}
			if diff := cmp.Diff(texts(want[:n]), texts(got[:n])); diff != "" {
				t.Fatalf("byte %d, partition %d: -want +got:\n%s", at, p, diff)
			}
			got = got[n:]
		}
		w.delete(t, name)
	}
	if damaged < 6 {
		t.Errorf("only %d of the altered packs were seen as such", damaged)
	}
}

// Somebody else writes into the target while it is restored.
func TestForeignProducerDuringARestore(t *testing.T) {
	w := newWorld(t)
	large := []batch{{count: 4, valueBytes: joinBelow}, {firstOffset: 4, count: 4, valueBytes: joinBelow}, {firstOffset: 8, count: 4, valueBytes: joinBelow}}
	w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{logOf(large...), logOf(large...)})}, groupOf("g", "orders", 1))
	foreign := 0
	watch := &watcher{progress: func(p *coldstream.Progress) {
		if foreign++; foreign == 1 {
			w.produce(t, "orders", 0, 1)
		}
	}}
	r, err := w.plan(t, Request{Groups: true, Observer: watch}).Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hasErrors(t, r, "orders-0: ", "g: failed")
	if e := r.Partitions[0].Error; !strings.Contains(e, "the broker appended at offset 5, where 4 was expected: another producer writes to") {
		t.Errorf("the error is %q", e)
	}
	if got := w.ends(t, "orders", 1); got != [2]int64{0, 12} {
		t.Errorf("the partition beside it is %v", got)
	}
}

// A broker may do what it was asked for, and its answer be lost.
func TestLostAnswers(t *testing.T) {
	w := newWorld(t)
	orders := topicOf("orders", []sourceLog{dense(3, 12)}, "cleanup.policy=compact")
	w.backUp(t, []sourceTopic{orders}, groupOf("g", "orders", 5))
	for _, key := range []kmsg.Key{kmsg.CreateTopics, kmsg.IncrementalAlterConfigs, kmsg.OffsetCommit} {
		w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Count: 1, Err: kerr.RequestTimedOut})
	}
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: 4, Err: kerr.NotEnoughReplicasAfterAppend})
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DeleteRecords}, Count: 1, Err: kerr.RequestTimedOut})
	w.restore(t, Request{Groups: true})
	sameRecords(t, orders.logs[0].records(), w.read(t, "orders"))
	if got := w.ends(t, "orders", 0); got != [2]int64{3, 15} {
		t.Errorf("the log is %v, want [3, 15)", got)
	}
	if diff := cmp.Diff([]string{"cleanup.policy=compact"}, w.configs(t, "orders")); diff != "" {
		t.Errorf("configs: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"orders-0": 5}, w.committed(t, "g")); diff != "" {
		t.Errorf("group: -want +got:\n%s", diff)
	}
}

// An interrupted restore says how far it came, leaves groups alone, keeps retention off
// where records are, and leaves empty topics as they were meant to be.
func TestInterruptedRestore(t *testing.T) {
	w := newWorld(t)
	var topics []sourceTopic
	for i := range 40 { // more than are open at once in all lanes, with so little memory
		topics = append(topics, topicOf(fmt.Sprintf("t%02d", i), []sourceLog{dense(0, 40), dense(0, 40), dense(0, 40), dense(0, 40), dense(0, 40)}, "cleanup.policy=compact"))
	}
	w.backUp(t, topics, groupOf("g", "t00", 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := &watcher{progress: func(*coldstream.Progress) { cancel() }}
	p := w.plan(t, Request{Groups: true, Observer: watch, MemoryBytes: 64 << 10})
	r, err := p.Execute(ctx)
	if !errors.Is(err, context.Canceled) || r == nil {
		t.Fatalf("got %v, want the interruption and a result", err)
	}
	if len(w.committed(t, "g")) > 0 || r.Groups[0].Status == GroupCommitted {
		t.Errorf("the group was committed: %v", w.committed(t, "g"))
	}
	policies := map[string]int{}
	for _, topic := range topics {
		written := false
		for id := range topic.logs {
			end := w.ends(t, topic.Name, int32(id))[1]
			written = written || end > 0
		}
		policy := w.configs(t, topic.Name)[0]
		policies[policy]++
		if written && policy != "cleanup.policy=delete" {
			t.Errorf("topic %s was written to and has %s: records could be lost before they are looked at", topic.Name, policy)
		}
	}
	if len(policies) != 2 {
		t.Errorf("topics that nothing was written into keep the configs of the restore: %v", policies)
	}
	var recorded struct {
		Finished string
		Result   Result
	}
	w.record(t, p, recordResult, &recorded)
	if recorded.Finished == "" || len(recorded.Result.Partitions) != 200 {
		t.Errorf("the record of the result is %+v", recorded)
	}
}

// The restore's records in the vault: the hold, the plan with the producer ID, before the
// first write, and the offset maps with the result.
func TestRecordsOfARestore(t *testing.T) {
	w := newWorld(t)
	id := w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{logOf(batch{firstOffset: 5, count: 2}, batch{firstOffset: 9})})}, groupOf("g", "orders", 7))
	p := w.plan(t, Request{Maps: mapsOf(t, "orders=copy"), Groups: true})
	if _, err := p.Execute(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hold struct {
		Restore, Snapshot, Started string
		Topics                     []string
	}
	w.record(t, p, recordHold, &hold)
	if hold.Restore != p.ID.String() || hold.Snapshot != id.String() || !slices.Equal(hold.Topics, []string{"orders"}) || hold.Started != "2026-11-22T12:00:00.000Z" {
		t.Errorf("hold: %+v", hold)
	}
	var plan struct {
		ProducerID    *int64 `json:"producer_id"`
		ProducerEpoch *int16 `json:"producer_epoch"`
		Plan          resultDocument
	}
	w.record(t, p, recordPlan, &plan)
	if plan.ProducerID == nil || plan.ProducerEpoch == nil || len(plan.Plan.Partitions) != 1 {
		t.Errorf("plan: %+v", plan)
	}
	var result struct {
		OffsetMaps map[string][]mapped `json:"offset_maps"`
		Result     resultDocument
	}
	w.record(t, p, recordResult, &result)
	if diff := cmp.Diff(map[string][]mapped{"copy-0": {{5, 0, 2}, {9, 2, 1}}}, result.OffsetMaps); diff != "" {
		t.Errorf("offset maps: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]groupOffsetDocument{{Topic: "copy", SourceOffset: 7, TargetOffset: 2, Metadata: "m7"}}, result.Result.Groups[0].Offsets); diff != "" {
		t.Errorf("group: -want +got:\n%s", diff)
	}
}

// The names in the document are part of what a vault stores.
func TestResultDocument(t *testing.T) {
	w := newWorld(t)
	id := w.backUp(t, []sourceTopic{topicOf("orders", []sourceLog{dense(3, 2)}, "retention.ms=1", "unknown.config=1")}, groupOf("g", "orders", 4))
	p := w.plan(t, Request{Groups: true})
	r, err := p.Execute(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"restore":"` + p.ID.String() + `","snapshot":"` + id.String() + `",` +
		`"time_doubts":[],"partitions":[{"topic":"orders","partition":0,"target_topic":"orders","target_partition":0,"offsets":"exact","records":2,"dropped_aborted":0,"dropped_undecided":0}],` +
		`"groups":[{"group":"g","status":"committed","offsets":[{"topic":"orders","partition":0,"source_offset":4,"target_offset":4,"metadata":"m4"}]}],"groups_missing":[],` +
		`"retention_held":[{"topic":"orders","config":"retention.ms","value":"1","command":"kafka-configs.sh --alter --topic orders --add-config retention.ms=1"}],` +
		`"configs_left_out":[{"topic":"orders","config":"unknown.config","value":"1","reason":"the cluster does not know it"}],"configs_differ":[],"not_checked":[]}`
	got, err := json.Marshal(r.document())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	empty, err := json.Marshal(w.plan(t, Request{Maps: mapsOf(t, "orders=x"), Partitions: []int32{0}, PutBackRetention: true}).DryRun().document().Groups)
	if err != nil || string(empty) != "[]" {
		t.Errorf("an empty list is %s (%v), want []", empty, err)
	}
}

// Every object of a small vault is deleted, cut off, or has what another of its kind has:
// what is restored then is what was stored, what is not is told, and what only other
// objects hold is restored whole.
func TestRestoreOfADamagedVault(t *testing.T) {
	w := newWorld(t)
	topics := []sourceTopic{topicOf("first", []sourceLog{dense(0, 5)}), topicOf("second", []sourceLog{dense(3, 6)}), topicOf("third", []sourceLog{dense(0, 4)})}
	packOf := map[string]string{}
	for i := range topics {
		before := w.keys(t)
		w.backUp(t, slices.Clone(topics[:i+1]))
		topics[i].stored = true
		for _, key := range w.keys(t) {
			if strings.HasPrefix(key, "packs/") && !slices.Contains(before, key) {
				packOf[topics[i].Name] = key
			}
		}
	}
	keys, whole, damaged := w.keys(t), 0, 0
	for i, key := range keys {
		_, body := w.object(t, key)
		for how, now := range map[string][]byte{
			"deleted": nil, "empty": {}, "half": body[:len(body)/2], "another": w.bodyOf(t, keys[max(0, i-1)]),
		} {
			if key == "vault.json" || strings.HasSuffix(key, "/begun") || slices.Equal(now, body) && now != nil {
				continue // without these there is no vault, or no change
			}
			w.overwrite(t, key, now)
			for _, topic := range topics {
				records := topic.logs[0].records()
				name := fmt.Sprintf("%s-%d-%s", topic.Name, i, how)
				got, told := w.restoreSome(t, topic.Name, name)
				switch {
				case len(got) > len(records) || !slices.Equal(texts(got), texts(records[:len(got)])):
					t.Errorf("%s %s: topic %s: records that were not stored: %v", key, how, topic.Name, texts(got))
				case len(got) == len(records):
					whole++
				case !told:
					t.Errorf("%s %s: %d of %d records of topic %s, and nobody was told", key, how, len(got), len(records), topic.Name)
				default:
					damaged++
				}
				if isPack := strings.HasPrefix(key, "packs/"); isPack && (len(got) < len(records)) != (key == packOf[topic.Name]) {
					t.Errorf("%s %s: %d of %d records of topic %s", key, how, len(got), len(records), topic.Name)
				}
			}
			if now != nil {
				w.overwrite(t, key, body)
			} else if err := w.store.Create(t.Context(), key, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d objects: %d topics whole, %d not", len(keys), whole, damaged)
	if whole < 20 || damaged < 9 {
		t.Errorf("%d topics whole and %d not: that is no test", whole, damaged)
	}
}

func (w *world) bodyOf(t *testing.T, key string) []byte {
	t.Helper()
	_, body := w.object(t, key)
	return body
}

// restoreSome restores what can be of a topic, and tells whether anything was said to be
// missing: by an error, or in the result.
func (w *world) restoreSome(t *testing.T, topic, name string) (records []kafkatest.Record, told bool) {
	t.Helper()
	topics, err := coldstream.ParsePatterns([]string{topic}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := MakePlan(t.Context(), w.vault, w.target, w.request(Request{Topics: topics, Maps: mapsOf(t, topic+"="+name)}))
	if err != nil {
		return nil, true
	}
	r, err := p.Execute(t.Context())
	if r == nil || err != nil {
		return nil, true
	}
	if slices.ContainsFunc(r.Partitions, func(p PartitionResult) bool { return p.Records > 0 }) {
		records = w.read(t, name)
	}
	return records, r.Damaged()
}
