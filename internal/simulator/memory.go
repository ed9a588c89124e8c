package simulator

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Memory is a store for tests: it sums what a history hands over as the real
// store would, and gives it to the analyzer. It is both a Sink and an
// analyzer.Log, and not safe for concurrent use.
type Memory struct {
	cells       map[cellKey]*analyzer.Cell
	rejects     map[rejectKey]uint64
	hours       map[int64]bool // since the epoch, with a heartbeat or a request
	evaluations map[string]schemas.Evaluation
	inputs      map[string][]byte // of requests that would be routed: those that may be rehearsed
	expected    map[string]*float32
	accepted    map[uint64]uint64 // by boot id
	first, last time.Time
	stored      uint64
}

type cellKey struct {
	workload, provider, model, route string
	day                              int64
}

type rejectKey struct {
	workload, provider, model, candidate string
	rank                                 int
	routed                               bool
	reject                               schemas.Reject
	day                                  int64
}

// NewMemory returns an empty memory.
func NewMemory() *Memory {
	return &Memory{cells: map[cellKey]*analyzer.Cell{}, rejects: map[rejectKey]uint64{}, hours: map[int64]bool{},
		evaluations: map[string]schemas.Evaluation{}, inputs: map[string][]byte{}, expected: map[string]*float32{}, accepted: map[uint64]uint64{}}
}

// Requests sums events.
func (m *Memory) Requests(_ context.Context, evs []schemas.RequestEvent) error {
	for i := range evs {
		ev := &evs[i]
		m.stored++
		m.hours[ev.Ts.Unix()/3600] = true
		if m.first.IsZero() || ev.Ts.Before(m.first) {
			m.first = ev.Ts
		}
		if ev.Ts.After(m.last) {
			m.last = ev.Ts
		}
		m.add(ev)
		m.reject(ev)
		if ev.WouldRoute != cmp.Or(ev.BaselineProvider, ev.Provider)+"/"+ev.RequestModel {
			m.inputs[ev.RequestID], m.expected[ev.RequestID] = ev.Inputs, ev.PAdequate
		}
	}
	return nil
}

func (m *Memory) add(ev *schemas.RequestEvent) {
	provider := cmp.Or(ev.BaselineProvider, ev.Provider)
	k := cellKey{ev.Workload, provider, ev.RequestModel, ev.WouldRoute, dayOf(ev.Ts)}
	c := m.cells[k]
	if c == nil {
		c = &analyzer.Cell{Workload: k.workload, Provider: provider, RequestModel: k.model, WouldRoute: k.route, Day: dayStart(k.day)}
		m.cells[k] = c
	}
	c.Requests++
	c.Simulated = c.Simulated || ev.Simulated
	switch {
	case ev.Status == schemas.StatusLost:
		c.Lost++
		return
	case !ev.BaselineCost.Known || !ev.WouldCost.Known:
		c.Unpriced++
		return
	case ev.UsageSource.Estimated():
		c.Estimated++
	}
	if ev.Provider != provider || ev.ServedModel != ev.RequestModel {
		c.Routed++
	}
	c.Baseline += ev.BaselineCost.Nano
	c.Would += ev.WouldCost.Nano
	c.WouldOutput += ev.WouldOutputCost.Nano
	c.Cost += ev.Cost.Nano
	c.OutputTokens += uint64(ev.OutputTokens)
}

func (m *Memory) reject(ev *schemas.RequestEvent) {
	k := rejectKey{workload: ev.Workload, provider: cmp.Or(ev.BaselineProvider, ev.Provider), model: ev.RequestModel, day: dayOf(ev.Ts)}
	k.routed = ev.WouldRoute != k.provider+"/"+k.model
	if len(ev.Candidates) == 0 && ev.BaselineReject != schemas.RejectNone {
		k.reject = ev.BaselineReject
		m.rejects[k]++
	}
	for i, r := range ev.Rejects {
		if r != schemas.RejectNone {
			k.candidate, k.rank, k.reject = ev.Candidates[i], i, r
			m.rejects[k]++
		}
	}
}

