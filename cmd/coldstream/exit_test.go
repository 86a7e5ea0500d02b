package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/embedded"
	"coldstream/vault"
)

// TestExitCodesAreThosePromised: scripts rely on the numbers, not on our names for them.
func TestExitCodesAreThosePromised(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Exit codes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	words := map[int]string{
		exitDone: "done", exitFailed: "failed", exitUsage: "wrong usage", exitIncomplete: "done, but something",
		exitBelowTarget: "`status --check`", exitKey: "the vault is encrypted",
		exitDamage: "damage in the vault", exitNoVault: "there is no vault", exitUnreachable: "the cluster cannot be reached",
		exitInterrupted: "interrupted",
	}
	got := map[int]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(section, -1) {
		code, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		if got[code] = m[2]; strings.HasPrefix(m[2], words[code]) {
			got[code] = words[code]
		}
	}
	if diff := cmp.Diff(words, got); diff != "" {
		t.Errorf("(-program +docs/operations.md)\n%s", diff)
	}
}

func TestABackupWithGapsIsIncomplete(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders"})
	vault := newVault(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(at, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
	for range 5 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("late")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var offsets kadm.Offsets
	offsets.AddOffset("orders", 0, 103, -1)
	deleted, err := kadm.NewClient(client).DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitIncomplete).says(t, "gap: orders-0 offsets [100, 103)")
	command(t, nil, "backup", "-b", at, "--vault", vault).must(t, exitDone)
}

// Bad memory of this host is no damage of the vault.
func TestReadBackIsAFailureOfThisHost(t *testing.T) {
	f := classify(t.Context(), fmt.Errorf("encode: %w", vault.ErrReadBack))
	if f.code != exitFailed || !strings.Contains(f.hint, "another host") {
		t.Errorf("exit code %d, hint %q", f.code, f.hint)
	}
}
