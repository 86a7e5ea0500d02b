package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coldstream/internal/config"
)

// readsConfigItself marks commands that look at the file and do not obey it.
const readsConfigItself = "reads-config-itself"

func newConfigCommand(global *globalOptions, e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show and check the configuration file",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShowCommand(global, e), newConfigCheckCommand(global, e))
	return cmd
}

type configShow struct {
	cmd        *cobra.Command
	withOrigin bool
	global     *globalOptions
	document   shownDocument
}

type shownDocument struct {
	header
	File    string      `json:"file"`
	Context string      `json:"context"`
	Command string      `json:"command"`
	Values  []configRow `json:"values"`
}

// configRow is a key of a command, of all commands that have it, or of a topic.
type configRow struct {
	Command string   `json:"command"`
	Topic   string   `json:"topic"`
	Key     string   `json:"key"`
	Values  []string `json:"values"`
	Origin  string   `json:"origin"`
	At      string   `json:"at"`
}

func newConfigShowCommand(global *globalOptions, e *env) *cobra.Command {
	o := &configShow{global: global}
	cmd := &cobra.Command{
		Use:   "show [COMMAND [FLAGS]]",
		Short: "Show the values that commands use",
		Long: `Show the values that a command uses: its flags may follow its name, and nothing is run. Without a
COMMAND, show what file and environment set for all commands.

Flags go before the environment, the environment before the file of --config, and the file before
defaults. With --origin each value comes with the place that it is from.

A value that the file takes from ${VARIABLE} or @FILE is shown as it is written there, so that no
secret is shown.`,
		Example: `  coldstream config show --origin
  coldstream config show --origin backup --patience 1h`,
		Annotations: map[string]string{readsConfigItself: "yes"},
		Args:        cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.cmd = cmd
			return o.run(args, e)
		},
	}
	cmd.Flags().BoolVar(&o.withOrigin, "origin", false, "say where each value comes from")
	cmd.Flags().SetInterspersed(false) // what follows COMMAND is of that
	return cmd
}

func (o *configShow) run(args []string, e *env) error {
	o.document = shownDocument{header: header{SchemaVersion: schemaVersion}, Values: []configRow{}}
	var err error
	if len(args) > 0 {
		err = o.one(args, e)
	} else {
		err = o.all(e)
	}
	if err != nil {
		return err
	}
	if err := o.global.validate(); err != nil {
		return err
	}
	if isMachineFormat(o.global.output) {
		return writeDocument(e.stdout, o.global.output, o.document)
	}
	return table(e.stdout, o.rows())
}

// one shows all flags of a command.
func (o *configShow) one(args []string, e *env) error {
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool {
		o.withOrigin = o.withOrigin || arg == "--origin"
		return arg == "--origin"
	})
	target, rest, err := o.cmd.Root().Find(args)
	if err != nil || target == o.cmd.Root() {
		return unknownCommand(o.cmd.Root(), args[0])
	}
	if err := target.ParseFlags(rest); err != nil {
		return usagef("see: "+target.CommandPath()+" --help", err)
	}
	s, err := configure(target, e)
	if err != nil {
		return err
	}
	o.document.Command = keyName(target)
	o.of(s)
	eachKey(target, func(f *pflag.Flag) {
		o.document.Values = append(o.document.Values, newConfigRow(target, f, s.origins[f.Name]))
	})
	return o.topics(s, e)
}

// all shows what is set for any command.
func (o *configShow) all(e *env) error {
	s, err := readSettings(o.cmd, e)
	if err != nil {
		return err
	}
	o.of(s)
	shown := map[string]bool{}
	err = s.applyToAll(e, func(cmd *cobra.Command, f *pflag.Flag, from origin) {
		row := newConfigRow(cmd, f, from)
		if from.isShared {
			row.Command = ""
		}
		if from.kind != fromDefault && !shown[row.Command+" "+row.Key] {
			shown[row.Command+" "+row.Key] = true
			o.document.Values = append(o.document.Values, row)
		}
	})
	if err != nil {
		return err
	}
	return o.topics(s, e)
}

// applyToAll sets the flags of each command, of a program of its own: some flags are of all commands.
func (s *settings) applyToAll(e *env, visit func(cmd *cobra.Command, f *pflag.Flag, from origin)) error {
	for _, name := range slices.Sorted(maps.Keys(configKeys(newRootCommand(&globalOptions{}, e)).Commands)) {
		cmd, _, err := newRootCommand(&globalOptions{}, e).Find(strings.Fields(name))
		if err != nil {
			return err
		}
		each := *s
		each.origins = map[string]origin{}
		if err := each.apply(cmd, e); err != nil {
			return err
		}
		eachKey(cmd, func(f *pflag.Flag) { visit(cmd, f, each.origins[f.Name]) })
	}
	return nil
}

