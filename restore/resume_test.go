package restore

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
	"coldstream/blob/faultblob"
	"coldstream/kafka"
	"coldstream/kafka/kafkatest"
	"coldstream/vault"
)

var resumeSeed = flag.Uint64("resume-seed", 1, "seed of the moments at which restores are killed")

// oddTopics have all that decides over the cuts of batches: small ones that are joined, large ones
// that are not, holes, transactions, a leading gap, times far apart.
func oddTopics() []sourceTopic {
	mixed := sourceLog{start: 1003}
	for at := int64(1000); at < 1120; {
		b := batch{firstOffset: at, count: int32(1 + at%7), valueBytes: int(at % 11 * 900)}
		mixed.batches = append(mixed.batches, b)
		at = b.nextOffset()
		mixed.next = at
	}
	return []sourceTopic{
		topicOf("dense", []sourceLog{dense(0, 300), mixed, dense(7, 1), {start: 50, next: 50}}, "cleanup.policy=compact", "segment.ms=70000"),
		topicOf("holes", []sourceLog{holeyLog(400), holeyLog(3)}, "cleanup.policy=compact"),
		topicOf("there", []sourceLog{dense(0, 200)}),
	}
}

// holeyLog is a compacted one with transactions of all fates.
func holeyLog(batches int) sourceLog {
	l := sourceLog{}
	for at := int64(0); len(l.batches) < batches; {
		n := int64(len(l.batches))
		b := batch{firstOffset: at, deltas: []int32{0, 2, 3}, lastDelta: int32(4 + n%3), timestampMs: recentMs - n%5*joinSpreadMs/2}
		switch {
		case n%29 == 0:
			b.valueBytes = 3 * joinBelow
		case n%17 == 3:
			b.kind, b.producer = transactional, 1000+n
		case n%17 == 4:
			b = batch{firstOffset: at, kind: []batchKind{commitMarker, abortMarker}[n%2], producer: 1000 + n - 1}
		}
		l.batches = append(l.batches, b)
		at = b.nextOffset() + n%2
		l.next = b.nextOffset()
	}
	return l
}

// resumable is a vault with odd topics, and what a restore of them that nobody disturbs gives.
type resumable struct {
	*world
	req      Request
	records  map[string][]string
	configs  map[string][]string
	result   *Result
	requests int
	runs     sync.WaitGroup // that were killed, and have not noticed yet
}

func resumableWorld(t *testing.T) *resumable {
	t.Helper()
	w := newWorld(t)
	groups := []coldstream.Group{groupOf("g", "dense", 100, 1050), groupOf("h", "holes", 333, 2), groupOf("i", "there", 77)}
	w.backUp(t, oddTopics(), groups...)
	r := &resumable{world: w, req: Request{Groups: true, Command: []string{"--all-topics", "--groups"}, MemoryBytes: 1 << 20}}
	r.begin(t)
	var requests atomic.Int64
	f := r.fake.Fault(kfake.Fault{Count: -1, Observe: true, When: func(kmsg.Request) bool { requests.Add(1); return true }})
	r.result = r.restore(t, r.req)
	f.Remove()
	r.requests = int(requests.Load())
	r.records, r.configs = r.seen(t)
	return r
}

// begin gives the world a new cluster, with a topic in it that has its own configs.
func (r *resumable) begin(t *testing.T) {
	t.Helper()
	r.fake = kafkatest.StartFake(t, kfake.NumBrokers(1))
	r.target = r.connect(t, 3*time.Second)
	r.create(t, "there", 1, "retention.ms=777777777777", "cleanup.policy=compact,delete")
}

// seen is what everybody sees of the target.
func (r *resumable) seen(t *testing.T) (records, configs map[string][]string) {
	t.Helper()
	records, configs = map[string][]string{}, map[string][]string{}
	for _, topic := range oddTopics() {
		records[topic.Name] = texts(r.read(t, topic.Name))
		configs[topic.Name] = r.world.configs(t, topic.Name)
		for i := range topic.logs {
			records[topic.Name] = append(records[topic.Name], fmt.Sprint(r.ends(t, topic.Name, int32(i))))
		}
	}
	for _, group := range []string{"g", "h", "i"} {
		records[group] = []string{fmt.Sprint(r.committed(t, group))}
	}
	return records, configs
}

