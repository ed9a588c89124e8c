package analyzer

import (
	"context"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

// BuildReport gathers a project's report around verdicts, which are Analyze's or
// the latest that were stored.
func BuildReport(ctx context.Context, log Log, project string, verdicts []schemas.Verdict, s Settings, now time.Time) (*report.Report, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	period, err := log.Period(ctx, project)
	if err != nil {
		return nil, err
	}
	from := midnight(now.Add(-s.Lookback))
	cells, err := log.Cells(ctx, project, from, now.UTC())
	if err != nil {
		return nil, err
	}
	rejects, err := log.Rejects(ctx, project, from, now.UTC())
	if err != nil {
		return nil, err
	}
	r := &report.Report{
		Version: schemas.SchemaVersion, Project: project, At: now.UTC().Truncate(time.Millisecond), Simulated: period.Simulated,
		From: period.First, To: midnight(now), DaysPlanned: s.PlannedDays, Margin: s.Margin, Alpha: s.Alpha,
		Accepted: period.Accepted, Stored: period.Stored, Declared: period.Declared,
	}
	if r.From.Before(from) {
		r.From = from
	}
	r.SetVerdicts(verdicts)
	o := newObserved(period, now)
	whole := &model{days: map[time.Time]*tally{}}
	spent := map[time.Time]float64{}
	for i := range cells {
		c := &cells[i]
		whole.add(c)
		r.Requests += c.Requests
		r.Unpriced += c.Unpriced
		r.Estimated += c.Estimated
		r.Lost += c.Lost
		r.Simulated = r.Simulated || c.Simulated
		if c.WouldRoute != c.Base() && c.WouldRoute != "" {
			r.WouldRoute += c.Requests
		}
		spent[midnight(c.Day)] += c.Cost.USD()
	}
	days, _ := o.days(whole)
	r.DaysObserved = len(days)
	if days = days[len(days)-projection.Usable(len(days)):]; len(days) > 0 {
		cost := make([]float64, len(days))
		for i, d := range days {
			cost[i] = spent[d]
		}
		month := nano(projection.ProjectMonth(days, cost, level).Sum)
		r.SpendMonth = &month
	}
	r.NotRouted, r.Kept = reasons(rejects)
	return r, nil
}

// choices are the reasons by which a candidate that could have answered was not
// chosen; all others say that it could not have.
var choices = []schemas.Reject{schemas.RejectScore, schemas.RejectNovel, schemas.RejectNotCheaper, schemas.RejectBetterChoice}

// reasons counts requests that went to no candidate, once each: by what was said
// of the first one in the ladder.
func reasons(rejects []RejectCount) (not, kept []schemas.Count) {
	could, couldNot := map[string]uint64{}, map[string]uint64{}
	for _, r := range rejects {
		if r.Routed || (r.Candidate != "" && r.Rank != 0) {
			continue
		}
		if slices.Contains(choices, r.Reject) {
			could[r.Reject.Code()] += r.Requests
		} else {
			couldNot[r.Reject.Code()] += r.Requests
		}
	}
	return sortedCounts(couldNot), sortedCounts(could)
}
