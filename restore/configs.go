package restore

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
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
		cfgCleanup:        "delete",
		cfgRetentionMs:    "-1",
		cfgRetentionBytes: "-1",
		cfgCompression:    "producer",
		cfgTimestampType:  "CreateTime",
		cfgBefore:         forever,
		cfgAfter:          forever,
		cfgDifference:     forever,
		cfgMaxMessage:     strconv.FormatInt(maxBatchBytes, 10),
		// No batch may be larger than a segment.
		cfgSegmentBytes: strconv.Itoa(1 << 30),
	}
}

// isBeingRestored says that a topic's own configs are those of a restore: one that goes on
// at this moment, or one that was cut off. Whoever took them for the topic's own would put
// them back at the end, and what the topic had is lost.
func isBeingRestored(own []coldstream.Config) bool {
	during := duringRestore(0)
	marks := []string{cfgCleanup, cfgRetentionMs, cfgRetentionBytes, cfgCompression, cfgTimestampType}
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
	// final are the topic's own configs when the restore is done.
	final map[string]string
	// during are those that the restore changes for its time.
	during map[string]string
	// asked are those that were asked for, replaced the values that a topic had of them.
	asked, replaced map[string]string
	// direct says that a topic is made with its final configs, and nothing is changed at the
	// end: the right for that is missing.
	direct bool
	// there says that the topic is there already: what it does not have changed stays.
	there   bool
	needs   int64 // bytes of the largest batch that is written, at most
	leftOut []leftOutConfig
	differ  []differingConfig
	held    []heldConfig
}

type leftOutConfig struct{ name, value, why string }

type heldConfig struct {
	name, value string // the value that was not put back
	own         bool   // the topic's, not its brokers'
}

const whyUnknown = "the cluster does not know it"

// planConfigs keeps of a topic's own configs what the target knows.
func planConfigs(own []coldstream.Config, known map[string]string, maxBatchBytes int64) *configPlan {
	p := &configPlan{final: map[string]string{}, asked: map[string]string{}}
	for _, c := range own {
		_, isKnown := known[c.Name]
		switch {
		case !isKnown:
			p.leaveOut(c.Name, c.Value, whyUnknown)
		case c.Sensitive:
			p.leaveOut(c.Name, "", "brokers do not tell its value")
		default:
			p.final[c.Name] = c.Value
		}
	}
	p.needs = maxBatchBytes + maxBatchBytes/8 + 64<<10 // re-encoded batches may grow a little
	room := p.needs
	for _, value := range []string{known[cfgMaxMessage], p.final[cfgMaxMessage]} {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			room = max(room, n)
		}
	}
	p.during = duringRestore(min(room, math.MaxInt32))
	maps.DeleteFunc(p.during, func(name, _ string) bool {
		_, ok := known[name]
		return !ok
	})
	return p
}

func (p *configPlan) leaveOut(name, value, why string) {
	delete(p.final, name)
	p.leftOut = append(p.leftOut, leftOutConfig{name, value, why})
}

// travels takes out what means nothing in another cluster.
func (p *configPlan) travels() {
	for _, name := range slices.Sorted(maps.Keys(p.final)) {
		if why := staysBehind(name); why != "" {
			p.leaveOut(name, p.final[name], why)
		}
	}
}

