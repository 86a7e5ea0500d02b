package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"coldstream/kafka"
	"coldstream/kafka/embedded"
	"coldstream/kafka/kafkatest"
)

// checked runs a doctor and returns its document.
func checked(t *testing.T, code int, args ...string) doctorDocument {
	t.Helper()
	var d doctorDocument
	command(t, nil, append([]string{"doctor", "-o", "json"}, args...)...).must(t, code).into(t, &d)
	if d.SchemaVersion != 1 || d.OK != (code == exitDone) {
		t.Errorf("document %+v", d)
	}
	return d
}

// wants fails the test unless there is a line of the check about the subject, with this
// status and all the texts in it.
func (d *doctorDocument) wants(t *testing.T, check, subject, status string, texts ...string) {
	t.Helper()
	if !slices.ContainsFunc(d.Checks, func(line doctorFindings) bool {
		all := line.Text + " " + line.Hint
		return line.Check == check && strings.Contains(line.Subject, subject) && line.Status == status &&
			!slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(all, text) })
	}) {
		t.Errorf("no line %s of %s is %s and says %q: %+v", check, subject, status, texts, d.Checks)
	}
}

func TestDoctorOfAHealthyCluster(t *testing.T) {
	c := realCluster(t)
	fillTopic(t, c, "doctored", 10)
	client := newClient(t, c)
	createTopic(t, client, "doctored-short", 1, "retention.ms=60000")
	createTopic(t, client, "doctored-keys", 1, "cleanup.policy=compact", "delete.retention.ms=60000")
	offsets := kadm.Offsets{}
	offsets.AddOffset("doctored", 0, 3, -1)
	if err := kadm.NewClient(client).CommitAllOffsets(t.Context(), "doctored-group", offsets); err != nil {
		t.Fatal(err)
	}
	vault := newVault(t)
	before := tree(t, vault)
	properties := c.WriteClientProperties(t, kafkatest.SASLSSL, "SCRAM-SHA-512", secureUser)
	flags := []string{"--command-config", properties, "--vault", vault, "-t", "doctored*"}
	d := checked(t, exitDone, flags...)
	address := c.ListenerAddrs(kafkatest.SASLSSL)[0]
	d.wants(t, "address", "bootstrap "+address, "ok", "takes connections")
	d.wants(t, "address", "broker 1 at "+address, "ok")
	d.wants(t, "tls", "broker 1 at "+address, "ok", "TLS 1.3", "localhost", "Test CA", "good for 36")
	d.wants(t, "versions", "broker 1", "ok", "all that a backup needs")
	d.wants(t, "login", "", "ok", "User:"+secureUser)
	d.wants(t, "topics", "", "ok", "3 chosen")
	d.wants(t, "topics", "__consumer_offsets", "ok", "skipped")
	d.wants(t, "retention", "doctored-short", "warn", "retention.ms is 1m0s", "24h")
	d.wants(t, "retention", "doctored-keys", "warn", "reads the topic again in full")
	d.wants(t, "rights", "", "ok")
	d.wants(t, "groups", "", "ok", "can be read")
	d.wants(t, "clock", "brokers", "ok", "differ by")
	d.wants(t, "vault", vault, "ok", "no snapshot yet")
	for _, what := range []string{"lists", "ranges", "conditional create"} {
		d.wants(t, "storage", vault, "ok", what)
	}
	d.wants(t, "open files", "", "ok")
	if diff := cmp.Diff(before, tree(t, vault)); diff != "" {
		t.Errorf("the vault changed:\n%s", diff)
	}
	if d.For != "backup" {
		t.Errorf("for %s", d.For)
	}
	for _, job := range []string{"restore", "run"} {
		d := checked(t, exitDone, append(flags, "--for", job)...)
		d.wants(t, "versions", "broker 1", "ok", "all that a "+job+" needs")
	}
	out := command(t, nil, append([]string{"doctor"}, flags...)...).must(t, exitDone)
	if !strings.Contains(out.stdout, "status  check") || !strings.Contains(out.stdout, "-> run backups more often") {
		t.Errorf("stdout: %s", out.stdout)
	}
}

