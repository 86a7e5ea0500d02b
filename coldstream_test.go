package coldstream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTopicIDTextIsThatOfKafka(t *testing.T) {
	// kafka-topics.sh prints such IDs; the second has both letters that base64url changes.
	for _, text := range []string{"AAAAAAAAAAAAAAAAAAAAAA", "-__vASNFZ4mrze8BI0VniQ", "4L6g3nShT-eMCtK--X86sw"} {
		id, err := ParseTopicID(text)
		if err != nil {
			t.Errorf("ParseTopicID(%q): %v", text, err)
			continue
		}
		if got := id.String(); got != text {
			t.Errorf("ParseTopicID(%q).String() = %q", text, got)
		}
	}
	if !(TopicID{}).IsZero() || (TopicID{15: 1}).IsZero() {
		t.Error("only an ID of zeros is zero")
	}
}

func TestParseTopicIDRefuses(t *testing.T) {
	for _, text := range []string{
		"", "A", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA==", "4L6g3nShT+eMCtK//X86sw",
		"AAAAAAAAAAAAAAAAAAAAAB",   // bits behind the last byte
		"AAAAAAAAAAA\nAAAAAAAAAAA", // which the base64 of the standard library passes over
		"AAAAAAAAAAAAAAAAAAAAAA\r\n",
	} {
		if id, err := ParseTopicID(text); err == nil {
			t.Errorf("ParseTopicID(%q) = %v", text, id)
		}
	}
}

func FuzzParseTopicID(f *testing.F) {
	f.Add("AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("4L6g3nShT-eMCtK--X86sw")
	f.Add("AAAAAAAAAAA\nAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if id, err := ParseTopicID(text); err == nil && id.String() != text {
			t.Fatalf("%q is read as %s", text, id)
		}
	})
}

func TestTopicPartitionText(t *testing.T) {
	got := fmt.Sprint(TopicPartition{Topic: "orders-eu", Partition: 12})
	if want := "orders-eu-12"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Sorted streams are sorted by topic: packs rely on it, and a restore of one topic reads
// one place.
func TestOrderOfStreams(t *testing.T) {
	stream := func(topic, cluster string, id byte, number uint32, partition int32) Stream {
		return Stream{Incarnation{cluster, topic, TopicID{id}, number}, partition}
	}
	want := []Stream{
		stream("a", "x", 0, 0, 2),
		stream("a", "x", 0, 1, 0),
		stream("a", "x", 1, 0, 0),
		stream("a", "x", 1, 0, 10),
		stream("a", "y", 0, 0, 0),
		stream("b", "x", 0, 0, 0),
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, Stream.Compare)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i, s := range want {
		if s.Compare(s) != 0 || i > 0 && want[i-1].TopicPartition().Compare(s.TopicPartition()) > 0 && want[i-1].Topic != s.Topic {
			t.Errorf("%v is out of order", s)
		}
	}
}

func TestTopicConfig(t *testing.T) {
	topic := Topic{Configs: []Config{{Name: "a", Value: ""}, {Name: "b", Value: "1"}}}
	if v, ok := topic.Config("a"); !ok || v != "" {
		t.Errorf("config a is %q, %v", v, ok)
	}
	if v, ok := topic.Config("c"); ok {
		t.Errorf("config c, which is not there, is %q", v)
	}
}

func TestHasPolicy(t *testing.T) {
	for value, want := range map[string]bool{
		"compact": true, "compact,delete": true, "delete, compact": true, "delete": false, "": false, "compaction": false,
	} {
		if got := HasPolicy(value, "compact"); got != want {
			t.Errorf("HasPolicy(%q, compact) = %v", value, got)
		}
	}
}

func TestErrorsSayWhatWasExpected(t *testing.T) {
	err := fmt.Errorf("restore: %w", &BaseOffsetError{TopicPartition: TopicPartition{"orders", 3}, Want: 7, Got: 9})
	var base *BaseOffsetError
	if !errors.As(err, &base) || base.Want != 7 {
		t.Fatalf("%v is no BaseOffsetError", err)
	}
	for _, part := range []string{"orders-3", "offset 9", "where 7 was expected", "another producer"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestMissingGroupsTexts(t *testing.T) {
	name, one, five, six := "", int32(1), int32(5), int32(6)
	gone, moved := errors.New("no leader"), errors.New("it moved")
	got := MissingGroupsTexts([]MissingGroups{
		{Err: errors.New("denied")}, {CoordinatorPartition: &one, Err: gone}, {CoordinatorPartition: &five, Err: moved}, {CoordinatorPartition: &six, Err: gone}, {Group: &name, Err: gone},
	})
	want := []string{
		"consumer groups: denied", "all consumer groups of partitions 1, 6 of __consumer_offsets: no leader",
		"all consumer groups of partition 5 of __consumer_offsets: it moved", `consumer group "": no leader`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
