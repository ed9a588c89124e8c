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
	retries   *prometheus.CounterVec
	unretried *prometheus.CounterVec
	ejections *prometheus.CounterVec
	members   *prometheus.CounterVec
	unsaid    *prometheus.CounterVec
	failures  prometheus.Counter
	unrouted  prometheus.Counter
	payloads  prometheus.Counter
	unheld    prometheus.Counter
	unread    prometheus.Counter
	crowded   prometheus.Counter
	recounts  *prometheus.CounterVec
	unheard   prometheus.Counter

	mu     sync.Mutex
	models map[string]struct{}
	found  map[ending]*series
}

func newMetrics(reg prometheus.Registerer, inFlight func() int, breakers prometheus.Collector, certificateEnds func() float64) (*metrics, error) {
	seconds := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}
	m := &metrics{
		models:    map[string]struct{}{},
		found:     map[ending]*series{},
		requests:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_requests_total", Help: "Requests accepted, by how they ended."}, []string{"provider", "model", "mode", "code", "status"}),
		duration:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gnomon_request_duration_seconds", Help: "From accept to the last byte of the answer.", Buckets: seconds}, []string{"provider"}),
		ttft:      prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gnomon_time_to_first_token_seconds", Help: "From accept to the first byte of the answer's body.", Buckets: seconds}, []string{"provider"}),
		overhead:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gnomon_proxy_overhead_seconds", Help: "Time a request spent in gnomon itself.", Buckets: []float64{1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 5e-3, 2e-2, .1}}),
		tokens:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_tokens_total", Help: "Tokens used, by type; estimates included."}, []string{"provider", "type"}),
		cost:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_cost_usd_total", Help: "Cost at list price of what was served; unpriced requests are in gnomon_requests_total only."}, []string{"provider"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_fallbacks_total", Help: "Candidates that failed before the first byte, so that the baseline answered."}, []string{"candidate", "reason"}),
		retries:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_retries_total", Help: "Calls of routed requests made again before anything reached the client, by why the one before failed."}, []string{"provider", "reason"}),
		unretried: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_retries_refused_total", Help: "Calls that could have been made again, had the provider's retry budget not been spent."}, []string{"provider"}),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_ejections_total", Help: "How often a candidate was left alone because it kept failing."}, []string{"candidate"}),
		members:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_members_ejected_total", Help: "How often one of a provider's hosts or stored credentials (by its number) was left alone."}, []string{"provider", "kind", "which"}),
		unsaid:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_untranslatable_total", Help: "Requests that could not be said in a candidate's dialect, by what stood in the way."}, []string{"dialect", "what"}),
		failures:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_classifier_failures_total", Help: "Requests left at their baseline because the classifier panicked or exceeded its budget."}),
		unrouted:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_unrouted_total", Help: "Requests whose path belongs to no provider: answered with 404, not accepted."}),
		unheld:    prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_unheld_total", Help: "Requests of which a body was not looked at, because proxy.capture_total_bytes was reached."}),
		unread:    prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_unread_total", Help: "Answers that passed unread and are recorded without usage, because reading them failed inside gnomon."}),
		crowded:   prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_connections_refused_total", Help: "Connections beyond what the process may open: told 503 and closed, none of their requests accepted."}),
		recounts:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gnomon_recounts_total", Help: "Requests without stated usage: counted by a tokenizer since, or not (dropped: too many waited, or gnomon stopped; unheard: no text was at hand; failed), so that the estimate from bytes stands."}, []string{"outcome"}),
		unheard:   prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_recounts_cut_total", Help: "Requests without stated usage of whose text not all that may be was kept, because the streams together had reached their bound."}),
		payloads:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_payloads_total", Help: "Bodies handed over for rehearsal."}),
	}
	if reg == nil {
		return m, nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_requests_in_flight", Help: "Requests being answered now."}, func() float64 { return float64(inFlight()) })
	ends := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_certificate_expiry_timestamp_seconds", Help: "When the certificate that clients are shown ends; 0 without one."}, certificateEnds)
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.ttft, m.overhead, m.tokens, m.cost, m.fallbacks, m.retries, m.unretried, m.ejections, m.members, breakers, m.unsaid, m.failures, m.unrouted, m.payloads, m.unheld, m.unread, m.crowded, m.recounts, m.unheard, gauge, ends} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// ending is what requests are counted by.
type ending struct {
	provider, model string
	mode            schemas.Mode
	code            uint16
	status          schemas.Status
}

// series are the figures of one ending: finding them by their labels takes
// longer than counting.
type series struct {
	requests, input, cacheRead, cacheWrite, output, cost prometheus.Counter
	duration, ttft                                       prometheus.Observer
}

func (m *metrics) series(e ending) *series {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.found[e]
	if s == nil {
		tokens := func(kind string) prometheus.Counter { return m.tokens.WithLabelValues(e.provider, kind) }
		s = &series{
			requests: m.requests.WithLabelValues(e.provider, e.model, string(e.mode), strconv.Itoa(int(e.code)), string(e.status)),
			input:    tokens("input"), cacheRead: tokens("cache_read"), cacheWrite: tokens("cache_write"), output: tokens("output"),
			cost: m.cost.WithLabelValues(e.provider), duration: m.duration.WithLabelValues(e.provider), ttft: m.ttft.WithLabelValues(e.provider),
		}
		m.found[e] = s
	}
	return s
}

// observe counts an event. priced models are few; unknown names beyond a bound
// share one label.
func (m *metrics) observe(ev *schemas.RequestEvent, latency, ttft, overhead time.Duration) {
	s := m.series(ending{ev.Provider, m.model(ev.RequestModel), ev.Mode, ev.HTTPStatus, ev.Status})
	s.requests.Inc()
	s.duration.Observe(latency.Seconds())
	if ttft > 0 {
		s.ttft.Observe(ttft.Seconds())
	}
	m.overhead.Observe(overhead.Seconds())
	if ev.UsageSource != schemas.UsageNone {
		s.input.Add(float64(ev.InputTokens))
		s.cacheRead.Add(float64(ev.CacheReadTokens))
		s.cacheWrite.Add(float64(ev.CacheWriteTokens))
		s.output.Add(float64(ev.OutputTokens))
	}
	if ev.Cost.Known {
		s.cost.Add(ev.Cost.Nano.USD())
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
