package kafka

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"coldstream"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// briefly is a patience for tests in which it runs out.
const briefly = 700 * time.Millisecond

// answerEpochEnds makes the fake say that leader epochs end at offsets; those that are
// not named are not known.
func (c *cluster) answerEpochEnds(topic string, ends map[int32]coldstream.EpochStart) {
	c.fake.ControlKey(kmsg.OffsetForLeaderEpoch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		req := kreq.(*kmsg.OffsetForLeaderEpochRequest)
		if req.Topics[0].Topic != topic {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		answered := kmsg.NewOffsetForLeaderEpochResponseTopic()
		answered.Topic = topic
		for _, asked := range req.Topics[0].Partitions {
			p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			p.Partition, p.LeaderEpoch, p.EndOffset = asked.Partition, -1, -1
			if end, ok := ends[asked.LeaderEpoch]; ok {
				p.LeaderEpoch, p.EndOffset = end.Epoch, end.FirstOffset
			}
			answered.Partitions = append(answered.Partitions, p)
		}
		resp.Topics = append(resp.Topics, answered)
		return resp, nil, true
	})
}

// answerListOffsets makes the fake answer one kind of ListOffsets for a topic.
func (c *cluster) answerListOffsets(topic string, timestamp int64, answer func(*kmsg.ListOffsetsResponseTopicPartition)) {
	c.fake.ControlKey(kmsg.ListOffsets.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.fake.KeepControl()
		req := kreq.(*kmsg.ListOffsetsRequest)
		if req.Topics[0].Topic != topic || req.Topics[0].Partitions[0].Timestamp != timestamp {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		answered := kmsg.NewListOffsetsResponseTopic()
		answered.Topic = topic
		for _, asked := range req.Topics[0].Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition = asked.Partition
			answer(&p)
			answered.Partitions = append(answered.Partitions, p)
		}
		resp.Topics = append(resp.Topics, answered)
		return resp, nil, true
	})
}

func TestFetchReportsWhatTheLogStartHasPassed(t *testing.T) {
	c := startFake(t)
	for _, test := range []struct {
		logStart, stop int64
		want           []string
	}{
		{20, 40, []string{"gap [0,20) log_start_advanced", "data [20,40)", "done 40"}},
		{15, 40, []string{"gap [0,15) log_start_advanced", "data [15,40)", "done 40"}},
		{40, 40, []string{"gap [0,40) log_start_advanced", "done 40"}},
		{30, 20, []string{"gap [0,30) log_start_advanced", "done 30"}},
	} {
		plan := c.filled(t, 1, 4)
		tp := plan[0].TopicPartition
		plan[0].StopOffset = test.stop
		if err := c.fake.DeleteRecords(tp.Topic, 0, test.logStart); err != nil {
			t.Fatal(err)
		}
		fetch(t, c.Client, plan...).wantStory(t, tp, test.want...)
	}
}

func TestFetchSendsBothEpochs(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 2)
	tp := plan[0].TopicPartition
	plan[0].Epochs = []coldstream.EpochStart{{Epoch: 2, FirstOffset: 0}, {Epoch: 5, FirstOffset: 7}}
	plan[0].NextOffset, plan[0].StopOffset = 10, 30
	var mu sync.Mutex
	var sent [][2]int32
	c.answerFetches(tp, plan[0].TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, [2]int32{asked.CurrentLeaderEpoch, asked.LastFetchedEpoch})
		return answerOf(30, placed(ten(asked.FetchOffset), asked.FetchOffset, int32(asked.FetchOffset)/10+5))
	})
	fetch(t, c.Client, plan...).wantStory(t, tp, "data [10,30)", "done 30")
	mu.Lock()
	defer mu.Unlock()
	leaderEpoch := c.fake.PartitionInfo(tp.Topic, 0).Epoch
	if want := [][2]int32{{leaderEpoch, 5}, {leaderEpoch, 6}}; !slices.Equal(sent, want) {
		t.Errorf("got epochs %v, want %v", sent, want)
	}
}

