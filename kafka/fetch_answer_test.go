package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFetchReadsEveryPartitionToItsStop(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 7, 3)
	plan[1].NextOffset = 10                // begins between two batches
	plan[2].NextOffset = 15                // begins inside a batch
	plan[3].StopOffset = 15                // ends inside one: that comes whole, and what comes with it
	plan[4].NextOffset = 30                // is done
	plan[5].NextOffset = 40                // is beyond
	plan[6].TopicID = coldstream.TopicID{} // comes from where nobody told IDs
	r := fetch(t, c.Client, plan...)
	for i, want := range [][]string{
		{"data [0,30)", "done 30"}, {"data [10,30)", "done 30"}, {"data [15,30)", "done 30"}, {"data [0,30)", "done 30"},
		{"done 30"}, {"done 40"}, {"data [0,30)", "done 30"},
	} {
		r.wantStory(t, plan[i].TopicPartition, want...)
		r.checkRuns(t, plan[i].TopicPartition)
	}
	if got := r.bytes(plan[2].TopicPartition); !bytes.Equal(got[:8], []byte{0, 0, 0, 0, 0, 0, 0, 10}) {
		t.Errorf("the batch that holds the position was cut: %x", got[:8])
	}
}

// TestFetchReadsTheLastOffset: an answer that ends one offset before the stop is not the
// end, whatever comes next.
func TestFetchReadsTheLastOffset(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 2)
	plan[0].StopOffset = 11
	c.answerFetches(plan[0].TopicPartition, plan[0].TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
		return answerOf(20, ten(asked.FetchOffset)) // a batch at a time
	})
	fetch(t, c.Client, plan...).wantStory(t, plan[0].TopicPartition, "data [0,20)", "done 20")
}

func TestFetchRetriesWhatIsTemporary(t *testing.T) {
	c := startFake(t)
	for _, e := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.UnknownLeaderEpoch, kerr.FencedLeaderEpoch, kerr.ReplicaNotAvailable, kerr.KafkaStorageError,
		kerr.OffsetNotAvailable, kerr.LeaderNotAvailable, kerr.UnknownServerError, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID,
		kerr.InconsistentTopicID, kerr.RequestTimedOut, kerr.OffsetOutOfRange, kerr.CorruptMessage,
	} {
		t.Run(e.Message, func(t *testing.T) {
			t.Parallel()
			plan := c.filled(t, 1, 2)
			tp := plan[0].TopicPartition
			c.answerFetches(tp, plan[0].TopicID, first(refusal(e.Code), refusal(e.Code)))
			fetch(t, c.Client, plan...).wantStory(t, tp, "data [0,20)", "done 20")
		})
	}
}

func TestFetchRetriesAnswersThatSayNothing(t *testing.T) {
	noTopics := func(throttle int32) func(*kmsg.FetchRequest) *kmsg.FetchResponse {
		return func(req *kmsg.FetchRequest) *kmsg.FetchResponse {
			resp := req.ResponseKind().(*kmsg.FetchResponse)
			resp.ThrottleMillis = throttle
			return resp
		}
	}
	change := func(change func(*kmsg.FetchResponse)) func(*kmsg.FetchRequest) *kmsg.FetchResponse {
		return func(req *kmsg.FetchRequest) *kmsg.FetchResponse {
			resp := fetchResponse(req, &req.Topics[0], *answerOf(20, ten(0), ten(10)))
			change(resp)
			return resp
		}
	}
	c := startFake(t)
	for what, answer := range map[string]func(*kmsg.FetchRequest) *kmsg.FetchResponse{
		"no topics":          noTopics(0),
		"throttled":          noTopics(1),
		"top-level error":    change(func(r *kmsg.FetchResponse) { r.ErrorCode, r.Topics = kerr.FetchSessionIDNotFound.Code, nil }),
		"another partition":  change(func(r *kmsg.FetchResponse) { r.Topics[0].Partitions[0].Partition = 9 }),
		"negative partition": change(func(r *kmsg.FetchResponse) { r.Topics[0].Partitions[0].Partition = -1 }),
		"another topic":      change(func(r *kmsg.FetchResponse) { r.Topics[0].TopicID[3]++ }),
		"no high watermark":  change(func(r *kmsg.FetchResponse) { r.Topics[0].Partitions[0].HighWatermark = -1 }),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			plan := c.filled(t, 1, 2)
			var left atomic.Int32
			left.Store(2)
			c.fake.ControlKey(kmsg.Fetch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				c.fake.KeepControl()
				req := kreq.(*kmsg.FetchRequest)
				if req.Topics[0].TopicID != plan[0].TopicID || left.Add(-1) < 0 {
					return nil, nil, false
				}
				return answer(req), nil, true
			})
			fetch(t, c.Client, plan...).wantStory(t, plan[0].TopicPartition, "data [0,20)", "done 20")
			if n := left.Load(); n >= 0 {
				t.Errorf("%d answers were not asked for", n)
			}
		})
	}
}

