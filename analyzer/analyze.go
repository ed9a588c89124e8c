package analyzer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// ErrSettings says that a setting is out of its range.
var ErrSettings = errors.New("the analyzer's settings cannot be used")

func (s Settings) check() error {
	switch {
	case !(s.Margin > 0 && s.Margin < 1):
		return fmt.Errorf("%w: margin %v must be above 0 and below 1", ErrSettings, s.Margin)
	case !(s.Alpha > 0 && s.Alpha < 0.5):
		return fmt.Errorf("%w: alpha %v must be above 0 and below 0.5", ErrSettings, s.Alpha)
	case s.PlannedDays < 1:
		return fmt.Errorf("%w: %d planned days, want at least 1", ErrSettings, s.PlannedDays)
	case s.Lookback < day:
		return fmt.Errorf("%w: lookback %v, want at least a day", ErrSettings, s.Lookback)
	}
	return nil
}

// Analyze looks at everything recorded of a project and returns one verdict per
// workload × provider × requested model × candidate, in that order. Looking
// often costs nothing in error. The error is the log's, or ErrSettings.
//
// The bets of all candidates share alpha: the chance that any of them is ever
// called non-inferior falsely is at most alpha, as far as bets can tell; the day
// gate guards each candidate by itself.
func Analyze(ctx context.Context, log Log, project string, s Settings, now time.Time) ([]schemas.Verdict, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	o, err := read(ctx, log, project, s, now)
	if err != nil {
		return nil, err
	}
	found := make([]*quality, len(o.keys))
	tests := 0
	for i, k := range o.keys {
		found[i] = o.collect(k, s, now)
		if found[i].finding.Clusters > 0 {
			tests += 1 + found[i].finding.Restarts
		}
	}
	o.adequacies(found)
	for _, q := range found {
		q.check()
	}
	o.profiles(found)
	verdicts := make([]schemas.Verdict, len(o.keys))
	for i, k := range o.keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		verdicts[i] = o.verdict(project, k, found[i], s, max(1, tests), now)
	}
	return verdicts, nil
}

func (o *observed) verdict(project string, k key, q *quality, s Settings, tests int, now time.Time) schemas.Verdict {
	m := o.models[key{k.workload, k.provider, k.model, ""}]
	days, _ := o.days(m)
	v := schemas.Verdict{
		Version: schemas.SchemaVersion, Project: project, Workload: k.workload, RequestModel: k.model, Provider: k.provider, Candidate: k.candidate,
		ComputedAt: now.UTC().Truncate(time.Millisecond), Threshold: s.DraftThreshold, DaysObserved: len(days), DaysPlanned: s.PlannedDays,
		Coverage: o.coverage(), Warnings: []schemas.Warning{}, Simulated: o.period.Simulated, Scorer: s.Scorer,
	}
	for _, m := range o.members[k.workload] {
		v.Members = append(v.Members, m.Found)
	}
	if s.Threshold != nil {
		v.Threshold = s.Threshold(k.workload)
	}
	v.From, v.To = o.span(m)
	for _, t := range m.days {
		v.Simulated = v.Simulated || t.simulated
	}
	var warnings []schemas.Warning
	v.Savings, warnings = o.savings(k)
	q.conclude(s, tests, o, v.Savings.RoutedShare)
	v.Quality = q.finding
	v.Savings.EvidenceSummary = summary(&v)
	v.Warnings = append(v.Warnings, endedEarly(&v, s)...)
	v.Warnings = append(v.Warnings, warnings...)
	v.Warnings = append(v.Warnings, q.warnings...)
	o.judge(k, &v, q, s)
	if v.Readiness == schemas.Ready && v.Quality.Profile == nil {
		v.Warnings = append(v.Warnings, schemas.Warning{Code: "no_profile", Text: "What the graded prompts look like is not known (their requests are not in the store, or were recorded by a build with other features): " +
			"proxies take every prompt for unlike them, and route none of it without an override."})
	}
	return v
}

// summary says in a sentence what the projection rests on.
func summary(v *schemas.Verdict) string {
	f := &v.Savings
	return fmt.Sprintf("%d of %d days, %d requests, %.0f %% of them routed, %.1f %% unpriced", v.DaysObserved, v.DaysPlanned, f.Requests, 100*f.RoutedShare, 100*f.UnpricedShare)
}
