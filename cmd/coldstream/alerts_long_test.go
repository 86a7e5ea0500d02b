//go:build long

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"coldstream/internal/testproc"
)

// prometheusPrograms is the folder with Debian's prometheus and promtool.
func prometheusPrograms(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("apt-get"); err != nil {
		t.Skip("needs the packages of Debian: apt-get")
	}
	files, err := testproc.DebianPackage(t.Context(), "prometheus")
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(files, "usr", "bin")
}

// deployed is a file of deploy/prometheus.
func deployed(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "deploy", "prometheus", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRulesOnSeries: each alert fires on the series that it is for, and on no others, as Prometheus'
// own tool sees it.
func TestRulesOnSeries(t *testing.T) {
	programs := prometheusPrograms(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs, "promtool"), "test", "rules", "coldstream.test.yml")
	cmd.Dir = filepath.Dir(deployed(t, "coldstream.test.yml"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	rules, tests := read(t, deployed(t, "coldstream.rules.yml")), read(t, deployed(t, "coldstream.test.yml"))
	for _, alert := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		for _, how := range []string{" fires\n", " is quiet\n"} {
			if !strings.Contains(tests, "name: "+alert[1]+how) {
				t.Errorf("coldstream.test.yml lacks: %s%s", alert[1], how)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// prometheus is one that scrapes a backup and heeds the rules as they are deployed.
type prometheus struct {
	*world
	at string
}

func (w *world) startPrometheus(target string) *prometheus {
	w.Helper()
	programs, dir := prometheusPrograms(w.T), w.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	write(w.T, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 2s, evaluation_interval: 2s}
rule_files: [%s]
scrape_configs:
  - job_name: coldstream
    static_configs:
      - targets: [%q]
`, deployed(w.T, "coldstream.rules.yml"), target))
	p := w.start(exec.Command(filepath.Join(programs, "prometheus"), "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address))
	out := &prometheus{w, "http://" + address}
	w.await("Prometheus is ready", func() bool {
		if p.hasEnded() {
			w.Fatalf("Prometheus ended: %s", p.stderr.String())
		}
		code, _ := w.get(out.at + "/-/ready")
		return code == http.StatusOK
	})
	return out
}

// fires waits until an alert fires.
func (p *prometheus) fires(alert string) {
	p.Helper()
	deadline, tick := time.After(10*time.Minute), time.NewTicker(time.Second)
	defer tick.Stop()
	var last string
	for {
		var answer struct {
			Data struct {
				Alerts []struct {
					Labels map[string]string
					State  string
				}
			}
		}
		_, last = p.get(p.at + "/api/v1/alerts")
		if json.Unmarshal([]byte(last), &answer) == nil {
			for _, a := range answer.Data.Alerts {
				if a.Labels["alertname"] == alert && a.State == "firing" {
					p.Logf("%s: fires: %v", time.Now().Format(time.TimeOnly), a.Labels)
					return
				}
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			p.Fatalf("%s does not fire; there are %s", alert, last)
		}
	}
}

// TestAlertsFire: a real Prometheus with the rules as they are deployed sees what happens to a
// continuous backup, and each alert that it is about fires. A gap is also told to the command of --on-event.
func TestAlertsFire(t *testing.T) {
	w, binary := newWorld(t), buildProgram(t)
	strace(t)
	events := filepath.Join(t.TempDir(), "events")
	w.create("alerts", 1)
	w.values("alerts", "saved", "deleted", "deleted", "there")
	args := []string{"-t", "alerts", "--interval", "1s", "--snapshot-every", "2s", "--max-rpo", "20s", "--on-event", "cat >> '" + events + "'"}
	first := w.startProcess(binary, "run", append(args, "--listen", "127.0.0.1:0")...)
	target := strings.TrimPrefix(w.served(first), "http://")
	w.protected("alerts")
	w.terminated(first)
	p := w.startPrometheus(target)

	// Records go while no backup runs: the next finds a gap at once, before it is scraped at all.
	w.values("alerts", "never saved", "nor this", "but this")
	w.deleteRecords("alerts", 6)
	run := &weather{world: w, binary: binary, process: w.startProcess(binary, "run", append(args, "--listen", target)...)}
	w.served(run.process)
	p.fires("ColdstreamRecordsLost")
	w.await("the command is told of the gap", func() bool {
		b, err := os.ReadFile(events)
		return err == nil && strings.Contains(string(b), `"event":"gap"`) && strings.Contains(string(b), `"first_offset":4`) && strings.Contains(string(b), `"next_offset":6`)
	})

	free := run.failing("fsync,linkat", "error=ENOSPC")
	w.values("alerts", "waits for the disk")
	p.fires("ColdstreamStorageFails")
	p.fires("ColdstreamRPOPassed")
	metrics := func() string { _, body := w.get("http://" + target + "/metrics"); return body }()
	free()
	w.protected("alerts")
	w.terminated(run.process)
	p.fires("ColdstreamDown")

	// The tests of the rules are on series as they are scraped.
	for _, m := range regexp.MustCompile(`series: '([a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(read(t, deployed(t, "coldstream.test.yml")), -1) {
		if m[1] != "up" && m[1] != "coldstream_heartbeats_total" && !strings.Contains(m[1], "_verify_") && !strings.Contains(metrics, "\n"+m[1]) {
			t.Errorf("the tests of the rules name %s, which run does not serve", m[1])
		}
	}
}