// Heartbeats notes what proxies say they accepted.
func (m *Memory) Heartbeats(_ context.Context, beats []schemas.Heartbeat) error {
	for _, b := range beats {
		m.hours[b.At.Unix()/3600] = true
		m.accepted[b.BootID] = max(m.accepted[b.BootID], b.Accepted)
	}
	return nil
}

// Evaluations keeps evaluations, each id once.
func (m *Memory) Evaluations(_ context.Context, evs []schemas.Evaluation) error {
	for _, e := range evs {
		m.evaluations[e.EvaluationID] = e
	}
	return nil
}

// Log is the memory as the analyzer reads it.
func (m *Memory) Log() analyzer.Log { return (*memoryLog)(m) }

type memoryLog Memory

func (m *memoryLog) Cells(_ context.Context, _ string, from, to time.Time) ([]analyzer.Cell, error) {
	var out []analyzer.Cell
	for _, c := range m.cells {
		if !c.Day.Before(from.Truncate(day)) && c.Day.Before(to) {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b analyzer.Cell) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.RequestModel, b.RequestModel), cmp.Compare(a.WouldRoute, b.WouldRoute), a.Day.Compare(b.Day))
	})
	return out, nil
}

func (m *memoryLog) Evaluations(_ context.Context, _ string, from, to time.Time) ([]schemas.Evaluation, error) {
	var out []schemas.Evaluation
	for _, e := range m.evaluations {
		if !e.RequestTs.Before(from) && e.RequestTs.Before(to) {
			// Simulated proxies score by the shipped weights.
			e.Recorded, e.Scorer, e.PAdequate = e.Workload, classifier.Builtin().Scorer(), m.expected[e.RequestID]
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b schemas.Evaluation) int {
		return cmp.Or(a.GradedAt.Compare(b.GradedAt), cmp.Compare(a.EvaluationID, b.EvaluationID))
	})
	return out, nil
}

func (*memoryLog) Members(context.Context, string) (map[string][]analyzer.Member, error) {
	return nil, nil
}

func (m *memoryLog) InputsOfGraded(_ context.Context, _ string, from, to time.Time) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, e := range m.evaluations {
		if in := m.inputs[e.RequestID]; len(in) > 0 && !e.RequestTs.Before(from) && e.RequestTs.Before(to) {
			out[e.RequestID] = in
		}
	}
	return out, nil
}

func (m *memoryLog) Rejects(_ context.Context, _ string, from, to time.Time) ([]analyzer.RejectCount, error) {
	sums := map[rejectKey]uint64{}
	for k, n := range m.rejects {
		if d := dayStart(k.day); !d.Before(from.Truncate(day)) && d.Before(to) {
			k.day = 0
			sums[k] += n
		}
	}
	var out []analyzer.RejectCount
	for k, n := range sums {
		out = append(out, analyzer.RejectCount{Workload: k.workload, Provider: k.provider, RequestModel: k.model, Candidate: k.candidate,
			Rank: k.rank, Routed: k.routed, Reject: k.reject, Requests: n})
	}
	slices.SortFunc(out, func(a, b analyzer.RejectCount) int {
		return cmp.Or(cmp.Compare(a.Workload, b.Workload), cmp.Compare(a.RequestModel, b.RequestModel), cmp.Compare(a.Candidate, b.Candidate), cmp.Compare(a.Reject, b.Reject))
	})
	return out, nil
}

func (m *memoryLog) Period(context.Context, string) (analyzer.Period, error) {
	p := analyzer.Period{First: m.first, Last: m.last, Stored: m.stored, Simulated: true}
	for _, n := range m.accepted {
		p.Accepted += n
	}
	hours := map[int64]int{}
	for h := range m.hours {
		hours[h/24]++
	}
	for _, d := range slices.Sorted(maps.Keys(hours)) {
		p.Days = append(p.Days, analyzer.DayCoverage{Day: dayStart(d), Hours: hours[d]})
	}
	return p, nil
}
