package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

const chart = "../../deploy/helm/coldstream"

// TestChartIsOfThisProgram: its configuration file can be used, its flags exist, and its alerts are
// those of deploy/prometheus.
func TestChartIsOfThisProgram(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Config string `yaml:"config"`
	}
	if err := yaml.Unmarshal(text, &values); err != nil || values.Config == "" {
		t.Fatalf("%v: no configuration in\n%s", err, text)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	write(t, file, values.Config)
	command(t, nil, "config", "check", file).must(t, exitDone)

	text, err = os.ReadFile(filepath.Join(chart, "templates", "statefulset.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for line, args := range map[string][]string{`args: [run, "--listen=:8080"]`: {"run", "--listen=:8080"}, "args: [init, --if-missing]": {"init", "--if-missing"}} {
		cmd, rest, err := newRootCommand(&globalOptions{}, testEnv(nil)).Find(args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err != nil || !bytes.Contains(text, []byte(line)) {
			t.Errorf("%s: %v", line, err)
		}
	}

	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "coldstream.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	ours := filepath.Join(chart, "files", "coldstream.rules.yml")
	if *writeFlag {
		write(t, ours, string(rules))
	}
	copied, err := os.ReadFile(ours)
	if err != nil || !bytes.Equal(copied, rules) {
		t.Errorf("%s is not deploy/prometheus/coldstream.rules.yml (%v): copy it with: go test ./cmd/coldstream -run TestChartIsOfThisProgram -write", ours, err)
	}
}

// TestInitIfMissing leaves a vault as it is, and makes one where there is none.
func TestInitIfMissing(t *testing.T) {
	vault := filepath.Join(t.TempDir(), "vault")
	var made, found initDocument
	command(t, nil, "init", "--vault", vault, "--if-missing", "-o", "json").must(t, exitDone).into(t, &made)
	command(t, nil, "init", "--vault", vault, "--if-missing", "-o", "json").must(t, exitDone).says(t, "there is a vault already").into(t, &found)
	same(t, "the vault", found.VaultID, made.VaultID)
	occupied := t.TempDir()
	write(t, filepath.Join(occupied, "file"), "x")
	command(t, nil, "init", "--vault", occupied, "--if-missing").must(t, exitFailed)
}
