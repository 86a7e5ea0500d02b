package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"

	"coldstream/kafka/kafkatest"
)

// example is a value that a flag takes, and how the flag writes it.
func example(f *pflag.Flag) (text, want string) {
	switch f.Value.Type() {
	case "bool":
		return "true", "true"
	case "int", "int64", "int32":
		return "7", "7"
	case "duration":
		return "7m", "7m0s"
	case "stringArray", "stringSlice":
		return "x=y", "[x=y]"
	case "string":
		return "text", "text"
	}
	value := f.DefValue
	if value == "" {
		value = "7"
	}
	return value, value
}

// TestEveryFlagHasItsKeyAndItsVariable sets each flag of each command by the file and by the environment.
func TestEveryFlagHasItsKeyAndItsVariable(t *testing.T) {
	count := 0
	byAll := map[string]string{} // what a variable sets
	for name := range configKeys(newRootCommand(&globalOptions{}, testEnv(nil))).Commands {
		c := &keyTest{T: t, command: name}
		own, shared := "commands:\n  "+name+":\n    {}\n", "contexts:\n  one:\n    {}\n"
		var ownVars, sharedVars []string
		cmd := c.find(testEnv(nil))
		eachKey(cmd, func(f *pflag.Flag) {
			count++
			text, _ := example(f)
			line := fmt.Sprintf("    %s: %q\n", f.Name, text)
			names := variables(cmd, f.Name)
			own, ownVars = strings.Replace(own, "    {}\n", "", 1)+line, append(ownVars, names[0]+"="+text)
			if len(names) > 1 {
				shared, sharedVars = strings.Replace(shared, "    {}\n", "", 1)+line, append(sharedVars, names[1]+"="+text)
			}
			for _, v := range names {
				if other, ok := byAll[v]; ok && other != f.Name {
					t.Errorf("%s sets --%s and --%s", v, f.Name, other)
				}
				byAll[v] = f.Name
			}
		})
		file := filepath.Join(t.TempDir(), "c.yaml")
		write(t, file, own)
		c.check([]string{"COLDSTREAM_CONFIG=" + file}, fromFile, func(string) bool { return true })
		c.check(ownVars, fromEnvironment, func(string) bool { return true })
		isForAll := func(flag string) bool { return isShared(name, flag) }
		write(t, file, shared)
		c.check([]string{"COLDSTREAM_CONFIG=" + file, "COLDSTREAM_CONTEXT=one"}, fromFile, isForAll)
		c.check(sharedVars, fromEnvironment, isForAll)
	}
	if count < 100 {
		t.Errorf("only %d flags were looked at", count)
	}
}

// keyTest looks at the flags of one command.
type keyTest struct {
	*testing.T
	command string
}

func (t *keyTest) find(e *env) *cobra.Command {
	cmd, _, err := newRootCommand(&globalOptions{}, e).Find(strings.Fields(t.command))
	if err != nil || keyName(cmd) != t.command {
		t.Fatalf("%s: found %v, %v", t.command, cmd, err)
	}
	return cmd
}

