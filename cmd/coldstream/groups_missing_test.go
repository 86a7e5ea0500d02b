package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/kafka/kafkatest"
)

// coordinators are the brokers that lead the partitions of __consumer_offsets, -1 where there is
// none.
func (w *world) coordinators() map[int32]int32 {
	w.Helper()
	topics, err := w.adm.ListTopicsWithInternal(w.Context(), "__consumer_offsets")
	if err != nil {
		w.Fatal(err)
	}
	leaders := map[int32]int32{}
	for id, p := range topics["__consumer_offsets"].Partitions {
		leaders[id] = p.Leader
	}
	return leaders
}

// The groups of a broker that is gone are in the list of no other.
func TestGroupsOfACoordinatorThatIsGone(t *testing.T) {
	if testing.Short() {
		t.Skip("needs three real brokers: run without -short")
	}
	brokers := kafkatest.Start(t, kafkatest.Config{Version: os.Getenv(kafkaVersionVariable), Nodes: 3, HeapMB: 384, Properties: map[string]string{"offsets.topic.replication.factor": "1"}})
	w := newWorldOf(t, brokers.Addrs())
	if _, err := w.adm.CreateTopic(t.Context(), 1, 3, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	w.values("orders", "a", "b", "c")
	groups := []string{""} // which brokers take as a name like any other
	for i := range 30 {
		groups = append(groups, fmt.Sprintf("reader-%02d", i))
	}
	for _, group := range groups {
		w.commit(group, kadm.Offset{Topic: "orders", At: 2, LeaderEpoch: -1})
	}
	whole := w.backup("orders")
	same(t, "groups missing", whole.GroupsMissing, []missingReport{})

	const gone = 3
	var lost []int32
	for id, leader := range w.coordinators() {
		if leader == gone {
			lost = append(lost, id)
		}
	}
	slices.Sort(lost)
	if err := brokers.Kill(gone); err != nil {
		t.Fatal(err)
	}
	w.await("the broker is missed", func() bool { return w.coordinators()[lost[0]] < 0 })
	var part backupReport
	w.run("backup", "-b", w.bootstrap, "-t", "orders", "--patience", "3s").must(t, exitIncomplete).
		says(t, "not saved: all consumer groups of partition", fmt.Sprint(lost[0]), "of __consumer_offsets: ").into(t, &part)
	var named []int32
	for _, m := range part.GroupsMissing {
		named = append(named, *m.CoordinatorPartition)
	}
	same(t, "partitions whose groups are missing", named, lost)
	same(t, "failed", part.Failed, []failedReport{})
	snapshots := w.snapshots()
	same(t, "snapshots", []int{len(snapshots[0].GroupsMissing), len(snapshots[1].GroupsMissing)}, []int{0, len(lost)})
	w.run("ls").must(t, exitDone).says(t, "lacks all consumer groups of partition", "of __consumer_offsets")

	w.comesBack(brokers, gone)
	w.restoresPart(part.Snapshot, groups)
}

// comesBack makes a backup that waits for a broker, which is started meanwhile.
func (w *world) comesBack(brokers *kafkatest.Cluster, node int) {
	w.Helper()
	ended := make(chan outcome, 1)
	ctx, cancel := context.WithTimeout(w.Context(), 3*time.Minute)
	defer cancel()
	go func() {
		ended <- commandContext(ctx, nil, "backup", "--vault", w.vault, "-o", "json", "-b", w.bootstrap, "-t", "orders")
	}()
	if err := brokers.StartNode(node); err != nil {
		w.Fatal(err)
	}
	var all backupReport
	(<-ended).must(w.T, exitDone).into(w.T, &all)
	same(w.T, "groups missing once the broker is back", all.GroupsMissing, []missingReport{})
}

// restoresPart restores a snapshot that lacks groups, and then the newest, which has all.
func (w *world) restoresPart(part string, groups []string) {
	w.Helper()
	newest := w.snapshots()[2].ID
	var r restoreReport
	w.restoring("--snapshot", part, "-t", "orders", "--map", "orders=part", "--groups").must(w.T, exitIncomplete).
		says(w.T, "does not have all consumer groups", "the newest snapshot that has all is "+newest).into(w.T, &r)
	if len(r.GroupsMissing) == 0 || len(r.Groups) == 0 || len(r.Groups) >= len(groups) {
		w.Errorf("%d groups are missing, %d restored", len(r.GroupsMissing), len(r.Groups))
	}
	had := map[string]bool{}
	for _, g := range r.Groups {
		had[g.Group] = true
		same(w.T, "status of "+g.Group, g.Status, "committed")
	}
	i := slices.IndexFunc(groups, func(g string) bool { return !had[g] })
	w.restoring("--snapshot", part, "-t", "orders", "--map", "orders=other", "--group", groups[i]).must(w.T, exitUsage).
		says(w.T, "has no consumer group", "could not read all groups", newest)

	r = w.restore("-t", "orders", "--map", "orders=all", "--groups")
	same(w.T, "groups", len(r.Groups), len(groups))
	same(w.T, "the empty group", w.committed("")["all-0"], "2 ")
	same(w.T, "groups missing", r.GroupsMissing, []missingReport{})
}

// deny takes the right to describe a resource away from everybody. All else stays allowed.
func (w *world) deny(kind kmsg.ACLResourceType, name string) {
	w.Helper()
	req := kmsg.NewPtrCreateACLsRequest()
	for operation, permission := range map[kmsg.ACLOperation]kmsg.ACLPermissionType{
		kmsg.ACLOperationAll: kmsg.ACLPermissionTypeAllow, kmsg.ACLOperationDescribe: kmsg.ACLPermissionTypeDeny,
	} {
		acl := kmsg.NewCreateACLsRequestCreation()
		acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = kind, name, kmsg.ACLResourcePatternTypeLiteral
		acl.Principal, acl.Host, acl.Operation, acl.PermissionType = "User:ANONYMOUS", "*", operation, permission
		req.Creations = append(req.Creations, acl)
	}
	resp, err := req.RequestWith(w.Context(), w.client)
	if err != nil {
		w.Fatal(err)
	}
	for _, r := range resp.Results {
		if r.ErrorCode != 0 {
			w.Fatalf("make ACL: %v", r)
		}
	}
}

// allow takes back what deny did.
func (w *world) allow(kind kmsg.ACLResourceType, name string) {
	w.Helper()
	filter := kmsg.NewDeleteACLsRequestFilter()
	filter.ResourceType, filter.ResourceName, filter.ResourcePatternType = kind, &name, kmsg.ACLResourcePatternTypeLiteral
	filter.Operation, filter.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Filters = append(req.Filters, filter)
	if _, err := req.RequestWith(w.Context(), w.client); err != nil {
		w.Fatal(err)
	}
}

// Brokers leave groups out, and do not say so, for want of a right.
func TestGroupsThatMayNotBeDescribed(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real Kafka: run without -short")
	}
	brokers := kafkatest.Start(t, kafkatest.Config{Version: os.Getenv(kafkaVersionVariable), Properties: map[string]string{
		"authorizer.class.name":                "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found":       "true",
		"offsets.topic.num.partitions":         "1",
		"transaction.state.log.num.partitions": "1",
	}})
	w := newWorldOf(t, brokers.Addrs())
	w.create("orders", 1)
	w.values("orders", "a", "b", "c")
	for _, group := range []string{"open", "secret"} {
		w.commit(group, kadm.Offset{Topic: "orders", At: 2, LeaderEpoch: -1})
	}
	for _, missing := range []struct {
		kind   kmsg.ACLResourceType
		name   string
		says   string
		groups int // that are named as missing
	}{
		{kmsg.ACLResourceTypeCluster, "kafka-cluster", "describe the cluster", 0},
		{kmsg.ACLResourceTypeTopic, "__consumer_offsets", "describe topic __consumer_offsets", 0},
		{kmsg.ACLResourceTypeGroup, "secret", `consumer group "secret"`, 1},
	} {
		w.deny(missing.kind, missing.name)
		var r backupReport
		w.await("the right is gone", func() bool {
			o := w.run("backup", "-b", w.bootstrap, "-t", "orders", "--patience", "20s")
			o.into(t, &r)
			return o.code == exitIncomplete
		})
		if len(r.Denied) != 1 || !containsAll(r.Denied[0].Error, missing.says, "denied") || len(r.GroupsMissing) != missing.groups || len(r.Failed) > 0 {
			t.Errorf("without the right to describe %s: denied %v, missing %v, failed %v", missing.name, r.Denied, r.GroupsMissing, r.Failed)
		}
		snapshots := w.snapshots()
		if n := len(snapshots); len(snapshots[n-1].GroupsMissing) == 0 {
			t.Error("the snapshot seems to have all groups")
		}
		w.allow(missing.kind, missing.name)
		w.await("the right is there", func() bool { return w.run("backup", "-b", w.bootstrap, "-t", "orders").code == exitDone })
	}
}

