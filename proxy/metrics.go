package proxy

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/schemas"
)

// maxModels bounds the values of the model label: names come from clients.
const maxModels = 200

// metrics are the data plane's figures. No user, key or request id is a label.
type metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	ttft      *prometheus.HistogramVec
	overhead  prometheus.Histogram
	tokens    *prometheus.CounterVec
	cost      *prometheus.CounterVec
	fallbacks *prometheus.CounterVec
	unsaid    *prometheus.CounterVec
	failures  prometheus.Counter
	unrouted  prometheus.Counter
	payloads  prometheus.Counter

	mu     sync.Mutex
	models map[string]struct{}
}

func newMetrics(reg prometheus.Registerer, inFlight func() int) (*metrics, error) {
	seconds := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	m := &metrics{
		models:    map[string]struct{}{},
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_requests_total", Help: "Requests accepted, by how they ended."}, []string{"provider", "model", "mode", "code", "status"}),
		duration:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gnomon_request_duration_seconds", Help: "From accept to the last byte of the answer.", Buckets: seconds}, []string{"provider"}),
		ttft:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gnomon_time_to_first_token_seconds", Help: "From accept to the first byte of the answer's body.", Buckets: seconds}, []string{"provider"}),
		overhead:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gnomon_proxy_overhead_seconds", Help: "Time a request spent in gnomon itself.", Buckets: []float64{1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, .1}}),
		tokens:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_tokens_total", Help: "Tokens used, by type; estimates included."}, []string{"provider", "type"}),
		cost:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_cost_usd_total", Help: "Cost at list price of what was served; unpriced requests are in gnomon_requests_total only."}, []string{"provider"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_fallbacks_total", Help: "Candidates that failed before the first byte, so that the baseline answered."}, []string{"candidate", "reason"}),
		unsaid:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_untranslatable_total", Help: "Requests that could not be said in a candidate's dialect, by what stood in the way."}, []string{"dialect", "what"}),
		failures:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_classifier_failures_total", Help: "Requests left at their baseline because the classifier panicked or exceeded its budget."}),
		unrouted:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_unrouted_total", Help: "Requests whose path belongs to no provider: answered with 404, not accepted."}),
		payloads:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_payloads_total", Help: "Bodies handed over for rehearsal."}),
	}
	if reg == nil {
		return m, nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_requests_in_flight", Help: "Requests being answered now."}, func() float64 { return float64(inFlight()) })
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.ttft, m.overhead, m.tokens, m.cost, m.fallbacks, m.unsaid, m.failures, m.unrouted, m.payloads, gauge} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// observe counts an event. priced models are few; unknown names beyond a bound
// share one label.
func (m *metrics) observe(ev *schemas.RequestEvent, latency, ttft, overhead time.Duration) {
	m.requests.WithLabelValues(ev.Provider, m.model(ev.RequestModel), string(ev.Mode), strconv.Itoa(int(ev.HTTPStatus)), string(ev.Status)).Inc()
	m.duration.WithLabelValues(ev.Provider).Observe(latency.Seconds())
	if ttft > 0 {
		m.ttft.WithLabelValues(ev.Provider).Observe(ttft.Seconds())
	}
	m.overhead.Observe(overhead.Seconds())
	if ev.UsageSource != schemas.UsageNone {
		m.tokens.WithLabelValues(ev.Provider, "input").Add(float64(ev.InputTokens))
		m.tokens.WithLabelValues(ev.Provider, "cache_read").Add(float64(ev.CacheReadTokens))
		m.tokens.WithLabelValues(ev.Provider, "cache_write").Add(float64(ev.CacheWriteTokens))
		m.tokens.WithLabelValues(ev.Provider, "output").Add(float64(ev.OutputTokens))
	}
	if ev.Cost.Known {
		m.cost.WithLabelValues(ev.Provider).Add(ev.Cost.Nano.USD())
	}
}

func (m *metrics) model(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.models[name]; ok {
		return name
	}
	if len(m.models) >= maxModels || len(name) > maxName {
		return overflow
	}
	m.models[name] = struct{}{}
	return name
}
