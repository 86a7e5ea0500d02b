package vault

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"coldstream"
	"coldstream/vault/internal/format"
)

// snapshotOf is a snapshot of topics, each NAME or NAME@N for an ID that begins with N.
// Its ID begins with the given digits.
func topicsSnapshot(t *testing.T, id, cluster string, topics ...string) Snapshot {
	t.Helper()
	s := Snapshot{ClusterID: cluster, Time: time.UnixMilli(1_000_000)}
	for i := range len(id) / 2 {
		s.ID[i] = unhex(id[2*i])<<4 | unhex(id[2*i+1])
	}
	var streams []coldstream.Stream
	for _, topic := range topics {
		name, n, _ := strings.Cut(topic, "@")
		in := coldstream.Incarnation{ClusterID: cluster, Topic: name}
		if n != "" {
			in.TopicID = coldstream.TopicID{n[0] - '0'}
		}
		for partition := range int32(2) {
			streams = append(streams, coldstream.Stream{Incarnation: in, Partition: partition})
		}
	}
	commit := &format.Commit{Snapshot: &format.Snapshot{ID: format.SnapshotID(s.ID), ClusterID: cluster}}
	commit.Facts.Incarnations, commit.Facts.Streams = listStreams(streams)
	for i := range streams {
		commit.Snapshot.Views = append(commit.Snapshot.Views, format.View{Stream: i})
	}
	payload, err := commit.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.place = viewsPlace{commit: payload}
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

func TestChoose(t *testing.T) {
	one := []Snapshot{
		topicsSnapshot(t, "aa11", "x", "orders@1", "payments"),
		topicsSnapshot(t, "aa12bb", "x", "orders@2", "payments"),
		topicsSnapshot(t, "aa12cc", "x", "payments"),
	}
	two := append([]Snapshot{topicsSnapshot(t, "bb11", "y", "orders")}, one...)
	tests := []struct {
		name      string
		snapshots []Snapshot
		choice    Choice
		topics    []string
		want      string // digits of the ID and topics, or part of the error and of its facts or reason
	}{
		{"the newest, of all topics", one, Choice{}, nil, "aa12cc payments"},
		{"the newest that holds what is asked for", one, Choice{}, []string{"orders"}, "aa12bb orders"},
		{"the newest that holds all of them", one, Choice{}, []string{"payments", "orders"}, "aa12bb orders payments"},
		{"an incarnation", one, Choice{}, []string{"orders@AQAAAAAAAAAAAAAAAAAAAA"}, "aa11 orders"},
		{"an incarnation that no snapshot has", one, Choice{}, []string{"orders@CQAAAAAAAAAAAAAAAAAAAA"}, "error: no snapshot holds all topics asked for"},
		{"a prefix", one, Choice{ID: "aa11"}, nil, "aa11 orders payments"},
		{"a prefix in upper case", one, Choice{ID: "AA12B"}, nil, "aa12bb orders payments"},
		{"a whole ID", one, Choice{ID: "aa12cc0000000000"}, nil, "aa12cc payments"},
		{"a prefix of several", one, Choice{ID: "aa12"}, nil, `error: 2 snapshots begin with "aa12" | several IDs`},
		{"a prefix of none", one, Choice{ID: "ab12"}, nil, `error: no snapshot "ab12" | unknown ID`},
		{"a prefix that is too short", one, Choice{ID: "aa1"}, nil, "error: at least its first 4 digits"},
		{"more than an ID", one, Choice{ID: "aa12cc00000000000"}, nil, "error: no snapshot"},
		{"topics that the snapshot named does not hold", one, Choice{ID: "aa12cc"}, []string{"orders"}, `error: topic pattern "orders": matches no topic`},
		{"topics that no snapshot holds", one, Choice{}, []string{"ordesr"}, "error: no snapshot holds all topics asked for | orders"},
		{"topics that no one snapshot holds", []Snapshot{topicsSnapshot(t, "aa11", "x", "a"), topicsSnapshot(t, "aa12", "x", "b")}, Choice{},
			[]string{"a", "b"}, "error: no snapshot holds all | a is in aa11000000000000, b is in aa12000000000000; scattered"},
		{"a vault of several clusters", two, Choice{}, nil, "error: several clusters: y, x | several clusters"},
		{"one of several clusters", two, Choice{ClusterID: "y"}, nil, "bb11 orders"},
		{"a snapshot of one of several clusters", two, Choice{ID: "bb11"}, nil, "bb11 orders"},
		{"a snapshot of another cluster", two, Choice{ID: "bb11", ClusterID: "x"}, nil, `error: no snapshot "bb11"`},
		{"another cluster", two, Choice{ClusterID: "z"}, nil, `error: no snapshot of cluster "z" | y, x`},
		{"the newest of a cluster", two, Choice{ClusterID: "x"}, []string{"orders"}, "aa12bb orders"},
		{"an empty vault", nil, Choice{}, nil, "error: the vault holds no snapshot | no snapshots"},
		{"a snapshot of an empty vault", nil, Choice{ID: "aa11"}, nil, "error: the vault holds no snapshot | no snapshots"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.topics != nil {
				tt.choice.Topics = patterns(t, tt.topics...)
			}
			s, topics, err := (&Catalog{snapshots: tt.snapshots}).Choose(t.Context(), &tt.choice)
			if wrong, ok := strings.CutPrefix(tt.want, "error: "); ok {
				isUnclear(t, err, wrong)
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

// isUnclear fails the test unless err is a ChoiceError with these parts of text and of facts or reason.
func isUnclear(t *testing.T, err error, want string) {
	t.Helper()
	text, hint, _ := strings.Cut(want, " | ")
	var usage *ChoiceError
	if !errors.As(err, &usage) {
		t.Fatalf("got %v, want a ChoiceError", err)
	}
	if got := usage.Next + "; " + string(usage.Reason); !strings.Contains(usage.Text, text) || !strings.Contains(got, hint) {
		t.Errorf("got %q, %q, want %q, %q", usage.Text, got, text, hint)
	}
}