// A group with an empty name is one like any other.
func TestGroupWithoutAName(t *testing.T) {
	w := newWorld(t)
	w.create("nameless", 1)
	w.values("nameless", "a", "b", "c")
	w.commit("", kadm.Offset{Topic: "nameless", At: 2, LeaderEpoch: -1, Metadata: "m"})
	w.backup("nameless")
	r := w.restore("-t", "nameless", "--map", "nameless=nameless-2", "--group", "")
	same(t, "groups", r.names(), []string{" committed"})
	same(t, "the group", w.committed(""), map[string]string{"nameless-0": "2 m", "nameless-2-0": "2 m"})
}

// A consumer asks for metadata for ever if the leader epoch that a group committed is above
// that of the partition.
func TestCommittedLeaderEpochsStayBehind(t *testing.T) {
	w := newWorld(t)
	w.create("aged", 1)
	w.values("aged", "a", "b", "c", "d")
	w.commit("elder", kadm.Offset{Topic: "aged", At: 2, LeaderEpoch: 77})
	w.backup("aged")
	w.restore("-t", "aged", "--map", "aged=young", "--groups")
	offsets, err := w.adm.FetchOffsets(t.Context(), "elder")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "leader epoch", offsets["young"][0].LeaderEpoch, int32(-1))
	reader := w.newClient(kgo.ConsumerGroup("elder"), kgo.ConsumeTopics("young"), kgo.DisableAutoCommit())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var got []string
	for len(got) < 2 && ctx.Err() == nil {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	same(t, "records", got, []string{"c", "d"})
}

func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}
