package analyzer_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/schemas"
)

func change(w workload, f func(*workload)) workload { f(&w); return w }

func TestTheWordOfAVerdict(t *testing.T) {
	unrehearsed := settings()
	unrehearsed.Rehearses = func(string) bool { return false }
	early := settings()
	early.EndEarly = "The contract ends on Friday."
	w := fine("support/triage")
	for _, row := range []struct {
		name     string
		workload workload
		settings analyzer.Settings
		word     schemas.Readiness
		says     string // in the reasons
		brief    string
		warns    string // a warning's code
	}{
		{"as good, cheaper, fourteen days: ready", w, settings(), schemas.Ready, "Quality holds: ≥ −1", "", ""},
		{"truly worse is called worse", change(w, func(w *workload) { w.worse = .1 }), settings(), schemas.Worse, "worse by more than the margin", "", ""},
		{"failures of the candidate are quality 0", change(w, func(w *workload) { w.failures = .08 }), settings(), schemas.Worse, "worse by more than the margin", "", ""},
		{"hardly anything to save", change(w, func(w *workload) { w.daily = .5 }), settings(), schemas.NotWorthwhile, "below $50 a month it is not worth", "below $50 a month", ""},
		{"a candidate that is dearer", change(w, func(w *workload) { w.daily = -2 }), settings(), schemas.NotWorthwhile, "It would cost more", "would cost more", ""},
		{"rehearsal that costs more than it brings", change(w, func(w *workload) { w.daily, w.cost = 3, .1 }), settings(), schemas.NotWorthwhile, "of rehearsal spread over a year", "below $50 a month", ""},
		{"no grader fits, though many pairs were made", change(w, func(w *workload) { w.ungraded = true }), settings(), schemas.Collecting, "No grader fits", "no grader fits", ""},
		{"failures without a grader are never held against it", change(w, func(w *workload) { w.ungraded, w.failures = true, .5 }), settings(), schemas.Collecting, "No grader fits", "no grader fits", ""},
		{"the baseline does not agree with itself", change(w, func(w *workload) { w.ungraded, w.checks, w.worse = true, 30, .2 }), settings(), schemas.Collecting, "agrees with itself in 7", "no grader fits", ""},
		{"a few ungraded pairs say nothing yet", change(w, func(w *workload) { w.ungraded, w.pairs = true, 3 }), settings(), schemas.Collecting, "No pair is graded yet", "no pair graded yet", ""},
		{"not rehearsed", change(w, func(w *workload) { w.pairs = 0 }), unrehearsed, schemas.Collecting, "workloads.support/triage", "not rehearsed", "output_length_unmeasured"},
		{"rehearsed, but nothing has come", change(w, func(w *workload) { w.pairs = 0 }), settings(), schemas.Collecting, "no pair has been rehearsed", "no pairs yet", ""},
		{"too few pairs: so many more, so much, so long", change(w, func(w *workload) { w.pairs, w.cost = 20, .01 }), settings(), schemas.Collecting, "more pairs are needed, $", "more pairs, $", ""},
		{"seven days more", change(w, func(w *workload) { w.days, w.pairs = 7, 600 }), settings(), schemas.Collecting, "The observation has 7 more days to go", "7 more days", "early"},
		{"below seven days there is no interval", change(w, func(w *workload) { w.days = 5 }), settings(), schemas.Collecting, "The observation has 9 more days to go", "", "no_interval"},
		{"ended early by a person", change(w, func(w *workload) { w.days, w.pairs = 8, 600 }), early, schemas.Ready, "Quality holds", "", "ended_early"},
		{"days that differ too much", change(w, func(w *workload) { w.daySD, w.pairs, w.worse, w.better = .06, 400, .09, .10 }), settings(), schemas.Collecting, "The bets are won; the day gate needs 7 more days", "7 more days", ""},
		{"two bad days are not taken for the candidate", change(w, func(w *workload) { w.days, w.worse = 2, .3 }), settings(), schemas.Collecting, "The candidate looks worse: its quality is ≤ −2", "looks worse", ""},
		{"a team's own grades without a probability are kept out", change(w, func(w *workload) { w.noProb = true }), settings(), schemas.Collecting, "no pair has been rehearsed", "", "own_grades"},
		{"unpriced requests are named", change(w, func(w *workload) { w.unpriced = 50 }), settings(), schemas.Ready, "Quality holds", "", "unpriced_share"},
		{"probabilities that vary are named", change(w, func(w *workload) { w.eachProb = func(i int) float64 { return .1 + .1*float64(i%2) } }), settings(), schemas.Ready, "Quality holds", "", "sampling_varies"},
	} {
		t.Run(row.name, func(t *testing.T) {
			vs := analyze(t, build(11, row.workload), row.settings)
			if len(vs) != 1 {
				t.Fatalf("%d verdicts", len(vs))
			}
			v := vs[0]
			all := strings.Join(v.Reasons, " ")
			if v.Readiness != row.word || !strings.Contains(all, row.says) || !strings.Contains(v.Brief, row.brief) {
				t.Errorf("%s (%s): %s", v.Readiness, v.Brief, all)
			}
			if row.warns != "" && !slices.ContainsFunc(v.Warnings, func(w schemas.Warning) bool { return w.Code == row.warns }) {
				t.Errorf("no warning %q among %v", row.warns, v.Warnings)
			}
			if _, err := json.Marshal(v); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestSavingsAreWhatTheDaysSay(t *testing.T) {
	w := fine("orders/extract")
	w.ratio = 1.2
	v := analyze(t, build(3, w), settings())[0]
	f := v.Savings
	// 30 days at about $100, 70 % routed, at a tenth, half of it output of 1.2 times the length.
	want := 30 * 100 * .7 * (1 - .1 - .1/2*.2)
	if got := f.SavingMonth.USD(); got < want*.95 || got > want*1.05 {
		t.Errorf("saves %v a month, want about %.0f", f.SavingMonth, want)
	}
	if f.SavingMonth != f.BaselineMonth-f.WouldMonth {
		t.Error("the saving is not baseline less would-be")
	}
	if *f.SavingMonthLo >= f.SavingMonth || *f.SavingMonthHi <= f.SavingMonth {
		t.Errorf("interval [%v … %v] around %v", *f.SavingMonthLo, *f.SavingMonthHi, f.SavingMonth)
	}
	if s := f.Share; s.Point < .60 || s.Point > .64 || f.ShareNext.Lo >= s.Lo || f.ShareNext.Hi <= s.Hi {
		t.Errorf("share %+v, next month %+v", s, f.ShareNext)
	}
	if r := f.OutputRatio; r == nil || r.Point < 1.18 || r.Point > 1.21 || r.Lo >= r.Point || r.Hi <= r.Point {
		t.Errorf("output ratio %+v", f.OutputRatio)
	}
	if f.Days != 14 || f.Requests != 14_000 || f.RoutedShare != .7 || len(f.DailyDates) != 14 || f.RehearsalSpend == 0 {
		t.Errorf("%+v", f)
	}
}

func TestADayThatWasNotSeenIsLeftOut(t *testing.T) {
	l := build(4, fine("a"))
	l.period.Days[6].Hours = 9
	v := analyze(t, l, settings())[0]
	if v.DaysObserved != 13 || v.Readiness != schemas.Collecting || v.Coverage > .97 {
		t.Errorf("%d days, %s, coverage %.3f", v.DaysObserved, v.Readiness, v.Coverage)
	}
	for _, code := range []string{"days_left_out", "coverage"} {
		if !slices.ContainsFunc(v.Warnings, func(w schemas.Warning) bool { return w.Code == code }) {
			t.Errorf("no warning %q: %v", code, v.Warnings)
		}
	}
}

func TestTheOrderInWhichALogAnswersChangesNothing(t *testing.T) {
	l := build(5, fine("a"), change(fine("b"), func(w *workload) { w.length = 5 }))
	want := analyze(t, l, settings())
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(l.evals), func(i, j int) { l.evals[i], l.evals[j] = l.evals[j], l.evals[i] })
	r.Shuffle(len(l.cells), func(i, j int) { l.cells[i], l.cells[j] = l.cells[j], l.cells[i] })
	if got := analyze(t, l, settings()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestLookingEveryHourNeverMakesABoundFall(t *testing.T) {
	l := build(6, fine("a"))
	lower := -1.0
	for h := 14 * 24; h >= 0; h -= 5 {
		vs, err := analyzer.Analyze(context.Background(), l, "acme", settings(), now.Add(-time.Duration(h)*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if len(vs) == 0 {
			continue
		}
		q := vs[0].Quality
		if q.Lower < lower-1e-4 {
			t.Fatalf("%d hours ago the bound fell from %.4f to %.4f", h, lower, q.Lower)
		}
		lower = q.Lower
	}
	if lower < -.02 {
		t.Errorf("the bound ends at %.4f", lower)
	}
}

func TestANewSnapshotStartsTheEvidenceAnew(t *testing.T) {
	v := analyze(t, build(7, change(fine("a"), func(w *workload) { w.candidate2 = "gpt-4o-mini-2025-10-01" })), settings())[0]
	if v.Quality.Restarts != 1 || v.Quality.Tests != 2 || v.Quality.Clusters != 7*250 || v.Readiness != schemas.Collecting {
		t.Errorf("%s: %+v", v.Readiness, v.Quality)
	}
}

func TestManyCandidatesShareAlpha(t *testing.T) {
	one := analyze(t, build(8, fine("a")), settings())[0].Quality
	var ws []workload
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		ws = append(ws, fine(name))
	}
	many := analyze(t, build(8, ws...), settings())[0].Quality
	if one.Tests != 1 || many.Tests != 8 || many.Lower >= one.Lower || many.Mean != one.Mean {
		t.Errorf("alone ≥ %.4f of %d, among others ≥ %.4f of %d", one.Lower, one.Tests, many.Lower, many.Tests)
	}
}

func TestNothingToRouteIsAVerdictToo(t *testing.T) {
	l := build(9, change(fine("agent"), func(w *workload) { w.routed, w.pairs = 0, 0 }))
	l.rejects = []analyzer.RejectCount{
		{Workload: "agent", Provider: "openai", RequestModel: base, Candidate: candidate, Reject: schemas.RejectTools, Requests: 9000},
		{Workload: "agent", Provider: "openai", RequestModel: base, Candidate: "openai/gpt-4.1-nano", Rank: 1, Reject: schemas.RejectTools, Requests: 9000},
		{Workload: "agent", Provider: "openai", RequestModel: base, Reject: schemas.RejectSignedThinking, Requests: 5000},
	}
	vs := analyze(t, l, settings())
	if len(vs) != 1 || vs[0].Readiness != schemas.NotWorthwhile || vs[0].Brief != "nothing to route" || vs[0].Candidate != candidate {
		t.Fatalf("%+v", vs)
	}
	want := []schemas.Count{{Name: "tools", N: 9000}, {Name: "signed_thinking", N: 5000}}
	if !slices.Equal(vs[0].Savings.RejectRequests, want) {
		t.Errorf("%v", vs[0].Savings.RejectRequests)
	}
	r, err := analyzer.BuildReport(context.Background(), l, "acme", vs, settings(), now)
	if err != nil || !slices.Equal(r.NotRouted, want) {
		t.Errorf("%v, %v: a request counts once, whatever the length of its ladder", r.NotRouted, err)
	}
}

func TestAProjectWithoutTrafficHasNoVerdict(t *testing.T) {
	if vs := analyze(t, &log{}, settings()); len(vs) != 0 {
		t.Errorf("%+v", vs)
	}
	r, err := analyzer.BuildReport(context.Background(), &log{}, "acme", nil, settings(), now)
	if err != nil || r.SpendMonth != nil || r.DaysObserved != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestErrors(t *testing.T) {
	broken := errors.New("the store is away")
	if _, err := analyzer.Analyze(context.Background(), &log{err: broken}, "acme", settings(), now); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	for name, spoil := range map[string]func(*analyzer.Settings){
		"a margin of 0": func(s *analyzer.Settings) { s.Margin = 0 }, "an alpha of 1": func(s *analyzer.Settings) { s.Alpha = 1 },
		"no days": func(s *analyzer.Settings) { s.PlannedDays = 0 }, "no lookback": func(s *analyzer.Settings) { s.Lookback = 0 },
	} {
		s := settings()
		spoil(&s)
		if _, err := analyzer.Analyze(context.Background(), &log{}, "acme", s, now); !errors.Is(err, analyzer.ErrSettings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func twenty() *log {
	var ws []workload
	for i := range 20 {
		w := fine(string(rune('a' + i)))
		w.pairs, w.worse, w.better = 300, .01*float64(i%4+1), .03
		ws = append(ws, w)
	}
	return build(20, ws...)
}

// BenchmarkAnalyze looks at 20 workloads with 4,200 pairs each.
func BenchmarkAnalyze(b *testing.B) {
	l := twenty()
	b.ResetTimer()
	for b.Loop() {
		if _, err := analyzer.Analyze(context.Background(), l, "acme", settings(), now); err != nil {
			b.Fatal(err)
		}
	}
}
