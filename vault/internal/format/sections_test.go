package format

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"coldstream"
)

func testCluster() coldstream.Cluster {
	return coldstream.Cluster{ID: "4L6g3nShT-eMCtK--X86sw", ControllerID: -1, Brokers: []coldstream.Broker{
		{ID: 1, Host: "kafka-1.example", Port: 9092, Rack: "a"}, {ID: 2, Host: "::1", Port: 9093},
	}}
}

// strange is what a name or a value may hold, and JSON would like to write in other ways.
const strange = "a \"b\" \\ <&> \x00\x1f\t\n\f\b\x7f \u2028 é 日本 \U0001F600"

func testTopics() []coldstream.Topic {
	return []coldstream.Topic{
		{
			Name: "orders", ID: coldstream.TopicID{0xff, 0xfe, 15: 1}, Internal: true,
			Partitions: []coldstream.Partition{
				{ID: 0, Leader: -1, LeaderEpoch: -1, Replicas: []int32{1, 2}}, {ID: 1, Leader: -1, LeaderEpoch: -1},
			},
			Configs: []coldstream.Config{
				{Name: "cleanup.policy", Value: "compact", Source: "DYNAMIC_TOPIC_CONFIG"},
				{Name: "secret", Source: "DYNAMIC_TOPIC_CONFIG", Sensitive: true},
				{Name: strange, Value: "not UTF-8: \xff\xfe"},
			},
		},
		{Name: "refused", Err: errors.New("denied"), ConfigsErr: errors.New("also denied")},
	}
}

func testGroups() []coldstream.Group {
	offset := func(partition int32, offset int64, metadata string) coldstream.GroupOffset {
		return coldstream.GroupOffset{
			TopicPartition: coldstream.TopicPartition{Topic: "orders", Partition: partition},
			Offset:         offset, LeaderEpoch: partition - 1, Metadata: metadata,
		}
	}
	return []coldstream.Group{
		{Name: "billing", Type: "classic", ProtocolType: "consumer", Offsets: []coldstream.GroupOffset{
			offset(0, 1<<62, ""), offset(1, 17, "any \x00\xff bytes"),
		}},
		{Name: "away\xc3", Err: errors.New("the coordinator did not answer")},
	}
}

func testDefaults() *coldstream.TopicDefaults {
	config := func(name, value, source string, brokers ...int32) coldstream.DefaultConfig {
		return coldstream.DefaultConfig{Config: coldstream.Config{Name: name, Value: value, Source: source}, Brokers: brokers}
	}
	d := &coldstream.TopicDefaults{
		Configs: []coldstream.DefaultConfig{
			config(strange, "not UTF-8: \xff", ""),
			config("cleanup.policy", "", "DYNAMIC_DEFAULT_BROKER_CONFIG"),
			config("hidden", "", "STATIC_BROKER_CONFIG"),
			config("retention.ms", "-1", "STATIC_BROKER_CONFIG", 1, 3),
			config("retention.ms", "604800000", "DEFAULT_CONFIG", 2),
		},
		Unanswered: []coldstream.UnansweredBroker{{ID: 4, Err: errors.New("no answer")}, {ID: 5, Err: errors.New("denied")}},
	}
	d.Configs[2].Sensitive = true
	return d
}

func againDefaults(b []byte) ([]byte, error) {
	v, err := DecodeDefaults(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeDefaults(v))
}

func againCluster(b []byte) ([]byte, error) {
	v, err := DecodeCluster(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeCluster(&v))
}

func againTopics(b []byte) ([]byte, error) {
	v, err := DecodeTopics(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeTopics(v))
}

func againGroups(b []byte) ([]byte, error) {
	v, err := DecodeGroups(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeGroups(v))
}

func againGroupsMissing(b []byte) ([]byte, error) {
	v, err := DecodeGroupsMissing(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeGroupsMissing(v))
}

func againShort(b []byte) ([]byte, error) {
	v, err := DecodeShort(b)
	if err != nil {
		return nil, err
	}
	return reencoded(EncodeShort(v))
}