func TestFetchFailsWhatCannotSucceedAndGoesOnWithTheRest(t *testing.T) {
	for _, test := range []struct {
		code *kerr.Error
		want error
	}{{kerr.TopicAuthorizationFailed, coldstream.ErrDenied}, {kerr.UnsupportedVersion, kerr.UnsupportedVersion}, {kerr.CorruptMessage, coldstream.ErrCorrupt}} {
		c := startFake(t)
		plan := c.filled(t, 2, 2)
		tp := plan[0].TopicPartition
		c.answerFetches(tp, plan[0].TopicID, always(refusal(test.code.Code)))
		r := fetch(t, c.Client, plan...)
		r.wantStory(t, tp, "failed")
		if err := r.failure(tp); !errors.Is(err, test.want) {
			t.Errorf("got error %v, want %v", err, test.want)
		}
		r.wantStory(t, plan[1].TopicPartition, "data [0,20)", "done 20")
	}
}

// badBatches are answers that no honest broker over a good network gives.
func badBatches() map[string][]byte {
	good := ten(0)
	flip := func(at int) []byte {
		b := slices.Clone(good)
		b[at] ^= 1
		return b
	}
	set := func(at int, value uint32) []byte {
		return resealed(good, func(b []byte) { binary.BigEndian.PutUint32(b[at:], value) })
	}
	return map[string][]byte{
		"value":                             flip(len(good) - 1),
		"checksum":                          flip(17),
		"magic":                             flip(16),
		"length 0":                          set(8, 0),
		"length -1":                         set(8, 1<<32-1),
		"length of a giant":                 set(8, 1<<31-1),
		"length of half a giant":            set(8, 1<<29),
		"length too short":                  set(8, 48),
		"cut":                               good[:len(good)-1],
		"cut in its length":                 good[:11],
		"one byte":                          good[:1],
		"last offset negative":              set(23, 1<<32-5),
		"count negative":                    set(57, 1<<32-5),
		"count too large":                   set(57, 1<<31-1),
		"base offset negative":              placed(good, -10, 0),
		"base offset too large":             placed(good, 1<<62, 0),
		"base offset at the end of numbers": placed(good, 1<<63-5, 0),
		"base offset behind the end":        placed(good, 20, 0),
	}
}

func TestFetchBelievesBadBatchesAtTheThirdTime(t *testing.T) {
	c := startFake(t)
	for what, batch := range badBatches() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			plan := c.filled(t, 2, 2)
			tp := plan[0].TopicPartition
			c.answerFetches(tp, plan[0].TopicID, first(answerOf(20, batch), answerOf(20, batch)))
			r := fetch(t, c.Client, plan...)
			r.wantStory(t, tp, "data [0,20)", "done 20")
			r.checkRuns(t, tp)
		})
		t.Run(what+" for ever", func(t *testing.T) {
			t.Parallel()
			plan := c.filled(t, 2, 2)
			tp := plan[0].TopicPartition
			c.answerFetches(tp, plan[0].TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
				if asked.FetchOffset == 0 {
					return answerOf(20, ten(0), batch) // what is good is not doubted
				}
				return answerOf(20, batch)
			})
			if strings.HasPrefix(what, "base offset") {
				plan[0].NextOffset = 10
			}
			r := fetch(t, c.Client, plan...)
			want := []string{"data [0,10)", "gap [10,20) corrupt", "done 20"}
			r.wantStory(t, tp, want[plan[0].NextOffset/10:]...)
			r.checkRuns(t, tp)
			r.wantStory(t, plan[1].TopicPartition, "data [0,20)", "done 20")
		})
	}
}

