package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coldstream"
	"coldstream/internal/config"
)

// settings are what a command takes from the environment and the configuration file, and where
// each flag's value came from.
type settings struct {
	file    *config.File
	chosen  *config.Settings
	origins map[string]origin // by flag

	fileOnly bool // to check a file: the environment would hide what it says
}

// origin is where the value of a flag came from.
type origin struct {
	kind     string   // one of the constants below
	at       string   // the variable, or FILE:LINE
	written  []string // what is written there, where it only refers to the value
	isShared bool     // for all commands, not for this one only
}

const (
	fromFlag        = "flag"
	fromEnvironment = "environment"
	fromFile        = "file"
	fromDefault     = "default"
)

// flagsWithoutKeys are those that say which file counts, and what never reaches a command.
func flagsWithoutKeys() []string { return []string{"config", "context", "help", "version"} }

// perTopicKeys are those that a file can say for single topics.
func perTopicKeys() []string { return []string{maxRPOKey, rescansKey} }

// sharedKeys are the flags that mean the same wherever they are: one key, and one variable, for
// all commands. Others are for one command, since what is right there is wrong elsewhere.
func sharedKeys() []string {
	return []string{
		"output", "quiet", "verbose", "no-progress",
		"vault", "key-file", "spool", "memory", "state-dir",
		"bootstrap-server", "command-config", "command-property", "connect-timeout", "patience",
		"topic", "exclude", "max-rpo", "max-rate", "snapshot-every", "interval", "listen", "grace",
		"worker-group", "heartbeat-url", "on-event",
	}
}

// isShared tells whether what is said for all commands counts for this one. Topics that are
// followed are not those that one restores, prints or compares, and init writes its key file.
func isShared(command, flag string) bool {
	switch flag {
	case "topic", "exclude":
		return slices.Contains([]string{"backup", "run", "status", "doctor"}, command)
	case "key-file":
		return command != "init"
	}
	return slices.Contains(sharedKeys(), flag)
}

// keyName is the name of a command in a file, as "key add".
func keyName(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
}

// hasKey tells whether a flag of a command can be set by file and environment.
func hasKey(cmd *cobra.Command, f *pflag.Flag) bool {
	if f.Name == "config" {
		return isConfigList(f) // restore's, for the configs of topics
	}
	return !slices.Contains(flagsWithoutKeys(), f.Name)
}

func isConfigList(f *pflag.Flag) bool {
	_, ok := f.Value.(pflag.SliceValue)
	return ok
}

// variables are those that count.
func (s *settings) variables(cmd *cobra.Command, flag string) []string {
	if s.fileOnly {
		return nil
	}
	return variables(cmd, flag)
}

// variables are the environment variables of a flag, the first one counts.
func variables(cmd *cobra.Command, flag string) []string {
	command := keyName(cmd)
	names := []string{variable(command + " " + flag)}
	if isShared(command, flag) {
		names = append(names, variable(flag))
	}
	return names
}

func variable(words string) string {
	return "COLDSTREAM_" + strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(words))
}

// configKeys are the keys of all commands.
func configKeys(root *cobra.Command) *config.Keys {
	keys := &config.Keys{Commands: map[string][]string{}, Topic: perTopicKeys()}
	walkCommands(root, func(cmd *cobra.Command) {
		keys.Commands[keyName(cmd)] = []string{}
		eachKey(cmd, func(f *pflag.Flag) {
			keys.Commands[keyName(cmd)] = append(keys.Commands[keyName(cmd)], f.Name)
			if isShared(keyName(cmd), f.Name) && !slices.Contains(keys.Shared, f.Name) {
				keys.Shared = append(keys.Shared, f.Name)
			}
		})
	})
	return keys
}

// walkCommands visits all commands that do something.
func walkCommands(cmd *cobra.Command, visit func(cmd *cobra.Command)) {
	for _, sub := range cmd.Commands() {
		if sub.Name() == "help" || sub.Hidden {
			continue
		}
		if sub.Runnable() {
			visit(sub)
		}
		walkCommands(sub, visit)
	}
}

func eachKey(cmd *cobra.Command, visit func(f *pflag.Flag)) {
	cmd.InheritedFlags() // puts those of the parents in
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if hasKey(cmd, f) {
			visit(f)
		}
	})
}