func (o *configShow) of(s *settings) {
	o.document.File, o.document.Context = s.file.Name, s.chosen.Context
}

// topics shows what is said for single topics.
func (o *configShow) topics(s *settings, e *env) error {
	if err := s.checkTopics(e); err != nil {
		return err
	}
	for _, key := range perTopicKeys() {
		for _, v := range s.chosen.Topics(key) {
			o.document.Values = append(o.document.Values, configRow{Topic: v.Pattern, Key: key, Values: v.Value.Texts, Origin: fromFile, At: v.Value.Origin()})
		}
	}
	return nil
}

func newConfigRow(cmd *cobra.Command, f *pflag.Flag, from origin) configRow {
	row := configRow{Command: keyName(cmd), Key: f.Name, Values: []string{f.Value.String()}, Origin: from.kind, At: from.at}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		row.Values = append([]string{}, list.GetSlice()...)
	}
	if len(from.written) > 0 {
		row.Values = from.written
	}
	for i, value := range row.Values {
		row.Values[i] = masked(f.Name, value)
	}
	return row
}

var secretName = regexp.MustCompile(`(?i)password|secret|jaas|token|passphrase|ssl\.key(store)?\.key`)

// masked is a value without the secrets that it may hold.
func masked(key, value string) string {
	switch key {
	case "command-property":
		name, text, _ := strings.Cut(value, "=")
		if secretName.MatchString(name) && !strings.HasPrefix(text, "@") && !strings.HasPrefix(text, "${") {
			return name + "=***"
		}
	case "heartbeat-url":
		if at, err := url.Parse(value); err == nil && at.Host != "" {
			return at.Scheme + "://" + at.Host + "/***"
		}
	}
	return value
}

func (o *configShow) rows() []row {
	head := row{"key", "value"}
	if o.withOrigin {
		head = append(head, "origin")
	}
	rows := []row{head}
	for _, v := range o.document.Values {
		key := v.Key
		switch {
		case v.Topic != "":
			key = "topic " + v.Topic + ": " + key
		case v.Command != "" && o.document.Command == "":
			key = v.Command + ": " + key
		}
		line := row{key, orDash(strings.Join(v.Values, ", "))}
		if o.withOrigin {
			line = append(line, cmp.Or(v.At, v.Origin))
		}
		rows = append(rows, line)
	}
	return rows
}

type configCheckDocument struct {
	header
	File     string   `json:"file"`
	Contexts []string `json:"contexts"`
}

func newConfigCheckCommand(global *globalOptions, e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file",
		Long: `Check a configuration file: the one that is named, else that of --config, else the user's. All its
contexts are checked, with what they take from ${VARIABLE} and @FILE. Nothing is connected to.

Exit codes: 0 the file can be used; 2 it cannot, and why.`,
		Example:     "  coldstream config check /etc/coldstream/config.yaml",
		Args:        atMostOneArg,
		Annotations: map[string]string{readsConfigItself: "yes"},
		RunE: func(cmd *cobra.Command, args []string) error {
			path, _, err := namedConfig(cmd, e)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				path = args[0]
			}
			file, err := checkConfig(cmp.Or(path, defaultConfig(e)), e)
			if err != nil {
				return err
			}
			if isMachineFormat(global.output) {
				return writeDocument(e.stdout, global.output, configCheckDocument{header{SchemaVersion: schemaVersion}, file.Name, append([]string{}, file.Contexts()...)})
			}
			line := file.Name + " can be used"
			if names := file.Contexts(); len(names) > 0 {
				line += "; contexts: " + strings.Join(names, ", ")
			}
			return printLines(e.stdout, []string{line})
		},
	}
}

// checkConfig sets the flags of all commands by a file, in each of its contexts.
func checkConfig(path string, e *env) (*config.File, error) {
	if path == "" {
		return nil, usagef("name it: coldstream config check FILE", errors.New("no file given"))
	}
	file, err := readConfig(newRootCommand(&globalOptions{}, e), path, e)
	if err == nil && file == nil {
		err = usagef("name the file: coldstream config check FILE", fmt.Errorf("read the configuration %s: %w", path, fs.ErrNotExist))
	}
	if err != nil {
		return nil, err
	}
	for _, context := range append([]string{""}, file.Contexts()...) {
		chosen, err := file.Settings(context)
		if err != nil {
			return nil, err
		}
		s := &settings{file: file, chosen: chosen, fileOnly: true}
		if err := s.applyToAll(e, func(*cobra.Command, *pflag.Flag, origin) {}); err != nil {
			return nil, err
		}
		if err := s.checkTopics(e); err != nil {
			return nil, err
		}
	}
	return file, nil
}
