package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coldstream"
	"coldstream/internal/terminal"
	"coldstream/vault"
)

// completionPatience is how long a vault or a cluster may take: whoever pressed the Tab key
// waits.
const completionPatience = time.Second

func newCompletionCommand(e *env) *cobra.Command {
	shells := map[string]func(root *cobra.Command, w io.Writer) error{
		"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
		"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
	}
	names := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the script that completes commands in a shell",
		Long: `Print the script that completes commands, flags, topics, consumer groups and snapshots in a shell:
bash (which needs the package bash-completion), zsh, fish or powershell. Topics of a backup come
from the cluster, all else from the vault, if they answer within a second.`,
		Example: `  source <(coldstream completion bash)                                         # in ~/.bashrc
  source <(coldstream completion zsh)                                          # in ~/.zshrc, after compinit
  coldstream completion fish > ~/.config/fish/completions/coldstream.fish`,
		ValidArgs: names,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && shells[args[0]] != nil {
				return nil
			}
			err := errors.New("no shell given")
			if len(args) > 0 {
				err = fmt.Errorf("unknown shell %q", strings.Join(args, " "))
			}
			return usagef("use one of: "+strings.Join(names, ", "), err)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := shells[args[0]](cmd.Root(), e.stdout); err != nil {
				return &resultError{err}
			}
			return nil
		},
	}
}