func testShort() []coldstream.ShortPartition {
	return []coldstream.ShortPartition{
		{TopicPartition: coldstream.TopicPartition{Topic: "orders"}, NextOffset: 7, Err: errors.New("denied")},
		{TopicPartition: coldstream.TopicPartition{Topic: "orders", Partition: 3}, TopicID: coldstream.TopicID{1}, NextOffset: 1 << 40, Err: errors.New("unavailable for 10m0s")},
	}
}

func TestShortRejections(t *testing.T) {
	type c = rejection[*[]coldstream.ShortPartition]
	good := func() *[]coldstream.ShortPartition { s := testShort(); return &s }
	checkRejections(t, good, func(s *[]coldstream.ShortPartition) error { _, err := EncodeShort(*s); return err }, []c{
		{"none", func(s *[]coldstream.ShortPartition) { *s = nil }, coldstream.ErrCorrupt, "no partition"},
		{"out of order", func(s *[]coldstream.ShortPartition) { swap(*s) }, coldstream.ErrCorrupt, "stands behind"},
		{"twice", func(s *[]coldstream.ShortPartition) { (*s)[1] = (*s)[0] }, coldstream.ErrCorrupt, "stands behind"},
		{"negative partition", func(s *[]coldstream.ShortPartition) { (*s)[0].Partition = -1 }, coldstream.ErrCorrupt, "partition -1"},
		{"negative offset", func(s *[]coldstream.ShortPartition) { (*s)[0].NextOffset = -1 }, coldstream.ErrCorrupt, "offset -1"},
		{"without a reason", func(s *[]coldstream.ShortPartition) { (*s)[0].Err = nil }, coldstream.ErrCorrupt, "error"},
	})
}

func testGroupsMissing() []coldstream.MissingGroups {
	nameless, billing, partition := "", "bill\xffing", int32(0)
	return []coldstream.MissingGroups{
		{Group: &nameless, Err: errors.New("read its offsets: no answer")},
		{Group: &billing, Err: errors.New("denied")},
		{CoordinatorPartition: &partition, Err: errors.New("the partition has no leader")},
		{Err: errors.New("describe the cluster: denied")},
	}
}

func sectionVectors() []vector {
	must := func(encode func() ([]byte, error)) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			b, err := encode()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	cluster := testCluster()
	return []vector{
		{file: "administration-full.json", again: againAdministration, encode: must(func() ([]byte, error) { return EncodeAdministration(testAdministration()) })},
		{file: "administration-empty.json", again: againAdministration, encode: must(func() ([]byte, error) { return EncodeAdministration(&coldstream.Administration{}) })},
		{file: "cluster-full.json", again: againCluster, encode: must(func() ([]byte, error) { return EncodeCluster(&cluster) })},
		{file: "cluster-empty.json", again: againCluster, encode: must(func() ([]byte, error) { return EncodeCluster(&coldstream.Cluster{}) })},
		{file: "defaults-full.json", again: againDefaults, encode: must(func() ([]byte, error) { return EncodeDefaults(testDefaults()) })},
		{file: "defaults-empty.json", again: againDefaults, encode: must(func() ([]byte, error) { return EncodeDefaults(&coldstream.TopicDefaults{}) })},
		{file: "topics-full.json", again: againTopics, encode: must(func() ([]byte, error) { return EncodeTopics(testTopics()) })},
		{file: "topics-empty.json", again: againTopics, encode: must(func() ([]byte, error) { return EncodeTopics(nil) })},
		{file: "groups-full.json", again: againGroups, encode: must(func() ([]byte, error) { return EncodeGroups(testGroups()) })},
		{file: "groupsmissing-full.json", again: againGroupsMissing, encode: must(func() ([]byte, error) { return EncodeGroupsMissing(testGroupsMissing()) })},
		{file: "short-full.json", again: againShort, encode: must(func() ([]byte, error) { return EncodeShort(testShort()) })},
		{file: "taglist-full.json", again: againTags, encode: must(func() ([]byte, error) { return EncodeTags(&testTagsChange().Tags) })},
		{file: "taglist-empty.json", again: againTags, encode: must(func() ([]byte, error) { return EncodeTags(&coldstream.Tags{}) })},
		{file: "groups-empty.json", again: againGroups, encode: must(func() ([]byte, error) { return EncodeGroups(nil) })},
	}
}

