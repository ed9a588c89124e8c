package simulator

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/rehearsal"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Sink takes what the simulated proxies and rehearsers would have published.
// Calls come one after another, in the order of time.
type Sink interface {
	Requests(ctx context.Context, evs []schemas.RequestEvent) error
	Heartbeats(ctx context.Context, beats []schemas.Heartbeat) error
	Evaluations(ctx context.Context, evs []schemas.Evaluation) error
}

// HistoryConfig is what a history is made with.
type HistoryConfig struct {
	Project string
	From    time.Time // cut to its UTC day
	To      time.Time // exclusive
	Margin  float64   // of non-inferiority, for rehearsal's gate
	Prices  *savings.Book
	// Snapshot is what the simulated proxies decide by. It must know the
	// simulated providers.
	Snapshot *classifier.Snapshot
	// Rehearse has the sample sent to candidates and graded.
	Rehearse bool
	// Progress is told of requests made, and of how many there will be, about.
	// It may be nil.
	Progress func(done, total int64)
}

// Summary says what a history holds.
type Summary struct {
	Requests    int64
	Evaluations int64 // as published: a pair that waited for its grade twice
	BootIDs     []uint64
	Rehearsal   map[string]rehearsal.Counts // by workload
}

// lane is one workload on its way through the days: what must be kept in order
// is kept here, so that workloads can be made side by side.
type lane struct {
	w         *World
	n         int
	cfg       *HistoryConfig
	bench     *bench
	observe   *proxyObserver
	rehearser *rehearsal.Rehearser
	late      []call // of sessions that went on past midnight
}

// dayOfLane is what a lane makes of a day.
type dayOfLane struct {
	events      []schemas.RequestEvent
	evaluations []schemas.Evaluation
	err         error
}

// History makes the requests of From to To and hands them to sink, day by day.
// The result is a function of the world and the configuration, whatever the
// number of processors.
func (w *World) History(ctx context.Context, cfg HistoryConfig, sink Sink) (Summary, error) {
	sum := Summary{Rehearsal: map[string]rehearsal.Counts{}}
	lanes, err := w.lanes(&cfg)
	if err != nil {
		return sum, err
	}
	first, last := dayOf(cfg.From), dayOf(cfg.To.Add(-1))
	total := w.expected(first, last, cfg.To)
	days := make(chan []dayOfLane, 1) // one day ahead of the sink: memory stays small
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(days)
		for d := first; d <= last && ctx.Err() == nil; d++ {
			made := makeDay(lanes, d)
			select {
			case days <- made:
			case <-ctx.Done():
			}
		}
	})
	defer wg.Wait()
	defer cancel()
	for d := first; ; d++ {
		made, ok := <-days
		if !ok {
			break
		}
		if err := w.hand(ctx, d, made, &cfg, sink, &sum); err != nil {
			return sum, err
		}
		if cfg.Progress != nil {
			cfg.Progress(sum.Requests, max(total, sum.Requests))
		}
	}
	for _, l := range lanes {
		if l.rehearser != nil {
			sum.Rehearsal[l.name()] = l.rehearser.Counts()
		}
	}
	return sum, ctx.Err()
}

func (w *World) lanes(cfg *HistoryConfig) ([]*lane, error) {
	if cfg.Snapshot == nil || cfg.Prices == nil || !cfg.To.After(cfg.From) {
		return nil, errors.New("a history needs a snapshot, prices, and a time that ends after it begins")
	}
	var out []*lane
	for n := range w.Workloads {
		l := &lane{w: w, n: n, cfg: cfg, bench: w.bench(), observe: newObserver(w, cfg)}
		if cfg.Rehearse {
			var err error
			l.rehearser, err = rehearsal.New(rehearsal.Config{Margin: cfg.Margin, Prices: cfg.Prices, Simulated: true,
				Plan: func(string) (rehearsal.Plan, bool) { return w.plan(n), true }}, l.bench)
			if err != nil {
				return nil, err
			}
		}
		out = append(out, l)
	}
	return out, nil
}

func (l *lane) name() string { return cmp.Or(l.w.Workloads[l.n].Name, l.w.Workloads[l.n].Team) }

// Plans returns what rehearsal may spend, by the names that workloads have in
// events, the discovered one's among them: what a demo's configuration permits.
func (w *World) Plans() map[string]rehearsal.Plan {
	m := map[string]rehearsal.Plan{}
	for n := range w.Workloads {
		name := w.Workloads[n].Name
		if name == "" {
			body := w.begin(n, 0).ask(newItem(n, 0, 0, 0), false)
			name = classifier.DiscoverName(dialectOf(w.Workloads[n].Provider), body)
		}
		m[name] = w.plan(n)
	}
	return m
}

// plan is what a workload's rehearsal may spend. It shrinks with the traffic, so
// that a smaller world is paced as the whole one.
func (w *World) plan(n int) rehearsal.Plan {
	wl := &w.Workloads[n]
	return rehearsal.Plan{Daily: schemas.NanoUSD(float64(wl.rehearse) * w.scale), Probability: wl.probability}
}

// expected is how many requests a history will have, about.
func (w *World) expected(first, last int64, to time.Time) int64 {
	sum := 0.0
	for n := range w.Workloads {
		for d := first; d <= last; d++ {
			share := min(1, to.Sub(dayStart(d)).Hours()/24)
			sum += share * w.volume(n, d)
		}
	}
	return int64(sum)
}

