//go:build long && linux

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"coldstream/internal/testproc"
	"coldstream/kafka/kafkatest"
)

// release builds a release of what is here, for this system, from a copy of the source elsewhere.
func release(t *testing.T, version string) (folder string) {
	t.Helper()
	nfpm, err := testproc.GoInstall(t.Context(), testproc.GoProgram{Package: "github.com/goreleaser/nfpm/v2/cmd/nfpm", Version: "v2.48.0"})
	if err != nil {
		t.Fatal(err)
	}
	source, folder := filepath.Join(t.TempDir(), "source"), filepath.Join(t.TempDir(), "release")
	if err := os.MkdirAll(source, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", "-c", "cd ../.. && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "+source).CombinedOutput(); err != nil {
		t.Fatalf("copy the source: %v\n%s", err, out)
	}
	cmd := exec.Command(filepath.Join(source, "deploy", "packages", "release.sh"), version, folder, "linux/amd64")
	cmd.Env = append(os.Environ(), "NFPM="+nfpm, "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("release: %v\n%s", err, out)
	}
	return folder
}

// TestRelease builds a release twice, in two places: both are the same bytes. Its package for Debian,
// installed into an empty root, has a program that works and says the same version to everybody.
func TestRelease(t *testing.T) {
	const version, name = "1.2.3", "coldstream_1.2.3_linux_amd64"
	first, second := release(t, version), release(t, version)
	sums := func(folder string) string {
		b, err := os.ReadFile(filepath.Join(folder, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if diff := cmp.Diff(sums(first), sums(second)); diff != "" {
		t.Errorf("two builds differ:\n%s", diff)
	}
	for _, kind := range []string{".tar.gz", ".deb", ".rpm", ".cdx.json"} {
		if !strings.Contains(sums(first), "  "+name+kind+"\n") {
			t.Errorf("there is no %s:\n%s", kind, sums(first))
		}
	}
	said := func(program string, args ...string) string {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	deb, root := filepath.Join(first, name+".deb"), t.TempDir()
	same(t, "the version of the package", strings.TrimSpace(said("dpkg-deb", "-f", deb, "Version")), version)
	said("dpkg-deb", "-x", deb, root)
	for _, file := range []string{
		"usr/lib/systemd/system/coldstream.service", "usr/share/bash-completion/completions/coldstream", "usr/share/zsh/vendor-completions/_coldstream",
		"usr/share/fish/vendor_completions.d/coldstream.fish", "usr/share/doc/coldstream/copyright", "usr/share/doc/coldstream/docs/operations.md",
		"usr/share/doc/coldstream/deploy/prometheus/coldstream.rules.yml", "etc/coldstream",
	} {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			t.Error(err)
		}
	}
	program := filepath.Join(root, "usr/bin/coldstream")
	if out := said(program, "version"); !strings.HasPrefix(out, "coldstream "+version+" ") {
		t.Errorf("the program says %s", out)
	}
	if out := said("tar", "-xOzf", filepath.Join(first, name+".tar.gz"), name+"/LICENSE"); !strings.Contains(out, "Apache License") {
		t.Errorf("the license is %s", out)
	}
	if b, err := os.ReadFile(filepath.Join(first, name+".cdx.json")); err != nil || !strings.Contains(string(b), `"pkg:golang/github.com/twmb/franz-go@`) {
		t.Errorf("%v: the list of modules lacks one:\n%s", err, b)
	}
	saysItsVersion(t, program, version)
}

// saysItsVersion runs a program and hears which version it says it is.
func saysItsVersion(t *testing.T, program, version string) {
	t.Helper()
	fake := kafkatest.StartFake(t, kfake.NumBrokers(1))
	var broker, agent atomic.Value
	fake.ControlKey(kmsg.ApiVersions.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		if req, ok := r.(*kmsg.ApiVersionsRequest); ok && req.ClientSoftwareName == "coldstream" {
			broker.Store(req.ClientSoftwareName + " " + req.ClientSoftwareVersion)
		}
		return nil, nil, false
	})
	deadMan := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { agent.Store(r.UserAgent()) }))
	defer deadMan.Close()
	w := newWorldOf(t, fake.ListenAddrs())
	p := w.startProcess(program, "run", "--interval", "1s", "--listen", "127.0.0.1:0", "--heartbeat-url", deadMan.URL+"/x")
	at := w.served(p)
	w.await("the heartbeat comes", func() bool { return agent.Load() != nil })
	same(t, "over HTTP", agent.Load().(string), "coldstream/"+version)
	same(t, "to the broker", broker.Load().(string), "coldstream "+version)
	if _, metrics := w.get(at + "/metrics"); !strings.Contains(metrics, `coldstream_build_info{version="`+version+`"} 1`) {
		t.Errorf("not in the metrics:\n%s", metrics)
	}
	w.terminated(p)
}
