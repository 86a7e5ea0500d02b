package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"coldstream/internal/program"
)

// nowhere is an address that nobody listens on.
const nowhere = "127.0.0.1:1"

func TestExitCodesAndWhatIsSaidWithThem(t *testing.T) {
	vault := newVault(t)
	missing := filepath.Join(t.TempDir(), "missing")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	occupied := filepath.Dir(file)
	backup := []string{"backup", "-b", nowhere, "--vault", vault}
	restore := []string{"restore", "-b", nowhere, "--vault", vault}
	for _, test := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no command is help", nil, exitDone, nil},
		{"help", []string{"help", "backup"}, exitDone, nil},
		{"version", []string{"version"}, exitDone, nil},
		{"completion", []string{"completion", "bash"}, exitDone, nil},
		{"completion for no shell", []string{"completion"}, exitUsage, []string{"no shell given", "bash, zsh, fish, powershell"}},
		{"completion for an unknown shell", []string{"completion", "foo"}, exitUsage, []string{`unknown shell "foo"`, "bash, zsh, fish, powershell"}},
		{"completion for two shells", []string{"completion", "bash", "zsh"}, exitUsage, []string{`unknown shell "bash zsh"`}},
		{"unknown command", []string{"bakcup"}, exitUsage, []string{`unknown command "bakcup"`, "did you mean: coldstream backup"}},
		{"unknown flag", []string{"backup", "--fast"}, exitUsage, []string{"--fast", "coldstream backup --help"}},
		{"unexpected argument", []string{"backup", "orders"}, exitUsage, []string{`unexpected argument "orders"`}},
		{"two arguments", []string{"ls", "a", "b", "--vault", vault}, exitUsage, []string{`unexpected argument "b"`}},
		{"unknown format", []string{"snapshots", "-o", "xml", "--vault", vault}, exitUsage, []string{`"xml"`, "table, json, yaml"}},
		{"quiet and verbose", []string{"snapshots", "--quiet", "--verbose", "--vault", vault}, exitUsage, []string{"exclude each other"}},

		{"init without a vault", []string{"init"}, exitUsage, []string{"no vault given", "COLDSTREAM_VAULT"}},
		{"init of a vault", []string{"init", "--vault", vault}, exitFailed, []string{"there is a vault already"}},
		{"init among files", []string{"init", "--vault", occupied}, exitFailed, []string{"not empty", "file"}},
		{"init on a file", []string{"init", "--vault", file}, exitFailed, []string{file}},
		{"unknown storage", []string{"init", "--vault", "ftp://host/prefix"}, exitUsage, []string{"ftp", "s3"}},
		{"credentials in a URL", []string{"init", "--vault", "s3://key:hidden@bucket/prefix"}, exitUsage, []string{"credentials", "AWS_PROFILE"}},
		{"secret in a URL", []string{"init", "--vault", "s3://bucket/prefix?secret_access_key=hidden"}, exitUsage, []string{"credentials", "AWS_PROFILE"}},
		{"unknown option of a URL", []string{"init", "--vault", "s3://bucket/prefix?endpont=http://h"}, exitUsage, []string{"endpont", "did you mean endpoint"}},
		{"wrong option of a URL", []string{"init", "--vault", "s3://bucket/prefix?path_style=maybe"}, exitUsage, []string{"path_style"}},

		{"backup without a cluster", []string{"backup", "--vault", vault}, exitUsage, []string{"no cluster given", "COLDSTREAM_BOOTSTRAP_SERVER"}},
		{"backup without a vault", []string{"backup", "-b", nowhere}, exitUsage, []string{"no vault given"}},
		{"backup makes no vault", []string{"backup", "-b", nowhere, "--vault", missing}, exitNoVault, []string{"no vault there", "coldstream init"}},
		{"backup into a plain folder", []string{"backup", "-b", nowhere, "--vault", occupied}, exitNoVault, []string{"no vault there"}},
		{"unreachable", append(backup, "--connect-timeout", "300ms"), exitUnreachable, []string{nowhere, "--bootstrap-server"}},
		{"no address", []string{"backup", "-b", "host:port:more", "--vault", vault}, exitUsage, []string{"host:port:more"}},
		{"interval of nothing", append(backup, "--interval", "0s"), exitUsage, []string{"--interval"}},
		{"timeout of nothing", append(backup, "--connect-timeout", "0s"), exitUsage, []string{"--connect-timeout"}},
		{"patience of nothing", append(backup, "--patience", "-1s"), exitUsage, []string{"--patience"}},
		{"memory for nothing", append(backup, "--memory", "15MiB"), exitUsage, []string{"--memory 15MiB", "at least 16 MiB"}},
		{"memory of no size", append(backup, "--memory", "much"), exitUsage, []string{"--memory", "256MiB"}},
		{"bad pattern", append(backup, "-t", "/(/"), exitUsage, []string{"/(/"}},
		{"bad exclude", append(backup, "--exclude", "["), exitUsage, []string{"["}},

		{"restore of nothing", restore, exitUsage, []string{"no topics to restore", "--all-topics"}},
		{"restore of all and one", append(restore, "--all-topics", "-t", "a"), exitUsage, []string{"exclude each other"}},
		{"restore without a terminal", append(restore, "-t", "a"), exitUsage, []string{"--yes", "--dry-run"}},
		{"restore with unknown offsets", append(restore, "-t", "a", "--offsets", "same"), exitUsage, []string{`"same"`, "auto, exact or translate"}},
		{"restore with unknown configs", append(restore, "-t", "a", "--configs", "all", "--yes"), exitUsage, []string{`"all"`, "effective, own or none"}},
		{"restore with half a config", append(restore, "-t", "a", "--config", "retention.ms", "--yes"), exitUsage, []string{`--config "retention.ms"`, "NAME=VALUE"}},
		{"restore with a config twice", append(restore, "-t", "a", "--config", "a=1", "--config", "a=2", "--yes"), exitUsage, []string{"--config a is given twice"}},
		{"restore with a bad map", append(restore, "-t", "a", "--map", "a", "--yes"), exitUsage, []string{"--map"}},
		{"restore in no memory", append(restore, "-t", "a", "--memory", "100000", "--yes"), exitUsage, []string{"--memory 100000", "at least 16 MiB"}},
		{"restore with bad partitions", append(restore, "-t", "a", "--partitions", "3-1", "--yes"), exitUsage, []string{"3-1"}},
		{"restore of an empty list", append(restore, "-t", "a", "--yes", "--partitions", ""), exitUsage, []string{"--partitions is empty"}},
		{"empty topic", append(restore, "-t", "", "--yes"), exitUsage, nil},
		{"empty vault name", []string{"snapshots", "--vault", ""}, exitUsage, []string{"--vault is empty"}},
		{"restore of no vault", []string{"restore", "-b", nowhere, "--vault", missing, "-t", "a", "--yes"}, exitNoVault, []string{"no vault there"}},
		{"restore to nowhere", append(restore, "-t", "a", "--yes", "--connect-timeout", "300ms"), exitUnreachable, []string{nowhere}},

		{"snapshots of no vault", []string{"snapshots", "--vault", missing}, exitNoVault, nil},
		{"ls of an empty vault", []string{"ls", "--vault", vault}, exitUsage, []string{"no snapshot"}},
		{"ls of an unknown snapshot", []string{"ls", "--vault", vault, "--snapshot", "abcd"}, exitUsage, []string{"no snapshot"}},
		{"verify of no vault", []string{"verify", "--vault", missing}, exitNoVault, nil},
		{"verify of an empty vault", []string{"verify", "--vault", vault}, exitDone, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := tree(t, vault)
			out := command(t, nil, test.args...).must(t, test.code).says(t, test.says...)
			for line := range strings.Lines(out.stderr) {
				if !strings.HasPrefix(line, "coldstream: ") {
					t.Errorf("a line on stderr without the program's name: %q", line)
				}
			}
			if test.code != exitDone && out.stdout != "" {
				t.Errorf("stdout: %s", out.stdout)
			}
			if diff := cmp.Diff(before, tree(t, vault)); diff != "" {
				t.Errorf("the vault changed:\n%s", diff)
			}
			if _, err := os.Stat(missing); err == nil {
				t.Error("a folder was made")
			}
		})
	}
}