// makeDay runs the lanes through a day, side by side.
func makeDay(lanes []*lane, d int64) []dayOfLane {
	made := make([]dayOfLane, len(lanes))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(lanes)) {
		wg.Go(func() {
			for n := range next {
				made[n] = lanes[n].day(d)
			}
		})
	}
	for n := range lanes {
		next <- n
	}
	close(next)
	wg.Wait()
	return made
}

// day makes the events and evaluations of a day.
func (l *lane) day(d int64) (out dayOfLane) {
	calls := l.take(d)
	out.events = make([]schemas.RequestEvent, 0, len(calls))
	for k := range calls {
		c := &calls[k]
		s := l.bench.serve(c)
		ev := l.observe.event(c, &s)
		ev.Version, ev.Project, ev.Revision, ev.Simulated = schemas.SchemaVersion, l.cfg.Project, 1, true
		ev.BootID = bootID(l.w.seed, d)
		ev.RequestID = requestID(c.ts, mix(l.w.seed, uint64(l.n), uint64(d), uint64(k), forIDs)).String()
		if l.rehearser != nil && l.rehearser.Wants(&ev) {
			evs, err := l.rehearse(c, &s, &ev)
			if err != nil {
				out.err = err
				return out
			}
			out.evaluations = append(out.evaluations, evs...)
		}
		out.events = append(out.events, ev)
	}
	return out
}

// rehearse offers a request to the rehearser, a moment after it ended.
func (l *lane) rehearse(c *call, s *served, ev *schemas.RequestEvent) ([]schemas.Evaluation, error) {
	provider := l.w.Workloads[l.n].Provider
	p := schemas.Payload{Version: schemas.SchemaVersion, Event: *ev, Path: pathOf(provider), RequestBody: c.body, ResponseBody: s.body}
	l.bench.now = c.ts.Add(s.latency + time.Second)
	evs, err := l.rehearser.Rehearse(context.Background(), &p, l.bench.now)
	if err != nil {
		return nil, fmt.Errorf("rehearse %s: %w", ev.Workload, err)
	}
	return evs, nil
}

// take returns the calls of a day, with those left over from the day before, and
// keeps what goes on past midnight.
func (l *lane) take(d int64) []call {
	calls := append(l.late, l.w.calls(l.n, d)...)
	slices.SortStableFunc(calls, func(a, b call) int { return a.ts.Compare(b.ts) })
	end := dayStart(d + 1)
	if l.cfg.To.Before(end) {
		end = l.cfg.To
	}
	cut, _ := slices.BinarySearchFunc(calls, end, func(c call, t time.Time) int { return c.ts.Compare(t) })
	l.late = slices.Clone(calls[cut:])
	return calls[:cut]
}

// hand puts the lanes of a day together in the order of time, numbers the
// events, and gives all to the sink.
func (w *World) hand(ctx context.Context, d int64, made []dayOfLane, cfg *HistoryConfig, sink Sink, sum *Summary) error {
	var events []schemas.RequestEvent
	var evaluations []schemas.Evaluation
	for _, m := range made {
		if m.err != nil {
			return m.err
		}
		events = append(events, m.events...)
		evaluations = append(evaluations, m.evaluations...)
	}
	slices.SortFunc(events, func(a, b schemas.RequestEvent) int {
		return cmp.Or(a.Ts.Compare(b.Ts), cmp.Compare(a.RequestID, b.RequestID))
	})
	slices.SortStableFunc(evaluations, func(a, b schemas.Evaluation) int { return a.GradedAt.Compare(b.GradedAt) })
	for k := range events {
		events[k].Seq = uint64(k + 1)
	}
	if err := sink.Requests(ctx, events); err != nil {
		return fmt.Errorf("hand over %d requests of %s: %w", len(events), dayStart(d).Format(time.DateOnly), err)
	}
	if err := sink.Heartbeats(ctx, beats(bootID(w.seed, d), d, cfg.To, events)); err != nil {
		return fmt.Errorf("hand over heartbeats: %w", err)
	}
	if err := sink.Evaluations(ctx, evaluations); err != nil {
		return fmt.Errorf("hand over %d evaluations: %w", len(evaluations), err)
	}
	sum.Requests += int64(len(events))
	sum.Evaluations += int64(len(evaluations))
	sum.BootIDs = append(sum.BootIDs, bootID(w.seed, d))
	return nil
}

// bootID is the life of the simulated proxy on a day: it is restarted at midnight.
func bootID(seed uint64, d int64) uint64 { return mix(seed, uint64(d), forIDs) | 1 }

const beatEvery = 10 * time.Minute

// beats are what the simulated proxy says of itself through a day. All that it
// accepted has ended when the day is over.
func beats(boot uint64, d int64, to time.Time, events []schemas.RequestEvent) []schemas.Heartbeat {
	end := dayStart(d + 1)
	if to.Before(end) {
		end = to
	}
	var out []schemas.Heartbeat
	n := 0
	beat := func(at time.Time) {
		for n < len(events) && events[n].Ts.Before(at) {
			n++
		}
		out = append(out, schemas.Heartbeat{Version: schemas.SchemaVersion, BootID: boot, Proxy: "simulated", At: at.UTC(), Accepted: uint64(n), Ended: uint64(n), LastSeq: uint64(n)})
	}
	for at := dayStart(d); at.Before(end); at = at.Add(beatEvery) {
		beat(at)
	}
	beat(end)
	return out
}

// requestID is a UUIDv7 of ts; the rest of it comes from h.
func requestID(ts time.Time, h uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], uint64(ts.UnixMilli())<<16|h>>52&0xfff)
	binary.BigEndian.PutUint64(id[8:], finish(h))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}