// ask takes the configs that were asked for, which win.
func (p *configPlan) ask(configs map[string]string) {
	p.asked, p.replaced = configs, map[string]string{}
	for name := range configs {
		if value, ok := p.final[name]; ok {
			p.replaced[name] = value
		}
	}
	maps.Copy(p.final, configs)
	p.leftOut = slices.DeleteFunc(p.leftOut, func(l leftOutConfig) bool {
		_, asked := configs[l.name]
		return asked
	})
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
func (p *configPlan) create() map[string]string { return p.createWith(p.during) }

func (p *configPlan) createWith(during map[string]string) map[string]string {
	out := maps.Clone(p.final)
	if p.direct {
		return out
	}
	for _, name := range laterOnly() {
		delete(out, name)
	}
	maps.Copy(out, during)
	return out
}

// putBack is the change that ends a restore.
func (p *configPlan) putBack() coldstream.ConfigChange {
	held := map[string]string{}
	for _, h := range p.held {
		held[h.name] = h.value
	}
	return p.putBackBut(held)
}

// undo is the change that leaves a topic as if there had been no restore.
func (p *configPlan) undo() coldstream.ConfigChange {
	as := *p
	if p.there {
		as.final, as.asked = maps.Clone(p.final), nil
		for name := range p.asked {
			delete(as.final, name)
		}
		for name, value := range p.replaced {
			as.final[name] = value
		}
	}
	return as.putBackBut(nil)
}

func (p *configPlan) putBackBut(held map[string]string) coldstream.ConfigChange {
	change := coldstream.ConfigChange{Set: map[string]string{}}
	if p.direct {
		return change
	}
	for name, value := range p.final {
		_, changed := p.during[name]
		_, asked := p.asked[name]
		later := !p.there && slices.Contains(laterOnly(), name)
		if _, isHeld := held[name]; !isHeld && (changed || later || asked && p.there) {
			change.Set[name] = value
		}
	}
	for name := range p.during {
		_, own := p.final[name]
		if _, isHeld := held[name]; !own && !isHeld {
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

// values are those that a config has in the target when the restore is done: several where
// the topic does not set it and brokers differ.
func (p *Plan) values(t *topicPlan, name string) []string {
	if v, ok := t.configs.final[name]; ok {
		return []string{v}
	}
	var out []string
	for _, d := range p.targetDefaults(t.known, name) {
		out = append(out, d.Value)
	}
	return out
}

// hold keeps retention off where it would delete what was restored.
func (p *Plan) hold(t *topicPlan, r retained, now time.Time) {
	c := t.configs
	c.held = nil
	for _, name := range []string{cfgRetentionMs, cfgRetentionBytes} {
		if _, changed := c.during[name]; !changed {
			continue // it holds already
		}
		if value, would := p.wouldDelete(t, name, r, now); would {
			_, own := c.final[name]
			c.held = append(c.held, heldConfig{name, value, own})
		}
	}
}

// wouldDelete says whether a retention would delete what was restored, and its value. A
// policy that is known and empty keeps records for ever.
func (p *Plan) wouldDelete(t *topicPlan, name string, r retained, now time.Time) (string, bool) {
	policies := p.values(t, cfgCleanup)
	deletes := func(policy string) bool { return coldstream.HasPolicy(policy, "delete") }
	if len(policies) > 0 && !slices.ContainsFunc(policies, deletes) {
		return "", false
	}
	for _, value := range p.values(t, name) {
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil || n < 0:
		case name == cfgRetentionMs && r.oldestMs >= 0 && r.oldestMs < now.UnixMilli()-n,
			name == cfgRetentionBytes && r.sizeBytes > n:
			return value, true
		}
	}
	return "", false
}

// command is what puts a held config back by hand.
func (h *heldConfig) command(bootstrap, topic string) string {
	change := coldstream.ConfigChange{Remove: []string{h.name}}
	if h.own {
		change = coldstream.ConfigChange{Set: map[string]string{h.name: h.value}}
	}
	return alterCommands(bootstrap, topic, change)[0]
}

// alterCommands are what a person types to make a change of configs.
func alterCommands(bootstrap, topic string, change coldstream.ConfigChange) []string {
	line := "kafka-configs.sh"
	if bootstrap != "" {
		line += " --bootstrap-server " + terminal.Quote(bootstrap)
	}
	line += " --alter --topic " + terminal.Quote(topic)
	var out []string
	if len(change.Set) > 0 {
		var pairs []string
		for _, name := range slices.Sorted(maps.Keys(change.Set)) {
			value := change.Set[name]
			if value == "" || strings.Contains(value, ",") {
				value = "[" + value + "]"
			}
			pairs = append(pairs, name+"="+value)
		}
		out = append(out, line+" --add-config "+terminal.Quote(strings.Join(pairs, ",")))
	}
	if len(change.Remove) > 0 {
		out = append(out, line+" --delete-config "+strings.Join(change.Remove, ","))
	}
	return out
}