// tree is what a folder holds, by path.
func tree(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestErrorsAreDocumentsToo(t *testing.T) {
	args := []string{"backup", "-b", nowhere, "--vault", filepath.Join(t.TempDir(), "missing")}
	type document struct {
		SchemaVersion int `json:"schema_version" yaml:"schema_version"`
		Error         struct {
			Code    int    `json:"code" yaml:"code"`
			Message string `json:"message" yaml:"message"`
			Hint    string `json:"hint" yaml:"hint"`
		} `json:"error" yaml:"error"`
	}
	var fromJSON, fromYAML document
	out := command(t, nil, append(args, "-o", "json")...).must(t, exitNoVault)
	out.into(t, &fromJSON)
	if err := yaml.Unmarshal([]byte(command(t, nil, append(args, "-o", "yaml")...).must(t, exitNoVault).stdout), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Error(diff)
	}
	if d := fromJSON; d.SchemaVersion != 1 || d.Error.Code != exitNoVault || !strings.Contains(d.Error.Message, "no vault there") || d.Error.Hint == "" {
		t.Errorf("document %+v", d)
	}
	if !strings.HasPrefix(out.stdout, "{\n  \"schema_version\": 1,") {
		t.Errorf("schema_version does not stand first: %s", out.stdout)
	}
	if !strings.Contains(out.stderr, "no vault there") {
		t.Errorf("stderr: %s", out.stderr)
	}
	// A wrong flag beside the format's.
	command(t, nil, "backup", "-o", "json", "--fast").must(t, exitUsage).into(t, &fromJSON)
	if fromJSON.Error.Code != exitUsage {
		t.Errorf("document %+v", fromJSON)
	}
	command(t, nil, "backup", "--fast", "-o", "json").must(t, exitUsage).into(t, &fromJSON)
}

func TestTheEnvironmentNamesVaultAndCluster(t *testing.T) {
	vault := newVault(t)
	vars := []string{"COLDSTREAM_VAULT=" + vault, "COLDSTREAM_BOOTSTRAP_SERVER=" + nowhere}
	command(t, vars, "verify").must(t, exitDone)
	command(t, vars, "backup", "--connect-timeout", "200ms").must(t, exitUnreachable).says(t, nowhere)
	command(t, vars, "backup", "--connect-timeout", "200ms", "-b", "127.0.0.1:2").must(t, exitUnreachable).says(t, "127.0.0.1:2")
}

func TestInitMakesAVaultOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "vault")
	var d initDocument
	command(t, nil, "init", "--vault", path, "-o", "json").must(t, exitDone).into(t, &d)
	if len(d.VaultID) != 32 || d.Vault != path || d.SchemaVersion != 1 {
		t.Errorf("document %+v", d)
	}
	out := command(t, nil, "init", "--vault", path+"2").must(t, exitDone).says(t, "coldstream backup")
	if !strings.Contains(out.stdout, path+"2") {
		t.Errorf("stdout: %s", out.stdout)
	}
	if out := command(t, nil, "init", "--quiet", "--vault", path+"3").must(t, exitDone); out.stderr != "" {
		t.Errorf("--quiet says: %s", out.stderr)
	}
	empty := t.TempDir()
	command(t, nil, "init", "--vault", empty).must(t, exitDone)
}

func TestEveryFlagHasHelpAndEveryCommandAnExample(t *testing.T) {
	e := testEnv(nil)
	root := newRootCommand(&globalOptions{}, e)
	for _, cmd := range root.Commands() {
		if cmd.Short == "" {
			t.Errorf("%s has no short help", cmd.Name())
		}
		out := command(t, nil, cmd.Name(), "--help").must(t, exitDone)
		for line := range strings.Lines(out.stdout) {
			if fields := strings.Fields(line); len(fields) > 0 && strings.HasPrefix(fields[0], "--") && len(fields) < 3 {
				t.Errorf("%s: a flag without help: %q", cmd.Name(), line)
			}
		}
	}
}

func TestVersionDocument(t *testing.T) {
	var d map[string]any
	if err := json.Unmarshal([]byte(command(t, nil, "version", "-o", "json").must(t, exitDone).stdout), &d); err != nil {
		t.Fatal(err)
	}
	if d["version"] != program.Version() || d["schema_version"] != 1.0 {
		t.Errorf("document %v", d)
	}
}
