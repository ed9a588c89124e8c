package analyzer

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/evidence"
	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

// bounds are found to this precision of D.
const precision = 1e-5

// quality is the evidence on one candidate on its way to a finding.
type quality struct {
	finding  schemas.QualityFinding
	warnings []schemas.Warning
	epoch    evidence.Epoch
	proved   bool    // wealth has excluded everything at or below −margin
	refuted  bool    // everything at or above −margin is excluded, and days agree
	lost     bool    // it is excluded, but days do not agree yet
	perUnit  float64 // pairs of a unit
	rate     float64 // pairs a day, lately
	cost     float64 // USD of rehearsal for a pair
	failed   int     // pairs whose candidate failed, refused or was cut short
	closed   float64 // share of rehearsed pairs that a grader could judge
	inForce  []scored
	rescored int // graded pairs of requests that others than the scorer in force had scored
	unjudged *unjudged
}

// collect files the evaluations of a candidate and makes units of them.
func (o *observed) collect(k key, s Settings, now time.Time) *quality {
	q := &quality{perUnit: 1}
	f := &q.finding
	f.Margin, f.Alpha, f.Lower, f.Upper = s.Margin, s.Alpha, -1, 1
	f.DailyDates, f.DailyLower, f.DailyMean, f.DailyUpper = []string{}, []float64{}, []float64{}, []float64{}
	f.DayGate = "no graded pairs"
	q.checkBaseline(o.evals[k], k)
	graded, before := q.pairs(o.evals[k], k, s.Scorer)
	q.unjudged = o.unjudgedMember(k, graded)
	pairs := make([]evidence.Pair, len(graded))
	for i := range graded {
		pairs[i] = graded[i].Pair
	}
	units, waiting, late := evidence.Units(pairs, now.Add(-s.Settle))
	q.epoch = evidence.Current(units)
	q.inForce = current(graded, &q.epoch)
	f.Waiting, f.Late, f.Clusters, f.Restarts, f.Outside = waiting, late, len(q.epoch.Units), before+q.epoch.Restarts, q.epoch.Outside
	inBets := 0
	for _, u := range q.epoch.Units {
		inBets += u.Pairs
	}
	if f.Clusters > 0 {
		q.perUnit = float64(inBets) / float64(f.Clusters)
	}
	q.pace(pairs, o.today)
	if f.Pairs > 0 {
		q.cost = o.spend(k).USD() / float64(f.Pairs)
	}
	q.warn(pairs)
	return q
}

// checkBaseline counts how often the baseline agreed with itself.
func (q *quality) checkBaseline(all []*schemas.Evaluation, k key) {
	agreed := 0
	for _, e := range all {
		if e.Candidate == k.base() && e.Grader != "" && e.Outcome == schemas.OutcomeGraded {
			q.finding.BaselineChecks++
			if e.QualityCandidate >= e.QualityBaseline {
				agreed++
			}
		}
	}
	if n := q.finding.BaselineChecks; n > 0 {
		share := float64(agreed) / float64(n)
		q.finding.BaselineAgreement = &share
	}
}

