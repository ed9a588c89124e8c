package simulator

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Truth is what really happens to one workload and candidate in a span of time:
// hidden from the analyzer, which must find it from the past.
type Truth struct {
	Workload     string // as events name it
	RequestModel string
	Candidate    string // provider/model

	Requests int64
	Routed   int64           // to the candidate, by the recorded decisions
	Baseline schemas.NanoUSD // what the span costs when nothing is routed
	Acted    schemas.NanoUSD // what it costs when the decisions are acted on

	// Quality is the expected difference over the routed requests: candidate
	// minus baseline, by what is right. Agreement is the difference that holding
	// the candidate's answer against the baseline's finds: never above Quality.
	Quality   float64
	Agreement float64
	// OutputRatio is the candidate's output tokens per baseline's, over the
	// routed requests.
	OutputRatio float64
}

// Saving is what acting on the decisions saves in the span.
func (t *Truth) Saving() schemas.NanoUSD { return t.Baseline - t.Acted }

// Share is the saving as a share of the baseline's cost.
func (t *Truth) Share() float64 {
	if t.Baseline == 0 {
		return 0
	}
	return float64(t.Saving()) / float64(t.Baseline)
}

// Truth lives through the span of cfg twice, once with every request at its
// baseline and once with the recorded decisions acted on, each with the prompt
// caches that it leaves behind, and returns the difference by workload and
// candidate. It is the same company going on: days follow the days before.
//
// Sessions keep to what the baseline answered in them: a candidate's own
// conversation, with its longer or shorter turns, is not followed.
func (w *World) Truth(cfg HistoryConfig) []Truth {
	all := make([][]Truth, len(w.Workloads))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(w.Workloads)) {
		wg.Go(func() {
			for n := range next {
				all[n] = w.live(n, &cfg)
			}
		})
	}
	for n := range w.Workloads {
		next <- n
	}
	close(next)
	wg.Wait()
	out := slices.Concat(all...)
	slices.SortFunc(out, func(a, b Truth) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.Candidate, b.Candidate))
	})
	return out
}

// acted is the world in which the requests meant for one candidate go there.
type acted struct {
	truth       Truth
	cache       *prefixCache
	out, strong float64 // output tokens of routed requests, candidate's and baseline's
}

// live lives through the span of one workload.
func (w *World) live(n int, cfg *HistoryConfig) []Truth {
	l := &lane{w: w, n: n, cfg: cfg, observe: newObserver(w, cfg)}
	worlds := map[string]*acted{}
	quiet := &acted{cache: newPrefixCache()}
	var decided []outcome
	for d := dayOf(cfg.From); d <= dayOf(cfg.To.Add(-1)); d++ {
		calls := l.take(d)
		decided = decided[:0]
		for k := range calls {
			if c := &calls[k]; !c.ts.Before(cfg.From) {
				decided = append(decided, l.decide(c))
			}
		}
		for _, o := range decided {
			if o.route != "" && worlds[o.route] == nil {
				worlds[o.route] = catchUp(quiet, o)
			}
		}
		for _, o := range decided {
			l.cost(quiet, o, "")
			for route, a := range worlds {
				l.cost(a, o, route)
			}
		}
	}
	var out []Truth
	for _, route := range slices.Sorted(maps.Keys(worlds)) {
		a := worlds[route]
		a.truth.Candidate, a.truth.Baseline, a.truth.Requests = route, quiet.truth.Acted, quiet.truth.Requests
		a.truth.Quality /= float64(max(a.truth.Routed, 1))
		a.truth.Agreement /= float64(max(a.truth.Routed, 1))
		if a.strong > 0 {
			a.truth.OutputRatio = a.out / a.strong
		}
		out = append(out, a.truth)
	}
	return out
}

// catchUp begins a candidate's world on the day its first request appears: until
// then it was the quiet one, but for its caches, which forget in minutes.
func catchUp(quiet *acted, o outcome) *acted {
	a := &acted{cache: newPrefixCache()}
	a.truth.Workload, a.truth.RequestModel = o.workload, o.model
	a.truth.Acted = quiet.truth.Acted
	return a
}

// outcome is a call with the decision about it.
type outcome struct {
	c        *call
	workload string
	model    string
	route    string // the candidate's; "" when it stays
	input    int    // bytes
}

func (l *lane) decide(c *call) outcome {
	r := l.observe.request(c)
	d := l.observe.o.Decide(&r)
	o := outcome{c: c, workload: d.Workload, model: d.Model, input: len(c.body)}
	if d.Decision.Route != r.Provider+"/"+d.Model {
		o.route = d.Decision.Route
	}
	return o
}

// cost adds what the call costs in a world that routes what is meant for route.
func (l *lane) cost(a *acted, o outcome, route string) {
	wl := &l.w.Workloads[l.n]
	c := o.c
	a.truth.Requests++
	if c.fault != noFault && c.fault != faultMidStream {
		return // providers do not charge for errors
	}
	day := dayOf(c.ts)
	provider, name, routed := wl.Provider, wl.Model, false
	if route != "" && o.route == route {
		provider, name = cutRoute(route)
		routed = true
	}
	answer := l.w.answer(c.item, name, 0, day, wl.maxTokens)
	tokens := answer.tokens
	if share := c.share(); share < 1 {
		tokens = int(share * float64(tokens))
	}
	u := a.cache.usage(wl, c.item, name, o.input, tokens, c.ts)
	if usd, _, err := l.cfg.Prices.Cost(provider, name, "", u, c.ts); err == nil {
		a.truth.Acted += usd
	}
	if !routed {
		return
	}
	a.truth.Routed++
	truth, agreement := l.w.difference(c.item, day)
	a.truth.Quality += truth
	a.truth.Agreement += agreement
	if c.share() == 1 {
		a.out += float64(answer.tokens)
		a.strong += float64(l.w.answer(c.item, wl.Model, 0, day, wl.maxTokens).tokens)
	}
}

// share is the part of the answer that was sent.
func (c *call) share() float64 {
	switch {
	case c.fault == faultMidStream:
		return .5
	case c.aborted > 0:
		return c.aborted
	}
	return 1
}

// month is the span that a projection speaks of.
const month = 30 * 24 * time.Hour

// NextMonth is the truth about the 30 days after a history.
func (w *World) NextMonth(cfg HistoryConfig) []Truth {
	cfg.From, cfg.To = cfg.To, cfg.To.Add(month)
	return w.Truth(cfg)
}