func TestDoctorNamesWhatFails(t *testing.T) {
	c := realCluster(t)
	vault := newVault(t)
	d := checked(t, exitUnreachable, "-b", "no-such-host.invalid:9092", "--connect-timeout", "500ms", "--vault", vault)
	d.wants(t, "address", "bootstrap no-such-host.invalid:9092", "fail", "no such host")
	d.wants(t, "cluster", "", "fail", "unreachable")
	d.wants(t, "vault", vault, "ok") // what can be looked at is
	d = checked(t, exitUnreachable, "-b", c.ListenerAddrs("CONTROLLER")[0], "--vault", vault)
	d.wants(t, "cluster", "", "fail", "controller listener")
	d = checked(t, exitNoVault, "-b", c.Bootstrap(), "--vault", t.TempDir())
	d.wants(t, "vault", "", "fail", "no vault there", "coldstream init")
	d = checked(t, exitFailed, "-b", c.Bootstrap(), "-t", "no-such-topic-at-all")
	d.wants(t, "topics", "", "fail", "no-such-topic-at-all")
	d.wants(t, "vault", "", "warn", "none was given")
}

func TestDoctorUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"doctor", "-b", nowhere, "--for", "sleep"}, "backup, restore or run"},
		{[]string{"doctor", "-b", nowhere, "--every", "0s"}, "--every"},
		{[]string{"doctor", "--acls", "backup"}, "User:coldstream"},
		{[]string{"doctor", "--acls", "sleep", "--principal", "User:a"}, "backup or restore"},
		{[]string{"doctor", "--principal", "User:a"}, "backup or restore"},
		{[]string{"doctor"}, "no cluster given"},
	} {
		command(t, nil, test.args...).must(t, exitUsage).says(t, test.says)
	}
}

// doctorKnowsRights: with what a job takes a doctor finds nothing missing, and without one of
// the rights it names that.
func (g *guarded) doctorKnowsRights(t *testing.T) {
	for _, job := range []kafka.Job{kafka.JobBackup, kafka.JobRestore} {
		needs := kafka.Needs(job, []kafka.NamePattern{{Name: "guarded-", Prefixed: true}})
		flags := []string{"--for", string(job), "--command-config", g.properties(t, backupUser), "-t", "guarded-a"}
		g.grant(t, backupUser, needs)
		d := checked(t, exitDone, flags...)
		d.wants(t, "rights", "", "ok", "all that was checked")
		for i, need := range needs {
			// Who may alter configs may see them, and what is there need not be made.
			unseen := !need.Prefixed || need.Operation == "Create" || need.Operation == "DescribeConfigs"
			if isImplied(need) || job == kafka.JobRestore && unseen {
				continue
			}
			g.grant(t, backupUser, without(needs, i))
			d := checked(t, exitFailed, flags...)
			d.wants(t, "rights", "", "fail", "needs "+need.Operation+" on ", grantOf(need, backupUser))
		}
	}
}

func TestACLsForOtherTools(t *testing.T) {
	out := command(t, nil, "doctor", "--acls", "restore", "--principal", "User:cold stream", "-t", "orders-*,payments").must(t, exitDone).stdout
	for _, want := range []string{
		"--allow-principal 'User:cold stream' --operation Describe --operation Create",
		"--topic orders- --resource-pattern-type prefixed", "--topic payments\n", "--group '*'\n",
		"kind: KafkaUser", `{type: topic, name: "orders-", patternType: prefix}`, "confluent kafka acl create", "--topic orders- --prefix",
		"kafka-cluster:WriteData", "topic/CLUSTER/*/orders-*", "rpk security acl create",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("not in the output: %s\n%s", want, out)
		}
	}
	var d aclsDocument
	command(t, nil, "doctor", "--acls", "backup", "--principal", "User:a", "-o", "json").must(t, exitDone).into(t, &d)
	if d.For != "backup" || len(d.ACLs) != 6 || d.ACLs[1] != (aclDocument{"Read", "topic", "*", "literal"}) || len(d.KafkaACLs) != 4 {
		t.Errorf("document %+v", d)
	}
	command(t, nil, "doctor", "--acls", "backup", "--principal", "User:a", "-t", "/a.*/").must(t, exitDone).says(t, "for all topics")
}

func TestDoctorOfAnOldCluster(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	d := checked(t, exitDone, "-b", at)
	d.wants(t, "versions", "broker", "ok")
}