// check holds that these variables set those flags, and no others.
func (t *keyTest) check(vars []string, kind string, isSet func(flag string) bool) {
	t.Helper()
	e := testEnv(vars)
	cmd := t.find(e)
	s, err := configure(cmd, e)
	if err != nil {
		t.Errorf("%s by %v: %v", t.command, vars, err)
		return
	}
	eachKey(cmd, func(f *pflag.Flag) {
		_, want := example(f)
		from := kind
		if !isSet(f.Name) {
			from, want = fromDefault, f.DefValue
		}
		if got := f.Value.String(); got != want || s.origins[f.Name].kind != from {
			t.Errorf("%s --%s by %v: got %s from %+v, want %s from %s", t.command, f.Name, vars, got, s.origins[f.Name], want, from)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestConfigurationFile runs commands with a file: order, contexts, mistakes, secrets.
func TestConfigurationFile(t *testing.T) {
	vault, home := newVault(t), t.TempDir()
	file := filepath.Join(home, "coldstream", "config.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, "coldstream", "where"), vault+"\n")
	write(t, file, `contexts:
  good: {vault: "@where"}
  bad: {vault: /nowhere}
command-property:
  sasl.password: ${PW}
  sasl.username: me
topic: [orders, payments]
commands:
  restore: {topic: precious, config: [retention.ms=1]}
`)
	vars := []string{"XDG_CONFIG_HOME=" + home, "PW=hidden"}
	say := func(code int, want string, args ...string) {
		t.Helper()
		got := command(t, vars, args...).must(t, code)
		if all := got.stdout + got.stderr; !strings.Contains(all, want) || strings.Contains(all, "hidden") {
			t.Errorf("%v: got %s, want %q and no secret", args, all, want)
		}
	}
	say(exitDone, "", "snapshots", "--context", "good")
	say(exitNoVault, "/nowhere", "snapshots", "--context", "bad")
	say(exitDone, "", "snapshots", "--context", "bad", "--vault", vault)
	say(exitUsage, "did you mean: good", "snapshots", "--context", "god")
	say(exitDone, "contexts: good, bad", "config", "check")
	say(exitDone, "@where", "config", "show", "--context", "good", "--origin")
	say(exitDone, file+":7", "config", "show", "backup", "--origin")
	say(exitDone, "sasl.password=${PW}", "config", "show", "backup")
	say(exitDone, "precious", "config", "show", "restore", "--config", "a=b", "--config", file)
	say(exitDone, "1h0m0s", "config", "show", "backup", "--patience", "1h")
	say(exitDone, "***", "config", "show", "backup", "-X", "sasl.password=cleartext")
	vars = append(vars, "COLDSTREAM_VAULT="+vault)
	say(exitDone, "", "snapshots", "--context", "bad")
	say(exitDone, "COLDSTREAM_VAULT", "config", "show", "--origin", "--context", "bad")

	for text, want := range map[string]string{
		"valt: x":                             ":1: unknown key \"valt\"",
		"\npatience: soon":                    ":2: ",
		"vault: ${GONE}":                      ":1: the variable GONE is not set",
		"topics: {orders: {max-rpo: 5}}":      ":1: max-rpo of topic orders: not a time",
		"topics: {orders: {max-rpo: -5m}}":    ":1: max-rpo of topic orders: must be longer than 0",
		"topics: {orders: {rescans: no}}":     ":1: rescans of topic orders: is auto or never",
		"commands: {ls: {snapshot: [a, b]}}":  ":1: snapshot takes one value, not 2",
		"contexts: {a: {connect-timeout: x}}": ":1: ",
	} {
		broken := filepath.Join(home, "broken.yaml")
		write(t, broken, text)
		say(exitUsage, broken+want, "config", "check", broken)
	}
	say(exitUsage, "no such file", "snapshots", "--config", filepath.Join(home, "none.yaml"))
	say(exitUsage, "there are none", "version", "--config", os.DevNull, "--context", "x")
}

// TestStatusTakesBoundsFromTheFile checks each topic by its own bound.
func TestStatusTakesBoundsFromTheFile(t *testing.T) {
	cluster, vault := realCluster(t), newVault(t)
	client := newClient(t, cluster)
	createTopic(t, client, "bound-a", 1)
	createTopic(t, client, "bound-b", 1)
	produce(t, client, &kgo.Record{Topic: "bound-a", Value: []byte("v")}, &kgo.Record{Topic: "bound-b", Value: []byte("v")})
	file := filepath.Join(t.TempDir(), "c.yaml")
	write(t, file, fmt.Sprintf("vault: %s\nbootstrap-server: %s\ntopic: bound-*\ntopics:\n  bound-a: {max-rpo: 5m}\n", vault, address(cluster)))
	vars := []string{"COLDSTREAM_CONFIG=" + file}
	got := command(t, vars, "status", "--check").must(t, exitBelowTarget)
	if !strings.Contains(got.stderr, "topic bound-a is not protected") || strings.Contains(got.stderr, "bound-b") {
		t.Errorf("got %s", got.stderr)
	}
	got = command(t, vars, "status", "--check", "--max-rpo", "1h").must(t, exitBelowTarget)
	if !strings.Contains(got.stderr, "topic bound-b is not protected") {
		t.Errorf("a flag is not for all topics: %s", got.stderr)
	}
	command(t, vars, "backup").must(t, exitDone)
	command(t, vars, "status", "--check").must(t, exitDone)
}

func address(c *kafkatest.Cluster) string { return strings.Join(c.Addrs(), ",") }

// TestConfigurationPage holds that docs/configuration.md names all keys.
func TestConfigurationPage(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "configuration.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), keysBegin)
	_, after, closed := strings.Cut(rest, keysEnd)
	if !found || !closed {
		t.Fatalf("%s has no place for the keys", page)
	}
	want := before + keysBegin + keyTable() + keysEnd + after
	if *writeFlag {
		write(t, page, want)
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("write it anew with: go test ./cmd/coldstream -run TestConfigurationPage -write\n(-want +got)\n%s", diff)
	}
}

const (
	keysBegin = "<!-- keys: go test ./cmd/coldstream -run TestConfigurationPage -write -->\n"
	keysEnd   = "<!-- end of keys -->\n"
)

// keyTable lists the keys of all commands, and then those of single ones.
func keyTable() string {
	root := newRootCommand(&globalOptions{}, testEnv(nil))
	keys := configKeys(root)
	var b strings.Builder
	b.WriteString("| key | variable | commands |\n|---|---|---|\n")
	for _, key := range keys.Shared {
		var of []string
		walkCommands(root, func(cmd *cobra.Command) {
			eachKey(cmd, func(f *pflag.Flag) {
				if f.Name == key && isShared(keyName(cmd), key) {
					of = append(of, keyName(cmd))
				}
			})
		})
		commands := strings.Join(of, ", ")
		if len(of) == len(keys.Commands) {
			commands = "all"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", key, variable(key), commands)
	}
	b.WriteString("\n| under `commands` | keys |\n|---|---|\n")
	walkCommands(root, func(cmd *cobra.Command) {
		var own []string
		eachKey(cmd, func(f *pflag.Flag) {
			if !isShared(keyName(cmd), f.Name) {
				own = append(own, "`"+f.Name+"`")
			}
		})
		if len(own) > 0 {
			fmt.Fprintf(&b, "| `%s` | %s |\n", keyName(cmd), strings.Join(own, ", "))
		}
	})
	return b.String()
}
