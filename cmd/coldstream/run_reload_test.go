package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"coldstream/internal/protection"
	"coldstream/kafka/kafkatest"
)

// projected is a folder of files that change as Kubernetes changes those of ConfigMaps and Secrets:
// a link to the folder with their contents is replaced.
type projected struct {
	*testing.T
	dir   string
	count int
}

func (p *projected) holds(files map[string]string) {
	p.Helper()
	p.count++
	data := filepath.Join(p.dir, fmt.Sprintf("..%d", p.count))
	if err := os.Mkdir(data, 0o700); err != nil {
		p.Fatal(err)
	}
	for name, text := range files {
		write(p.T, filepath.Join(data, name), text)
		if _, err := os.Lstat(filepath.Join(p.dir, name)); err != nil {
			if err := os.Symlink(filepath.Join("..data", name), filepath.Join(p.dir, name)); err != nil {
				p.Fatal(err)
			}
		}
	}
	fresh := filepath.Join(p.dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(data), fresh); err != nil {
		p.Fatal(err)
	}
	if err := os.Rename(fresh, filepath.Join(p.dir, "..data")); err != nil {
		p.Fatal(err)
	}
}

// TestRunTakesUpAnotherPassword changes the password of its user while a backup goes on. Sessions
// hold for 5 s there: then the old one is refused, and the new one, once it is in its file, is taken
// without a signal. A configuration that is wrong changes nothing, and is told of.
func TestRunTakesUpAnotherPassword(t *testing.T) {
	c := realCluster(t)
	w := newWorld(t)
	const user, first, second = "rotated", "first-p4ss", "second-p4ss"
	if err := c.AddUser(t.Context(), user, first); err != nil {
		t.Fatal(err)
	}
	w.fill("rotated-a", 1, 10)
	w.fill("rotated-b", 1, 10)
	files := &projected{T: t, dir: t.TempDir()}
	path := func(name string) string { return filepath.Join(files.dir, name) }
	properties := c.ClientProperties(kafkatest.ShortSessions, "SCRAM-SHA-512", user)
	properties = properties[:strings.Index(properties, "sasl.jaas.config")]
	files0 := map[string]string{
		"client.properties": properties + "sasl.username=" + user + "\n",
		"password":          first + "\n",
		"config.yaml": fmt.Sprintf("vault: %s\ntopic: rotated-a\ninterval: 1s\nlisten: 127.0.0.1:0\ncommand-config: %s\ncommand-property: {sasl.password: '@%s'}\n",
			w.vault, path("client.properties"), path("password")),
	}
	files.holds(files0)
	p := w.start(exec.Command(buildProgram(t), "run", "--config", path("config.yaml")))
	defer func() {
		if t.Failed() {
			t.Logf("run said:\n%s", &p.stderr)
		}
	}()
	at := w.served(p)
	w.protected("rotated-a")
	said := func(text string) func() bool {
		return func() bool { return strings.Contains(p.stderr.String(), text) }
	}
	status := func() (d protection.Document) {
		_, body := w.get(at + "/api/v1/status")
		_ = json.Unmarshal([]byte(body), &d) // it is looked at again
		return d
	}

	wrong := map[string]string{"config.yaml": "topik: rotated-b\n" + files0["config.yaml"], "client.properties": files0["client.properties"], "password": first}
	files.holds(wrong)
	w.await("it says what is wrong with its configuration", func() bool {
		s := status()
		_, metrics := w.get(at + "/metrics")
		return s.Configuration != nil && strings.Contains(s.Configuration.Error, `config.yaml:1: unknown key "topik"`) &&
			strings.Contains(metrics, "coldstream_configuration_current 0\n") && said(`unknown key \"topik\"`)()
	})
	w.values("rotated-a", "while the configuration is wrong")
	w.protected("rotated-a")

	if err := c.AddUser(t.Context(), user, second); err != nil {
		t.Fatal(err)
	}
	w.await("the old password is refused", said("invalid credentials"))
	w.values("rotated-a", "while the password is wrong")
	files0["password"] = second
	files0["config.yaml"] = strings.Replace(files0["config.yaml"], "rotated-a", "rotated-*", 1)
	files.holds(files0)
	w.protected("rotated-a", "rotated-b")
	w.await("all is well", func() bool {
		_, metrics := w.get(at + "/metrics")
		return status().Configuration.Error == "" && strings.Contains(metrics, "coldstream_configuration_current 1\n")
	})
	w.terminated(p)
	if log := p.stderr.String(); strings.Contains(log, first) || strings.Contains(log, second) {
		t.Errorf("a password is in the log:\n%s", log)
	}
	w.verify()
}

// TestInputsChange: what a file says counts once it has stood there for a look.
func TestInputsChange(t *testing.T) {
	file, absent := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	e := &env{inputs: &inputs{}}
	write(t, file, "one")
	for _, name := range []string{file, absent} {
		if _, err := e.readFile(name); (err == nil) != (name == file) {
			t.Fatal(err)
		}
	}
	looks := func(what string, want ...bool) {
		t.Helper()
		for i, changed := range want {
			if got := e.inputs.changed(); got != changed {
				t.Errorf("%s, look %d: changed %v", what, i+1, got)
			}
		}
	}
	looks("nothing changed", false, false)
	write(t, file, "")
	looks("half written", false)
	write(t, file, "two")
	looks("written", false, true)
	write(t, file, "one")
	looks("as it was read", false, false, false)
	write(t, absent, "")
	looks("there now, and empty", false, true)
	if err := os.Remove(absent); err != nil {
		t.Fatal(err)
	}
	looks("gone again", false, false)
}
