package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var deployedCommand = regexp.MustCompile(`/usr/bin/coldstream ([^>\n]+)`)

// TestDeployedCommandsExist parses each command line of what is in deploy.
func TestDeployedCommandsExist(t *testing.T) {
	found := 0
	for _, pattern := range []string{"systemd/*", "cron/*"} {
		names, err := filepath.Glob(filepath.Join("..", "..", "deploy", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range deployedCommand.FindAllStringSubmatch(string(text), -1) {
				found++
				cmd, rest, err := newRootCommand(&globalOptions{}, testEnv(nil)).Find(strings.Fields(m[1]))
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err != nil || !cmd.HasParent() {
					t.Errorf("%s: %s: %v", name, m[0], err)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d commands were found", found)
	}
}

// TestUnitsAreWhatSystemdTakes asks systemd itself, with the program where packages put it.
func TestUnitsAreWhatSystemdTakes(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze: install systemd")
	}
	units := t.TempDir()
	names, err := filepath.Glob(filepath.Join("..", "..", "deploy", "systemd", "*"))
	if err != nil || len(names) != 3 {
		t.Fatalf("units: %v, %v", names, err)
	}
	args := []string{"verify", "--man=no"}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		unit := filepath.Join(units, filepath.Base(name))
		// The program is not installed here; any other stands in.
		write(t, unit, strings.ReplaceAll(string(text), "/usr/bin/coldstream ", "/bin/true "))
		args = append(args, unit)
	}
	out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), units) {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
