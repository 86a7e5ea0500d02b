package metrics

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Verified is what came out of a look at a whole vault, by a process that ends and that nobody can scrape.
type Verified struct {
	Time     time.Time // when it was done
	Deep     bool      // every byte was read
	Problems int
}

func (v *Verified) registry() *prometheus.Registry {
	deep := prometheus.Labels{"deep": strconv.FormatBool(v.Deep)}
	gauge := func(name, help string, value float64) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help, ConstLabels: deep})
		g.Set(value)
		return g
	}
	r := prometheus.NewRegistry()
	r.MustRegister(
		gauge("last_verify_timestamp_seconds", "When the vault was last verified; deep says whether every byte was read.", unix(v.Time)),
		gauge("verify_problems", "Problems that this found.", float64(v.Problems)),
	)
	return r
}

// WriteFile writes the metrics into a file for the textfile collector of Prometheus' node exporter, all
// of it or nothing: the collector reads at any time.
func (v *Verified) WriteFile(path string) error {
	if err := prometheus.WriteToTextfile(path, v.registry()); err != nil {
		return fmt.Errorf("write metrics to %s: %w", path, err)
	}
	return nil
}
