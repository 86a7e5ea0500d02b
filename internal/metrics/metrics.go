// Package metrics is what Prometheus sees of a continuous backup. It is an Observer, for what is
// counted, and asks for the state of the backup whenever it is scraped. No label has values
// without bound.
package metrics

import (
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/plugin/kprom"

	"coldstream"
	"coldstream/backup"
	"coldstream/internal/protection"
)

// Options say what is measured.
type Options struct {
	Live    *protection.Live
	Version string
	// MaxTopics bounds the topics that have series of their own; 1,000 by default. The rest
	// are one: [Others].
	MaxTopics int
	// Partitions adds series for each partition.
	Partitions bool
}

// Others stands for the topics that have no series of their own. No topic can have that name.
const Others = "(others)"

const namespace = "coldstream"

// Metrics are those of one backup.
type Metrics struct {
	opts     Options
	registry *prometheus.Registry

	commits, records, storedBytes, storedObjects, readBytes prometheus.Counter
	snapshots, forks, rescans                               prometheus.Counter
	errors, damage                                          *prometheus.CounterVec
	heartbeats, commands, reloads                           *prometheus.CounterVec
	heartbeatAt, configuration                              prometheus.Gauge
}

// New makes the metrics of a backup.
func New(opts Options) *Metrics {
	if opts.MaxTopics <= 0 {
		opts.MaxTopics = 1000
	}
	m := &Metrics{opts: opts, registry: prometheus.NewRegistry()}
	m.commits = m.counter("commits_total", "Commits that are durable.")
	m.records = m.counter("saved_records_total", "Records that are durable.")
	m.readBytes = m.counter("read_bytes_total", "Bytes of record batches that were read from the brokers.")
	m.storedBytes = m.counter("stored_bytes_total", "Bytes of objects that were made in the vault.")
	m.storedObjects = m.counter("stored_objects_total", "Objects that were made in the vault.")
	m.snapshots = m.counter("snapshots_total", "Snapshots that are durable.")
	m.forks = m.counter("forks_total", "Logs that lost an end that had been saved.")
	m.rescans = m.counter("rescans_total", "Compacted partitions that were read in full once more.")
	m.errors = m.counters("errors_total", "Attempts that failed because the cluster or the storage as a whole did not serve.", "side")
	m.damage = m.counters("damage_total", "Damage that was found in the vault, and whether it was healed.", "healed")
	m.heartbeats = m.counters("heartbeats_total", "Heartbeats that were sent, by result: ok or failed.", "result")
	m.commands = m.counters("event_commands_total", "Commands run for events, by result: ok, failed or dropped.", "result")
	m.reloads = m.counters("reloads_total", "Readings of the configuration while the program runs, by result: ok or failed.", "result")
	m.configuration = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "configuration_current", Help: "1 if what the configuration says is in use; 0 if something in it is wrong, and the one before is.",
	})
	m.configuration.Set(1)
	m.heartbeatAt = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "last_heartbeat_timestamp_seconds", Help: "When a heartbeat was last answered; 0 if none was.",
	})
	for _, side := range []coldstream.Side{coldstream.SideCluster, coldstream.SideStorage} {
		m.errors.WithLabelValues(string(side))
	}
	for _, healed := range []string{"true", "false"} {
		m.damage.WithLabelValues(healed)
	}
	for _, result := range []string{"ok", "failed"} {
		m.reloads.WithLabelValues(result)
	}
	m.registry.MustRegister(m.heartbeatAt, m.configuration, &state{opts: &m.opts}, buildInfo(opts.Version), memoryLimit(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help, label string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	m.registry.MustRegister(c)
	return c
}

func buildInfo(version string) prometheus.Collector {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1, by version."}, []string{"version"})
	info.WithLabelValues(version).Set(1)
	return info
}

func memoryLimit() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "memory_limit_bytes", Help: "What the runtime of the program tries to stay below.",
	}, func() float64 { return float64(debug.SetMemoryLimit(-1)) })
}

