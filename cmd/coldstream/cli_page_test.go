package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var writeFlag = flag.Bool("write", false, "write docs/cli.md anew")

// TestCLIPage holds that docs/cli.md says what the commands say of themselves.
func TestCLIPage(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "cli.md")
	want := cliPage()
	if *writeFlag {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/cli.md is not what the commands say; write it anew with: go test ./cmd/coldstream -run TestCLIPage -write\n(-want +got)\n%s", diff)
	}
}

func cliPage() string {
	var b strings.Builder
	root := newRootCommand(&globalOptions{}, testEnv(nil))
	fmt.Fprintf(&b, `# Commands

<!-- Made from the commands: go test ./cmd/coldstream -run TestCLIPage -write -->

`)
	fmt.Fprintf(&b, "%s\n\n", root.Long)
	for _, cmd := range root.Commands() {
		fmt.Fprintf(&b, "- [`%s`](#%s) %s\n", cmd.Name(), anchor(cmd), lowerFirst(cmd.Short))
	}
	fmt.Fprintf(&b, "\n## Flags of all commands\n\n%s", flagTable(root.PersistentFlags()))
	for _, cmd := range root.Commands() {
		writeCommand(&b, cmd, 2)
	}
	return b.String()
}

func writeCommand(b *strings.Builder, cmd *cobra.Command, level int) {
	fmt.Fprintf(b, "\n%s %s\n\n    %s\n\n", strings.Repeat("#", level), cmd.CommandPath(), cmd.UseLine())
	about := cmd.Long
	if about == "" {
		about = cmd.Short + "."
	}
	fmt.Fprintf(b, "%s\n", about)
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n")
		for line := range strings.Lines(cmd.Example) {
			fmt.Fprintf(b, "    %s\n", strings.TrimSpace(line))
		}
	}
	if cmd.LocalNonPersistentFlags().HasFlags() {
		fmt.Fprintf(b, "\n%s", flagTable(cmd.LocalNonPersistentFlags()))
	}
	for _, sub := range cmd.Commands() {
		writeCommand(b, sub, level+1)
	}
}

func anchor(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func flagTable(flags *pflag.FlagSet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| flag | meaning |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if value != "" {
			name += " " + value
		}
		switch f.DefValue {
		case "", "false", "[]":
		default:
			usage += "; " + f.DefValue + " by default"
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(usage))
	})
	return b.String()
}