// pairs picks what may be bet on: sampled with a known probability, of requests
// the policy would route to the candidate, judged by the grader that judged
// most. Failures count as quality 0 where the grader would have judged an answer.
//
// Pairs of what other scorers had scored are left out and not scored again: they
// were drawn from what the old scores route, so that of what only the new ones
// route none is among them. before is how many such scorers there were: with each
// the evidence has started anew.
func (q *quality) pairs(all []*schemas.Evaluation, k key, now schemas.Scorer) (found []scored, before int) {
	var own, graded []*schemas.Evaluation
	byGrader, scorers := map[string]int{}, map[schemas.Scorer]bool{}
	for _, e := range all {
		switch judged := e.Grader != "" && e.Outcome != schemas.OutcomeUngraded && unit(e.QualityBaseline) && unit(e.QualityCandidate); {
		case e.Candidate != k.candidate:
		case judged && (!sampled(e) || e.WouldRoute == ""):
			own = append(own, e)
		case e.WouldRoute != k.candidate:
		case e.Scorer != now:
			if judged {
				q.rescored++
				scorers[e.Scorer] = true
			}
		case !judged:
			q.finding.Ungraded++
		default:
			graded = append(graded, e)
			byGrader[e.Grader]++
		}
	}
	f := &q.finding
	f.OwnGrades = len(own)
	for name, n := range byGrader {
		if most := byGrader[f.Grader]; n > most || (n == most && name < f.Grader) {
			f.Grader = name
		}
	}
	others := len(graded) - byGrader[f.Grader]
	if others > 0 {
		q.note("several_graders", fmt.Sprintf("%s of other graders %s not counted: the verdict rests on %s.", report.Plural(others, "pair", "pairs"), isAre(others), f.Grader))
	}
	pairs := make([]scored, 0, byGrader[f.Grader])
	for _, e := range graded {
		if e.Grader == f.Grader {
			pairs = append(pairs, scored{q.pair(e), uint16(math.Round(float64(e.Score) * math.MaxUint16)), e.PAdequate, e.Recorded, e.RequestTs})
		}
	}
	f.Pairs = len(pairs)
	if n := f.Pairs + f.Ungraded; n > 0 {
		q.closed = float64(f.Pairs) / float64(n)
	}
	return pairs, len(scorers)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func unit(f float32) bool { return f >= 0 && f <= 1 } // false for NaN

func (q *quality) pair(e *schemas.Evaluation) evidence.Pair {
	candidate := float64(e.QualityCandidate)
	if e.Outcome != schemas.OutcomeGraded {
		candidate = 0
		q.failed++
	}
	at := e.GradedAt
	if at.IsZero() {
		at = e.RequestTs
	}
	return evidence.Pair{
		ID: cmp.Or(e.EvaluationID, e.RequestID), At: at.UTC(), Day: midnight(e.RequestTs), Cluster: e.Cluster, Request: e.RequestID,
		Thing: evidence.Thing{Baseline: e.BaselineSnapshot, Candidate: e.CandidateSnapshot, Prompt: e.PromptVersion,
			Grader: e.Grader, GraderVersion: e.GraderVersion, Judge: e.JudgeModel},
		Probability: *e.SamplingProbability, D: candidate - float64(e.QualityBaseline),
	}
}

// pace measures how many pairs a day are made lately: over the last seven
// complete days, or since the first pair.
func (q *quality) pace(pairs []evidence.Pair, today time.Time) {
	first := today
	for _, p := range pairs {
		if p.Day.Before(first) {
			first = p.Day
		}
	}
	from := today.Add(-7 * day)
	if first.After(from) {
		from = first
	}
	n := 0
	for _, p := range pairs {
		if !p.Day.Before(from) && p.Day.Before(today) {
			n++
		}
	}
	if days := today.Sub(from).Hours() / 24; days >= 1 {
		q.rate = float64(n) / days
	}
}

func (q *quality) note(code, text string) {
	q.warnings = append(q.warnings, schemas.Warning{Code: code, Text: text})
}

func (q *quality) warn(pairs []evidence.Pair) {
	f := &q.finding
	if f.OwnGrades > 0 {
		q.note("own_grades", fmt.Sprintf("%s without a sampling probability or a would-be route: shown, and kept out of the verdict.", report.Plural(f.OwnGrades, "grade came", "grades came")))
	}
	if q.rescored > 0 {
		q.note("other_weights", fmt.Sprintf("%s of requests that other weights had scored, or that were recorded without a snapshot, %s not counted: the weights in force route other requests, so the evidence was begun anew. The saving is still projected from days of both.",
			report.Plural(q.rescored, "pair", "pairs"), isAre(q.rescored)))
	}
	if q.epoch.PromptVaries {
		q.note("prompt_varies", "The system prompt differs from request to request: a change of its template would not start the evidence anew.")
	}
	if f.Outside > 0 {
		q.note("outside", fmt.Sprintf("%s about a snapshot, prompt template or grader that is not in force %s not counted.", report.Plural(f.Outside, "session", "sessions"), isAre(f.Outside)))
	}
	if f.Late > 0 {
		q.note("late_pairs", fmt.Sprintf("%s to a session that had been bet on already, and %s not counted.", report.Plural(f.Late, "pair came", "pairs came"), isAre(f.Late)))
	}
	if f.Pairs > 0 && q.closed < 0.95 {
		q.note("graded_share", fmt.Sprintf("%s judges %s of the rehearsed requests: of the others nothing is known but their length.", f.Grader, report.Percent(q.closed)))
	}
	if lo, hi := probabilities(pairs); hi > lo {
		q.note("sampling_varies", fmt.Sprintf("The sampling probability varied from %s to %s: each bet is weighted by its inverse, up to the bound at which a bet could lose more than it has.", report.Percent(lo), report.Percent(hi)))
	}
}

func probabilities(pairs []evidence.Pair) (lo, hi float64) {
	lo = math.Inf(1)
	for _, p := range pairs {
		lo, hi = math.Min(lo, p.Probability), math.Max(hi, p.Probability)
	}
	return lo, hi
}

// conclude plays the bets at the candidate's share of alpha.
func (q *quality) conclude(s Settings, tests int, o *observed, routedShare float64) {
	f := &q.finding
	f.Tests = tests
	f.Method = fmt.Sprintf("Bets against \"worse by more than the margin\" (aimed mixture), one for each session or group of duplicate prompts, safe to look at at any time; α is shared by %s. "+
		"Rehearsal replays one step, not the candidate's own conversation.", report.Plural(tests, "candidate", "candidates tested at once"))
	units := q.epoch.Units
	if len(units) == 0 {
		return
	}
	alpha := evidence.EverLevel(s.Alpha, tests)
	both := slices.Concat(q.epoch.Before, units)
	d, w := evidence.Differences(both), evidence.Weights(both)
	warm := len(q.epoch.Before)
	up := evidence.New(evidence.Aimed, d, w, warm)
	down := evidence.Mirrored(evidence.Aimed, d, w, warm)
	against := up.Against(s.Margin, alpha)
	f.LogWealth, f.Confidence = against.Log, against.Confidence
	ends := q.daily()
	f.DailyLower, f.DailyUpper = up.Lower(alpha, precision, ends...), down.Upper(alpha, precision, ends...)
	last := len(ends) - 1
	f.Lower, f.Upper, f.Mean = f.DailyLower[last], f.DailyUpper[last], f.DailyMean[last]
	for _, u := range units {
		f.Discordance += u.D * u.D / float64(len(units))
	}
	if routedShare > 0 {
		whole := f.Mean * routedShare
		f.WholeMean = &whole
	}
	if f.Lower > f.Upper {
		q.note("bounds_cross", "The lower bound is above the upper one: quality has drifted since the first pairs.")
	}
	q.lost = f.Upper < -s.Margin
	q.proved = f.Lower >= -s.Margin && !q.lost
	q.gate(s, o)
	q.need(s, alpha, against.Log)
}

// daily fills in dates and running means, and returns how many bets had been
// made by the end of each day.
func (q *quality) daily() (ends []int) {
	f := &q.finding
	sum, weight := 0.0, 0.0
	units := q.epoch.Units
	for i, u := range units {
		sum += u.Weight * u.D
		weight += u.Weight
		if i == len(units)-1 || !midnight(u.At).Equal(midnight(units[i+1].At)) {
			ends = append(ends, i+1)
			f.DailyDates = append(f.DailyDates, midnight(u.At).Format(time.DateOnly))
			f.DailyMean = append(f.DailyMean, sum/weight)
		}
	}
	return ends
}

// gate tests the daily means of complete days.
func (q *quality) gate(s Settings, o *observed) {
	byDay := map[time.Time][]float64{}
	for _, u := range q.epoch.Units {
		if u.Day.Before(o.today) {
			byDay[u.Day] = append(byDay[u.Day], u.D)
		}
	}
	dates := make([]time.Time, 0, len(byDay))
	for d := range byDay {
		dates = append(dates, d)
	}
	slices.SortFunc(dates, time.Time.Compare)
	days, means := make([][]float64, len(dates)), make([]float64, len(dates))
	for i, d := range dates {
		days[i] = byDay[d]
		for _, v := range days[i] {
			means[i] += v / float64(len(days[i]))
		}
	}
	early := 0
	if s.EndEarly != "" && len(means) >= earlyDays {
		early = len(means)
	}
	g := evidence.DayGate(means, s.Margin, s.Alpha, early)
	f := &q.finding
	f.GatePassed, f.DayGate = g.Passed, gateWords(g, len(means))
	q.refuted = q.lost && evidence.DaysBelow(means, s.Margin, s.Alpha)
	if g.Next > 0 {
		f.DaysNeeded = g.Next - len(means)
	}
	if sd, ok := evidence.DaySD(days); ok {
		f.DaySD = &sd
	}
}

// earlyDays is the fewest days at which an observation may be ended early.
const earlyDays = 7

func gateWords(g evidence.Gate, days int) string {
	switch {
	case g.Passed:
		return fmt.Sprintf("passed on day %d", g.Day)
	case g.Failed:
		return "failed on days 14, 21 and 28: days differ too much to tell"
	case g.Day > 0:
		return fmt.Sprintf("not passed on day %d, looks again on day %d (now %d)", g.Day, g.Next, days)
	default:
		return fmt.Sprintf("looks on day %d (now %d)", g.Next, days)
	}
}