// completer offers values for a flag or an argument.
type completer = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// addCompletions gives every flag and argument of all commands its completer. What is not
// known here completes to nothing: file names are offered only where files are meant.
func addCompletions(root *cobra.Command, e *env) {
	quiet := *e
	quiet.stdout, quiet.stderr = io.Discard, io.Discard
	look := &lookup{env: &quiet}
	completers := map[string]completer{
		"output":         oneOf(outputFormats()...),
		"offsets":        oneOf("auto", "exact", "translate"),
		"configs":        oneOf("effective", "own", "none"),
		"for":            oneOf("backup", "restore", "run"),
		"acls":           oneOf("backup", "restore"),
		"lock-mode":      oneOf("governance", "compliance"),
		"topic":          listed(look.topics),
		"exclude":        listed(look.topics),
		"map":            look.maps,
		"group":          single(look.groups),
		"snapshot":       single(look.snapshots),
		"with":           single(look.snapshots),
		"cluster-id":     single(look.clusters),
		"isolation":      oneOf("read_committed", "read_uncommitted"),
		"vault":          folders,
		"from":           folders,
		"to":             folders,
		"spool":          folders,
		"command-config": files,
		"context":        single(look.contexts),
		"config":         files,
		"key-file":       files,
		"state":          files,
		"out":            files,
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
			if strings.Contains(cmd.Use, "TOPIC") {
				cmd.ValidArgsFunction = onlyArgument(single(look.topics))
			}
		}
		add := func(f *pflag.Flag) {
			complete := completers[f.Name]
			if complete == nil || f.Name == "config" && f.Value.Type() != "string" { // a topic's config, no file
				complete = cobra.NoFileCompletions
			}
			if _, there := cmd.GetFlagCompletionFunc(f.Name); !there {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // which fails only for what is no flag, or is there
			}
		}
		cmd.LocalFlags().VisitAll(add)
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

func oneOf(values ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func files(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// find is a question that completion asks: names, each with a tab and a description if there
// is one.
type find func(ctx context.Context, cmd *cobra.Command) ([]string, error)

// single completes one name. What cannot be found out is not offered: there is no place for
// an error on a line that is being typed.
func single(ask find) completer {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return offer(cmd, ask, "", typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// onlyArgument completes the first argument, and no second one.
func onlyArgument(complete completer) completer {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, typed)
	}
}

// listed completes the last name of a list with commas.
func listed(ask find) completer {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before, last := "", typed
		if i := strings.LastIndexByte(typed, ','); i >= 0 {
			before, last = typed[:i+1], typed[i+1:]
		}
		return offer(cmd, ask, before, last), cobra.ShellCompDirectiveNoFileComp
	}
}

// offer asks, and leaves out what was not typed so far and what a shell would not take as
// one plain word: some scripts evaluate the line, and a group may be called $(reboot).
func offer(cmd *cobra.Command, ask find, before, typed string) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
	defer cancel()
	found, err := ask(ctx, cmd)
	if err != nil {
		return nil
	}
	var out []string
	for _, text := range found {
		name, _, _ := strings.Cut(text, "\t")
		if strings.HasPrefix(name, typed) && terminal.Quote(name) == name {
			out = append(out, before+text)
		}
	}
	return out
}

// lookup asks vaults and clusters that a command line names so far.
type lookup struct{ env *env }

// text is the value of a flag, or nothing where the command has no such flag with one value.
func text(cmd *cobra.Command, flag string) string {
	if f := cmd.Flags().Lookup(flag); f != nil && f.Value.Type() == "string" {
		return f.Value.String()
	}
	return ""
}

func (l *lookup) opened(ctx context.Context, cmd *cobra.Command) (*vault.Vault, []vault.Snapshot, error) {
	if _, err := configure(cmd, l.env); err != nil {
		return nil, nil, err
	}
	o := vaultOptions{url: cmp.Or(text(cmd, "vault"), text(cmd, "from")), isVerbose: func() bool { return false }, catalogIsEnough: true, isOneOfTwo: true}
	o.keyFiles, _ = cmd.Flags().GetStringArray("key-file") // a command without the flag opens no vault
	v, err := o.open(ctx, l.env)
	if err != nil {
		return nil, nil, err
	}
	catalog, err := v.OpenCatalog(ctx)
	if err != nil {
		return nil, nil, err
	}
	return v, catalog.Snapshots(), nil
}

// contexts are those of the configuration file.
func (l *lookup) contexts(_ context.Context, cmd *cobra.Command) ([]string, error) {
	path, _, err := namedConfig(cmd, l.env)
	if err != nil {
		return nil, err
	}
	file, err := readConfig(cmd.Root(), path, l.env)
	if err != nil || file == nil {
		return nil, err
	}
	return file.Contexts(), nil
}

// topics are those of the snapshot or of all snapshots, where a command reads a vault, and
// those of the cluster otherwise.
func (l *lookup) topics(ctx context.Context, cmd *cobra.Command) ([]string, error) {
	if cmd.Flags().Lookup("snapshot") == nil {
		return l.clusterTopics(ctx, cmd)
	}
	_, snapshots, err := l.opened(ctx, cmd)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range snapshots {
		if !strings.HasPrefix(snapshots[i].ID.String(), strings.ToLower(text(cmd, "snapshot"))) {
			continue
		}
		topics, err := snapshots[i].Topics(ctx)
		if err != nil {
			return nil, err
		}
		for _, t := range topics {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (l *lookup) clusterTopics(ctx context.Context, cmd *cobra.Command) ([]string, error) {
	if _, err := configure(cmd, l.env); err != nil {
		return nil, err
	}
	o := clusterOptions{
		env: l.env, verbose: func() bool { return false }, connectTimeout: completionPatience, patience: completionPatience,
		bootstrap: text(cmd, "bootstrap-server"), commandConfig: text(cmd, "command-config"),
	}
	if values, err := cmd.Flags().GetStringArray("command-property"); err == nil {
		o.properties = values
	}
	if err := o.validate(); err != nil {
		return nil, err
	}
	client, err := o.connect(ctx, coldstream.NoObserver{})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	cluster, err := client.Metadata(ctx, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range cluster.Topics {
		names = append(names, t.Name)
	}
	return names, nil
}

// maps completes the old name of a map.
func (l *lookup) maps(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	names := offer(cmd, l.topics, "", typed)
	for i := range names {
		names[i] += "="
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (l *lookup) snapshots(ctx context.Context, cmd *cobra.Command) ([]string, error) {
	_, snapshots, err := l.opened(ctx, cmd)
	var names []string
	for i := range slices.Backward(snapshots) {
		s := &snapshots[i]
		names = append(names, fmt.Sprintf("%s\t%s, %s", s.ID, timestamp(s.Time), formatBytes(s.SizeBytes)))
	}
	return names, err
}

func (l *lookup) clusters(ctx context.Context, cmd *cobra.Command) ([]string, error) {
	_, snapshots, err := l.opened(ctx, cmd)
	var names []string
	for i := range snapshots {
		names = append(names, snapshots[i].ClusterID)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// groups are those of the snapshot that is asked for, or of the newest.
func (l *lookup) groups(ctx context.Context, cmd *cobra.Command) ([]string, error) {
	v, snapshots, err := l.opened(ctx, cmd)
	if err != nil {
		return nil, err
	}
	for i := range slices.Backward(snapshots) {
		if !strings.HasPrefix(snapshots[i].ID.String(), strings.ToLower(text(cmd, "snapshot"))) {
			continue
		}
		metadata, err := v.Metadata(ctx, &snapshots[i])
		if err != nil {
			return nil, err
		}
		var names []string
		for _, g := range metadata.Groups {
			names = append(names, g.Name)
		}
		return names, nil
	}
	return nil, nil
}
