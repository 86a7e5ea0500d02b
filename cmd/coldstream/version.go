package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"coldstream/internal/program"
)

type versionDocument struct {
	header
	Version string `json:"version"`
	Go      string `json:"go"`
}

func newVersionCommand(global *globalOptions, e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			if isMachineFormat(global.output) {
				return writeDocument(e.stdout, global.output, versionDocument{header{SchemaVersion: schemaVersion}, program.Version(), runtime.Version()})
			}
			return printLines(e.stdout, []string{fmt.Sprintf("coldstream %s (%s, %s/%s)", program.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)})
		},
	}
}
