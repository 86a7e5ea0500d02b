package restore

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"coldstream"
	"coldstream/internal/terminal"
)

// The configs that a restore changes for its time, and those that could keep records
// from being written.
const (
	cfgCleanup        = "cleanup.policy"
	cfgRetentionMs    = "retention.ms"
	cfgRetentionBytes = "retention.bytes"
	cfgMaxMessage     = "max.message.bytes"
	cfgIndexBytes     = "segment.index.bytes"
)

// duringRestore are the configs under which a broker takes stored batches as they are and
// removes nothing.
func duringRestore(maxBatchBytes int64) map[string]string {
	forever := strconv.FormatInt(math.MaxInt64, 10)
	return map[string]string{
		cfgCleanup:                            "delete",
		cfgRetentionMs:                        "-1",
		cfgRetentionBytes:                     "-1",
		"compression.type":                    "producer",
		"message.timestamp.type":              "CreateTime",
		"message.timestamp.before.max.ms":     forever,
		"message.timestamp.after.max.ms":      forever,
		"message.timestamp.difference.max.ms": forever,
		cfgMaxMessage:                         strconv.FormatInt(maxBatchBytes, 10),
		// No batch may be larger than a segment.
		"segment.bytes": strconv.Itoa(1 << 30),
	}
}

// isBeingRestored says that a topic's own configs are those of a restore: one that goes on
// at this moment, or one that was cut off. Whoever took them for the topic's own would put
// them back at the end, and what the topic had is lost.
func isBeingRestored(own []coldstream.Config) bool {
	during := duringRestore(0)
	marks := []string{cfgCleanup, cfgRetentionMs, cfgRetentionBytes, "compression.type", "message.timestamp.type"}
	for _, c := range own {
		if c.Value == during[c.Name] {
			marks = slices.DeleteFunc(marks, func(name string) bool { return name == c.Name })
		}
	}
	return len(marks) == 0
}

// laterOnly are configs that are set only at the end: with them a broker could refuse
// batches, or fewer brokers than the source had could not take any.
func laterOnly() []string {
	return []string{"segment.bytes", "segment.ms", cfgIndexBytes, "min.insync.replicas", "remote.storage.enable", "preallocate"}
}

// configPlan is what happens to the configs of one target topic.
type configPlan struct {
	// original are the topic's own configs when the restore is done.
	original map[string]string
	during   map[string]string
	leftOut  []string
	held     []heldConfig
}

type heldConfig struct {
	name, value string // the value that was not put back
}

// planConfigs keeps of the original configs what the target knows.
func planConfigs(own []coldstream.Config, known map[string]string, maxBatchBytes int64) *configPlan {
	p := &configPlan{original: map[string]string{}}
	for _, c := range own {
		if _, ok := known[c.Name]; !ok || c.Sensitive {
			p.leftOut = append(p.leftOut, c.Name)
			continue
		}
		p.original[c.Name] = c.Value
	}
	need := maxBatchBytes + maxBatchBytes/8 + 64<<10 // re-encoded batches may grow a little
	for _, value := range []string{known[cfgMaxMessage], p.original[cfgMaxMessage]} {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			need = max(need, n)
		}
	}
	p.during = duringRestore(min(need, math.MaxInt32))
	maps.DeleteFunc(p.during, func(name, _ string) bool {
		_, ok := known[name]
		return !ok
	})
	return p
}

// smallPartition is one whose offset index stays far below smallIndex: an entry takes 8
// bytes, and comes with every 4 KiB of records.
const (
	smallPartition = 16 << 20
	smallIndex     = 64 << 10
)

// takeSmallIndexes keeps brokers from making index files of 10 MiB for each of many small
// partitions, which took longer than writing their records.
func (p *configPlan) takeSmallIndexes(known map[string]string) {
	if _, ok := known[cfgIndexBytes]; ok {
		p.during[cfgIndexBytes] = strconv.Itoa(smallIndex)
	}
}

// create are the configs to make a topic with.
func (p *configPlan) create() map[string]string {
	out := maps.Clone(p.original)
	for _, name := range laterOnly() {
		delete(out, name)
	}
	maps.Copy(out, p.during)
	return out
}

// putBack is the change that ends a restore.
func (p *configPlan) putBack() coldstream.ConfigChange {
	change := coldstream.ConfigChange{Set: map[string]string{}}
	held := map[string]bool{}
	for _, h := range p.held {
		held[h.name] = true
	}
	for name, value := range p.original {
		if _, changed := p.during[name]; !held[name] && (changed || slices.Contains(laterOnly(), name)) {
			change.Set[name] = value
		}
	}
	for name := range p.during {
		if _, own := p.original[name]; !own && !held[name] {
			change.Remove = append(change.Remove, name)
		}
	}
	slices.Sort(change.Remove)
	return change
}

// oldest is what retention would look at.
type retained struct {
	oldestMs  int64 // the oldest of the runs' largest timestamps; -1 if there is none
	sizeBytes int64 // of the largest partition
}

// hold keeps retention off where it would delete what was restored.
func (p *configPlan) hold(r retained, known map[string]string, now time.Time) {
	p.held = nil
	effective := func(name string) string {
		if v, ok := p.original[name]; ok {
			return v
		}
		return known[name]
	}
	policy := effective(cfgCleanup)
	if policy != "" && !coldstream.HasPolicy(policy, "delete") {
		return
	}
	if ms, err := strconv.ParseInt(effective(cfgRetentionMs), 10, 64); err == nil && ms >= 0 && r.oldestMs >= 0 && r.oldestMs < now.UnixMilli()-ms {
		p.held = append(p.held, heldConfig{cfgRetentionMs, effective(cfgRetentionMs)})
	}
	if limit, err := strconv.ParseInt(effective(cfgRetentionBytes), 10, 64); err == nil && limit >= 0 && r.sizeBytes > limit {
		p.held = append(p.held, heldConfig{cfgRetentionBytes, effective(cfgRetentionBytes)})
	}
}

// command is what puts a held config back by hand.
func (h *heldConfig) command(bootstrap, topic string) string {
	where := ""
	if bootstrap != "" {
		where = " --bootstrap-server " + terminal.Quote(bootstrap)
	}
	return fmt.Sprintf("kafka-configs.sh%s --alter --topic %s --add-config %s", where, terminal.Quote(topic), terminal.Quote(h.name+"="+h.value))
}