// configure sets the flags of a command that the command line does not.
func configure(cmd *cobra.Command, e *env) (*settings, error) {
	s, err := readSettings(cmd, e)
	if err != nil {
		return nil, err
	}
	return s, s.apply(cmd, e)
}

// readSettings reads the file, and chooses the context.
func readSettings(cmd *cobra.Command, e *env) (*settings, error) {
	path, context, err := namedConfig(cmd, e)
	if err != nil {
		return nil, err
	}
	s := &settings{origins: map[string]origin{}}
	if s.file, err = readConfig(cmd.Root(), path, e); err != nil {
		return nil, err
	}
	if s.file == nil {
		if context != "" {
			return nil, usagef("name the file with --config, or write "+orDash(defaultConfig(e)), errors.New("--context needs a configuration file"))
		}
		s.file = &config.File{}
	}
	s.chosen, err = s.file.Settings(context)
	return s, err
}

// apply sets the flags of a command.
func (s *settings) apply(cmd *cobra.Command, e *env) (err error) {
	eachKey(cmd, func(f *pflag.Flag) {
		if err == nil { // one at a time, each with its hint
			err = s.set(cmd, f, e)
		}
	})
	return err
}

// set gives a flag its value, if the command line does not.
func (s *settings) set(cmd *cobra.Command, f *pflag.Flag, e *env) error {
	if f.Changed {
		s.origins[f.Name] = origin{kind: fromFlag}
		return nil
	}
	for _, name := range s.variables(cmd, f.Name) {
		if text := e.getenv(name); text != "" {
			s.origins[f.Name] = origin{kind: fromEnvironment, at: name, isShared: name == variable(f.Name)}
			if err := setFlag(cmd, f, strings.Split(strings.TrimSuffix(text, "\n"), "\n")); err != nil {
				return usagef("mend the variable "+name, fmt.Errorf("%s: %w", name, err))
			}
			return nil
		}
	}
	v, ok := s.chosen.Lookup(keyName(cmd), f.Name, func() bool { return isShared(keyName(cmd), f.Name) })
	if !ok {
		s.origins[f.Name] = origin{kind: fromDefault}
		return nil
	}
	texts := v.Texts
	if f.Name != "command-property" { // it reads references itself, and sees that secrets are such
		var err error
		if texts, err = v.Resolve(e.source()); err != nil {
			return err
		}
	}
	from := origin{kind: fromFile, at: v.Origin(), isShared: v.IsShared}
	if !slices.Equal(texts, v.Texts) {
		from.written = slices.Clone(v.Texts)
	}
	s.origins[f.Name] = from
	if err := setFlag(cmd, f, texts); err != nil {
		return &config.Error{File: v.File, Line: v.Line, Reason: err.Error()}
	}
	return nil
}

// setFlag sets a flag, once for each text.
func setFlag(cmd *cobra.Command, f *pflag.Flag, texts []string) error {
	if _, isList := f.Value.(pflag.SliceValue); !isList && len(texts) > 1 {
		if f.Name != "bootstrap-server" {
			return fmt.Errorf("%s takes one value, not %d", f.Name, len(texts))
		}
		texts = []string{strings.Join(texts, ",")}
	}
	for _, text := range texts {
		if err := cmd.Flags().Set(f.Name, text); err != nil {
			return errors.New(strings.ReplaceAll(err.Error(), `"--`+f.Name+`" flag`, f.Name))
		}
	}
	return nil
}

func (e *env) source() config.Source {
	return config.Source{Getenv: e.getenv, ReadFile: e.readFile}
}

// namedConfig is which file and which context are asked for.
func namedConfig(cmd *cobra.Command, e *env) (path, context string, err error) {
	path, context = e.getenv("COLDSTREAM_CONFIG"), e.getenv("COLDSTREAM_CONTEXT")
	if f := cmd.Flags().Lookup("context"); f != nil && f.Changed {
		context = f.Value.String()
	}
	if f := cmd.Flags().Lookup("config"); f != nil && f.Changed && isConfigList(f) {
		path = cmp.Or(takeFile(f), path)
	}
	if f := cmd.Root().PersistentFlags().Lookup("config"); f.Changed {
		if path = f.Value.String(); path == "" {
			return "", "", usagef("leave the flag out, or give it a value", errors.New("--config is empty"))
		}
	}
	return path, context, nil
}