func TestFetchGoesBackToCommonHistory(t *testing.T) {
	diverging := func(epoch int32, end int64) *kmsg.FetchResponseTopicPartition {
		p := answerOf(40)
		p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = epoch, end
		return p
	}
	c := startFake(t)
	epochs := func(starts ...int64) (out []coldstream.EpochStart) {
		for i, first := range starts {
			out = append(out, coldstream.EpochStart{Epoch: int32(i), FirstOffset: first})
		}
		return out
	}
	for what, test := range map[string]struct {
		epochs  []coldstream.EpochStart
		answers []*kmsg.FetchResponseTopicPartition
		want    []string
	}{
		"inside our last epoch": {epochs(0, 10), []*kmsg.FetchResponseTopicPartition{diverging(1, 20)},
			[]string{"truncated 20 from 30 epoch 1", "data [20,40)", "done 40"}},
		"our last epoch never was": {epochs(0, 10, 20), []*kmsg.FetchResponseTopicPartition{diverging(1, 25)},
			[]string{"truncated 20 from 30 epoch 1", "data [20,40)", "done 40"}},
		"our last epoch never was, and the one before was shorter": {epochs(0, 10, 20), []*kmsg.FetchResponseTopicPartition{diverging(1, 15)},
			[]string{"truncated 15 from 30 epoch 1", "data [15,40)", "done 40"}},
		"step by step": {epochs(0, 10, 20), []*kmsg.FetchResponseTopicPartition{diverging(1, 25), diverging(0, 5)},
			[]string{"truncated 20 from 30 epoch 1", "truncated 5 from 20 epoch 0", "data [5,40)", "done 40"}},
		"nothing is common": {epochs(0, 10, 20), []*kmsg.FetchResponseTopicPartition{diverging(0, 0)},
			[]string{"truncated 0 from 30 epoch -1", "data [0,40)", "done 40"}},
		"nothing of ours": {epochs(0, 10, 20), []*kmsg.FetchResponseTopicPartition{diverging(2, 30)},
			[]string{"data [30,40)", "done 40"}},
		"nothing of ours, twice": {epochs(0, 10, 20), []*kmsg.FetchResponseTopicPartition{diverging(2, 30), diverging(7, 35)},
			[]string{"data [30,40)", "done 40"}},
	} {
		t.Run(what, func(t *testing.T) {
			plan := c.filled(t, 1, 4)
			tp := plan[0].TopicPartition
			plan[0].NextOffset, plan[0].Epochs = 30, test.epochs
			c.answerFetches(tp, plan[0].TopicID, first(test.answers...))
			fetch(t, c.Client, plan...).wantStory(t, tp, test.want...)
		})
	}
	t.Run("the new log starts behind it", func(t *testing.T) {
		plan := c.filled(t, 1, 4)
		tp := plan[0].TopicPartition
		plan[0].NextOffset, plan[0].Epochs = 30, epochs(0)
		if err := c.fake.DeleteRecords(tp.Topic, 0, 20); err != nil {
			t.Fatal(err)
		}
		c.answerFetches(tp, plan[0].TopicID, first(diverging(0, 10)))
		fetch(t, c.Client, plan...).wantStory(t, tp, "truncated 10 from 30 epoch 0", "gap [10,20) log_start_advanced", "data [20,40)", "done 40")
	})
	t.Run("again and again", func(t *testing.T) {
		plan := c.filled(t, 1, 4)
		tp := plan[0].TopicPartition
		plan[0].StopOffset = 50
		c.answerFetches(tp, plan[0].TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
			if asked.FetchOffset == 40 {
				return diverging(0, 0)
			}
			return nil
		})
		r := fetch(t, c.Client, plan...)
		if err := r.failure(tp); err == nil || !strings.Contains(err.Error(), "lost its end 100 times") {
			t.Errorf("got %v, want an end of it", err)
		}
	})
	t.Run("for no reason, for ever", func(t *testing.T) {
		plan := c.filled(t, 1, 4)
		tp := plan[0].TopicPartition
		c.answerFetches(tp, plan[0].TopicID, always(diverging(3, 40)))
		fetch(t, c.patient(t, briefly), plan...).wantStory(t, tp, "failed")
	})
}

func TestFetchOutOfRangeAboveTheEnd(t *testing.T) {
	c := startFake(t)
	at := func(epoch int32, first int64) coldstream.EpochStart {
		return coldstream.EpochStart{Epoch: epoch, FirstOffset: first}
	}
	for what, test := range map[string]struct {
		epochs []coldstream.EpochStart
		ends   map[int32]coldstream.EpochStart // what the broker says
		want   []string
	}{
		"the epoch is shorter there": {[]coldstream.EpochStart{at(3, 0)}, map[int32]coldstream.EpochStart{3: at(3, 40)},
			[]string{"truncated 40 from 60 epoch 3", "done 40"}},
		"another leader went on earlier": {[]coldstream.EpochStart{at(3, 0), at(5, 50)}, map[int32]coldstream.EpochStart{5: at(4, 40), 3: at(3, 30)},
			[]string{"truncated 40 from 60 epoch 3", "done 40"}},
		"the epoch is not known, the one before is": {[]coldstream.EpochStart{at(3, 0), at(5, 50)}, map[int32]coldstream.EpochStart{3: at(3, 35)},
			[]string{"truncated 35 from 60 epoch 3", "data [35,40)", "done 40"}},
		"no epoch is known": {[]coldstream.EpochStart{at(3, 10), at(5, 50)}, nil,
			[]string{"truncated 10 from 60 epoch -1", "data [10,40)", "done 40"}},
		"we have no epochs": {nil, nil,
			[]string{"truncated 40 from 60 epoch -1", "done 40"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			plan := c.filled(t, 1, 4)
			tp := plan[0].TopicPartition
			plan[0].NextOffset, plan[0].StopOffset, plan[0].Epochs = 60, 61, test.epochs
			c.answerEpochEnds(tp.Topic, test.ends)
			r := fetch(t, c.Client, plan...)
			r.wantStory(t, tp, test.want...)
		})
	}
	t.Run("but the epoch says no", func(t *testing.T) {
		t.Parallel()
		plan := c.filled(t, 1, 4)
		tp := plan[0].TopicPartition
		plan[0].NextOffset, plan[0].StopOffset, plan[0].Epochs = 60, 61, []coldstream.EpochStart{at(3, 0)}
		c.answerEpochEnds(tp.Topic, map[int32]coldstream.EpochStart{3: at(3, 60)})
		fetch(t, c.patient(t, briefly), plan...).wantStory(t, tp, "failed")
	})
}