func TestFetchCutsOffWhatIsNotWanted(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 4)
	plan[0].NextOffset = 15
	tp := plan[0].TopicPartition
	half := ten(30)[:80]
	c.answerFetches(tp, plan[0].TopicID, first(answerOf(40, ten(0), ten(10), ten(20), half)))
	r := fetch(t, c.Client, plan...)
	r.wantStory(t, tp, "data [15,40)", "done 40")
	want := slices.Concat(ten(10), ten(20))
	if got := r.events[tp][0].(*coldstream.Fetched).Batches; !bytes.Equal(got, want) {
		t.Errorf("got %d bytes from offset %d on, want the two batches that are whole and wanted", len(got), got[7])
	}
}

func TestFetchRefusesAnAnswerThatHoldsOnlyOlderBatches(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 4)
	plan[0].NextOffset, plan[0].Compacted = 20, true // so that nothing there would be an empty tail
	tp := plan[0].TopicPartition
	c.answerFetches(tp, plan[0].TopicID, always(answerOf(40, ten(0), ten(10))))
	r := fetch(t, c.Client, plan...)
	if !errors.Is(r.failure(tp), coldstream.ErrCorrupt) {
		t.Errorf("got %q, want ErrCorrupt", r.story(tp))
	}
}

func TestFetchRefusesBatchesThatOverlap(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 4)
	tp := plan[0].TopicPartition
	c.answerFetches(tp, plan[0].TopicID, first(answerOf(40, ten(0), ten(5), ten(20))))
	r := fetch(t, c.Client, plan...)
	r.wantStory(t, tp, "data [0,40)", "done 40")
	r.checkRuns(t, tp)
}

func TestFetchGoesOverHolesBelowTheHighWatermark(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 6)
	tp := plan[0].TopicPartition
	c.answerFetches(tp, plan[0].TopicID, first(answerOf(60, ten(10), ten(40))))
	r := fetch(t, c.Client, plan...)
	r.wantStory(t, tp, "data [0,60)", "done 60")
	if got := r.events[tp][0].(*coldstream.Fetched).NextOffset; got != 50 {
		t.Errorf("the first run ends at %d, want 50", got)
	}
}

// While producers write, a broker may add what came after it noted the high watermark.
func TestFetchTakesDataBehindTheHighWatermarkThatJoins(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 2)
	tp := plan[0].TopicPartition
	c.answerFetches(tp, plan[0].TopicID, first(answerOf(10, ten(0), ten(10))))
	fetch(t, c.Client, plan...).wantStory(t, tp, "data [0,20)", "done 20")
}

func TestFetchAsksForALargeBatchAloneAndWhole(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 2, 1)
	plan = []coldstream.FetchPosition{plan[0], {TopicPartition: coldstream.TopicPartition{Topic: "nothing"}}, plan[1]} // one connection
	tp := plan[0].TopicPartition
	large := testBatch{timestamp: plainTime, values: []string{strings.Repeat("x", 9<<20)}}.build()
	large = resealed(large, func(b []byte) { binary.BigEndian.PutUint32(b[23:], 9) }) // up to offset 9
	var mu sync.Mutex
	var asked []int32
	c.answerFetches(tp, plan[0].TopicID, func(p kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, p.PartitionMaxBytes)
		return answerOf(10, large[:min(len(large), int(p.PartitionMaxBytes))])
	})
	r := fetch(t, c.Client, plan...)
	r.wantStory(t, tp, "data [0,10)", "done 10")
	mu.Lock()
	defer mu.Unlock()
	if want := []int32{fetchPartitionBytes, int32(len(large))}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v bytes, want %v", asked, want)
	}
	r.wantStory(t, plan[2].TopicPartition, "data [0,10)", "done 10")
}

