package analyzer

import (
	"fmt"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

// judge gives a verdict its word, its reasons and its brief.
func (o *observed) judge(k key, v *schemas.Verdict, q *quality, s Settings) {
	v.Reasons = []string{}
	switch {
	case q.refuted:
		v.Readiness, v.Brief = schemas.Worse, ""
		v.Reasons = append(v.Reasons, fmt.Sprintf("The candidate is worse by more than the margin: its quality is %s against a margin of %s, from %s.", report.Quality(worse(v)), report.Points(-s.Margin), pairsWords(&v.Quality)))
	case tooLittle(v, s):
		v.Readiness, v.Brief = schemas.NotWorthwhile, "below "+report.RoundMoney(s.MinMonthlySaving)+" a month"
		if v.Savings.SavingMonth < 0 {
			v.Brief = "would cost more"
		}
		v.Reasons = append(v.Reasons, o.littleWords(k, v, s))
	default:
		missing := o.missing(k, v, q, s)
		if len(missing) == 0 {
			v.Readiness = schemas.Ready
			v.Reasons = append(v.Reasons, readyWords(v, s)...)
			return
		}
		v.Readiness, v.Brief = schemas.Collecting, missing[0].brief
		for _, m := range missing {
			v.Reasons = append(v.Reasons, m.sentence)
		}
	}
}

// worse is v with the word whose bound is the upper one.
func worse(v *schemas.Verdict) *schemas.Verdict {
	c := *v
	c.Readiness = schemas.Worse
	return &c
}

func pairsWords(q *schemas.QualityFinding) string {
	return fmt.Sprintf("%s in %s", report.Plural(q.Pairs, "pair", "pairs"), report.Plural(q.Clusters, "session", "sessions"))
}

// yearMonths is over how many months the cost of rehearsal is spread: it is
// spent once, and the saving recurs.
const yearMonths = 12

// net takes the rehearsal's share off a monthly saving.
func net(saving schemas.NanoUSD, f *schemas.SavingsFinding) schemas.NanoUSD {
	return saving - f.RehearsalSpend/yearMonths
}

// tooLittle reports whether the saving is not worth the trouble: the projection
// from 14 days on, before that only when even its upper bound is.
func tooLittle(v *schemas.Verdict, s Settings) bool {
	f := &v.Savings
	switch {
	case v.DaysObserved >= projection.BlockDays || (s.EndEarly != "" && f.SavingMonthHi != nil):
		return net(f.SavingMonth, f) < s.MinMonthlySaving
	case f.SavingMonthHi != nil:
		return net(*f.SavingMonthHi, f) < s.MinMonthlySaving
	}
	return false
}

func (o *observed) littleWords(k key, v *schemas.Verdict, s Settings) string {
	f := &v.Savings
	if f.RoutedRequests == 0 {
		why := "no request would be routed to it"
		if len(f.RejectRequests) > 0 {
			var parts []string
			for _, r := range f.RejectRequests[:min(3, len(f.RejectRequests))] {
				parts = append(parts, r.Name+" "+report.Count(r.N))
			}
			why += " (" + strings.Join(parts, ", ") + ")"
		}
		v.Brief = "nothing to route"
		return "There is nothing to save: " + why + "."
	}
	cost := ""
	if f.RehearsalSpend > 0 {
		cost = ", less " + report.Money(f.RehearsalSpend) + " of rehearsal spread over a year"
	}
	if f.SavingMonth < 0 {
		return fmt.Sprintf("It would cost more: what it saves is %s%s.", report.Saving(f), cost)
	}
	return fmt.Sprintf("It would save %s%s: below %s a month it is not worth the trouble.", report.Saving(f), cost, report.RoundMoney(s.MinMonthlySaving))
}

func readyWords(v *schemas.Verdict, s Settings) []string {
	return []string{
		fmt.Sprintf("Quality holds: %s against a margin of %s, from %s; the day gate %s.", report.Quality(v), report.Points(-s.Margin), pairsWords(&v.Quality), v.Quality.DayGate),
		"It would save " + report.Saving(&v.Savings) + ".",
	}
}

// lack is one thing that is missing for a verdict.
type lack struct{ sentence, brief string }

// missing lists what a verdict waits for, the deciding thing first.
func (o *observed) missing(k key, v *schemas.Verdict, q *quality, s Settings) (out []lack) {
	if l, ok := o.missingQuality(k, v, q, s); ok {
		out = append(out, l)
	}
	if n := v.DaysPlanned - v.DaysObserved; n > 0 && (s.EndEarly == "" || v.DaysObserved < earlyDays) {
		days := report.Plural(n, "more day", "more days")
		out = append(out, lack{fmt.Sprintf("The observation has %s to go: %d of %d are complete.", days, v.DaysObserved, v.DaysPlanned), days})
	}
	f := &v.Savings
	if f.SavingMonthLo != nil && *f.SavingMonthLo <= 0 {
		out = append(out, lack{fmt.Sprintf("The saving is not certain yet: %s. More days narrow the interval.", report.Saving(f)), "saving not certain yet"})
	}
	return out
}

// fewPairs is how many rehearsed pairs it takes to say that no grader fits.
const fewPairs = 100

func (o *observed) missingQuality(k key, v *schemas.Verdict, q *quality, s Settings) (lack, bool) {
	f := &v.Quality
	switch {
	case f.Pairs == 0 && q.rescored > 0:
		return lack{fmt.Sprintf("The weights that score requests have changed: %s of requests that those before had scored, and say nothing of what the new ones route. Evidence is gathered anew; until then nothing is acted on without an override.", report.Plural(q.rescored, "pair is", "pairs are")), "weights changed: begun anew"}, true
	case f.Pairs == 0 && f.Ungraded+f.BaselineChecks == 0:
		if s.Rehearses != nil && !s.Rehearses(k.workload) {
			return lack{"Nothing is known of quality: the workload is not rehearsed. Set data_policy: rehearse and rehearse.daily_usd for it (under workloads." + k.workload + ").", "not rehearsed"}, true
		}
		return lack{"Nothing is known of quality yet: no pair has been rehearsed.", "no pairs yet"}, true
	case f.Pairs == 0:
		return noGrader(f), true
	case q.lost:
		return lack{fmt.Sprintf("The candidate looks worse: its quality is %s against a margin of %s. It is called so once its days agree, which is looked at on days 3, 7, 14, 21 and 28.", report.Quality(worse(v)), report.Points(-s.Margin)), "looks worse, days do not agree yet"}, true
	case q.proved && f.GatePassed && q.unjudged != nil:
		return mergedLack(q.unjudged), true
	case q.proved && f.GatePassed:
		return lack{}, false
	case q.proved:
		return gateLack(f), true
	}
	return pairsLack(f, q), true
}

func noGrader(f *schemas.QualityFinding) lack {
	agreement := ""
	if f.BaselineAgreement != nil {
		agreement = fmt.Sprintf(" Asked again, the baseline agrees with itself in %s of %s.", report.Percent(*f.BaselineAgreement), report.Plural(f.BaselineChecks, "pair", "pairs"))
	}
	if f.Ungraded+f.BaselineChecks < fewPairs {
		return lack{fmt.Sprintf("No pair is graded yet: %s.%s A grader is trusted once the baseline agrees with itself.", report.Pairs(*f), agreement), "no pair graded yet"}
	}
	return lack{fmt.Sprintf("No grader fits: %s.%s A team's own grades with their sampling probability would do.", report.Pairs(*f), agreement), "no grader fits"}
}

func gateLack(f *schemas.QualityFinding) lack {
	if f.DaysNeeded == 0 {
		return lack{"The bets are won, but the day gate " + f.DayGate + ": pairs of one day resemble each other (" + daySDWords(f) + ").", "days differ too much"}
	}
	days := report.Plural(f.DaysNeeded, "more day", "more days")
	return lack{fmt.Sprintf("The bets are won; the day gate needs %s of pairs, since pairs of one day resemble each other (%s). It %s.", days, daySDWords(f), f.DayGate), days}
}

func daySDWords(f *schemas.QualityFinding) string {
	if f.DaySD == nil {
		return "the spread between days is not known yet"
	}
	return "spread between days " + report.Points(*f.DaySD)
}

func pairsLack(f *schemas.QualityFinding, q *quality) lack {
	if f.Clusters == 0 {
		return lack{fmt.Sprintf("%s graded; the first bets are made when the hour ends.", report.Plural(f.Pairs, "pair is", "pairs are")), "first pairs"}
	}
	bound := fmt.Sprintf("quality is %s so far, against a margin of %s", boundWords(f), report.Points(-f.Margin))
	if f.PairsNeeded >= outOfSight {
		return lack{fmt.Sprintf("No decision is in sight: %s, and its mean %s is close to the margin.", bound, report.Points(f.Mean)), "no decision in sight"}
	}
	brief := "about " + report.Plural(report.About(f.PairsNeeded), "more pair", "more pairs")
	sentence := "About " + strings.TrimPrefix(brief, "about ") + " are needed"
	if q.cost > 0 {
		brief += ", " + report.RoundMoney(f.USDNeeded)
		sentence += ", " + report.RoundMoney(f.USDNeeded) + " of rehearsal"
	}
	if f.DaysNeeded > 0 {
		brief += ", " + report.Plural(f.DaysNeeded, "day", "days")
		sentence += ", " + report.Plural(f.DaysNeeded, "day", "days") + " at the present pace"
	}
	return lack{sentence + ": " + bound + ".", brief}
}

func boundWords(f *schemas.QualityFinding) string {
	return report.Quality(&schemas.Verdict{Quality: *f})
}

// endedEarly warns of an observation that a person ended before its time.
func endedEarly(v *schemas.Verdict, s Settings) []schemas.Warning {
	if s.EndEarly == "" || v.DaysObserved >= s.PlannedDays {
		return nil
	}
	return []schemas.Warning{{Code: "ended_early", Text: fmt.Sprintf("The observation was ended after %d of %d days: %s", v.DaysObserved, s.PlannedDays, strings.TrimSpace(s.EndEarly))}}
}

// span is the period a verdict speaks of.
func (o *observed) span(m *model) (from, to time.Time) {
	first := time.Time{}
	for d := range m.days {
		if first.IsZero() || d.Before(first) {
			first = d
		}
	}
	return first, o.today
}