func TestFetchOutOfRangeInsideTheRangeIsNoGap(t *testing.T) {
	c := startFake(t)
	outOfRange := refusal(kerr.OffsetOutOfRange.Code)
	begin := func(t *testing.T) (coldstream.FetchPosition, coldstream.TopicPartition) {
		t.Parallel()
		plan := c.filled(t, 1, 4)
		plan[0].NextOffset, plan[0].Epochs = 20, []coldstream.EpochStart{{Epoch: 5}}
		return plan[0], plan[0].TopicPartition
	}
	t.Run("an epoch that is not known", func(t *testing.T) {
		p, tp := begin(t)
		c.answerEpochEnds(tp.Topic, nil)
		c.answerFetches(tp, p.TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
			if asked.LastFetchedEpoch >= 0 {
				return outOfRange
			}
			return answerOf(40, ten(asked.FetchOffset))
		})
		fetch(t, c.Client, p).wantStory(t, tp, "data [20,40)", "done 40")
	})
	t.Run("an epoch that ends before", func(t *testing.T) {
		p, tp := begin(t)
		c.answerEpochEnds(tp.Topic, map[int32]coldstream.EpochStart{5: {Epoch: 5, FirstOffset: 10}})
		c.answerFetches(tp, p.TopicID, first(outOfRange))
		fetch(t, c.Client, p).wantStory(t, tp, "truncated 10 from 20 epoch 5", "data [10,40)", "done 40")
	})
	t.Run("for ever", func(t *testing.T) {
		p, tp := begin(t)
		c.answerEpochEnds(tp.Topic, nil)
		c.answerFetches(tp, p.TopicID, always(outOfRange))
		fetch(t, c.patient(t, briefly), p).wantStory(t, tp, "failed")
	})
	t.Run("and the ends cannot be asked for", func(t *testing.T) {
		p, tp := begin(t)
		c.answerFetches(tp, p.TopicID, always(outOfRange))
		c.answerListOffsets(tp.Topic, latestOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.ErrorCode = kerr.TopicAuthorizationFailed.Code })
		r := fetch(t, c.Client, p)
		r.wantStory(t, tp, "failed")
		if !errors.Is(r.failure(tp), coldstream.ErrDenied) {
			t.Errorf("got error %v, want ErrDenied", r.failure(tp))
		}
	})
	t.Run("and the answer about epochs is of another partition", func(t *testing.T) {
		p, tp := begin(t)
		c.answerFetches(tp, p.TopicID, always(outOfRange))
		c.fake.ControlKey(kmsg.OffsetForLeaderEpoch.Int16(), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			c.fake.KeepControl()
			if kreq.(*kmsg.OffsetForLeaderEpochRequest).Topics[0].Topic != tp.Topic {
				return nil, nil, false
			}
			resp := kreq.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
			answered := kmsg.NewOffsetForLeaderEpochResponseTopic()
			answered.Topic = tp.Topic
			other := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			other.Partition, other.LeaderEpoch, other.EndOffset = 1, 5, 10
			answered.Partitions = append(answered.Partitions, other)
			resp.Topics = append(resp.Topics, answered)
			return resp, nil, true
		})
		fetch(t, c.patient(t, briefly), p).wantStory(t, tp, "failed")
	})
}

// After an election the new leader's high watermark may lie behind for a while, though
// its log has all that was committed.
func TestFetchWaitsForAHighWatermarkThatIsBehind(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 2)
	tp := plan[0].TopicPartition
	var behind atomic.Int32
	c.answerFetches(tp, plan[0].TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
		switch {
		case asked.FetchOffset == 0:
			return answerOf(10, ten(0))
		case behind.Add(1) <= 2*badAnswers:
			return answerOf(int64(9 + behind.Load()%2))
		}
		return nil
	})
	fetch(t, c.Client, plan...).wantStory(t, tp, "data [0,20)", "done 20")
	if behind.Load() <= 2*badAnswers {
		t.Errorf("the leader was behind only %d times", behind.Load())
	}
}