// Observe is [coldstream.Observer].
func (m *Metrics) Observe(event coldstream.Event) {
	switch e := event.(type) {
	case *coldstream.Progress:
		m.readBytes.Add(float64(max(0, e.Bytes)))
	case *coldstream.Committed:
		m.commits.Inc()
		m.records.Add(float64(e.Records))
		m.storedBytes.Add(float64(e.BytesStored))
		m.storedObjects.Add(float64(e.Objects))
	case *coldstream.SnapshotMade:
		m.snapshots.Inc()
	case *coldstream.ForkFound:
		m.forks.Inc()
	case *coldstream.ReadAgain:
		if !e.Done {
			m.rescans.Inc()
		}
	case *coldstream.Outage:
		m.errors.WithLabelValues(string(e.Of)).Inc()
	case *coldstream.DamageFound:
		healed := "false"
		if e.Healed {
			healed = "true"
		}
		m.damage.WithLabelValues(healed).Inc()
	}
}

// Heartbeat counts a heartbeat; at is when it was answered.
func (m *Metrics) Heartbeat(at time.Time, err error) {
	if err != nil {
		m.heartbeats.WithLabelValues("failed").Inc()
		return
	}
	m.heartbeats.WithLabelValues("ok").Inc()
	m.heartbeatAt.Set(float64(at.UnixMilli()) / 1000)
}

// Reload counts a reading of the configuration; after one that failed the one before is in use.
func (m *Metrics) Reload(err error) {
	if err != nil {
		m.reloads.WithLabelValues("failed").Inc()
		m.configuration.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.configuration.Set(1)
}

// Command counts a command of --on-event by its result.
func (m *Metrics) Command(result string) { m.commands.WithLabelValues(result).Inc() }

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, MaxRequestsInFlight: 4, Timeout: 20 * time.Second,
	})
}

// KafkaHook measures one client of Kafka; of each name there may be one at a time.
func (m *Metrics) KafkaHook(client string) any {
	registerer := prometheus.WrapRegistererWith(prometheus.Labels{"client": client}, m.registry)
	return kprom.NewMetrics(namespace+"_kafka", kprom.Registerer(registerer), kprom.Gatherer(m.registry), kprom.NativeBucketFactor(1))
}

// state is a collector of the backup's state.
type state struct{ opts *Options }

var _ prometheus.Collector = (*state)(nil)

// Describe is [prometheus.Collector].
func (s *state) Describe(out chan<- *prometheus.Desc) {
	for _, d := range descriptions() {
		out <- d.desc()
	}
}

// Collect is [prometheus.Collector].
func (s *state) Collect(out chan<- prometheus.Metric) {
	document, ok := s.opts.Live.Document()
	status := s.opts.Live.Status()
	if !ok || status == nil {
		return
	}
	c := &collection{out: out, descs: map[string]*prometheus.Desc{}}
	for _, d := range descriptions() {
		c.descs[d.name] = d.desc()
	}
	c.process(status)
	c.topics(document, s.opts)
}

type collection struct {
	out   chan<- prometheus.Metric
	descs map[string]*prometheus.Desc
}

func (c *collection) gauge(name string, value float64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(c.descs[name], prometheus.GaugeValue, value, labels...)
}

func (c *collection) process(s *backup.Status) {
	c.gauge("start_timestamp_seconds", unix(s.Began))
	c.gauge("last_commit_timestamp_seconds", unix(s.Committed))
	c.gauge("last_snapshot_timestamp_seconds", unix(s.SnapshotTime))
	c.gauge("buffered_bytes", float64(s.BufferedBytes))
	c.gauge("topics", float64(len(s.Topics)))
	c.gauge("unmatched_patterns", float64(len(s.Unmatched)))
	for side, outage := range map[coldstream.Side]*coldstream.Outage{coldstream.SideCluster: s.Cluster, coldstream.SideStorage: s.Storage} {
		lasts := 0.0
		if outage != nil {
			lasts = max(0.001, s.Now.Sub(outage.Since).Seconds())
		}
		c.gauge("outage_seconds", lasts, string(side))
	}
	others, ahead := 0, 0.0
	for _, w := range s.Writers {
		if s.Now.Sub(w.Time) < time.Hour {
			others++
		}
		ahead = max(ahead, w.Time.Sub(s.Now).Seconds())
	}
	c.gauge("other_writers", float64(others))
	c.gauge("clock_ahead_seconds", ahead)
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
