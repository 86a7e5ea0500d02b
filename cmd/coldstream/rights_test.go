package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	root "coldstream"
	"coldstream/kafka"
	"coldstream/kafka/kafkatest"
)

// guarded is a broker that allows nobody anything but what ACLs say. Without a login one is
// its administrator.
type guarded struct {
	*kafkatest.Cluster
	admin *kgo.Client
}

const (
	backupUser  = "backup-user"
	restoreUser = "restore-user"
)

func startGuarded(t *testing.T) *guarded {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real Kafka: run without -short")
	}
	c := kafkatest.Start(t, kafkatest.Config{
		Users: map[string]string{backupUser: "backup-password", restoreUser: "restore-password"},
		Properties: map[string]string{
			"authorizer.class.name":            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
			"allow.everyone.if.no.acl.found":   "false",
			"super.users":                      "User:ANONYMOUS",
			"group.initial.rebalance.delay.ms": "0",
		},
	})
	return &guarded{c, newClient(t, c)}
}

// properties are those of a user.
func (g *guarded) properties(t *testing.T, user string, lines ...string) string {
	t.Helper()
	return g.WriteClientProperties(t, kafkatest.SASLPlaintext, "PLAIN", user, lines...)
}

// aclOf is a need as the ACL that grants it to a user.
func aclOf(t *testing.T, user string, need kafka.Need) kmsg.CreateACLsRequestCreation {
	t.Helper()
	acl := kmsg.NewCreateACLsRequestCreation()
	acl.Principal, acl.Host, acl.PermissionType = "User:"+user, "*", kmsg.ACLPermissionTypeAllow
	acl.ResourceName, acl.ResourcePatternType = need.Name, kmsg.ACLResourcePatternTypeLiteral
	if need.Prefixed {
		acl.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
	}
	var err error
	if acl.Operation, err = kmsg.ParseACLOperation(need.Operation); err != nil {
		t.Fatal(err)
	}
	if acl.ResourceType, err = kmsg.ParseACLResourceType(need.Resource); err != nil {
		t.Fatal(err)
	}
	if need.Resource == root.ResourceCluster {
		acl.ResourceName = "kafka-cluster"
	}
	return acl
}

// grant makes the ACLs of a user exactly these, and waits until the broker shows them.
func (g *guarded) grant(t *testing.T, user string, needs []kafka.Need) {
	t.Helper()
	gone := kmsg.NewDeleteACLsRequestFilter()
	principal := "User:" + user
	gone.Principal, gone.ResourceType, gone.ResourcePatternType = &principal, kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
	gone.Operation, gone.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	remove := kmsg.NewPtrDeleteACLsRequest()
	remove.Filters = append(remove.Filters, gone)
	if _, err := remove.RequestWith(t.Context(), g.admin); err != nil {
		t.Fatal(err)
	}
	create := kmsg.NewPtrCreateACLsRequest()
	for _, need := range needs {
		create.Creations = append(create.Creations, aclOf(t, user, need))
	}
	resp, err := create.RequestWith(t.Context(), g.admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range resp.Results {
		if r.ErrorCode != 0 {
			t.Fatalf("create an ACL: %d %v", r.ErrorCode, r.ErrorMessage)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if g.aclsOf(t, user) == len(needs) {
			return
		}
	}
}

func (g *guarded) aclsOf(t *testing.T, user string) int {
	t.Helper()
	described, err := kadm.NewClient(g.admin).DescribeACLs(t.Context(), kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations().Allow("User:"+user).AllowHosts())
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, d := range described {
		count += len(d.Described)
	}
	return count
}

// deleteRecords makes a log start at an offset.
func (g *guarded) deleteRecords(t *testing.T, topic string, start int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, start, -1)
	deleted, err := kadm.NewClient(g.admin).DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func without(needs []kafka.Need, i int) []kafka.Need {
	return append(append([]kafka.Need(nil), needs[:i]...), needs[i+1:]...)
}

// commit makes a consumer group with an offset.
func (g *guarded) commit(t *testing.T, group, topic string) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, 7, -1)
	if err := kadm.NewClient(g.admin).CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatal(err)
	}
}