// killed runs a restore that ends after so many requests to brokers, without another word to
// them or to the vault. The result is that of a restore that came to its end before.
func (r *resumable) killed(t *testing.T, after int) *Result {
	t.Helper()
	client, err := kafka.Connect(t.Context(), kafka.Config{Bootstrap: r.fake.ListenAddrs(), Patience: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var dying sync.Once
	dead := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	die := func() { dying.Do(func() { cancel(); client.Close(); close(dead) }) }
	store := &breakingStore{Store: r.store.Store, breaks: func(string, string) error {
		select {
		case <-ctx.Done():
			return errors.New("killed")
		default:
			return nil
		}
	}}
	v, err := vault.Open(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	f := r.fake.Fault(kfake.Fault{Count: -1, Observe: true, When: func(kmsg.Request) bool {
		if n.Add(1) == int64(after) {
			cancel()
			go die() // the request is carried out, and nobody hears of it
		}
		return true
	}})
	defer f.Remove()
	req := r.request(r.req)
	req.Resume = true
	results := make(chan *Result, 1)
	r.runs.Go(func() {
		p, err := MakePlan(ctx, v, client, req)
		if err == nil {
			var result *Result
			if result, err = p.Execute(ctx); err == nil {
				results <- result
			}
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("a restore that was not killed yet: %v", err)
		}
		die()
	})
	<-dead
	select {
	case result := <-results:
		return result
	default:
		return nil
	}
}

// killAndResume kills a restore up to three times, and lets it go on to its end.
func (r *resumable) killAndResume(t *testing.T, random *rand.Rand) {
	t.Helper()
	r.begin(t)
	var kills []int
	var result *Result
	for range 1 + random.IntN(3) {
		kills = append(kills, 1+random.IntN(r.requests))
		if result = r.killed(t, kills[len(kills)-1]); result != nil {
			break
		}
	}
	if result == nil {
		req := r.req
		req.Resume = true
		var err error
		if result, err = r.plan(t, req).Execute(t.Context()); err != nil {
			t.Fatalf("killed after %d requests: %v", kills, err)
		}
	}
	if len(errorsOf(result)) > 0 {
		t.Fatalf("killed after %d requests: %q", kills, errorsOf(result))
	}
	records, configs := r.seen(t)
	if diff := cmp.Diff(r.records, records); diff != "" {
		t.Fatalf("killed after %d requests: -undisturbed +resumed:\n%s", kills, diff)
	}
	if diff := cmp.Diff(r.configs, configs); diff != "" {
		t.Errorf("killed after %d requests: configs -undisturbed +resumed:\n%s", kills, diff)
	}
	for i := range result.Partitions {
		if got, want := result.Partitions[i].Records, r.result.Partitions[i].Records; got != want {
			t.Errorf("killed after %d requests: the result has %d records of %s-%d, want %d", kills, got, result.Partitions[i].TargetTopic, i, want)
		}
	}
}

func TestKilledRestoreGoesOn(t *testing.T) {
	killRestores(t, 20)
}

func killRestores(t *testing.T, times int) {
	t.Logf("-resume-seed %d", *resumeSeed)
	r := resumableWorld(t)
	defer r.runs.Wait()
	random := rand.New(rand.NewPCG(*resumeSeed, 0))
	for range times {
		r.killAndResume(t, random)
		if t.Failed() {
			return
		}
	}
}

// The cuts of batches are what a resumed restore relies on. Where this fails the rules have changed:
// count resumeVersion up, and write the new cuts down.
func TestCutsOfBatches(t *testing.T) {
	w := newWorld(t)
	w.backUp(t, oddTopics())
	p := w.plan(t, Request{})
	got := map[string]int32{}
	for _, topic := range p.topics {
		for _, part := range topic.partitions {
			sum := int32(resumeVersion)
			for out, err := range newFeed(part).stream(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				sum = sum*31 + out.count
			}
			got[part.target.String()] = sum
		}
	}
	want := map[string]int32{
		"dense-0": 331, "dense-1": -1517857011, "dense-2": 1179, "dense-3": 81, "holes-0": 362198129, "holes-1": 40, "there-0": 231,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// refusesToResume fails the test unless a resumed restore is refused for a reason.
func (r *resumable) refusesToResume(t *testing.T, want string) {
	t.Helper()
	req := r.req
	req.Resume = true
	p, err := MakePlan(t.Context(), r.vault, r.target, r.request(req))
	if err == nil {
		_, err = p.Execute(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestRestoreThatCannotGoOn(t *testing.T) {
	r := resumableWorld(t)
	defer r.runs.Wait()
	half := r.requests * 2 / 3
	r.begin(t)
	if r.killed(t, half) != nil {
		t.Fatal("it was not killed")
	}
	r.refused(t, r.req, "of the same command line")
	other := r.req
	other.Command = []string{"-t", "dense"}
	r.refused(t, other, "has the configs of restore")

	r.produce(t, "there", 0, 1) // somebody else
	req := r.req
	req.Resume = true
	result, err := r.plan(t, req).Execute(t.Context())
	if err != nil || !slices.ContainsFunc(errorsOf(result), func(text string) bool {
		return strings.Contains(text, "another producer wrote to it") || strings.Contains(text, "the broker appended at offset")
	}) {
		t.Errorf("%v, %q", err, errorsOf(result))
	}

	r.begin(t)
	if r.killed(t, half) != nil {
		t.Fatal("it was not killed")
	}
	r.replace(t, "there")
	r.refusesToResume(t, "topic there was deleted, or made again")
	r.replace(t, "dense")
	restores, err := r.vault.Restores(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range restores {
		if err := r.vault.EndRestore(t.Context(), u.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dense", "holes", "there"} {
		if _, ok := r.state(t)[name]; ok {
			r.delete(t, name)
		}
	}
	if result := r.world.restore(t, r.req); len(errorsOf(result)) > 0 {
		t.Errorf("after it was given up: %q", errorsOf(result))
	}
}

// TestAppendBesideAnUnreadableRestore: one whose record is damaged may be the one to go on with.
func TestAppendBesideAnUnreadableRestore(t *testing.T) {
	r := resumableWorld(t)
	defer r.runs.Wait()
	r.begin(t)
	if r.killed(t, r.requests*2/3) != nil {
		t.Fatal("it was not killed")
	}
	for _, key := range r.keys(t) {
		if strings.HasPrefix(key, "restores/") && path.Base(key) == fmt.Sprintf("%010d", recordPlan) {
			if err := faultblob.FlipBit(t.Context(), r.store, key, 8*60); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.req.Append = true
	r.refusesToResume(t, "set out to do cannot be read")
}

// An interrupted restore goes on from a state file too, and the vault stays as it was.
func TestRestoreGoesOnFromAStateFile(t *testing.T) {
	r := resumableWorld(t)
	defer r.runs.Wait()
	r.begin(t)
	before := r.keys(t)
	r.req.StateFile = filepath.Join(t.TempDir(), "state")
	r.req.Command = append(r.req.Command, "--state", r.req.StateFile)
	if r.killed(t, r.requests*2/3) != nil {
		t.Fatal("it was not killed")
	}
	r.runs.Wait()
	r.refused(t, r.req, "of the same command line")
	req := r.req
	req.Resume = true
	result, err := r.plan(t, req).Execute(t.Context())
	if err != nil || len(errorsOf(result)) > 0 {
		t.Fatalf("%v, %q", err, errorsOf(result))
	}
	records, configs := r.seen(t)
	if diff := cmp.Diff([]map[string][]string{r.records, r.configs}, []map[string][]string{records, configs}); diff != "" {
		t.Errorf("-undisturbed +resumed:\n%s", diff)
	}
	if after := r.keys(t); !slices.Equal(before, after) {
		t.Errorf("the vault holds %v, and held %v", after, before)
	}
	r.refused(t, req, "is there already, and has no unfinished restore")
}
