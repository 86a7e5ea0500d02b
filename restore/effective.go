package restore

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"coldstream"
)

// ConfigsMode says which configs a topic that is made ends with.
type ConfigsMode string

// The modes of --configs.
const (
	// ConfigsEffective sets also what the topic had from its brokers, where it decides over
	// data and the target's brokers have it otherwise.
	ConfigsEffective ConfigsMode = "effective"
	ConfigsOwn       ConfigsMode = "own"  // what the topic carried itself
	ConfigsNone      ConfigsMode = "none" // nothing: what the target's brokers have holds
)

const (
	cfgTimestampType  = "message.timestamp.type"
	cfgBefore         = "message.timestamp.before.max.ms"
	cfgAfter          = "message.timestamp.after.max.ms"
	cfgDifference     = "message.timestamp.difference.max.ms" // before and after in one, up to Kafka 3
	cfgSegmentBytes   = "segment.bytes"
	cfgCompression    = "compression.type"
	ownSource         = "DYNAMIC_TOPIC_CONFIG"
	throttledLeaders  = "leader.replication.throttled.replicas"
	throttledFollower = "follower.replication.throttled.replicas"
)

// decides are the configs by which brokers keep, drop, refuse and restamp records.
func decides() []string {
	return []string{
		cfgCleanup, cfgRetentionMs, cfgRetentionBytes, "delete.retention.ms", "min.compaction.lag.ms", "max.compaction.lag.ms",
		cfgTimestampType, cfgBefore, cfgAfter, cfgDifference, cfgMaxMessage, "min.insync.replicas", "unclean.leader.election.enable",
	}
}

// staysBehind says why a config never travels to another cluster, or "".
func staysBehind(name string) string {
	if name == throttledLeaders || name == throttledFollower {
		return "it names brokers of the source"
	}
	return ""
}

// effective is a config's value as it holds for a topic, and where it comes from, in Kafka's
// words.
type effective struct{ value, source string }

// sourceConfigs are the configs that decided over a topic's data, as far as the snapshot
// knows, by the names that the target has for them.
func sourceConfigs(t *coldstream.Topic, defaults *coldstream.TopicDefaults, known map[string]string) map[string]effective {
	out := map[string]effective{}
	for _, name := range decides() {
		if of := inherited(t, defaults.Of(name)); of != nil && !of.Sensitive {
			out[name] = effective{of.Value, of.Source}
		}
	}
	for _, c := range t.Configs {
		if slices.Contains(decides(), c.Name) && !c.Sensitive {
			out[c.Name] = effective{c.Value, cmp.Or(c.Source, ownSource)}
		}
	}
	translateBounds(out, known)
	return out
}

// inherited chooses among values of which each holds on some brokers: the one of most of the
// topic's preferred leaders, for leaders decide what is deleted first.
func inherited(t *coldstream.Topic, values []coldstream.DefaultConfig) *coldstream.DefaultConfig {
	if len(values) == 0 {
		return nil
	}
	leads := func(d *coldstream.DefaultConfig) (n int) {
		for _, part := range t.Partitions {
			if len(part.Replicas) > 0 && slices.Contains(d.Brokers, part.Replicas[0]) {
				n++
			}
		}
		return n
	}
	best := &values[0]
	for i := range values {
		if leads(&values[i]) > leads(best) {
			best = &values[i]
		}
	}
	return best
}

// translateBounds gives bounds of timestamps the names that the target knows. Kafka 3.6 split
// one config in two, and Kafka 4 dropped the one.
func translateBounds(configs map[string]effective, known map[string]string) {
	_, knowsOne := known[cfgDifference]
	_, knowsTwo := known[cfgAfter]
	both, hasOne := configs[cfgDifference]
	before, hasBefore := configs[cfgBefore]
	after, hasAfter := configs[cfgAfter]
	switch {
	case hasOne && knowsTwo && !knowsOne:
		// Where both are there, the older one holds as long as the newer ones have their default.
		unlimited := strconv.FormatInt(math.MaxInt64, 10)
		if !hasBefore || before.value == unlimited {
			configs[cfgBefore] = both
		}
		if !hasAfter || after.value == unlimited {
			configs[cfgAfter] = both
		}
		delete(configs, cfgDifference)
	case !hasOne && knowsOne && !knowsTwo && hasBefore && hasAfter:
		if number(before.value) < number(after.value) {
			before = after
		}
		configs[cfgDifference] = before
		delete(configs, cfgBefore)
		delete(configs, cfgAfter)
	}
}

func number(value string) int64 {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// sameValue says that brokers take two values for the same.
func sameValue(name, a, b string) bool {
	if name != cfgCleanup {
		return a == b
	}
	parts := func(list string) []string {
		var out []string
		for part := range strings.SplitSeq(list, ",") {
			out = append(out, strings.TrimSpace(part))
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(parts(a), parts(b))
}

// targetDefaults are the values that a config has in the target without a topic's own.
func (p *Plan) targetDefaults(known map[string]string, name string) []coldstream.DefaultConfig {
	if values := p.defaults.Of(name); len(values) > 0 {
		return values
	}
	if value, ok := known[name]; ok {
		return []coldstream.DefaultConfig{{Config: coldstream.Config{Name: name, Value: value}}}
	}
	return nil
}

// differs says whether any broker of the target has another value.
func differs(name, value string, defaults []coldstream.DefaultConfig) bool {
	return slices.ContainsFunc(defaults, func(d coldstream.DefaultConfig) bool { return !sameValue(name, d.Value, value) })
}

// describeDefaults says what the brokers have, for people.
func describeDefaults(defaults []coldstream.DefaultConfig) (value, source string) {
	var values, sources []string
	for _, d := range defaults {
		where := ""
		if len(d.Brokers) > 0 {
			where = " on broker " + strings.Trim(strings.ReplaceAll(fmt.Sprint(d.Brokers), " ", ", "), "[]")
		}
		values = append(values, d.Value+where)
		if d.Source != "" && !slices.Contains(sources, d.Source) {
			sources = append(sources, d.Source)
		}
	}
	return strings.Join(values, ", "), strings.Join(sources, ", ")
}

// differingConfig is one that decides over data and that the target's brokers, or its topic,
// have otherwise than the source had.
type differingConfig struct {
	name         string
	source       effective
	target       string
	targetSource string
	set          bool // on the topic, as the source had it
}

// compareConfigs finds what decides over data and would not be as it was, and sets it on a
// topic that is to be made, if that is asked for.
func (p *Plan) compareConfigs(t *topicPlan) {
	c := t.configs
	source := sourceConfigs(&t.source, p.sourceDefaults, t.known)
	for _, name := range decides() {
		was, ok := source[name]
		if _, known := t.known[name]; !ok || !known {
			continue
		}
		if value, own := c.final[name]; own {
			if !sameValue(name, value, was.value) {
				c.differ = append(c.differ, differingConfig{name, was, value, ownSource, false})
			}
			continue
		}
		defaults := p.targetDefaults(t.known, name)
		if len(defaults) == 0 || !differs(name, was.value, defaults) {
			continue
		}
		d := differingConfig{name: name, source: was}
		d.target, d.targetSource = describeDefaults(defaults)
		// What the topic itself carried under another name is set like its own.
		if t.create && (p.req.Configs == ConfigsEffective || p.req.Configs == ConfigsOwn && was.source == ownSource) {
			c.final[name], d.set = was.value, true
		}
		c.differ = append(c.differ, d)
	}
}
