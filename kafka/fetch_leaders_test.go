package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// answerMetadata changes the fake's answers, as they are now, to requests for nothing but
// some topics. Where change is false the fake answers by itself.
func (c *cluster) answerMetadata(t *testing.T, names []string, change func([]kmsg.MetadataResponseTopic) bool) {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &name
		req.Topics = append(req.Topics, asked)
	}
	plain, err := req.RequestWith(t.Context(), c.kgo)
	if err != nil {
		t.Fatal(err)
	}
	c.fake.ControlKey(kmsg.Metadata.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		req := kreq.(*kmsg.MetadataRequest)
		var topics []kmsg.MetadataResponseTopic
		for _, asked := range req.Topics {
			i := slices.IndexFunc(plain.Topics, func(t kmsg.MetadataResponseTopic) bool { return asked.Topic != nil && *t.Topic == *asked.Topic })
			if i < 0 {
				return nil, nil, false
			}
			topic := plain.Topics[i]
			topic.Partitions = slices.Clone(topic.Partitions)
			topics = append(topics, topic)
		}
		if len(topics) == 0 || !change(topics) {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		resp.Brokers, resp.ClusterID, resp.ControllerID, resp.Topics = plain.Brokers, plain.ClusterID, plain.ControllerID, topics
		return resp, nil, true
	})
}

// changeMetadata is answerMetadata for one topic.
func (c *cluster) changeMetadata(t *testing.T, topic string, change func(*kmsg.MetadataResponseTopic) bool) {
	t.Helper()
	c.answerMetadata(t, []string{topic}, func(topics []kmsg.MetadataResponseTopic) bool { return change(&topics[0]) })
}

// startOld starts an embedded cluster that speaks certain versions, and connects to it.
func startOld(t *testing.T, versions *kversion.Versions) *cluster {
	t.Helper()
	return startFake(t, kfake.MaxVersions(versions))
}

func TestFetchFollowsLeadersThatMoveAllTheTime(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 3, 40)
	moves, r := int32(0), &recorder{}
	var asked atomic.Int32
	c.fake.ControlKey(kmsg.Fetch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		for i := range kreq.(*kmsg.FetchRequest).Topics[0].Partitions {
			kreq.(*kmsg.FetchRequest).Topics[0].Partitions[i].PartitionMaxBytes = 1 // batch by batch
		}
		asked.Add(1)
		return nil, nil, false
	})
	ctx, stop := context.WithCancel(t.Context())
	var moving sync.WaitGroup
	moving.Go(func() {
		for seen := int32(-1); ctx.Err() == nil; {
			if now := asked.Load(); now != seen {
				seen = now
				moves++
				_ = c.fake.MoveTopicPartition(plan[moves%3].Topic, moves%3, moves/3%3)
			}
		}
	})
	err := c.Fetch(t.Context(), plan, r)
	stop()
	moving.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plan {
		r.wantStory(t, p.TopicPartition, "data [0,400)", "done 400")
		r.checkRuns(t, p.TopicPartition)
	}
}

func TestFetchGivesUpWhatHasNoLeaderAndGoesOnWithTheRest(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 2, 2)
	c.changeMetadata(t, plan[0].Topic, func(topic *kmsg.MetadataResponseTopic) bool {
		for i := range topic.Partitions {
			if p := &topic.Partitions[i]; p.Partition == 0 {
				p.Leader, p.ErrorCode = -1, kerr.LeaderNotAvailable.Code
			}
		}
		return true
	})
	r := fetch(t, c.patient(t, briefly), plan...)
	r.wantStory(t, plan[0].TopicPartition, "failed")
	wantError(t, r.failure(plan[0].TopicPartition), "unavailable for 700ms: the partition has no leader")
	r.wantStory(t, plan[1].TopicPartition, "data [0,20)", "done 20")
}

// One topic that the brokers cannot describe must not hold the others.
func TestFetchWaitsForATopicByItself(t *testing.T) {
	c := startFake(t)
	ready, waiting := c.filled(t, 1, 2)[0], c.filled(t, 1, 2)[0]
	var done atomic.Bool
	c.answerMetadata(t, []string{ready.Topic, waiting.Topic}, func(topics []kmsg.MetadataResponseTopic) bool {
		for i := range topics {
			if t := &topics[i]; *t.Topic == waiting.Topic {
				t.ErrorCode, t.Partitions = kerr.LeaderNotAvailable.Code, nil
			}
		}
		return !done.Load()
	})
	r := &recorder{onTake: func(event coldstream.FetchEvent) error {
		if isDone(event) {
			done.Store(true)
		}
		return nil
	}}
	if err := c.Fetch(t.Context(), []coldstream.FetchPosition{waiting, ready}, r); err != nil {
		t.Fatal(err)
	}
	r.wantStory(t, ready.TopicPartition, "data [0,20)", "done 20")
	r.wantStory(t, waiting.TopicPartition, "data [0,20)", "done 20")
}

