package main

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"

	"coldstream/kafka/embedded"
)

// completed are the words that a shell would offer, without descriptions, and the directive.
func completed(t *testing.T, vars []string, args ...string) (words []string, directive string) {
	t.Helper()
	out := command(t, vars, append([]string{"__complete"}, args...)...).must(t, exitDone)
	lines := strings.Split(strings.TrimSuffix(out.stdout, "\n"), "\n")
	for _, line := range lines[:len(lines)-1] {
		word, _, _ := strings.Cut(line, "\t")
		words = append(words, word)
	}
	return words, lines[len(lines)-1]
}

const (
	noFiles       = ":4"
	noFilesNoMore = ":6" // and no space behind
)

// TestCompletionOffersWhatIsThere: topics, groups, snapshots and clusters.
func TestCompletionOffersWhatIsThere(t *testing.T) {
	at := embeddedOrders(t, embedded.Topic{Name: "orders-eu"}, embedded.Topic{Name: "orders-us"}, embedded.Topic{Name: "payments"})
	w := newWorldOf(t, strings.Split(at, ","))
	for _, group := range []string{"billing", "audit", hostile, "$(reboot)", "two words"} {
		w.commit(group, kadm.Offset{Topic: "orders-eu", At: 1, LeaderEpoch: -1})
	}
	vars := []string{"COLDSTREAM_BOOTSTRAP_SERVER=" + at, "COLDSTREAM_VAULT=" + newVault(t)}
	var first, second backupNumbers
	command(t, vars, "backup", "-t", "orders-*", "-o", "json").must(t, exitDone).into(t, &first)
	command(t, vars, "backup", "-o", "json").must(t, exitDone).into(t, &second)
	var d lsDocument
	command(t, vars, "ls", "-o", "json").must(t, exitDone).into(t, &d)

	for _, test := range []struct {
		args []string
		want []string
		end  string
	}{
		{[]string{"backup", "-t", ""}, []string{"orders-eu", "orders-us", "payments"}, noFiles},
		{[]string{"backup", "-t", "orders-eu,pa"}, []string{"orders-eu,payments"}, noFiles},
		{[]string{"backup", "--exclude=o"}, []string{"orders-eu", "orders-us"}, noFiles},
		{[]string{"restore", "-t", "p"}, []string{"payments"}, noFiles},
		{[]string{"restore", "--snapshot", first.Snapshot, "-t", ""}, []string{"orders-eu", "orders-us"}, noFiles},
		{[]string{"restore", "--map", "pay"}, []string{"payments="}, noFilesNoMore},
		{[]string{"restore", "--group", ""}, []string{"audit", "billing"}, noFiles}, // the others are no plain words
		{[]string{"restore", "--snapshot", ""}, []string{second.Snapshot, first.Snapshot}, noFiles},
		{[]string{"ls", "orders-eu", "--snapshot", first.Snapshot[:5]}, []string{first.Snapshot}, noFiles},
		{[]string{"ls", "--cluster-id", ""}, []string{d.ClusterID}, noFiles},
		{[]string{"ls", "ord"}, []string{"orders-eu", "orders-us"}, noFiles},
		{[]string{"ls", "orders-eu", ""}, nil, noFiles},
		{[]string{"backup", ""}, nil, noFiles},
		{[]string{"copy", "--from", strings.TrimPrefix(vars[1], "COLDSTREAM_VAULT="), "--snapshot", ""}, []string{second.Snapshot, first.Snapshot}, noFiles},
		{[]string{"restore", "--offsets", ""}, []string{"auto", "exact", "translate"}, noFiles},
		{[]string{"restore", "--configs", ""}, []string{"effective", "own", "none"}, noFiles},
		{[]string{"verify", "-o", ""}, []string{"table", "json", "yaml"}, noFiles},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish", "powershell"}, noFiles},
		{[]string{"verify", "--expect", ""}, nil, noFiles},
		{[]string{"verify", "--vault", ""}, nil, ":16"}, // folders
		{[]string{"backup", "--command-config", ""}, nil, ":0"},
	} {
		words, end := completed(t, vars, test.args...)
		if diff := cmp.Diff(test.want, words); diff != "" || end != test.end {
			t.Errorf("%q ends with %s, want %s (-want +got)\n%s", test.args, end, test.end, diff)
		}
	}
}

// TestCompletionWaitsForNobody: neither a cluster that takes connections and answers nothing,
// nor a vault that is not there, keeps a shell waiting; however long a backup would.
func TestCompletionWaitsForNobody(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	words, end := completed(t, nil, "backup", "-b", silent.Addr().String(), "--connect-timeout", "10h", "-t", "")
	if words != nil || end != noFiles {
		t.Errorf("offers %q, ends with %s", words, end)
	}
	for _, args := range [][]string{
		{"restore", "--vault", t.TempDir(), "-t", ""}, {"restore", "-t", ""}, {"backup", "-t", ""}, {"ls", "--vault", "s3://", ""},
		{"backup", "-b", "::::", "-t", ""}, {"backup", "--command-config", t.TempDir(), "-t", ""},
	} {
		out := command(t, nil, append([]string{"__complete"}, args...)...).must(t, exitDone)
		if out.stdout != noFiles+"\n" {
			t.Errorf("%q: %s", args, out.stdout)
		}
	}
}

// TestFilesAreOfferedWhereFilesAreMeant, and nowhere else: a flag that is new completes to
// nothing until somebody says what it means.
func TestFilesAreOfferedWhereFilesAreMeant(t *testing.T) {
	meant := []string{"command-config", "config", "from", "key-file", "out", "spool", "state", "to", "vault"}
	root := newRootCommand(&globalOptions{}, testEnv(nil))
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.SetContext(t.Context())
		if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
			t.Errorf("%s: arguments complete to files", cmd.CommandPath())
		}
		check := func(f *pflag.Flag) {
			complete, there := cmd.GetFlagCompletionFunc(f.Name)
			if !there {
				t.Errorf("%s --%s completes to files", cmd.CommandPath(), f.Name)
				return
			}
			if slices.Contains(meant, f.Name) && strings.HasPrefix(f.Value.Type(), "string") {
				return
			}
			if _, end := complete(cmd, nil, ""); end&cobra.ShellCompDirectiveNoFileComp == 0 {
				t.Errorf("%s --%s completes to files", cmd.CommandPath(), f.Name)
			}
		}
		cmd.LocalFlags().VisitAll(check)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}
