package analyzer

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

// level of the intervals of savings.
const level = 0.95

// series is what a candidate would have done to a baseline's cost, by day, USD.
type series struct {
	days     []time.Time
	baseline []float64
	would    []float64
	output   []float64 // the part of would that scales with the length of answers
	saved    []float64
}

// series sums the model's days for one candidate, with its output length.
func (m *model) series(days []time.Time, candidate string, ratio float64) series {
	s := series{days: days}
	for _, d := range days {
		base, would, output := 0.0, 0.0, 0.0
		if t := m.days[d]; t != nil {
			base, would = t.baseline.USD(), t.baseline.USD()
			if r := t.routes[candidate]; r != nil {
				// What the requests that stay would cost more is shared out among the
				// candidates by the requests they take away.
				total := uint64(0)
				for _, x := range t.routes {
					total += x.Requests
				}
				would += t.stay.USD() * float64(r.Requests) / float64(total)
				output = r.WouldOutput.USD()
				would += (r.Would - r.Baseline).USD() + (ratio-1)*output
			}
		}
		s.baseline, s.would = append(s.baseline, base), append(s.would, would)
		s.output, s.saved = append(s.output, output), append(s.saved, base-would)
	}
	return s
}

// last keeps the latest n days.
func (s series) last(n int) series {
	k := len(s.days) - n
	return series{s.days[k:], s.baseline[k:], s.would[k:], s.output[k:], s.saved[k:]}
}

// savings projects what a candidate would save.
func (o *observed) savings(k key) (f schemas.SavingsFinding, warnings []schemas.Warning) {
	m := o.models[key{k.workload, k.provider, k.model, ""}]
	days, left := o.days(m)
	length, measured := o.outputLength(k)
	all := m.series(days, k.candidate, length.Ratio)
	f = m.counts(k.candidate)
	f.RehearsalSpend = o.spend(k)
	for i, d := range all.days {
		f.DailyDates = append(f.DailyDates, d.Format(time.DateOnly))
		f.DailyBaseline = append(f.DailyBaseline, all.baseline[i])
		f.DailyWould = append(f.DailyWould, all.would[i])
		if all.baseline[i] > 0 {
			f.Days++
		}
	}
	if measured {
		half := length.Half(level)
		f.OutputRatio = &schemas.Interval{Point: length.Ratio, Lo: length.Ratio - half, Hi: length.Ratio + half, Level: level}
	}
	used := all.last(projection.Usable(len(days)))
	project(&f, used, length, measured)
	if f.RoutedRequests > 0 {
		warnings = append(warnings, o.savingWarnings(&f, m, days, left, measured)...)
	}
	return f, warnings
}

// project fills in the amounts of the next thirty days, and the shares.
func project(f *schemas.SavingsFinding, s series, length projection.Length, measured bool) {
	month := projection.ProjectMonth(s.days, s.saved, level)
	f.Method = month.Method
	f.BaselineMonth = nano(month.Apply(s.days, s.baseline))
	f.SavingMonth = nano(month.Sum)
	f.WouldMonth = f.BaselineMonth - f.SavingMonth
	half := 0.0
	if measured {
		half = length.Half(level)
	}
	if month.OK {
		h := projection.Join(month.Half, half*month.Apply(s.days, s.output))
		lo, hi := nano(month.Sum-h), nano(month.Sum+h)
		f.SavingMonthLo, f.SavingMonthHi, f.Early = &lo, &hi, month.Early
	}
	r, u := projection.Ratio(s.baseline, s.would)
	spread, ok := projection.MeanSpread(s.baseline, u, level)
	if total := sum(s.baseline); ok && total > 0 {
		byLength := half * sum(s.output) / total
		f.Share = around(1-r, projection.Join(spread.Half(), byLength))
		f.ShareNext = around(1-r, projection.Join(spread.Next(len(s.days)), byLength))
	}
}

