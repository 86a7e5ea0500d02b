package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coldstream"
	"coldstream/internal/protection"
)

// served waits for the address that a run serves at.
func (w *world) served(p *process) string {
	w.Helper()
	address := ""
	w.await("run says where it serves", func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			var said struct {
				Msg     string `json:"msg"`
				Address string `json:"address"`
			}
			if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "serving over HTTP" {
				address = said.Address
			}
		}
		return address != ""
	})
	return "http://" + address
}

// get is the body of a page, with its status; 0 if nobody answers.
func (w *world) get(url string) (code int, body string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, url, nil)
	if err != nil {
		w.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(b)
}

// TestRunIsSeen: a continuous backup says over HTTP how it is, to a dead man's switch that it is
// well, and to a command that its RPO passed a bound.
func TestRunIsSeen(t *testing.T) {
	realCluster(t)
	w := newWorld(t)
	binary := buildProgram(t)
	var beats atomic.Int64
	const secret = "s3cr3t-path"
	deadMan := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/"+secret {
			beats.Add(1)
		}
	}))
	defer deadMan.Close()
	w.fill("seen", 1, 10)
	events, url := filepath.Join(t.TempDir(), "events"), filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(url, []byte(deadMan.URL+"/"+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := w.startProcess(binary, "run", "-t", "seen", "--interval", "1s", "--listen", "127.0.0.1:0", "--partition-metrics",
		"--heartbeat-url", "@"+url, "--on-event", "cat >> '"+events+"'", "--max-rpo", "1ms")
	at := w.served(p)
	w.await("it is ready", func() bool { code, _ := w.get(at + "/readyz"); return code == http.StatusOK })
	w.protected("seen")
	var d protection.Document
	w.await("its status says so too", func() bool {
		code, body := w.get(at + "/api/v1/status")
		return code == http.StatusOK && json.Unmarshal([]byte(body), &d) == nil && len(d.Topics) == 1 && d.Topics[0].RPOSeconds != nil && *d.Topics[0].RPOSeconds == 0
	})
	if d.Topics[0].Topic != "seen" || d.VaultID == "" || !*d.OK || len(d.Topics[0].Partitions) != 0 {
		t.Errorf("the status: %+v", d)
	}
	w.await("its metrics say so too", func() bool {
		_, body := w.get(at + "/metrics")
		return strings.Contains(body, "coldstream_topic_rpo_seconds{topic=\"seen\"} 0\n") && strings.Contains(body, "coldstream_kafka_read_bytes_total{")
	})
	w.await("a heartbeat", func() bool { return beats.Load() > 0 })

	w.await("the command is told of an RPO above its bound", func() bool {
		w.produce(someRecords(newRandom(t), "seen", 0, 1)...)
		b, err := os.ReadFile(events)
		return err == nil && strings.Contains(string(b), `"event":"rpo"`) && strings.Contains(string(b), `"topic":"seen"`)
	})
	w.terminated(p)
	if code, _ := w.get(at + "/livez"); code != 0 {
		t.Error("it still serves")
	}
	if strings.Contains(p.stderr.String(), secret) {
		t.Errorf("the log has the secret of the URL:\n%s", p.stderr.String())
	}
}

func TestRunRefusesWhatIsTaken(t *testing.T) {
	w := newFakeWorld(t)
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	w.run("run", "-b", w.bootstrap, "--listen", strings.TrimPrefix(taken.URL, "http://")).must(t, exitFailed).says(t, "listen on", "--listen none")
	w.run("run", "-b", w.bootstrap, "--heartbeat-url", "nonsense", "--listen", "none").must(t, exitUsage).says(t, "https://HOST/PATH")
	w.run("run", "-b", w.bootstrap, "--max-rpo", "-1s").must(t, exitUsage)
}

// A topic's bound in the file goes before --max-rpo, for what run tells too.
func TestRunHasBoundsOfSingleTopics(t *testing.T) {
	patterns, err := coldstream.ParsePatterns([]string{"orders-*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := &watchOptions{maxRPO: time.Hour, bounds: &topicBounds{patterns: []*coldstream.Patterns{patterns}, values: []time.Duration{time.Minute}}}
	same(t, "orders-1", o.rpoBounds().of("orders-1"), time.Minute)
	same(t, "others", o.rpoBounds().of("others"), time.Hour)
	o.bounds = nil
	same(t, "without a file", o.rpoBounds().of("orders-1"), time.Hour)
}
