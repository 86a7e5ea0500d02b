//go:build !unix

package alarm

import "os/exec"

func shell(line string) (name string, args []string) { return "cmd", []string{"/C", line} }

func ownGroup(*exec.Cmd) {}