// takeFile takes the configuration file out of restore's --config, which sets configs of topics as
// NAME=VALUE: what has no = and is a path, or ends in .yaml or .yml, is the file.
func takeFile(f *pflag.Flag) (file string) {
	list, _ := f.Value.(pflag.SliceValue)
	var rest []string
	for _, text := range list.GetSlice() {
		isFile := strings.ContainsAny(text, `/\`) || strings.HasSuffix(text, ".yaml") || strings.HasSuffix(text, ".yml")
		if strings.Contains(text, "=") || !isFile || file != "" {
			rest = append(rest, text)
			continue
		}
		file = text
	}
	_ = list.Replace(rest)    // what was accepted before is again
	f.Changed = len(rest) > 0 // else the file may say it
	return file
}

// defaultConfig is the file that is read if none is named; "" if there is no such place.
func defaultConfig(e *env) string {
	folder, err := e.configFolder()
	if err != nil {
		return ""
	}
	return filepath.Join(folder, "coldstream", "config.yaml")
}

// readConfig reads the file, by default the user's; nil if that is not there.
func readConfig(root *cobra.Command, path string, e *env) (*config.File, error) {
	named := path != ""
	if !named {
		if path = defaultConfig(e); path == "" {
			return nil, nil //nolint:nilnil // no file is a file without settings
		}
	}
	text, err := e.readFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, usagef("", fmt.Errorf("read the configuration: %w", err))
	}
	return config.Parse(path, text, configKeys(root))
}

// perTopic are values of single topics, in the order of the file: of those that match a topic the
// first counts.
type perTopic[T any] struct {
	patterns []*coldstream.Patterns
	values   []T
}

// of is the value of a topic, and fallback if it has none of its own.
func (p *perTopic[T]) of(t *coldstream.Topic, fallback T) T {
	for i, patterns := range p.patterns {
		if chosen, err := patterns.Select([]coldstream.Topic{*t}); err == nil && len(chosen) == 1 {
			return p.values[i]
		}
	}
	return fallback
}

// topicBounds are durations of single topics, and topicChoices answers.
type (
	topicBounds  = perTopic[time.Duration]
	topicChoices = perTopic[bool]
)

// topicValues are what the file says of a key for single topics. What flags and environment say
// goes before the file.
func topicValues[T any](s *settings, key string, e *env, parse func(text string) (T, error)) (*perTopic[T], error) {
	out := &perTopic[T]{}
	if s == nil || s.origins[key].kind == fromFlag || s.origins[key].kind == fromEnvironment {
		return out, nil
	}
	for _, v := range s.chosen.Topics(key) {
		wrong := func(err error) error {
			return &config.Error{File: v.Value.File, Line: v.Value.Line, Reason: err.Error()}
		}
		patterns, err := coldstream.ParsePatterns([]string{v.Pattern}, nil)
		if err != nil {
			return nil, wrong(err)
		}
		texts, err := v.Value.Resolve(e.source())
		if err != nil {
			return nil, err
		}
		if len(texts) != 1 {
			return nil, wrong(fmt.Errorf("%s of topic %s takes one value, not %d", key, v.Pattern, len(texts)))
		}
		value, err := parse(texts[0])
		if err != nil {
			return nil, wrong(fmt.Errorf("%s of topic %s: %w", key, v.Pattern, err))
		}
		out.patterns, out.values = append(out.patterns, patterns), append(out.values, value)
	}
	return out, nil
}

const (
	maxRPOKey  = "max-rpo"
	rescansKey = "rescans"
)

// topicBounds are the --max-rpo of single topics.
func (s *settings) topicBounds(e *env) (*topicBounds, error) {
	return topicValues(s, maxRPOKey, e, func(text string) (time.Duration, error) {
		bound, err := time.ParseDuration(text)
		switch {
		case err != nil:
			return 0, fmt.Errorf("not a time as 5m: %q", text)
		case bound <= 0:
			return 0, errors.New("must be longer than 0")
		}
		return bound, nil
	})
}

// neverRescan are the topics that are not read again in full.
func (s *settings) neverRescan(e *env) (*topicChoices, error) {
	return topicValues(s, rescansKey, e, func(text string) (bool, error) {
		if text != "auto" && text != "never" {
			return false, fmt.Errorf("is auto or never, not %q", text)
		}
		return text == "never", nil
	})
}

// checkTopics checks what is said for single topics.
func (s *settings) checkTopics(e *env) error {
	_, err := s.topicBounds(e)
	if err == nil {
		_, err = s.neverRescan(e)
	}
	return err
}
