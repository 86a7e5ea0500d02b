// Package restore moves a snapshot of a vault into a Target. A plan decides everything
// and changes nothing; carrying it out does what the plan says and nothing else.
package restore

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"coldstream"
)

// OffsetsMode says which offsets restored records shall have.
type OffsetsMode string

// The modes.
const (
	OffsetsAuto      OffsetsMode = "auto"      // exact where it can be had, else translate
	OffsetsExact     OffsetsMode = "exact"     // the source's, or nothing is restored
	OffsetsTranslate OffsetsMode = "translate" // from the target's end on, with an exact map
)

// Request is what a user asks for.
type Request struct {
	// Topics chooses among the snapshot's; nil takes all of them.
	Topics *coldstream.Patterns
	// Partitions restricts all topics to these; nil takes all.
	Partitions []int32
	Maps       []Map
	// Snapshot is an ID or a unique prefix of one; empty takes the newest snapshot that
	// holds all topics asked for.
	Snapshot string
	// Tags are those that the snapshot must have.
	Tags coldstream.TagFilter
	// At restores what the logs held at a time, see [vault.Catalog.Show]; zero for none. Archive
	// restores all that the vault holds of the topics. At most one of Snapshot, At and Archive is given.
	At      time.Time
	Archive bool
	// Since and Until restore a part of each partition: from one bound on, and what is before the
	// other. Nil takes all.
	Since, Until *Bound
	// ClusterID chooses among the clusters of a vault that has several.
	ClusterID string
	Offsets   OffsetsMode
	// Groups restores all consumer groups, GroupNames the named ones.
	Groups     bool
	GroupNames []string
	// GroupsOnly restores no records: groups get their offsets through the offset map of the
	// last restore of the topics, or of RestoreID, which is an ID or a unique prefix of one.
	GroupsOnly bool
	RestoreID  string
	// StateFile keeps the restore's records instead of the vault, to which nothing is written
	// then. It must not be there, but for GroupsOnly and Resume: those go on with the file of a restore.
	StateFile string
	// Held says that the caller holds the snapshot, so that nobody takes it away meanwhile.
	Held bool
	// Command are the words of the command line that say what is restored, as a user would type
	// them. They tell one restore from another, so that one that was cut off can be resumed. Without
	// them no restore can.
	Command []string
	// Resume goes on with the unfinished restore of the same command, or begins one if there is none.
	Resume bool
	// Append allows targets that hold records.
	Append bool
	// PutBackRetention puts topic configs back also where retention then deletes
	// restored records.
	PutBackRetention bool
	// Configs says which configs topics that are made end with; ConfigsEffective by default.
	Configs ConfigsMode
	// SetConfigs are configs that every restored topic ends with, whatever else is said.
	SetConfigs map[string]string
	// MemoryBytes bounds the batches in memory that are read and not yet sent; 96 MiB by
	// default. One batch for each of the target's lanes may be larger.
	MemoryBytes int64
	// MaxRateBytes is how many bytes of batches are sent in a second, to all brokers together; 0 is
	// no limit.
	MaxRateBytes int64

	Now      func() time.Time
	Observer coldstream.Observer
	// Bootstrap is how the target is reached, for commands that people can type.
	Bootstrap string
}

// Map renames topics on their way into the target.
type Map struct {
	from *regexp.Regexp
	name string // literal source name
	to   string
}

// ParseMap reads old=new, or /regex/=new where $1 stands for the first group.
func ParseMap(text string) (Map, error) {
	refuse := func(reason string) (Map, error) {
		return Map{}, &UsageError{Option: OptionMap, Text: fmt.Sprintf("%q: %s", text, reason), Advice: Advice{Remedy: RemedyForm}}
	}
	if inside, isExpression := strings.CutPrefix(text, "/"); isExpression {
		expression, to, ok := strings.Cut(inside, "/=")
		if !ok || expression == "" || to == "" {
			return refuse("not /regex/=new")
		}
		m, err := newExpressionMap(expression, to)
		if err != nil {
			return refuse(err.Error())
		}
		return m, nil
	}
	from, to, ok := strings.Cut(text, "=")
	if !ok {
		return refuse("not old=new")
	}
	for _, name := range []string{from, to} {
		if err := coldstream.CheckTopicName(name); err != nil {
			return refuse(err.Error())
		}
	}
	return Map{name: from, to: to}, nil
}

// reference is $1 or ${1} or ${name}. A number ends where its digits do: in $1_copy Go's
// own templates would see a group of the name "1_copy", which is empty.
var reference = regexp.MustCompile(`\$(?:([0-9]+)|\{([0-9A-Za-z_]+)\})`)

func newExpressionMap(expression, to string) (Map, error) {
	if strings.Contains(expression, "/") {
		return Map{}, errors.New("no topic name has a slash")
	}
	// By itself first, so that no bracket of its own can close ours.
	alone, err := regexp.Compile(expression)
	if err != nil {
		return Map{}, err
	}
	for _, ref := range reference.FindAllStringSubmatch(to, -1) {
		name := ref[1] + ref[2]
		n, err := strconv.Atoi(name)
		if err == nil && n > alone.NumSubexp() || err != nil && alone.SubexpIndex(name) < 0 {
			return Map{}, fmt.Errorf("the regular expression has no group %s", name)
		}
	}
	if err := coldstream.CheckTopicName(reference.ReplaceAllString(to, "x")); err != nil {
		return Map{}, fmt.Errorf("%q makes no topic name", to)
	}
	whole, err := regexp.Compile(`^(?:` + expression + `)$`)
	return Map{from: whole, to: reference.ReplaceAllString(to, "$${${1}${2}}")}, err
}

// Apply is the target's name of a topic, and whether the map speaks of it.
func (m *Map) Apply(topic string) (string, bool) {
	if m.from == nil {
		return m.to, m.name == topic
	}
	match := m.from.FindStringSubmatchIndex(topic)
	if match == nil {
		return "", false
	}
	return string(m.from.ExpandString(nil, m.to, topic, match)), true
}

// ParseConfigs reads a list of NAME=VALUE. A value may be empty.
func ParseConfigs(texts []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, &UsageError{Option: OptionConfig, Text: fmt.Sprintf("%q: not NAME=VALUE", text), Advice: Advice{Remedy: RemedyForm}}
		}
		if before, twice := out[name]; twice && before != value {
			return nil, &UsageError{Option: OptionConfig, Text: fmt.Sprintf("%s is given twice, with %q and %q", name, before, value)}
		}
		out[name] = value
	}
	return out, nil
}

// ParsePartitions reads lists like 0-3,7, and gives them in order, each once.
func ParsePartitions(text string) ([]int32, error) {
	var out []int32
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.ParseUint(low, 10, 31)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseUint(high, 10, 31)
		}
		if err != nil || last < first || last-first >= maxPartitions || len(out) >= maxPartitions {
			return nil, &UsageError{Option: OptionPartitions, Text: fmt.Sprintf("%q: not a list like 0-3,7", text)}
		}
		for id := first; id <= last; id++ {
			out = append(out, int32(id))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// maxPartitions is more than any topic has.
const maxPartitions = 1_000_000
