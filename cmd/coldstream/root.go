package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coldstream/internal/program"
	"coldstream/internal/terminal"
)

// globalOptions are the flags that every command has.
type globalOptions struct {
	output     string
	quiet      bool
	verbose    bool
	noProgress bool
	args       []string  // of the command line
	settings   *settings // from environment and configuration file
}

func (o *globalOptions) addFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVarP(&o.output, "output", "o", "table", "print the result on stdout as `FORMAT`: table, json or yaml")
	f.BoolVar(&o.quiet, "quiet", false, "print only the result, warnings and errors")
	f.BoolVar(&o.verbose, "verbose", false, "print details")
	f.BoolVar(&o.noProgress, "no-progress", false, "print no progress")
	f.String("config", "", "read flags from this `FILE` (docs/configuration.md; environment: COLDSTREAM_CONFIG; default: coldstream/config.yaml in the user's folder for configuration)")
	f.String("context", "", "of the file of --config take the context `NAME` (environment: COLDSTREAM_CONTEXT; default: the file's current-context)")
}

func (o *globalOptions) validate() error {
	if formats := outputFormats(); !slices.Contains(formats, o.output) {
		return usagef("use one of: "+strings.Join(formats, ", "), fmt.Errorf("unknown output format %q", o.output))
	}
	if o.quiet && o.verbose {
		return usagef("", errors.New("--quiet and --verbose exclude each other"))
	}
	return nil
}

func outputFormats() []string { return []string{"table", "json", "yaml"} }

// run is the whole program but for the process around it. It returns the exit code.
func run(ctx context.Context, args []string, e *env) int {
	global := &globalOptions{args: args}
	root := newRootCommand(global, e)
	root.SetArgs(args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	err := root.ExecuteContext(ctx)
	e.close()
	var inc *incomplete
	var unread *resultError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &inc):
		return inc.code
	case errors.As(err, &unread) && errors.Is(unread, syscall.EPIPE):
		return exitFailed // whoever read the result had enough, as head does
	}
	f := classify(ctx, err)
	if output := outputFormat(args, global.output); isMachineFormat(output) {
		// The error document is the result; if stdout is gone there is nobody to tell.
		_ = writeDocument(e.stdout, output, newErrorDocument(f))
	}
	for _, line := range terminal.Errors(f.err) {
		e.note("%s", line)
	}
	e.hint(f.hint)
	return f.code
}

// outputFormat finds -o in a command line that could not be read to its end; parsed is
// what was read.
func outputFormat(args []string, parsed string) string {
	for i, arg := range args {
		value, long := strings.CutPrefix(arg, "--output=")
		if !long {
			value = strings.TrimPrefix(strings.TrimPrefix(arg, "-o"), "=")
		}
		if (arg == "-o" || arg == "--output") && i+1 < len(args) {
			value = args[i+1]
		}
		if (long || strings.HasPrefix(arg, "-o") || arg == "--output") && isMachineFormat(value) {
			return value
		}
	}
	return parsed
}

func newRootCommand(global *globalOptions, e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "coldstream",
		Short: "Back up Apache Kafka to cold storage, and bring it back",
		Long: `Coldstream backs up Apache Kafka to cold storage and brings it back: byte for byte,
incrementally. Try it without a cluster: coldstream demo`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       program.Version(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) (err error) {
			if cmd.Annotations[readsConfigItself] == "" {
				if global.settings, err = configure(cmd, e); err != nil {
					return err
				}
			}
			if err := refuseEmpty(cmd); err != nil {
				return err
			}
			return global.validate()
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("see: "+cmd.CommandPath()+" --help", err)
	})
	global.addFlags(root)
	root.AddCommand(
		newInitCommand(global, e),
		newBackupCommand(global, e),
		newRunCommand(global, e),
		newRestoreCommand(global, e),
		newSnapshotsCommand(global, e),
		newLsCommand(global, e),
		newGroupsCommand(global, e),
		newStatusCommand(global, e),
		newVerifyCommand(global, e),
		newRepairCommand(global, e),
		newCatCommand(global, e),
		newDiffCommand(global, e),
		newCopyCommand(global, e),
		newKeyCommand(global, e),
		newImportCommand(global, e),
		newDemoCommand(global, e),
		newDoctorCommand(global, e),
		newConfigCommand(global, e),
		newCompletionCommand(e),
		newVersionCommand(global, e),
	)
	root.AddCommand(careCommands(global, e)...)
	addCompletions(root, e)
	return root
}

// careCommands look after what a vault holds.
func careCommands(global *globalOptions, e *env) []*cobra.Command {
	return []*cobra.Command{
		newTagCommand(global, e), newStatsCommand(global, e), newForgetCommand(global, e), newPruneCommand(global, e), newCompactCommand(global, e),
	}
}

// refuseEmpty finds flags that were given without a value, as by a variable that is not
// set: what is meant is surely not what the flag's absence means.
func refuseEmpty(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" {
			err = usagef("leave the flag out, or give it a value", fmt.Errorf("--%s is empty", f.Name))
		}
	})
	return err
}

func unknownCommand(cmd *cobra.Command, name string) error {
	hint := "see: coldstream --help"
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean: coldstream " + near[0]
	}
	return usagef(hint, fmt.Errorf("unknown command %q", name))
}

// noArgs and atMostOneArg refuse arguments with exit code 2.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("see: "+cmd.CommandPath()+" --help", fmt.Errorf("unexpected argument %q", args[0]))
	}
	return nil
}

func atMostOneArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("see: "+cmd.CommandPath()+" --help", fmt.Errorf("unexpected argument %q", args[1]))
	}
	return nil
}
