package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream"
)

// topics says which topics the job takes, which it skips and why, and which cannot be read
// now or may be gone before the next backup.
func (d *doctor) topics(ctx context.Context) {
	cluster, err := d.client.Metadata(ctx, nil)
	if err != nil {
		d.out.addError("topics", "", StatusFail, err)
		return
	}
	if hidden := d.checkup.Topics.Unmatched(cluster.Topics); len(hidden) > 0 && d.checkup.Job != JobRestore {
		named, err := d.client.Metadata(ctx, hidden)
		if err != nil {
			d.out.addError("topics", "", StatusFail, err)
			return
		}
		for _, t := range named.Topics {
			if errors.Is(t.Err, coldstream.ErrDenied) {
				cluster.Topics = append(cluster.Topics, t)
			}
		}
	}
	patterns := d.checkup.Topics
	if patterns == nil {
		patterns = &coldstream.Patterns{}
	}
	d.chosen, err = patterns.Select(cluster.Topics)
	if err != nil && d.checkup.Job != JobRestore {
		d.out.addError("topics", "", StatusFail, err)
	}
	if err := d.client.TopicConfigs(ctx, d.chosen); err != nil {
		d.out.addError("topics", "", StatusFail, err)
	}
	d.skipped(cluster.Topics)
	partitions := 0
	for i := range d.chosen {
		partitions += len(d.chosen[i].Partitions)
		d.topic(&d.chosen[i])
	}
	if d.checkup.Job != JobRestore {
		d.out.Add("topics", "", StatusOK, fmt.Sprintf("%d chosen, with %d partitions", len(d.chosen), partitions))
	}
}

// skipped names what is left out although nobody said so.
func (d *doctor) skipped(all []coldstream.Topic) {
	if d.checkup.Job == JobRestore {
		return
	}
	chosen := map[string]bool{}
	for i := range d.chosen {
		chosen[d.chosen[i].Name] = true
	}
	for i := range all {
		switch t := &all[i]; {
		case chosen[t.Name]:
		case t.Internal:
			d.out.Add("topics", t.Name, StatusOK, "skipped: it is Kafka's own; name it to save it too")
		case coldstream.IsInternalName(t.Name):
			d.out.Add("topics", t.Name, StatusWarn, "skipped: its name begins with __, and such topics are saved only by name").Hint = "if it is yours, name it among the topics"
		}
	}
}

// topic looks at one topic that is chosen.
func (d *doctor) topic(t *coldstream.Topic) {
	if t.Err != nil {
		d.out.addError("topics", t.Name, StatusFail, t.Err)
		return
	}
	var offline []string
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			offline = append(offline, strconv.Itoa(int(p.ID)))
		}
	}
	if len(offline) > 0 {
		d.out.Add("offline", t.Name, StatusFail, "partitions without a leader: "+strings.Join(offline, ", ")).Hint =
			"bring back the brokers that hold them; until then they are neither saved nor restored into"
	}
	if d.checkup.Job != JobRestore {
		d.retention(t)
	}
}

// retention compares how long records stay with how often they are fetched.
func (d *doctor) retention(t *coldstream.Topic) {
	every := d.checkup.Every
	if every <= 0 {
		return
	}
	const hint = "run backups more often, or a continuous one, or raise the config"
	if own, ok := milliseconds(t, "retention.ms"); ok && coldstream.HasPolicy(t.CleanupPolicy, "delete") && own < 2*every {
		d.out.Add("retention", t.Name, StatusWarn, fmt.Sprintf("retention.ms is %s, and backups run every %s: records may be gone before they are saved", own, every)).Hint = hint
	}
	if own, ok := milliseconds(t, "delete.retention.ms"); ok && coldstream.HasPolicy(t.CleanupPolicy, "compact") && own < every {
		d.out.Add("retention", t.Name, StatusWarn, fmt.Sprintf("delete.retention.ms is %s, and backups run every %s: each backup reads the topic again in full", own, every)).Hint = hint
	}
}

func milliseconds(t *coldstream.Topic, name string) (time.Duration, bool) {
	text, ok := t.Config(name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(n, most)) * time.Millisecond, err == nil && n >= 0
}

// clockSkew is how far clocks may differ before that is warned of.
const clockSkew = 5 * time.Minute

// clock compares clocks: the protocol tells the time of the controller, to who may describe
// the cluster, as the moment when the brokers last fetched the cluster's metadata.
func (d *doctor) clock(ctx context.Context) {
	if !d.apis[kmsg.DescribeQuorum.Int16()] {
		d.out.Add("clock", "brokers", StatusOK, "not checked: this cluster does not tell (DescribeQuorum, Kafka 3.3)")
		return
	}
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	ctx, cancel := context.WithTimeout(ctx, 2*probeTimeout)
	defer cancel()
	before := d.checkup.Now()
	resp, err := req.RequestWith(ctx, d.client.kgo)
	if err == nil {
		err = d.client.lacksOnCluster(brokerError(resp.ErrorCode, nil), "Describe")
	}
	if err != nil {
		d.out.addError("clock", "brokers", StatusWarn, fmt.Errorf("not checked: %w", err))
		return
	}
	latest := latestFetch(resp)
	if latest <= 0 {
		d.out.Add("clock", "brokers", StatusOK, "not checked: the controller does not tell")
		return
	}
	skew := time.UnixMilli(latest).Sub(before).Round(time.Second)
	line := d.out.Add("clock", "brokers", StatusOK, fmt.Sprintf("the controller's clock and this host's differ by %s", skew.Abs()))
	if skew.Abs() > clockSkew {
		line.Status, line.Hint = StatusWarn, "set the clocks by NTP: times of snapshots are this host's, times of records those of producers and brokers"
	}
}

// latestFetch is the newest time of all that the controller tells, in ms since 1970.
func latestFetch(resp *kmsg.DescribeQuorumResponse) int64 {
	latest := int64(-1)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if kerr.ErrorForCode(p.ErrorCode) != nil {
				continue
			}
			for _, r := range append(append([]kmsg.DescribeQuorumResponseTopicPartitionReplicaState(nil), p.CurrentVoters...), p.Observers...) {
				latest = max(latest, r.LastFetchTimestamp, r.LastCaughtUpTimestamp)
			}
		}
	}
	return latest
}