func around(point, half float64) *schemas.Interval {
	return &schemas.Interval{Point: point, Lo: point - half, Hi: point + half, Level: level}
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

func nano(usd float64) schemas.NanoUSD { return schemas.NanoUSD(math.Round(usd * 1e9)) }

// counts sums requests over all days read, today among them.
func (m *model) counts(candidate string) (f schemas.SavingsFinding) {
	var unpriced, estimated uint64
	for _, t := range m.days {
		f.Requests += t.requests
		unpriced += t.unpriced
		estimated += t.estimated
		if r := t.routes[candidate]; r != nil {
			f.RoutedRequests += r.Requests
		}
	}
	if n := float64(f.Requests); n > 0 {
		f.RoutedShare, f.UnpricedShare, f.EstimatedShare = float64(f.RoutedRequests)/n, float64(unpriced)/n, float64(estimated)/n
	}
	f.DailyBaseline, f.DailyWould, f.DailyDates = []float64{}, []float64{}, []string{}
	f.RejectRequests = m.rejects(candidate)
	return f
}

// rejects counts why requests were not routed to the candidate, most first.
func (m *model) rejects(candidate string) []schemas.Count {
	by := map[string]uint64{}
	for _, r := range m.rejected {
		if r.Candidate == candidate || r.Candidate == "" {
			by[r.Reject.Code()] += r.Requests
		}
	}
	return sortedCounts(by)
}

func sortedCounts(by map[string]uint64) []schemas.Count {
	out := make([]schemas.Count, 0, len(by))
	for name, n := range by {
		out = append(out, schemas.Count{Name: name, N: n})
	}
	slices.SortFunc(out, func(a, b schemas.Count) int {
		if a.N != b.N {
			return int(min(max(int64(b.N)-int64(a.N), -1), 1))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// outputLength measures the candidate's answers against the baseline's, over
// requests that would have been routed to it.
func (o *observed) outputLength(k key) (projection.Length, bool) {
	var answers []projection.Answer
	for _, e := range o.evals[k] {
		whole := e.Outcome == schemas.OutcomeGraded || e.Outcome == schemas.OutcomeUngraded || e.Outcome == schemas.OutcomeTruncated
		if e.Candidate != k.candidate || e.WouldRoute != k.candidate || !sampled(e) || !whole || e.OutputTokens == 0 || e.BaselineOutputTokens == 0 {
			continue
		}
		answers = append(answers, projection.Answer{Cluster: clusterOf(e), Weight: 1 / *e.SamplingProbability, Baseline: float64(e.BaselineOutputTokens), Candidate: float64(e.OutputTokens)})
	}
	return projection.OutputLength(answers)
}

func clusterOf(e *schemas.Evaluation) string {
	if e.Cluster != "" {
		return e.Cluster
	}
	return e.RequestID
}

// sampled reports whether the pair carries a probability that can be weighted.
func sampled(e *schemas.Evaluation) bool {
	p := e.SamplingProbability
	return p != nil && *p > 0 && *p <= 1
}

// spend is what rehearsing the candidate has cost so far, checks of the
// baseline against itself included.
func (o *observed) spend(k key) (total schemas.NanoUSD) {
	for _, e := range o.evals[k] {
		total += e.CandidateCost.Nano + e.GradingCost.Nano
	}
	return total
}

// Bounds below which a figure is not worth a warning.
const (
	smallShare   = 0.005
	thinRequests = 30
	fullCoverage = 0.98
)

func (o *observed) savingWarnings(f *schemas.SavingsFinding, m *model, days []time.Time, left int, measured bool) (w []schemas.Warning) {
	warn := func(code, text string) { w = append(w, schemas.Warning{Code: code, Text: text}) }
	if f.UnpricedShare > 0 {
		warn("unpriced_share", report.Percent(f.UnpricedShare)+" of the requests are unpriced: they are in no sum, neither of cost nor of savings.")
	}
	if f.EstimatedShare > smallShare {
		warn("estimated_share", report.Percent(f.EstimatedShare)+" of the requests have estimated token counts.")
	}
	if left > 0 {
		warn("days_left_out", report.Plural(left, "day was", "days were")+" left out of the projection: gnomon saw fewer than 22 of their 24 hours.")
	}
	thin := 0
	for _, d := range days {
		if t := m.days[d]; t == nil || t.requests < thinRequests {
			thin++
		}
	}
	if thin > 0 {
		warn("thin_days", report.Plural(thin, "day has", "days have")+" fewer than 30 requests.")
	}
	if c := o.coverage(); c < fullCoverage {
		warn("coverage", "gnomon was there to see "+report.Percent(c)+" of the hours.")
	}
	if !measured {
		warn("output_length_unmeasured", "The candidate's output length is not measured yet: it is taken to be the baseline's.")
	}
	switch {
	case f.SavingMonthLo == nil:
		warn("no_interval", "There is no interval below 7 complete days.")
	case f.Early:
		warn("early", "The interval rests on fewer than 14 days: take it with care.")
	}
	return w
}
