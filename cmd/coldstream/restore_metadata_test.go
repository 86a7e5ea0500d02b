package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	root "coldstream"
	"coldstream/kafka"
)

// allSettings are seven of the test, four credentials of the fixture's users, and
// min.insync.replicas, which brokers with eligible leader replicas set for all.
const allSettings = 12

// What stands beside topics and groups is saved, shown as a difference, and brought back.
func TestMetadataComesBack(t *testing.T) {
	g := startGuarded(t)
	bootstrap := strings.Join(g.Addrs(), ",")
	vars := []string{"COLDSTREAM_BOOTSTRAP_SERVER=" + bootstrap, "COLDSTREAM_VAULT=" + filepath.Join(t.TempDir(), "vault")}
	adm := kadm.NewClient(g.admin)
	ctx := t.Context()
	set := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	user, client := "alice", "reporting"
	quota := func(value float64) {
		altered, err := adm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}, {Type: "client-id", Name: &client}},
			Ops:    []kadm.AlterClientQuotaOp{{Key: "consumer_byte_rate", Value: value}},
		}})
		set("quota", err)
		set("quota", altered[0].Err)
	}
	config := func(name, value string, brokers ...int32) {
		_, err := adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, brokers...)
		set("config", err)
	}
	needs := []kafka.Need{
		{Right: root.Right{Resource: root.ResourceTopic, Name: "orders", Operation: "READ"}},
		{Right: root.Right{Resource: root.ResourceGroup, Name: "bill", Operation: "READ"}, Prefixed: true},
	}
	g.grant(t, user, needs)
	quota(12345)
	config("log.cleaner.delete.retention.ms", "777")
	config("log.cleaner.min.compaction.lag.ms", "55", 1)
	c, err := kafka.Connect(ctx, kafka.Config{Bootstrap: g.Addrs()})
	set("connect", err)
	defer c.Close()
	set("group config", c.SetResourceConfigs(ctx, root.ResourceConfigs{
		Type: kmsg.ConfigResourceTypeGroupConfig.String(), Name: "billing", Configs: []root.Config{{Name: "consumer.session.timeout.ms", Value: "46000"}},
	}))
	scram, err := adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 8192, Password: "first secret"}})
	set("user", err)
	set("user", scram.Error())

	command(t, vars, "init").must(t, exitDone)
	g.await(t, vars)
	metadata := func(code int, args ...string) (d metadataDocument) {
		t.Helper()
		command(t, vars, append([]string{"restore", "--metadata", "acls,quotas,configs,users", "-o", "json"}, args...)...).must(t, code).into(t, &d)
		return d
	}
	if d := metadata(exitDone, "--dry-run"); len(d.Changes) != 0 || d.Same != allSettings {
		t.Errorf("nothing was lost, and this would change: %+v", d)
	}

	g.grant(t, user, nil)
	quota(1)
	config("log.cleaner.min.compaction.lag.ms", "56", 1)
	gone, err := adm.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha512}}, nil)
	set("user", err)
	set("user", gone.Error())
	g.grant(t, "mallory", needs[:1])

	planned := metadata(exitIncomplete, "--dry-run")
	if len(planned.Changes) != 4 || len(planned.LeftOut) != 1 || planned.LeftOut[0].Part != "users" || len(planned.OnlyInTarget) != 1 {
		t.Fatalf("the plan: %+v", planned)
	}
	passwords := filepath.Join(t.TempDir(), "passwords")
	done := metadata(exitDone, "--yes", "--new-passwords", passwords)
	for _, c := range done.Changes {
		if c.Status != "applied" {
			t.Errorf("%+v", c)
		}
	}
	if info, err := os.Stat(passwords); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("passwords: %v, %v", info, err)
	}
	text, err := os.ReadFile(passwords)
	if err != nil || !strings.HasPrefix(string(text), "alice=") || len(text) < 30 {
		t.Errorf("passwords: %v, %d bytes", err, len(text))
	}
	w := &world{T: t}
	w.await("the broker shows what was brought back", func() bool {
		var d metadataDocument
		command(t, vars, "restore", "--metadata", "acls,quotas,configs,users", "--dry-run", "-o", "json").into(t, &d)
		return len(d.Changes) == 0 && d.Same == allSettings
	})
	users, err := adm.DescribeUserSCRAMs(ctx, user)
	set("users", err)
	if infos := users[user].CredInfos; len(infos) != 1 || infos[0].Iterations != 8192 {
		t.Errorf("user: %+v", users)
	}

	command(t, vars, "restore", "--metadata", "acls", "-t", "orders", "--yes").must(t, exitUsage).says(t, "excludes --topic")
	command(t, vars, "restore", "--metadata", "acl", "--yes").must(t, exitUsage).says(t, "acls, configs, quotas, users")
	command(t, vars, "restore", "--metadata", "acls", "--passwords", passwords, "--yes").must(t, exitUsage).says(t, "--metadata users")
	command(t, vars, "restore", "--metadata", "acls").must(t, exitUsage).says(t, "--yes")
}

// await backs up until the broker shows all that was set: each setting reaches it in its own time.
func (g *guarded) await(t *testing.T, vars []string) {
	t.Helper()
	w := &world{T: t}
	w.await("the broker shows what was set", func() bool {
		command(t, vars, "backup").must(t, exitDone)
		var d metadataDocument
		command(t, vars, "restore", "--metadata", "acls,quotas,configs,users", "--dry-run", "-o", "json").must(t, exitDone).into(t, &d)
		return d.Same == allSettings
	})
}

// Nothing that is said of topics is passed over beside --metadata.
func TestMetadataWithFlagsOfTopics(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--since", "5"}, {"--until", "5"}, {"--at", "-1m"}, {"--archive"}, {"--resume"}} {
		command(t, nil, append([]string{"restore", "--metadata", "acls", "--vault", "there", "-b", "there:1", "--yes"}, flags...)...).must(t, exitUsage).says(t, "excludes "+flags[0])
	}
}