func TestFetchEndsWhereALogWasCutBehindUs(t *testing.T) {
	c := startFake(t)
	plan := c.filled(t, 1, 2)
	tp := plan[0].TopicPartition
	epoch := c.fake.PartitionInfo(tp.Topic, 0).Epoch
	c.answerEpochEnds(tp.Topic, map[int32]coldstream.EpochStart{epoch: {Epoch: epoch, FirstOffset: 10}})
	c.answerFetches(tp, plan[0].TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
		if asked.FetchOffset == 0 {
			return answerOf(10, ten(0))
		}
		return answerOf(10)
	})
	fetch(t, c.Client, plan...).wantStory(t, tp, "data [0,10)", "done 10")
}

func TestFetchOfATailWithoutData(t *testing.T) {
	c := startFake(t)
	begin := func(t *testing.T) coldstream.FetchPosition {
		t.Parallel()
		plan := c.filled(t, 1, 4)
		plan[0].Compacted = true
		c.answerFetches(plan[0].TopicPartition, plan[0].TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
			if asked.FetchOffset == 0 {
				return answerOf(40, ten(0))
			}
			return answerOf(40)
		})
		return plan[0]
	}
	t.Run("of a compacted topic", func(t *testing.T) {
		p := begin(t)
		fetch(t, c.Client, p).wantStory(t, p.TopicPartition, "data [0,10)", "empty [10,40)", "done 40")
	})
	t.Run("of another topic", func(t *testing.T) {
		p := begin(t)
		p.Compacted = false
		r := fetch(t, c.patient(t, briefly), p)
		r.wantStory(t, p.TopicPartition, "data [0,10)", "failed")
		wantError(t, r.failure(p.TopicPartition), "no data for offsets [10, 40) though the high watermark is 40")
	})
	t.Run("that is in remote storage", func(t *testing.T) {
		p := begin(t)
		c.answerListOffsets(p.Topic, earliestLocalOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.Offset = 11 })
		fetch(t, c.patient(t, briefly), p).wantStory(t, p.TopicPartition, "data [0,10)", "failed")
	})
	t.Run("that comes late from remote storage", func(t *testing.T) {
		t.Parallel()
		plan := c.filled(t, 1, 4)
		c.answerListOffsets(plan[0].Topic, earliestLocalOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.Offset = 40 })
		var empties atomic.Int32
		c.answerFetches(plan[0].TopicPartition, plan[0].TopicID, func(kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
			if empties.Add(1) <= 2*badAnswers+1 {
				return answerOf(40)
			}
			return nil
		})
		fetch(t, c.Client, plan...).wantStory(t, plan[0].TopicPartition, "data [0,40)", "done 40")
	})
	t.Run("of a broker that knows no remote storage", func(t *testing.T) {
		p := begin(t)
		c.answerListOffsets(p.Topic, earliestLocalOffset, func(p *kmsg.ListOffsetsResponseTopicPartition) { p.ErrorCode = kerr.UnsupportedVersion.Code })
		fetch(t, c.Client, p).wantStory(t, p.TopicPartition, "data [0,10)", "empty [10,40)", "done 40")
	})
	t.Run("as far as the high watermark", func(t *testing.T) {
		t.Parallel()
		plan := c.filled(t, 1, 4)
		p := plan[0]
		p.Compacted = true
		var late atomic.Int32
		c.answerFetches(p.TopicPartition, p.TopicID, func(asked kmsg.FetchRequestTopicPartition) *kmsg.FetchResponseTopicPartition {
			switch {
			case asked.FetchOffset < 10:
				return answerOf(20, ten(0))
			case late.Add(1) <= badAnswers:
				return answerOf(20)
			}
			return nil
		})
		fetch(t, c.Client, p).wantStory(t, p.TopicPartition, "data [0,10)", "empty [10,20)", "data [20,40)", "done 40")
	})
}

// Others may have filled the answer. What the first in a request gets is not crowded out.
func TestFetchConcludesNothingForThoseBehindOthers(t *testing.T) {
	r := &recorder{}
	e := &fetchEngine{sink: r, done: make(chan struct{})}
	p := &fetchPartition{FetchPosition: coldstream.FetchPosition{StopOffset: 40, Compacted: true}}
	for range 4 * badAnswers {
		if err := e.take(t.Context(), p, answerOf(40), &fetchAnswer{first: &fetchPartition{}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.events) > 0 || p.NextOffset != 0 || p.failing.count > 0 || p.empty > 0 {
		t.Errorf("got %v, at offset %d after %d failures and %d empty answers", r.events, p.NextOffset, p.failing.count, p.empty)
	}
}