func TestFetchOfATopicThatIsGone(t *testing.T) {
	for what, again := range map[string]bool{"deleted": false, "made again": true} {
		t.Run(what, func(t *testing.T) {
			c := startFake(t)
			plan := c.filled(t, 1, 2)
			tp := plan[0].TopicPartition
			plan[0].StopOffset = 50
			r := &recorder{onTake: func(event coldstream.FetchEvent) error {
				if _, ok := event.(*coldstream.Fetched); ok {
					c.delete(t, tp.Topic)
					if again {
						if err := c.fake.CreateTopic(tp.Topic, 1, nil); err != nil {
							return err
						}
						for i := range int32(4) {
							produceOne(t.Context(), c.Client, tp, c.topicID(t, tp.Topic), batchOf(coldstream.ProducerIdentity{ID: -1, Epoch: -1}, i, 10))
						}
					}
				}
				return nil
			}}
			if err := c.patient(t, briefly).Fetch(t.Context(), plan, r); err != nil {
				t.Fatal(err)
			}
			r.wantStory(t, tp, "data [0,20)", "gap [20,50) topic_deleted", "failed")
			if !errors.Is(r.failure(tp), coldstream.ErrUnknownTopic) {
				t.Errorf("got error %v, want ErrUnknownTopic", r.failure(tp))
			}
		})
	}
}

// Brokers that speak no topic IDs with a fetch answer for whatever has the name.
func TestFetchByNameNeverReadsAnotherIncarnation(t *testing.T) {
	c := startOld(t, kversion.V2_8_0())
	plan := c.filled(t, 1, 2)
	leader := c.fake.LeaderFor(plan[0].Topic, 0)
	tp := plan[0].TopicPartition
	plan[0].StopOffset = 30
	r := &recorder{onTake: func(event coldstream.FetchEvent) error {
		if fetched, ok := event.(*coldstream.Fetched); ok && fetched.FirstOffset == 0 {
			// Under the same leader and leader epoch nothing but the ID tells them apart.
			for again := true; again; again = c.fake.LeaderFor(tp.Topic, 0) != leader {
				c.delete(t, tp.Topic)
				if err := c.fake.CreateTopic(tp.Topic, 1, nil); err != nil {
					return err
				}
			}
			id, producer := c.topicID(t, tp.Topic), c.producer(t)
			for i := range int32(4) {
				wantError(t, produceOne(t.Context(), c.Client, tp, id, batchOf(producer, 10*i, 10)).Err, "")
			}
		}
		return nil
	}}
	if err := c.patient(t, 2*time.Second).Fetch(t.Context(), plan, r); err != nil {
		t.Fatal(err)
	}
	r.wantStory(t, tp, "data [0,20)", "gap [20,30) topic_deleted", "failed")
}

// In the middle of an upgrade brokers speak versions that name topics by their IDs, and
// give no IDs.
func TestFetchFromBrokersThatGiveNoTopicIDs(t *testing.T) {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.Metadata.Int16(), 9)
	versions.SetMaxKeyVersion(kmsg.Produce.Int16(), 12)
	c := startOld(t, versions)
	plan := c.filled(t, 2, 2)
	if !plan[0].TopicID.IsZero() {
		t.Fatal("the fake gives topic IDs")
	}
	r := fetch(t, c.Client, plan...)
	for _, p := range plan {
		r.wantStory(t, p.TopicPartition, "data [0,20)", "done 20")
	}
}

func TestFetchFromEveryGenerationOfBrokers(t *testing.T) {
	for what, versions := range map[string]*kversion.Versions{
		"1.0": kversion.V1_0_0(), "2.0": kversion.V2_0_0(), "2.4": kversion.V2_4_0(), "2.8": kversion.V2_8_0(), "3.0": kversion.V3_0_0(), "3.6": kversion.V3_6_0(),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := startOld(t, versions)
			plan := c.filled(t, 2, 2)
			plan[0].Epochs, plan[0].NextOffset = []coldstream.EpochStart{{}}, 10
			r := fetch(t, c.Client, plan...)
			r.wantStory(t, plan[0].TopicPartition, "data [10,20)", "done 20")
			r.wantStory(t, plan[1].TopicPartition, "data [0,20)", "done 20")
		})
	}
}

// A broker that is behind with its metadata says for a while that a topic is not there.
func TestFetchBelievesThatATopicIsGoneWhenAllSaySoForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		e := &fetchEngine{client: &Client{cfg: Config{Patience: time.Hour}}, sink: r, done: make(chan struct{}), live: 1}
		tp := coldstream.TopicPartition{Topic: "t"}
		p := &fetchPartition{FetchPosition: coldstream.FetchPosition{TopicPartition: tp, TopicID: coldstream.TopicID{1}, StopOffset: 9}, leader: -1, leaderEpoch: -1}
		there := &coldstream.Topic{Name: "t", ID: p.TopicID, Partitions: []coldstream.Partition{{Leader: 3}}}
		gone := &coldstream.Topic{Name: "t", Err: coldstream.ErrUnknownTopic}
		another := &coldstream.Topic{Name: "t", ID: coldstream.TopicID{2}, Partitions: there.Partitions}
		for _, said := range []*coldstream.Topic{gone, gone, there, another, gone, there, gone, another} {
			if err := e.place(t.Context(), p, said); err != nil {
				t.Fatal(err)
			}
			<-time.After(unknownTopicPatience * 6 / 10)
		}
		if len(r.events) > 0 {
			t.Fatalf("got %q though one broker knew it in between", r.story(tp))
		}
		if err := e.place(t.Context(), p, gone); err != nil {
			t.Fatal(err)
		}
		r.wantStory(t, tp, "gap [0,9) topic_deleted", "failed")
	})
}