func TestSectionsRoundTrip(t *testing.T) {
	byText := cmp.Comparer(func(a, b error) bool {
		return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
	})
	check := func(want, got any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, byText); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	cluster, err := DecodeCluster(readVector(t, "cluster-full.json"))
	check(testCluster(), cluster, err)
	defaults, err := DecodeDefaults(readVector(t, "defaults-full.json"))
	check(testDefaults(), defaults, err)
	topics, err := DecodeTopics(readVector(t, "topics-full.json"))
	check(testTopics(), topics, err)
	groups, err := DecodeGroups(readVector(t, "groups-full.json"))
	check(testGroups(), groups, err)
	administration, err := DecodeAdministration(readVector(t, "administration-full.json"))
	check(testAdministration(), administration, err)
	missing, err := DecodeGroupsMissing(readVector(t, "groupsmissing-full.json"))
	check(testGroupsMissing(), missing, err)
}

func TestGroupsMissingRejections(t *testing.T) {
	for what, document := range map[string]string{
		"none":               `{"groups_missing":[]}`,
		"null":               `{"groups_missing":null}`,
		"no reason":          `{"groups_missing":[{"group":"g","error":""}]}`,
		"both":               `{"groups_missing":[{"group":"g","coordinator_partition":1,"error":"e"}]}`,
		"negative partition": `{"groups_missing":[{"coordinator_partition":-1,"error":"e"}]}`,
		"null group":         `{"groups_missing":[{"group":null,"error":"e"}]}`,
	} {
		if _, err := DecodeGroupsMissing([]byte(document)); !errors.Is(err, coldstream.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestEscapesAreOurs holds the bytes of strings against a change of encoding/json's mind.
func TestEscapesAreOurs(t *testing.T) {
	cluster := coldstream.Cluster{ID: strange}
	got, err := EncodeCluster(&cluster)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"cluster_id":"a \"b\" \\ <&> \u0000\u001f\u0009\u000a\u000c\u0008` + "\x7f \u2028 é 日本 \U0001F600" + `","brokers":[]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestChangingThingsAreLeftOut proves that a new leader or a group that rebalances does
// not make a new section.
func TestChangingThingsAreLeftOut(t *testing.T) {
	topics := testTopics()
	topics[0].Partitions[0].Leader, topics[0].Partitions[0].LeaderEpoch = 2, 77
	groups := testGroups()
	groups[0].State = "Stable"
	cluster := testCluster()
	cluster.ControllerID = 5
	for file, encode := range map[string]func() ([]byte, error){
		"topics-full.json":  func() ([]byte, error) { return EncodeTopics(topics) },
		"groups-full.json":  func() ([]byte, error) { return EncodeGroups(groups) },
		"cluster-full.json": func() ([]byte, error) { return EncodeCluster(&cluster) },
	} {
		got, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(readVector(t, file)), string(got)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
	}
}

func TestSectionRejections(t *testing.T) {
	corrupt, unsupported := coldstream.ErrCorrupt, coldstream.ErrUnsupported
	for _, c := range []struct {
		name  string
		again func([]byte) ([]byte, error)
		text  string
		want  error
	}{
		{"unknown field", againCluster, `{"cluster_id":"","brokers":[],"more":1}`, unsupported},
		{"unknown field inside", againTopics, `{"topics":[{"more":1}]}`, unsupported},
		{"null list", againCluster, `{"cluster_id":"","brokers":null}`, corrupt},
		{"list left out", againCluster, `{"cluster_id":""}`, corrupt},
		{"null topics", againTopics, `{"topics":null}`, corrupt},
		{"null defaults", againDefaults, `{"configs":null,"unanswered":[]}`, corrupt},
		{"defaults without the brokers", againDefaults, `{"configs":[]}`, corrupt},
		{"defaults with more", againDefaults, `{"configs":[],"unanswered":[],"more":1}`, unsupported},
		{"defaults out of order", againDefaults, `{"configs":[{"name":"b","value":"","source":""},{"name":"a","value":"","source":""}],"unanswered":[]}`, corrupt},
		{"a default twice", againDefaults, `{"configs":[{"name":"a","value":"","source":""},{"name":"a","value":"","source":""}],"unanswered":[]}`, corrupt},
		{"brokers of a default out of order", againDefaults, `{"configs":[{"name":"a","value":"","source":"","brokers":[2,1]}],"unanswered":[]}`, corrupt},
		{"a default with an empty list", againDefaults, `{"configs":[{"name":"a","value":"","source":"","brokers":[]}],"unanswered":[]}`, corrupt},
		{"a silent broker without a reason", againDefaults, `{"configs":[],"unanswered":[{"broker":1,"error":""}]}`, corrupt},
		{"silent brokers out of order", againDefaults, `{"configs":[],"unanswered":[{"broker":1,"error":"x"},{"broker":1,"error":"x"}]}`, corrupt},
		{"null groups", againGroups, `{"groups":null}`, corrupt},
		{"null offsets", againGroups, `{"groups":[{"group":"","type":"","protocol_type":"","offsets":null}]}`, corrupt},
		{"null metadata", againGroups, `{"groups":[{"group":"","type":"","protocol_type":"","offsets":[{"topic":"","partition":0,"offset":0,"leader_epoch":0,"metadata":null}]}]}`, corrupt},
		{"metadata that is no base64", againGroups, `{"groups":[{"group":"","type":"","protocol_type":"","offsets":[{"topic":"","partition":0,"offset":0,"leader_epoch":0,"metadata":"!"}]}]}`, corrupt},
		{"number as text", againCluster, `{"cluster_id":1,"brokers":[]}`, corrupt},
		{"escape that need not be", againCluster, `{"cluster_id":"\u0041","brokers":[]}`, corrupt},
		{"base64 that need not be", againCluster, `{"cluster_id":{"base64":"QQ=="},"brokers":[]}`, corrupt},
		{"base64 with more", againCluster, `{"cluster_id":{"base64":"/w==","x":1},"brokers":[]}`, corrupt},
		{"bytes that are not UTF-8", againCluster, "{\"cluster_id\":\"\xff\",\"brokers\":[]}", corrupt},
		{"half a surrogate", againCluster, `{"cluster_id":"\ud800","brokers":[]}`, corrupt},
		{"null name", againCluster, `{"cluster_id":null,"brokers":[]}`, corrupt},
		{"field twice", againCluster, `{"cluster_id":"","cluster_id":"","brokers":[]}`, corrupt},
		{"upper case field", againCluster, `{"Cluster_id":"","brokers":[]}`, corrupt},
		{"other order", againCluster, `{"brokers":[],"cluster_id":""}`, corrupt},
		{"empty rack", againCluster, `{"cluster_id":"","brokers":[{"id":1,"host":"","port":1,"rack":""}]}`, corrupt},
		{"white space", againCluster, `{"cluster_id":"", "brokers":[]}`, corrupt},
		{"short topic ID", againTopics, `{"topics":[{"name":"a","topic_id":"AAAA","internal":false,"partitions":[],"configs":[]}]}`, corrupt},
		{"topic without lists", againTopics, `{"topics":[{"name":"a","topic_id":"AAAAAAAAAAAAAAAAAAAAAA","internal":false,"partitions":null,"configs":null}]}`, corrupt},
		{"partition left out", againTopics, `{"topics":[{"name":"a","topic_id":"AAAAAAAAAAAAAAAAAAAAAA","internal":false,"partitions":[{"partition":1,"replicas":[]}],"configs":[]}]}`, corrupt},
		{"not JSON", againTopics, `{`, corrupt},
		{"another document", againTopics, `{"topics":[]}{}`, corrupt},
	} {
		if _, err := c.again([]byte(c.text)); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
	holes := []coldstream.Topic{{Name: "a", Partitions: []coldstream.Partition{{ID: 1}}}}
	if _, err := EncodeTopics(holes); err == nil || !strings.Contains(err.Error(), "stands in place of 0") {
		t.Errorf("a topic with holes was encoded, error %v", err)
	}
}
