package restore

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/vault"
)

// snapshotOf is a snapshot of topics, each NAME or NAME@N for an ID that begins with N.
// Its ID begins with the given digits.
func snapshotOf(id, cluster string, topics ...string) vault.Snapshot {
	s := vault.Snapshot{ClusterID: cluster, Time: time.UnixMilli(1_000_000)}
	for i := range len(id) / 2 {
		s.ID[i] = unhex(id[2*i])<<4 | unhex(id[2*i+1])
	}
	for _, topic := range topics {
		name, n, _ := strings.Cut(topic, "@")
		in := coldstream.Incarnation{ClusterID: cluster, Topic: name}
		if n != "" {
			in.TopicID = coldstream.TopicID{n[0] - '0'}
		}
		for partition := range int32(2) {
			s.Views = append(s.Views, vault.View{Stream: coldstream.Stream{Incarnation: in, Partition: partition}})
		}
	}
	return s
}

func unhex(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

func patterns(t *testing.T, include ...string) *coldstream.Patterns {
	t.Helper()
	ps, err := coldstream.ParsePatterns(include, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func TestSelectSnapshot(t *testing.T) {
	one := []vault.Snapshot{
		snapshotOf("aa11", "x", "orders@1", "payments"),
		snapshotOf("aa12bb", "x", "orders@2", "payments"),
		snapshotOf("aa12cc", "x", "payments"),
	}
	two := append([]vault.Snapshot{snapshotOf("bb11", "y", "orders")}, one...)
	tests := []struct {
		name      string
		snapshots []vault.Snapshot
		req       Request
		topics    []string
		want      string // digits of the ID and topics, or part of the error and of its hint
	}{
		{"the newest, of all topics", one, Request{}, nil, "aa12cc payments"},
		{"the newest that holds what is asked for", one, Request{}, []string{"orders"}, "aa12bb orders"},
		{"the newest that holds all of them", one, Request{}, []string{"payments", "orders"}, "aa12bb orders payments"},
		{"an incarnation", one, Request{}, []string{"orders@AQAAAAAAAAAAAAAAAAAAAA"}, "aa11 orders"},
		{"an incarnation that no snapshot has", one, Request{}, []string{"orders@CQAAAAAAAAAAAAAAAAAAAA"}, "error: no snapshot holds all topics asked for"},
		{"a prefix", one, Request{Snapshot: "aa11"}, nil, "aa11 orders payments"},
		{"a prefix in upper case", one, Request{Snapshot: "AA12B"}, nil, "aa12bb orders payments"},
		{"a whole ID", one, Request{Snapshot: "aa12cc0000000000"}, nil, "aa12cc payments"},
		{"a prefix of several", one, Request{Snapshot: "aa12"}, nil, `error: 2 snapshots begin with "aa12" | more digits`},
		{"a prefix of none", one, Request{Snapshot: "ab12"}, nil, `error: no snapshot "ab12" | coldstream snapshots`},
		{"a prefix that is too short", one, Request{Snapshot: "aa1"}, nil, "error: at least its first 4 digits"},
		{"more than an ID", one, Request{Snapshot: "aa12cc00000000000"}, nil, "error: no snapshot"},
		{"topics that the snapshot named does not hold", one, Request{Snapshot: "aa12cc"}, []string{"orders"}, `error: topic pattern "orders": matches no topic`},
		{"topics that no snapshot holds", one, Request{}, []string{"ordesr"}, "error: no snapshot holds all topics asked for | orders"},
		{"topics that no one snapshot holds", []vault.Snapshot{snapshotOf("aa11", "x", "a"), snapshotOf("aa12", "x", "b")}, Request{},
			[]string{"a", "b"}, "error: no snapshot holds all | a is in aa11000000000000, b is in aa12000000000000; restore them one by one with --snapshot"},
		{"a vault of several clusters", two, Request{}, nil, "error: several clusters: y, x | --cluster-id"},
		{"one of several clusters", two, Request{ClusterID: "y"}, nil, "bb11 orders"},
		{"a snapshot of one of several clusters", two, Request{Snapshot: "bb11"}, nil, "bb11 orders"},
		{"a snapshot of another cluster", two, Request{Snapshot: "bb11", ClusterID: "x"}, nil, `error: no snapshot "bb11"`},
		{"another cluster", two, Request{ClusterID: "z"}, nil, `error: no snapshot of cluster "z" | y, x`},
		{"the newest of a cluster", two, Request{ClusterID: "x"}, []string{"orders"}, "aa12bb orders"},
		{"an empty vault", nil, Request{}, nil, "error: the vault holds no snapshot | coldstream backup"},
		{"a snapshot of an empty vault", nil, Request{Snapshot: "aa11"}, nil, "error: the vault holds no snapshot | coldstream backup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.topics != nil {
				tt.req.Topics = patterns(t, tt.topics...)
			}
			s, topics, err := SelectSnapshot(tt.snapshots, &tt.req)
			if wrong, ok := strings.CutPrefix(tt.want, "error: "); ok {
				isUsage(t, err, wrong)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := strings.TrimRight(s.ID.String(), "0")
			for _, topic := range topics {
				got += " " + topic.Name
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// isUsage fails the test unless err is a UsageError with these parts of text and hint.
func isUsage(t *testing.T, err error, want string) {
	t.Helper()
	text, hint, _ := strings.Cut(want, " | ")
	var usage *UsageError
	if !errors.As(err, &usage) {
		t.Fatalf("got %v, want a UsageError", err)
	}
	if !strings.Contains(usage.Text, text) || !strings.Contains(usage.Next, hint) {
		t.Errorf("got %q, hint %q, want %q, hint %q", usage.Text, usage.Next, text, hint)
	}
}
