package metrics

import (
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"coldstream/internal/protection"
)

// description is a gauge that is made from the backup's state at each scrape.
type description struct {
	name   string
	help   string
	labels []string
}

func (d *description) desc() *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+d.name, d.help, d.labels, nil)
}

func descriptions() []description {
	topic, partition := []string{"topic"}, []string{"topic", "partition"}
	return []description{
		{"start_timestamp_seconds", "When the backup began.", nil},
		{"last_commit_timestamp_seconds", "When the newest commit of this process was durable; 0 if there is none.", nil},
		{"last_snapshot_timestamp_seconds", "When the newest snapshot of this process was taken; 0 if there is none.", nil},
		{"buffered_bytes", "Bytes that were read and are not saved yet.", nil},
		{"topics", "Topics that are followed.", nil},
		{"unmatched_patterns", "Patterns of topics that match nothing.", nil},
		{"outage_seconds", "For how long the cluster or the storage as a whole has not served; 0 while it does.", []string{"side"}},
		{"other_writers", "Other processes that wrote to the vault in the last hour.", nil},
		{"clock_ahead_seconds", "By how much the newest commit of another process is ahead of this host's clock; 0 if none is.", nil},
		{"topic_rpo_seconds", "0 while every partition is saved to its end, else the time since all of the topic was last saved; +Inf if it never was.", topic},
		{"topic_max_rpo_seconds", "The bound that is set for the RPO; there is none where no bound is set.", topic},
		{"topic_protected", "1 once the vault has held all of the topic, else 0.", topic},
		{"topic_lag_records", "Offsets that are not saved yet.", topic},
		{"topic_lag_bytes", "About how many bytes that is.", topic},
		{"topic_headroom_seconds", "How long the brokers keep, at present rates, the oldest record that is not saved; +Inf if nothing deletes it.", topic},
		{"topic_lost_offsets", "Offsets that were gone before they could be saved, since the process began.", topic},
		{"topic_trouble_partitions", "Partitions that cannot be read now. Of a topic that cannot be read as a whole: at least 1.", topic},
		{"topics_folded", "Topics that have no series of their own, but are in \"" + Others + "\".", nil},
		{"partition_lag_records", "Offsets of a partition that are not saved yet. Only where partitions are asked for.", partition},
		{"partition_saved_offset", "Where what is saved of a partition ends. Only where partitions are asked for.", partition},
	}
}

// topicValues are the values of a topic, or of several together: the worst, or the sum.
type topicValues struct {
	rpo, protected, lagRecords, lagBytes, headroom, lost, trouble float64

	maxRPO *float64
}

func valuesOf(t *protection.Topic) topicValues {
	v := topicValues{rpo: math.Inf(1), headroom: math.Inf(1), lagRecords: float64(t.LagRecords), lost: float64(t.LostOffsets), maxRPO: t.MaxRPOSeconds}
	if t.RPOSeconds != nil {
		v.rpo = *t.RPOSeconds
	}
	if t.Protected || v.rpo == 0 {
		v.protected = 1
	}
	if t.LagBytes != nil {
		v.lagBytes = float64(*t.LagBytes)
	}
	if t.HeadroomSeconds != nil {
		v.headroom = *t.HeadroomSeconds
	}
	v.trouble = float64(len(t.Errors))
	return v
}

// fold takes another topic in.
func (v *topicValues) fold(o topicValues) {
	v.rpo, v.protected, v.headroom = max(v.rpo, o.rpo), min(v.protected, o.protected), min(v.headroom, o.headroom)
	v.lagRecords, v.lagBytes = v.lagRecords+o.lagRecords, v.lagBytes+o.lagBytes
	v.lost, v.trouble = v.lost+o.lost, v.trouble+o.trouble
	if o.maxRPO != nil && (v.maxRPO == nil || *o.maxRPO < *v.maxRPO) {
		v.maxRPO = o.maxRPO
	}
}

// topics gives series to the first topics by name, and one to all others.
func (c *collection) topics(d *protection.Document, opts *Options) {
	var others *topicValues
	folded := 0
	for i := range d.Topics {
		t := &d.Topics[i]
		v := valuesOf(t)
		if i < opts.MaxTopics {
			c.topic(t.Topic, &v)
			if opts.Partitions {
				c.partitions(t)
			}
			continue
		}
		folded++
		if others == nil {
			others = &v
			continue
		}
		others.fold(v)
	}
	c.gauge("topics_folded", float64(folded))
	if others != nil {
		c.topic(Others, others)
	}
}

func (c *collection) topic(topic string, v *topicValues) {
	c.gauge("topic_rpo_seconds", v.rpo, topic)
	c.gauge("topic_protected", v.protected, topic)
	c.gauge("topic_lag_records", v.lagRecords, topic)
	c.gauge("topic_lag_bytes", v.lagBytes, topic)
	c.gauge("topic_headroom_seconds", v.headroom, topic)
	c.gauge("topic_lost_offsets", v.lost, topic)
	c.gauge("topic_trouble_partitions", v.trouble, topic)
	if v.maxRPO != nil {
		c.gauge("topic_max_rpo_seconds", *v.maxRPO, topic)
	}
}

func (c *collection) partitions(t *protection.Topic) {
	for _, p := range t.Partitions {
		partition := strconv.Itoa(int(p.Partition))
		c.gauge("partition_lag_records", float64(p.LagRecords), t.Topic, partition)
		c.gauge("partition_saved_offset", float64(p.NextOffset), t.Topic, partition)
	}
}
