package pipeline

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what Ingest counts. Without a registry it counts for nobody.
type metrics struct {
	rows, failures, letters *prometheus.CounterVec // by topic
	lag                     *prometheus.GaugeVec   // by topic and partition
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return registered(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"topic"}))
	}
	return &metrics{
		rows:     counter("gnomon_ingest_rows_total", "Rows the store has taken."),
		failures: counter("gnomon_insert_errors_total", "Inserts whose result is unknown; each is tried again."),
		letters:  counter("gnomon_dead_letters_total", "Records that cannot be stored and went to their topic's dead letters."),
		lag: registered(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "gnomon_ingest_lag_messages",
			Help: "Messages of a partition that this ingester has not committed yet."}, []string{"topic", "partition"})),
	}
}

// registered returns the collector that counts: an earlier one of the same name
// where there is one.
func registered[T prometheus.Collector](r prometheus.Registerer, c T) T {
	if r == nil {
		return c
	}
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(c); errors.As(err, &already) {
		if earlier, ok := already.ExistingCollector.(T); ok {
			return earlier
		}
	}
	return c
}