func TestFetchAsksForNoMoreThanABatchSaysItHas(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 1)
	tp := plan[0].TopicPartition
	cut := ten(0)
	binary.BigEndian.PutUint32(cut[8:], 9<<20)
	var most atomic.Int32
	c.answerFetches(tp, plan[0].TopicID, func(p kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
		most.Store(max(most.Load(), p.PartitionMaxBytes))
		return answerOf(10, cut)
	})
	fetch(t, c.Client, plan...).wantStory(t, tp, "gap [0,10) corrupt", "done 10")
	if got, want := most.Load(), int32(9<<20+12); got != want {
		t.Errorf("asked for %d bytes, want at most %d", got, want)
	}
}

// A broker that keeps a quota is there: waiting is the job.
func TestFetchWaitsWhileItIsThrottled(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 1)
	client := c.patient(t, briefly)
	var answers atomic.Int32
	c.fake.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		if answers.Add(1) > 12 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ThrottleMillis = 1
		return resp, nil, true
	})
	fetch(t, client, plan...).wantStory(t, plan[0].TopicPartition, "data [0,10)", "done 10")
}

// legacy builds a message of magic 0 or 1 with a null key.
func legacy(magic byte, offset int64, value string) []byte {
	body := []byte{magic, 0}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, 1234567)
	}
	body = binary.BigEndian.AppendUint32(body, 1<<32-1)
	body = binary.BigEndian.AppendUint32(body, uint32(len(value)))
	body = append(body, value...)
	out := binary.BigEndian.AppendUint64(nil, uint64(offset))
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)+4))
	out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	return append(out, body...)
}

func TestFetchKeepsLegacyMessages(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 2)
	tp := plan[0].TopicPartition
	var old []byte
	for i := range int64(10) {
		old = append(old, legacy(byte(i/5), i, "value")...)
	}
	torn := slices.Clone(old)
	torn[len(torn)-1] ^= 1
	c.answerFetches(tp, plan[0].TopicID, first(answerOf(20, torn), answerOf(20, old[len(old)-39:])))
	r := fetch(t, c.Client, plan...)
	r.wantStory(t, tp, "data [0,20)", "done 20")
	if got := r.events[tp][0].(*coldstream.Fetched); got.NextOffset != 9 || !bytes.Equal(got.Batches, old[:len(old)-39]) {
		t.Errorf("got a run up to %d with %d bytes, want the nine good messages", got.NextOffset, len(got.Batches))
	}
}

func TestFetchEndsWithTheSinksError(t *testing.T) {
	c := startFake(t)
	full := errors.New("no room")
	for what, refuse := range map[string]func(coldstream.FetchEvent) bool{
		"data": func(e coldstream.FetchEvent) bool { return !isDone(e) },
		"done": isDone,
	} {
		r := &recorder{onTake: func(event coldstream.FetchEvent) error {
			if refuse(event) {
				return full
			}
			return nil
		}}
		if err := c.Fetch(t.Context(), c.filled(t, 2, 1), r); !errors.Is(err, full) {
			t.Errorf("%s: got error %v, want the sink's", what, err)
		}
	}
}

func isDone(event coldstream.FetchEvent) bool {
	_, ok := event.(*coldstream.PartitionDone)
	return ok
}

func TestFetchEndsWithItsContext(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 2, 1)
	plan[1].StopOffset = 100 // never comes
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{onTake: func(event coldstream.FetchEvent) error {
		if isDone(event) {
			cancel()
		}
		return nil
	}}
	if err := c.Fetch(ctx, plan, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want the context's", err)
	}
}

func TestFetchOfNothing(t *testing.T) {
	if err := startFake(t).Fetch(t.Context(), nil, &recorder{}); err != nil {
		t.Error(err)
	}
}

func TestAnswersOfAllConnectionsTogetherAreBounded(t *testing.T) {
	for _, test := range []struct {
		connections int
		want        int32
	}{{0, 8 << 20}, {2, 8 << 20}, {8, 8 << 20}, {16, 4 << 20}, {64, 1 << 20}, {10000, 1 << 20}} {
		if got := answerBytes(defaultFetchBytes, test.connections); got != test.want {
			t.Errorf("%d connections: got %d, want %d", test.connections, got, test.want)
		}
	}
}
