package main

import (
	"errors"
	"slices"

	"github.com/spf13/pflag"

	"coldstream/restore"
)

// resumeOptions tell one restore from another, so that one that was cut off is found by the command
// line that began it.
type resumeOptions struct {
	resume bool
	// command are the words that say what is restored; line are those and the others, but for
	// --resume, as they are typed to go on.
	command, line []string
}

func (o *resumeOptions) addFlag(f *pflag.FlagSet) {
	f.BoolVar(&o.resume, "resume", false, "go on with the unfinished restore of the same command line, or begin one if there is none")
}

// read takes the command line in. Flags that say how a restore is done, and not what is restored, may differ.
func (o *resumeOptions) read(flags *pflag.FlagSet) {
	o.command, o.line = []string{}, []string{}
	flags.Visit(func(f *pflag.Flag) {
		words := flagWords(f)
		if f.Name != "resume" && f.Name != "dry-run" {
			o.line = append(o.line, words...)
		}
		if !slices.Contains(mannerFlags(), f.Name) {
			o.command = append(o.command, words...)
		}
	})
}

// mannerFlags are those of a restore that do not say what is restored.
func mannerFlags() []string {
	return []string{
		"resume", "dry-run", "yes", "strict", "max-rate", "memory", "spool", "patience", "connect-timeout",
		"bootstrap-server", "command-config", "command-property", "vault", "key-file", "context", "output", "quiet", "verbose", "no-progress",
	}
}

// flagWords are what is typed for a flag; nothing if it has its default.
func flagWords(f *pflag.Flag) []string {
	name := "--" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		var words []string
		for _, value := range list.GetSlice() {
			words = append(words, name, value)
		}
		return words
	}
	value := f.Value.String()
	switch {
	case value == f.DefValue:
		return nil
	case f.NoOptDefVal != "" && value == f.NoOptDefVal:
		return []string{name}
	case f.NoOptDefVal != "":
		return []string{name + "=" + value}
	}
	return []string{name, value}
}

// sayLine puts the whole command line into what is said of an unfinished restore of the same one.
func (o *resumeOptions) sayLine(err error) error {
	var refused *restore.RefusedError
	if errors.As(err, &refused) && refused.Advice.Remedy == restore.RemedyResume && slices.Equal(refused.Advice.Command, o.command) {
		refused.Advice.Command = o.line
	}
	return err
}

// sayUnfinished says how to go on with a restore that has not ended.
func (o *resumeOptions) sayUnfinished(e *env, r *restore.Result) {
	if r != nil && r.Unfinished {
		e.hint("the restore is not finished; go on with: " + resumeLine(o.line))
	}
}
