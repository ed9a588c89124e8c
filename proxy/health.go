package proxy

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"
)

// Breaker says when a candidate is left alone. Zero values take the stated
// defaults.
type Breaker struct {
	Failures int           // in a row; default 3
	Rate     float64       // of at least ten calls within Window that fail; default 0.5
	Window   time.Duration // that Rate looks back; default 30 s
	Pause    time.Duration // for which it is left alone; default 30 s, give or take a tenth
	Probes   int           // calls at once after the pause, until one has gone well; default 1
}

func (b *Breaker) defaults() {
	if b.Failures <= 0 {
		b.Failures = 3
	}
	if b.Rate <= 0 || b.Rate > 1 {
		b.Rate = 0.5
	}
	if b.Window <= 0 {
		b.Window = 30 * time.Second
	}
	if b.Pause <= 0 {
		b.Pause = 30 * time.Second
	}
	if b.Probes <= 0 {
		b.Probes = 1
	}
}

// rateNeeds is how many calls a failure rate is told from.
const rateNeeds = 10

// health remembers which candidates are failing. Only candidates of live
// traffic get here: a baseline is never withheld from its caller.
type health struct {
	log      *slog.Logger
	ejected  *prometheus.CounterVec
	open     atomic.Int32 // breakers that are not closed: while there is none, nobody asks further
	mu       sync.RWMutex
	breakers map[string]*breaker
}

// breaker is the breaker of one candidate, provider/model. The window and the
// three states are failsafe-go's. Two things are kept beside it. Failures in a
// row: a rate needs more calls than a quiet workload makes. And the probes under
// way: a call that ends without a verdict, because its client has left, must give
// its place back, for which the library has no word.
type breaker struct {
	h    *health
	name string
	cfg  Breaker
	cb   circuitbreaker.CircuitBreaker[any]

	mu     sync.Mutex
	inRow  int
	probes int
}

// verdict is what a call said of its candidate.
type verdict uint8

const (
	noVerdict verdict = iota // the client left, or what failed was the request
	wentWell
	wentWrong
)

// of returns a candidate's breaker. One whose settings have changed begins anew.
func (h *health) of(candidate string, cfg Breaker) *breaker {
	h.mu.RLock()
	b := h.breakers[candidate]
	h.mu.RUnlock()
	if b != nil && b.cfg == cfg {
		return b
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if b = h.breakers[candidate]; b != nil && b.cfg == cfg {
		return b
	}
	if h.breakers == nil {
		h.breakers = map[string]*breaker{}
	}
	if b != nil {
		b.cb.Close() // takes itself out of the count
	}
	b = &breaker{h: h, name: candidate, cfg: cfg}
	b.cb = circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(cfg.Rate, rateNeeds, cfg.Window).
		WithSuccessThreshold(1).
		WithDelay(cfg.Pause).WithJitterFactor(0.1).
		OnStateChanged(b.changed).Build()
	h.breakers[candidate] = b
	return b
}

// unhealthy reports whether a candidate is to be left alone now: its pause is not
// over, or as many calls as may probe it are under way. It takes no place: what
// it says is recorded among the inputs of a decision, acted on or not.
func (h *health) unhealthy(candidate string, _ time.Time) bool {
	if h.open.Load() == 0 {
		return false
	}
	h.mu.RLock()
	b := h.breakers[candidate]
	h.mu.RUnlock()
	return b != nil && b.closedTo()
}

func (b *breaker) closedTo() bool {
	switch b.cb.State() {
	case circuitbreaker.ClosedState:
		return false
	case circuitbreaker.OpenState:
		if b.cb.RemainingDelay() > 0 {
			return true
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probes >= b.cfg.Probes
}

// enter takes a place for a call; probe says that it is one of the few after a
// pause. Each call that got in must leave.
func (b *breaker) enter() (ok, probe bool) {
	switch b.cb.State() {
	case circuitbreaker.ClosedState:
		return true, false
	case circuitbreaker.OpenState:
		if b.cb.RemainingDelay() > 0 {
			return false, false
		}
		b.cb.HalfOpen()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.probes >= b.cfg.Probes {
		return false, false
	}
	b.probes++
	return true, true
}

// leave says how a call went.
func (b *breaker) leave(v verdict, probe bool) {
	b.mu.Lock()
	if probe {
		b.probes--
	}
	switch v {
	case wentWell:
		b.inRow = 0
	case wentWrong:
		b.inRow++
	}
	trip := v == wentWrong && b.inRow >= b.cfg.Failures
	b.mu.Unlock()
	// A call that began before the breaker opened says nothing of what came after.
	if b.cb.IsHalfOpen() && !probe {
		return
	}
	switch v {
	case wentWell:
		b.cb.RecordSuccess()
	case wentWrong:
		b.cb.RecordFailure()
		if trip && b.cb.IsClosed() {
			b.cb.Open()
		}
	}
}

func (b *breaker) changed(e circuitbreaker.StateChangedEvent) {
	switch {
	case e.OldState == circuitbreaker.ClosedState:
		b.h.open.Add(1)
	case e.NewState == circuitbreaker.ClosedState:
		b.h.open.Add(-1)
	}
	if e.OldState == circuitbreaker.HalfOpenState && e.NewState == circuitbreaker.ClosedState {
		b.h.log.Info("a candidate answers again", "candidate", b.name)
	}
	if e.NewState == circuitbreaker.OpenState {
		b.h.ejected.WithLabelValues(b.name).Inc()
		b.h.log.Warn("a candidate keeps failing and is left alone; its baseline serves", "candidate", b.name, "for", b.cfg.Pause)
	}
}

var breakerState = prometheus.NewDesc("gnomon_breaker_state", "Of a candidate of live traffic: 0 it serves, 1 it is tried again after a pause, 2 it is left alone.", []string{"candidate"}, nil)

// Describe implements prometheus.Collector.
func (h *health) Describe(out chan<- *prometheus.Desc) { out <- breakerState }

// Collect implements prometheus.Collector.
func (h *health) Collect(out chan<- prometheus.Metric) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for name, b := range h.breakers {
		value := 0.0
		switch b.cb.State() {
		case circuitbreaker.HalfOpenState:
			value = 1
		case circuitbreaker.OpenState:
			if value = 2; b.cb.RemainingDelay() == 0 {
				value = 1
			}
		}
		out <- prometheus.MustNewConstMetric(breakerState, prometheus.GaugeValue, value, name)
	}
}
