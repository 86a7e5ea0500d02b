package main

import (
	"github.com/spf13/cobra"
)

func newDemoCommand(_ *globalOptions, _ *env) *cobra.Command {
	return &cobra.Command{Use: "demo"}
}
