package metrics

import (
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"coldstream"
	"coldstream/backup"
	"coldstream/internal/protection"
)

var now = time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)

// scrape is what the handler serves, without comments.
func scrape(t *testing.T, m *Metrics) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil || w.Code != 200 {
		t.Fatalf("%d, %v: %s", w.Code, err, body)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(body)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			out[name] = value
		}
	}
	return out
}

func stateOf(topics int) *backup.Status {
	s := &backup.Status{Now: now, Began: now.Add(-time.Hour), Committed: now.Add(-time.Minute)}
	for i := range topics {
		s.Topics = append(s.Topics, backup.TopicStatus{
			Topic: fmt.Sprintf("t%02d", i), SavedAt: now.Add(-time.Duration(i) * time.Minute), CleanupPolicy: "delete", Retention: time.Hour,
			Partitions: []backup.PartitionStatus{{LogOffsets: coldstream.LogOffsets{HighWatermark: 100}, SavedOffset: 90, Offsets: 90, Bytes: 900}},
		})
	}
	return s
}

func measure(s *backup.Status) *Metrics {
	return New(Options{Live: &protection.Live{Status: func() *backup.Status { return s }}, Version: "test", MaxTopics: 3})
}

func TestMetricsTellTheState(t *testing.T) {
	s := stateOf(2)
	s.Topics[0].AtEnds, s.Topics[0].Partitions[0].SavedOffset = true, 100
	s.Storage = &coldstream.Outage{Since: now.Add(-30 * time.Second)}
	s.Writers = []coldstream.WriterSeen{{Writer: "a", Time: now.Add(10 * time.Second)}, {Writer: "b", Time: now.Add(-2 * time.Hour)}}
	m := measure(s)
	m.KafkaHook("main")
	m.Observe(&coldstream.Committed{Records: 5, BytesStored: 70, Objects: 2})
	m.Observe(&coldstream.Progress{Bytes: 300})
	m.Observe(&coldstream.Outage{Of: coldstream.SideStorage})
	m.Observe(&coldstream.DamageFound{Healed: true})
	m.Heartbeat(now, nil)
	m.Heartbeat(now, errors.New("away"))
	m.Command("dropped")
	got := scrape(t, m)
	for name, want := range map[string]string{
		`coldstream_topic_rpo_seconds{topic="t00"}`: "0", `coldstream_topic_rpo_seconds{topic="t01"}`: "60",
		`coldstream_topic_lag_records{topic="t01"}`: "10", `coldstream_topic_lag_bytes{topic="t01"}`: "100",
		`coldstream_topic_headroom_seconds{topic="t01"}`: "3540", `coldstream_topic_protected{topic="t01"}`: "1",
		`coldstream_outage_seconds{side="storage"}`: "30", `coldstream_outage_seconds{side="cluster"}`: "0",
		`coldstream_errors_total{side="storage"}`: "1", `coldstream_errors_total{side="cluster"}`: "0",
		"coldstream_commits_total": "1", "coldstream_saved_records_total": "5", "coldstream_stored_bytes_total": "70", "coldstream_read_bytes_total": "300",
		`coldstream_damage_total{healed="true"}`: "1", "coldstream_other_writers": "1", "coldstream_clock_ahead_seconds": "10",
		`coldstream_heartbeats_total{result="failed"}`: "1", `coldstream_event_commands_total{result="dropped"}`: "1", `coldstream_build_info{version="test"}`: "1",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// TestLabelsAreBounded: topics beyond the bound are one series, the worst or the sum of them.
func TestLabelsAreBounded(t *testing.T) {
	s := stateOf(10)
	s.Topics[9].SavedAt = time.Time{} // never
	got := scrape(t, measure(s))
	series := 0
	for name := range got {
		if strings.HasPrefix(name, "coldstream_topic_rpo_seconds{") {
			series++
		}
	}
	if series != 4 || got[`coldstream_topic_rpo_seconds{topic="(others)"}`] != "+Inf" || got[`coldstream_topic_lag_records{topic="(others)"}`] != "70" ||
		got["coldstream_topics_folded"] != "7" || got[`coldstream_topic_protected{topic="(others)"}`] != "0" {
		t.Errorf("%d series of RPO, of others %s, %s folded", series, got[`coldstream_topic_rpo_seconds{topic="(others)"}`], got["coldstream_topics_folded"])
	}
	if err := coldstream.CheckTopicName(Others); err == nil {
		t.Error("a topic may have the name of the others")
	}
}

// known are the names of all metrics of ours, by their descriptions.
func known(t *testing.T) map[string]string {
	t.Helper()
	m := measure(stateOf(1))
	m.Heartbeat(now, nil)
	m.Command("ok")
	families, err := prometheus.Gatherers{m.registry, (&Verified{}).registry()}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range families {
		out[f.GetName()] = f.GetHelp()
	}
	for _, d := range descriptions() {
		out[namespace+"_"+d.name] = d.help
	}
	return out
}

// TestMetricsPage holds that docs/monitoring.md lists our metrics, each with its words.
func TestMetricsPage(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	metrics := known(t)
	row := regexp.MustCompile("(?m)^\\| `(coldstream_[a-z_]+)`[^|]*\\| (.*) \\|$")
	listed := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		listed[m[1]] = true
		if help, ok := metrics[m[1]]; !ok || help != m[2] {
			t.Errorf("the page says of %s %q, the program %q", m[1], m[2], help)
		}
	}
	var missing []string
	for name, help := range metrics {
		if strings.HasPrefix(name, namespace+"_") && !listed[name] {
			missing = append(missing, fmt.Sprintf("| `%s` | %s |", name, help))
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		t.Errorf("docs/monitoring.md lacks\n%s", strings.Join(missing, "\n"))
	}
}

// TestDeployedNamesExist: rules and dashboard name only metrics that there are.
func TestDeployedNamesExist(t *testing.T) {
	metrics := known(t)
	files := []string{"prometheus/coldstream.rules.yml", "grafana/coldstream.json"}
	name := regexp.MustCompile(`\b(?:coldstream|process|go)_[a-z0-9_]+\b`)
	for _, file := range files {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", file))
		if err != nil {
			t.Fatal(err)
		}
		found := name.FindAllString(string(b), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, n := range found {
			if _, ok := metrics[n]; !ok {
				t.Errorf("deploy/%s names %s, which is no metric", file, n)
			}
		}
	}
}

// TestAlertsHaveRunbooks: each alert links to a heading of docs/operations.md that is there.
func TestAlertsHaveRunbooks(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "coldstream.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`(?m)^ *- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 12 {
		t.Errorf("%d alerts, want 12 or more", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(string(page), "\n### "+a[1]+"\n") {
			t.Errorf("docs/operations.md has no heading ### %s", a[1])
		}
		if !strings.Contains(string(rules), "docs/operations.md#"+strings.ToLower(a[1])+"\n") {
			t.Errorf("alert %s has no runbook_url with its anchor", a[1])
		}
	}
}