// A topic loses no partitions while it is the same: a broker that does not list one yet
// is behind.
func TestFetchOfAPartitionThatMetadataLacks(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 2, 2)
	c.changeMetadata(t, plan[0].Topic, func(topic *kmsg.MetadataResponseTopic) bool {
		for _, p := range topic.Partitions {
			if p.Partition == 0 {
				topic.Partitions = []kmsg.MetadataResponseTopicPartition{p}
				break
			}
		}
		return true
	})
	r := fetch(t, c.patient(t, briefly), plan...)
	r.wantStory(t, plan[1].TopicPartition, "failed") // without a gap: nothing is known to be lost
	r.wantStory(t, plan[0].TopicPartition, "data [0,20)", "done 20")
}

func TestFetchDoesNotGoBackToALeaderOfThePast(t *testing.T) {
	e := &fetchEngine{}
	p := &fetchPartition{FetchPosition: coldstream.FetchPosition{TopicPartition: coldstream.TopicPartition{Topic: "t"}, TopicID: coldstream.TopicID{1}}, leader: -1, leaderEpoch: 7}
	for _, test := range []struct{ epoch, want int32 }{{6, -1}, {7, 3}, {8, 3}} {
		p.leader = -1
		topic := &coldstream.Topic{Name: "t", ID: p.TopicID, Partitions: []coldstream.Partition{{Leader: 3, LeaderEpoch: test.epoch}}}
		if err := e.place(t.Context(), p, topic); err != nil || p.leader != test.want {
			t.Errorf("epoch %d: got leader %d, want %d (%v)", test.epoch, p.leader, test.want, err)
		}
	}
}

// The fake's broker comes back under its ID at another port, as one does whose pod was
// made again.
func TestFetchFindsABrokerThatHasMoved(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 4)
	tp := plan[0].TopicPartition
	if err := c.fake.MoveTopicPartition(tp.Topic, 0, 1); err != nil {
		t.Fatal(err)
	}
	moved := false
	c.answerFetches(tp, plan[0].TopicID, first(answerOf(40, ten(0))))
	r := &recorder{onTake: func(coldstream.FetchEvent) error {
		if moved {
			return nil
		}
		moved = true
		c.wire.loseAnswers(kmsg.Fetch, 1) // nor is anybody at the old one
		if err := c.fake.RemoveNode(1); err != nil {
			return err
		}
		if _, _, err := c.fake.AddNode(1, 0); err != nil {
			return err
		}
		return c.fake.MoveTopicPartition(tp.Topic, 0, 1)
	}}
	if err := c.patient(t, 10*time.Second).Fetch(t.Context(), plan, r); err != nil {
		t.Fatal(err)
	}
	r.wantStory(t, tp, "data [0,40)", "done 40")
}

func TestFetchAfterCloseFails(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 2)
	client := c.patient(t, time.Minute)
	fetch(t, client, plan...)
	client.Close()
	if err := client.Fetch(t.Context(), plan, &recorder{}); !errors.Is(err, kgo.ErrClientClosed) {
		t.Errorf("got error %v, want ErrClientClosed", err)
	}
}

// Time in which nobody asked is not time in which nobody answered: a slow sink, or others
// that come first, cost a partition nothing.
func TestPatienceIsMeasuredByTries(t *testing.T) {
	const patience = 10 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		var f failures
		try := func(after time.Duration, want bool) {
			t.Helper()
			<-time.After(after)
			f.add(errNoLeader)
			if got := f.exceed(patience); got != want {
				t.Errorf("after %d tries, %s between the first and the last: got %t, want %t", f.count, f.last.Sub(f.first), got, want)
			}
		}
		try(0, false)
		try(time.Hour, false) // only the second
		<-time.After(time.Hour)
		if f.exceed(2 * time.Hour) {
			t.Error("an hour without a try was counted")
		}
		f = failures{}
		for range 10 {
			try(time.Minute, false)
		}
		try(time.Minute, true)
		f = failures{}
		try(time.Minute, false)
	})
}

func TestWaitsBetweenTriesGrow(t *testing.T) {
	var f failures
	var got []time.Duration
	for range 7 {
		f.add(errNoLeader)
		got = append(got, f.wait()/time.Millisecond)
	}
	want := []time.Duration{100, 200, 400, 800, 1600, 2000, 2000}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %d ms, want %d ms", got, want)
		}
	}
}
