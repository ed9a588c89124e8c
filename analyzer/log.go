package analyzer

import (
	"context"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Log is what the analyzer reads: the store, or the simulator without one. All
// spans are [from, to), by the time a request was accepted, UTC.
type Log interface {
	// Cells returns what passed, summed by Cell's key, of a project.
	Cells(ctx context.Context, project string, from, to time.Time) ([]Cell, error)
	// Members returns which discovered workloads go by a name that people gave them,
	// by that name, in their order: the names under which everything else is returned.
	Members(ctx context.Context, project string) (map[string][]Member, error)
	// Evaluations returns every evaluation whose request falls in the span, in
	// any order, each evaluation id once, with what is looked up of its request.
	Evaluations(ctx context.Context, project string, from, to time.Time) ([]schemas.Evaluation, error)
	// InputsOfGraded returns the packed inputs of requests of the span that have an
	// evaluation, by request id: what their prompts look like. Of a workload of
	// very many, some.
	InputsOfGraded(ctx context.Context, project string, from, to time.Time) (map[string][]byte, error)
	// Rejects returns why candidates were not chosen.
	Rejects(ctx context.Context, project string, from, to time.Time) ([]RejectCount, error)
	// Period returns how long and how completely a project has been observed.
	Period(ctx context.Context, project string) (Period, error)
}

// Member is a discovered workload that goes by a name.
type Member struct {
	Found string
	// Since it has had the name alone with those that have it now: requests of before
	// were recorded under what was found, or together with what has left the name.
	Since time.Time
}

// Cell sums the requests of one workload, baseline and would-be route on one
// UTC day: one row per (Workload, Provider, RequestModel, WouldRoute, Day).
//
// Requests counts every row, so that nothing is left out silently; the sums of
// money are over those whose baseline and would-be cost are both known.
type Cell struct {
	Workload     string
	Provider     string // of the baseline: baseline_provider where a route was changed
	RequestModel string
	WouldRoute   string    // provider/model; Provider/RequestModel when none was chosen
	Day          time.Time // midnight UTC

	Requests  uint64 // all rows, Lost and Unpriced among them
	Lost      uint64 // declared lost: nothing is known of their usage
	Unpriced  uint64 // ended, but baseline_cost or would_cost is NULL
	Estimated uint64 // priced from estimated usage
	Routed    uint64 // served by a candidate (policies in force)

	Baseline     schemas.NanoUSD // what the requested model costs
	Would        schemas.NanoUSD // what WouldRoute costs; above Baseline where it is the baseline with a colder cache
	WouldOutput  schemas.NanoUSD // the part of Would that scales with the candidate's output length
	Cost         schemas.NanoUSD // of what was really served, where known
	OutputTokens uint64          // of the answers seen
	Simulated    bool
}

// Base is the baseline as provider/model.
func (c *Cell) Base() string { return c.Provider + "/" + c.RequestModel }

// RejectCount counts requests for which a candidate was not chosen.
type RejectCount struct {
	Workload     string
	Provider     string
	RequestModel string
	Candidate    string         // provider/model; empty when no candidate was looked at at all (BaselineReject)
	Rank         int            // place in the ladder, from 0
	Routed       bool           // another candidate was chosen for these requests
	Reject       schemas.Reject // never RejectNone
	Requests     uint64
}

// Period says how long and how completely a project has been observed.
type Period struct {
	First time.Time     // of the oldest request; zero without any
	Last  time.Time     // of the newest
	Days  []DayCoverage // by day, oldest first; a day without an entry was not covered

	// Completeness, over the whole of what proxies say: accepted = stored +
	// declared + still on the way. Zero Accepted: no heartbeat is known.
	Accepted, Stored, Declared uint64
	Simulated                  bool
}

// DayCoverage is how much of a UTC day a proxy was there to see.
type DayCoverage struct {
	Day   time.Time // midnight UTC
	Hours int       // 0 to 24, with a heartbeat or a request
}

// Settings are the bar a candidate must clear. Use DefaultSettings.
type Settings struct {
	Margin           float64         // how much worse quality may be, 0 to 1
	Alpha            float64         // chance of a false "ready" by quality, over all looks
	PlannedDays      int             // of observation before a verdict may be ready
	MinMonthlySaving schemas.NanoUSD // below it a candidate is not worthwhile
	EndEarly         string          // a person's reason to end the observation before PlannedDays; empty: do not
	// Rehearses reports whether a workload may be rehearsed; nil: unknown.
	Rehearses func(workload string) bool
	// Threshold is the score up to which requests of a workload are routed, by
	// its policy or its draft policy: what a verdict's evidence is about. Nil:
	// DraftThreshold everywhere.
	Threshold      func(workload string) float64
	DraftThreshold float64
	// Scorer is what scores requests now. Pairs of what another had scored are kept
	// out of the evidence: new scores route other requests.
	Scorer schemas.Scorer
	// Settle is how long after an hour's end its pairs may still arrive: bets
	// are made on hours that have settled. Negative: do not wait.
	Settle time.Duration
	// Lookback bounds how much history is read.
	Lookback time.Duration
}

// DefaultSettings returns margin 2 pp, alpha 5 %, 14 days, $50 a month.
func DefaultSettings() Settings {
	return Settings{
		Margin: 0.02, Alpha: 0.05, PlannedDays: 14, MinMonthlySaving: 50 * schemas.Dollar, DraftThreshold: 0.5,
		Scorer: classifier.Builtin().Scorer(), Settle: 5 * time.Minute, Lookback: 90 * 24 * time.Hour,
	}
}
