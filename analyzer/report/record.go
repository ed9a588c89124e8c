package report

import (
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Report is what was found in a project, complete: the terminal shows a part of
// it, JSON all.
type Report struct {
	Version      string    `json:"schema_version"`
	Project      string    `json:"project"`
	At           time.Time `json:"at"`
	Simulated    bool      `json:"simulated"`
	From         time.Time `json:"from"`
	To           time.Time `json:"to"`            // the last complete day's end
	DaysObserved int       `json:"days_observed"` // complete ones
	DaysPlanned  int       `json:"days_planned"`
	Margin       float64   `json:"margin"`
	Alpha        float64   `json:"alpha"`

	Requests   uint64 `json:"requests"`
	WouldRoute uint64 `json:"would_route"` // requests that would have gone to a candidate
	Unpriced   uint64 `json:"unpriced"`
	Estimated  uint64 `json:"estimated"`
	Lost       uint64 `json:"lost"`
	// What proxies say they accepted, and what became of it; Accepted is 0 when
	// no proxy has said so.
	Accepted uint64 `json:"accepted"`
	Stored   uint64 `json:"stored"`
	Declared uint64 `json:"declared"`

	SpendMonth *schemas.NanoUSD  `json:"spend_month"` // of 30 days at the rhythm observed; null without a complete day
	Verdicts   []schemas.Verdict `json:"verdicts"`    // ready first, then by saving
	Ready      Total             `json:"ready"`
	Collecting Total             `json:"collecting"`
	NotRouted  []schemas.Count   `json:"not_routed"` // requests that no candidate could take, by reason, most first
	Kept       []schemas.Count   `json:"kept"`       // requests that a candidate could have taken and the policy left
}

// Total sums verdicts: the best candidate of each workload and baseline. Bounds
// are summed as they are, which is wider than the sum's own interval.
type Total struct {
	Baselines int              `json:"baselines"` // workload × requested model
	Saving    schemas.NanoUSD  `json:"saving_month"`
	Lo        *schemas.NanoUSD `json:"saving_month_lo"` // null when one of them has no interval yet
	Hi        *schemas.NanoUSD `json:"saving_month_hi"`
}

// order is in which verdict words are listed.
var order = []schemas.Readiness{schemas.Ready, schemas.Collecting, schemas.Worse, schemas.NotWorthwhile}

// SetVerdicts sorts the verdicts into the report and sums them.
func (r *Report) SetVerdicts(verdicts []schemas.Verdict) {
	r.Verdicts = slices.Clone(verdicts)
	if r.Verdicts == nil {
		r.Verdicts = []schemas.Verdict{}
	}
	slices.SortStableFunc(r.Verdicts, func(a, b schemas.Verdict) int {
		if x, y := slices.Index(order, a.Readiness), slices.Index(order, b.Readiness); x != y {
			return x - y
		}
		switch x, y := a.Savings.SavingMonth, b.Savings.SavingMonth; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return strings.Compare(a.Workload+a.RequestModel+a.Candidate, b.Workload+b.RequestModel+b.Candidate)
	})
	seen := map[[3]string]bool{}
	r.Ready, r.Collecting = Total{}, Total{}
	for i := range r.Verdicts {
		v := &r.Verdicts[i]
		r.Simulated = r.Simulated || v.Simulated
		base := [3]string{v.Workload, v.Provider, v.RequestModel}
		if seen[base] {
			continue
		}
		seen[base] = true
		switch v.Readiness {
		case schemas.Ready:
			r.Ready.add(&v.Savings)
		case schemas.Collecting:
			r.Collecting.add(&v.Savings)
		}
	}
}

func (t *Total) add(f *schemas.SavingsFinding) {
	first := t.Baselines == 0
	t.Baselines++
	t.Saving += f.SavingMonth
	if f.SavingMonthLo == nil || f.SavingMonthHi == nil || (!first && t.Lo == nil) {
		t.Lo, t.Hi = nil, nil
		return
	}
	lo, hi := *f.SavingMonthLo, *f.SavingMonthHi
	if !first {
		lo, hi = lo+*t.Lo, hi+*t.Hi
	}
	t.Lo, t.Hi = &lo, &hi
}

// Accounted says in words how the rows stand against what proxies accepted.
func (r *Report) Accounted() string {
	known := r.Stored + r.Declared
	switch {
	case r.Accepted == 0:
		return ""
	case r.Accepted > known:
		return Count(r.Accepted-known) + " on their way"
	case r.Declared > 0:
		return "all accounted for, " + Count(r.Declared) + " declared lost"
	default:
		return "all accounted for"
	}
}

// Best is the ready verdict with the most to save, or nil.
func (r *Report) Best() *schemas.Verdict {
	if len(r.Verdicts) > 0 && r.Verdicts[0].Readiness == schemas.Ready {
		return &r.Verdicts[0]
	}
	return nil
}