// TestRights: with exactly the rights that are told, a user does the whole job; without one
// of them, what is missing is named with the command that grants it, and the rest goes on.
func TestRights(t *testing.T) {
	g := startGuarded(t)
	fillTopic(t, g.Cluster, "guarded-a", 50)
	fillTopic(t, g.Cluster, "guarded-b", 50)
	g.commit(t, "guarded-group", "guarded-a")
	g.deleteRecords(t, "guarded-b", 10)
	topics := []kafka.NamePattern{{Name: "guarded-", Prefixed: true}}
	saving := kafka.Needs(kafka.JobBackup, topics)
	backup := []string{"backup", "--command-config", g.properties(t, backupUser), "-t", "guarded-a,guarded-b", "--patience", "20s"}
	saved := newVault(t)
	t.Run("backup", func(t *testing.T) {
		g.grant(t, backupUser, saving)
		command(t, nil, append(backup, "--vault", saved)...).must(t, exitDone)
		for i, need := range saving {
			t.Run("without "+need.String(), func(t *testing.T) {
				g.grant(t, backupUser, without(saving, i))
				out := command(t, nil, append(backup, "--vault", newVault(t))...)
				if isImplied(need) {
					out.must(t, exitDone)
					return
				}
				out.must(t, exitIncomplete).says(t, "needs "+need.Operation+" on ", need.Resource, grantOf(need, backupUser))
			})
		}
	})
	t.Run("doctor", g.doctorKnowsRights)
	restoring := kafka.Needs(kafka.JobRestore, topics)
	restore := []string{"restore", "--command-config", g.properties(t, restoreUser), "--vault", saved, "-t", "guarded-a,guarded-b", "--groups", "--yes", "--patience", "20s"}
	t.Run("restore", func(t *testing.T) {
		g.grant(t, restoreUser, restoring)
		out := command(t, nil, append(restore, "--map", "/guarded-(.*)/=guarded-whole-$1")...).must(t, exitDone)
		if strings.Contains(out.stderr, "needs ") || strings.Contains(out.stderr, "not checked") {
			t.Errorf("stderr: %s", out.stderr)
		}
		for i, need := range restoring {
			t.Run("without "+need.String(), func(t *testing.T) {
				g.grant(t, restoreUser, without(restoring, i))
				out := command(t, nil, append(restore, "--map", fmt.Sprintf("/guarded-(.*)/=guarded-%d-$1", i))...)
				if need.Operation == "DescribeConfigs" && need.Resource == root.ResourceCluster {
					out.must(t, exitDone).says(t, "needs the right DescribeConfigs on the cluster")
					return
				}
				if isImplied(need) || need.Operation == "Describe" && need.Resource == root.ResourceGroup || need.Operation == "DescribeConfigs" { // only what was there before has configs to see
					out.must(t, exitDone)
					return
				}
				if need.Operation == "Describe" {
					out.must(t, exitDone).says(t, "needs Describe on ", grantOf(need, restoreUser))
					return
				}
				if want := map[string]int{"Create": exitFailed, "AlterConfigs": exitFailed, "Write": exitUnreachable}[need.Operation]; out.code != want && (want != 0 || out.code != exitIncomplete) {
					t.Errorf("exit code %d", out.code)
				}
				out.says(t, "needs "+need.Operation+" on "+need.Resource, grantOf(need, restoreUser))
			})
		}
	})
}

// isImplied says that other rights on topics bring it.
func isImplied(need kafka.Need) bool {
	return need.Operation == "Describe" && need.Resource == root.ResourceTopic && need.Prefixed
}

// grantOf is how the command that grants a need begins and ends.
func grantOf(need kafka.Need, user string) string {
	return "--add --allow-principal User:" + user + " --operation " + need.Operation + " --" + need.Resource
}
