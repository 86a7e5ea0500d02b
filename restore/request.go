// Package restore moves a snapshot of a vault into a Target. A plan decides everything
// and changes nothing; carrying it out does what the plan says and nothing else.
package restore

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"coldstream"
)

// OffsetsMode says which offsets restored records shall have.
type OffsetsMode string

// The modes of --offsets.
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
	// ClusterID chooses among the clusters of a vault that has several.
	ClusterID string
	Offsets   OffsetsMode
	// Groups restores all consumer groups, GroupNames the named ones.
	Groups     bool
	GroupNames []string
	// Append allows targets that hold records.
	Append bool
	// PutBackRetention puts topic configs back also where retention then deletes
	// restored records.
	PutBackRetention bool

	Now      func() time.Time
	Observer coldstream.Observer
}

// UsageError is a request that cannot be meant.
type UsageError struct {
	Text string
	Next string // what to do
}

func (e *UsageError) Error() string { return e.Text }

// UsageHint says what to do.
func (e *UsageError) UsageHint() string { return e.Next }

// RefusedError says why a plan cannot be carried out. Nothing was changed.
type RefusedError struct {
	Reasons []string
	Next    string // what to do
}

func (e *RefusedError) Error() string {
	return "nothing was restored: " + strings.Join(e.Reasons, "; ")
}

// Hint says what to do.
func (e *RefusedError) Hint() string { return e.Next }

// Map renames topics on their way into the target.
type Map struct {
	from *regexp.Regexp
	name string // literal source name
	to   string
}

// ParseMap reads old=new, or /regex/=new where $1 stands for the first group.
func ParseMap(text string) (Map, error) {
	from, to, ok := strings.Cut(text, "=")
	if strings.HasPrefix(text, "/") {
		end := strings.LastIndex(text, "/=")
		if ok = end > 0; ok {
			from, to = text[:end+1], text[end+2:]
		}
	}
	if !ok || from == "" || to == "" {
		return Map{}, &UsageError{Text: fmt.Sprintf("--map %q: not old=new", text), Next: "write --map old=new, or --map '/regex/=new-$1'"}
	}
	if !strings.HasPrefix(from, "/") {
		return Map{name: from, to: to}, nil
	}
	re, err := regexp.Compile("^(?:" + strings.Trim(from, "/") + ")$")
	if err != nil {
		return Map{}, &UsageError{Text: fmt.Sprintf("--map %q: %v", text, err)}
	}
	return Map{from: re, to: to}, nil
}

// apply is the target's name of a topic, and whether the map speaks of it.
func (m *Map) apply(topic string) (string, bool) {
	if m.from == nil {
		return m.to, m.name == topic
	}
	match := m.from.FindStringSubmatchIndex(topic)
	if match == nil {
		return "", false
	}
	return string(m.from.ExpandString(nil, m.to, topic, match)), true
}

// ParsePartitions reads lists like 0-3,7.
func ParsePartitions(text string) ([]int32, error) {
	var out []int32
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		first, err := strconv.ParseInt(low, 10, 32)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseInt(high, 10, 32)
		}
		if err != nil || first < 0 || last < first || last-first > maxPartitionRange {
			return nil, &UsageError{Text: fmt.Sprintf("--partitions %q: not a list like 0-3,7", text)}
		}
		for id := first; id <= last; id++ {
			out = append(out, int32(id))
		}
	}
	return out, nil
}

const (
	maxPartitionRange = 1_000_000
	maxTopicName      = 249
)

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// checkTarget refuses names that Kafka would refuse, and topics that are Kafka's own.
func checkTarget(name string) error {
	switch {
	case len(name) > maxTopicName || !topicName.MatchString(name) || name == "." || name == "..":
		return fmt.Errorf("%q is no topic name", name)
	case coldstream.IsInternalName(name):
		return errors.New("topic " + name + " is internal: what is in it is restored through Kafka's own requests, not written into it; --map gives it another name")
	}
	return nil
}
