package whatif

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// request is one row of a log made for tests.
type request struct {
	cell  Cell // of itself alone
	score uint16
}

// logOf sums requests as the store does.
type logOf struct {
	requests []request
	evals    []schemas.Evaluation
}

func (l *logOf) WhatIf(_ context.Context, _ string, from, to time.Time, scores []uint16, sizes []uint32) ([]Cell, error) {
	sums := map[Cell]*Cell{}
	for _, r := range l.requests {
		if r.cell.Day.Before(from) || !r.cell.Day.Before(to) {
			continue
		}
		c := r.cell
		for int(c.Bucket) < len(scores) && scores[c.Bucket] < r.score {
			c.Bucket++
		}
		for int(c.Class) < len(sizes) && sizes[c.Class] < c.Longest {
			c.Class++
		}
		key := c
		key.Requests, key.Longest, key.Tokens, key.Baseline = 0, 0, savings.Tokens{}, 0
		if sums[key] == nil {
			k := key
			sums[key] = &k
		}
		s := sums[key]
		s.Requests++
		s.Longest = max(s.Longest, c.Longest)
		s.Tokens.Add(c.Tokens)
		s.Baseline += c.Baseline
	}
	var cells []Cell
	for _, c := range sums {
		cells = append(cells, *c)
	}
	return cells, nil
}

func (l *logOf) Evaluations(context.Context, string, time.Time, time.Time) ([]schemas.Evaluation, error) {
	return l.evals, nil
}

var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

func bookOf(t testing.TB) *savings.Book {
	t.Helper()
	b, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func question(t testing.TB) Question {
	return Question{
		Project: "p", From: monday, To: monday.AddDate(0, 0, 14), Prices: bookOf(t),
		Parts: classifier.Parts{Project: "p", Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities(), DraftThreshold: .5,
			Providers: []classifier.Provider{{Name: "openai", Dialects: []string{"openai.chat"}}}},
	}
}

// traffic is n requests of two workloads over 14 days.
func traffic(t testing.TB, n int) *logOf {
	r := rand.New(rand.NewPCG(1, 2))
	b := bookOf(t)
	l := &logOf{}
	for i := range n {
		model := []string{"gpt-4o", "gpt-4.1", "gpt-4o-mini"}[r.IntN(3)]
		tokens := savings.Tokens{Input: uint64(50 + r.IntN(5000)), Output: uint64(10 + r.IntN(500))}
		if r.IntN(3) == 0 {
			tokens.CacheRead = tokens.Input / 2
		}
		day := monday.AddDate(0, 0, i%14)
		u := schemas.Usage{InputTokens: uint32(tokens.Input), CacheReadTokens: uint32(tokens.CacheRead), OutputTokens: uint32(tokens.Output)}
		cost, _, err := b.Cost("openai", model, "", u, day)
		if err != nil {
			t.Fatal(err)
		}
		gates := []schemas.Gate{0, 0, schemas.GateTools, schemas.GateServerState}[r.IntN(4)]
		l.requests = append(l.requests, request{Cell{
			Workload: []string{"a", "b"}[r.IntN(2)], Provider: "openai", RequestModel: model, Dialect: "openai.chat", Operation: "chat", Gates: gates, Day: day,
			Priced: true, Requests: 1, Longest: uint32(tokens.Input), Tokens: tokens, Baseline: cost, Bypassed: r.IntN(20) == 0,
		}, uint16(r.IntN(65536))})
	}
	return l
}

// TestSumsGiveWhatDecidingEveryRequestGives decides each request alone under
// each threshold and adds up what it would have cost: the sums must say the same
// but for one rounding a request.
func TestSumsGiveWhatDecidingEveryRequestGives(t *testing.T) {
	l := traffic(t, 4000)
	q := question(t)
	q.Thresholds = []float64{.1, .333, .5, .6, .9, 1}
	got, err := Ask(t.Context(), l, q)
	if err != nil || len(got.Workloads) != 2 || got.Requests != 4000 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, f := range got.Workloads {
		if len(f.Points) != len(q.Thresholds) || f.Days != 14 {
			t.Fatalf("%d points over %d days", len(f.Points), f.Days)
		}
		for i, threshold := range q.Thresholds {
			parts := q.Parts
			parts.Prices, parts.DraftThreshold = q.Prices, threshold
			s := classifier.NewSnapshot(parts)
			var routed uint64
			daily := make([]float64, 14)
			for _, r := range l.requests {
				c := &r.cell
				if c.Workload != f.Workload {
					continue
				}
				in := classifier.Inputs{Workload: c.Workload, Provider: c.Provider, RequestModel: c.RequestModel, Dialect: c.Dialect, Operation: c.Operation, Bypassed: c.Bypassed,
					Features: classifier.Features{Gates: c.Gates, PromptTokens: c.Longest}, Assessment: classifier.Assessment{Score: r.score}, Hour: uint32(c.Day.Unix() / 3600)}
				d := classifier.Decide(&in, s)
				if d.Route == c.Provider+"/"+c.RequestModel {
					continue
				}
				routed++
				cost, _, err := q.Prices.Cost("openai", d.Route[len("openai/"):], "", schemas.Usage{InputTokens: c.Longest, CacheReadTokens: uint32(c.Tokens.CacheRead), OutputTokens: uint32(c.Tokens.Output)}, c.Day)
				if err != nil {
					t.Fatal(err)
				}
				daily[c.Day.Sub(monday)/(24*time.Hour)] += (c.Baseline - cost).USD()
			}
			days := make([]time.Time, 14)
			for k := range days {
				days[k] = monday.AddDate(0, 0, k)
			}
			want := month(days, daily, daily)
			p := f.Points[i]
			if p.Routed != routed || math.Abs(float64(p.SavingWarm-want.sum)) > float64(routed)*3 || routed == 0 {
				t.Errorf("%s at %.3f: %d routed saving %d, one by one %d saving %d", f.Workload, threshold, p.Routed, p.SavingWarm, routed, want.sum)
			}
			if p.SavingLo == nil || *p.SavingLo > p.SavingMonth || *p.SavingHi < p.SavingWarm || p.SavingMonth >= p.SavingWarm {
				t.Errorf("interval %v to %v of %d cold, %d warm", p.SavingLo, p.SavingHi, p.SavingMonth, p.SavingWarm)
			}
			if p.Quality != nil || p.Evidence != Nothing {
				t.Errorf("no pair was graded: %+v", p)
			}
		}
	}
}

// graded is n pairs of workload a's gpt-4o: below .5 the candidate is as good,
// above it fails in half of them.
func graded(n int, upTo float64) []schemas.Evaluation {
	r := rand.New(rand.NewPCG(3, 4))
	var evals []schemas.Evaluation
	for i := range n {
		score := r.Float64() * upTo
		p := .1
		if score > .25 {
			p = .05
		}
		e := schemas.Evaluation{Workload: "a", Provider: "openai", Scorer: classifier.Builtin().Scorer(), RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini", Cluster: fmt.Sprint(i / 2), Score: float32(score), Grader: "exact_match", QualityBaseline: 1, QualityCandidate: 1,
			Outcome: schemas.OutcomeGraded, SamplingProbability: &p, OutputTokens: 120, BaselineOutputTokens: 100}
		if score > .5 && i%2 == 0 {
			e.QualityCandidate = 0
		}
		evals = append(evals, e)
	}
	return evals
}

// TestAFailureThatNobodyGradedIsNoPair: where no grader applies rehearsal records
// failures alone, without a grader and with both qualities 0.
func TestAFailureThatNobodyGradedIsNoPair(t *testing.T) {
	l := only(traffic(t, 600), "gpt-4o")
	for _, e := range graded(400, 1) {
		e.Grader, e.Outcome, e.QualityBaseline, e.QualityCandidate = "", schemas.OutcomeFailed, 0, 0
		l.evals = append(l.evals, e)
	}
	r, err := Ask(t.Context(), l, question(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Workloads[0].Points {
		if p.Quality != nil && p.Routed > 0 || p.Pairs > 0 {
			t.Errorf("at %.2f: %+v of %d pairs, %s", p.Threshold, p.Quality, p.Pairs, p.Evidence)
		}
	}
}

func only(l *logOf, model string) *logOf {
	kept := &logOf{evals: l.evals}
	for _, r := range l.requests {
		if r.cell.Workload == "a" && r.cell.RequestModel == model {
			kept.requests = append(kept.requests, r)
		}
	}
	return kept
}

func TestQualityIsSaidWherePairsWereGradedAndNowhereElse(t *testing.T) {
	l := only(traffic(t, 6000), "gpt-4o")
	q := question(t)
	q.Thresholds = []float64{.25, .5, .75, 1}
	l.evals = graded(2000, 1)
	whole, err := Ask(t.Context(), l, q)
	if err != nil {
		t.Fatal(err)
	}
	points := whole.Workloads[0].Points
	for i, want := range []float64{0, 0, -.125, -.25} { // of what is routed; times the share that gates let through
		p := points[i]
		if p.Quality == nil || p.Evidence != Measured || p.Covered < mostly {
			t.Fatalf("%+v", p)
		}
		share := float64(whole.Workloads[0].Routable) / float64(whole.Workloads[0].Requests)
		if math.Abs(p.Quality.Point-want*share) > .03 || p.Quality.Lo > p.Quality.Point || p.Quality.Hi < p.Quality.Point || i > 1 && p.Quality.Hi >= 0 {
			t.Errorf("at %.2f: %+v, want about %.3f", p.Threshold, *p.Quality, want*share)
		}
	}
	// Scores that nobody graded are in the interval as anything: here their
	// candidate fails always, and the interval holds that, too.
	l.evals = slices.DeleteFunc(graded(4000, 1), func(e schemas.Evaluation) bool { return e.Score < .2 || e.Score > .4 && e.Score < .7 })
	gaps, err := Ask(t.Context(), l, q)
	if err != nil {
		t.Fatal(err)
	}
	points = gaps.Workloads[0].Points
	for i, want := range []Evidence{Assumed, Assumed, Assumed, Assumed} {
		p := points[i]
		unseen := (1 - p.Covered) * p.RoutedShare
		if p.Evidence != want || p.Quality == nil || p.Quality.Lo > p.Quality.Point-unseen || p.Quality.Hi < p.Quality.Point+unseen-1e-9 || p.Below < .15 || i > 1 && p.Between < .25 || p.Covered > .85 {
			t.Errorf("at %.2f: %+v %+v", p.Threshold, p, p.Quality)
		}
	}
	l.evals = slices.DeleteFunc(graded(4000, 1), func(e schemas.Evaluation) bool { return e.Score > .4 && e.Score < .7 })
	between, err := Ask(t.Context(), l, q)
	if err != nil {
		t.Fatal(err)
	}
	if p := between.Workloads[0].Points[3]; p.Evidence != Interpolated || p.Quality == nil || p.Below > 0 || p.Between < .2 {
		t.Errorf("%+v", p)
	}
	l.evals = graded(2000, .5) // as rehearsal under a draft of .5 leaves it
	half, err := Ask(t.Context(), l, q)
	if err != nil {
		t.Fatal(err)
	}
	points = half.Workloads[0].Points
	if points[1].Evidence != Measured || points[2].Evidence != Partly || points[2].Quality != nil || points[3].Covered > .6 {
		t.Errorf("%+v", points)
	}
	// Longer answers cost more: the same threshold saves less than without a measure.
	l.evals = nil
	plain, err := Ask(t.Context(), l, q)
	if err != nil || plain.Workloads[0].Points[1].SavingMonth <= points[1].SavingMonth {
		t.Errorf("%d with answers a fifth longer, %d without, %v", points[1].SavingMonth, plain.Workloads[0].Points[1].SavingMonth, err)
	}
}

func TestIntervalsOfQualityHoldTheTruthAboutAsOftenAsTheySay(t *testing.T) {
	held, tries := 0, 400
	for s := range tries {
		r := rand.New(rand.NewPCG(uint64(s), 9))
		var pairs []pair
		for c := range 60 {
			bad := r.Float64() < .2 // a session fails as a whole, mostly
			for range 1 + r.IntN(4) {
				diff := 0.0
				if bad && r.Float64() < .9 {
					diff = -1
				}
				if w := r.IntN(2); w == 0 || r.Float64() < .5 {
					pairs = append(pairs, pair{0, fmt.Sprint(c), float64(1 + w), diff})
				}
			}
		}
		var p Point
		key := route{"w", "p", "m", "c"}
		p.quality(map[route][]uint64{key: {100}}, map[route]judged{key: judgedOf(pairs, 1)}, 0, 100)
		if p.Quality != nil && p.Quality.Lo <= -.18 && p.Quality.Hi >= -.18 {
			held++
		}
	}
	if share := float64(held) / float64(tries); share < .91 || share > .99 {
		t.Errorf("the truth was held in %.3f of the tries, not in .95", share)
	}
}

func TestTodayIsWhatIsInForce(t *testing.T) {
	l := traffic(t, 3000)
	q := question(t)
	q.Thresholds = []float64{.5}
	r, err := Ask(t.Context(), l, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Workloads {
		if f.Today.Mode != schemas.ModeObserve || f.Today.Routed != 0 || f.Today.SavingMonth != 0 || f.Today.Quality == nil || !f.Points[0].Draft {
			t.Errorf("%+v", f)
		}
	}
	q.Parts.Policies = []schemas.Policy{{Project: "p", Workload: "a", Version: 1, Mode: schemas.ModeCanary, Candidate: "openai/gpt-4o-mini", RequestModel: "gpt-4o", Threshold: .5, Share: 5000, Control: 500, Override: true, Salt: []byte("s")}}
	live, err := Ask(t.Context(), l, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range live.Workloads {
		if f.Workload != "a" {
			continue
		}
		if f.Today.Treated != .475 || f.Today.Mode != schemas.ModeCanary || f.Today.Routed == 0 || f.Today.SavingMonth <= 0 {
			t.Errorf("%+v", f.Today)
		}
		// The policy names one model; the what-if has the ladders of both.
		if f.Today.Routed > f.Points[0].Routed/2 {
			t.Errorf("today moves %d, the whole would be %d", f.Today.Routed, f.Points[0].Routed)
		}
	}
}

// TestTodayIsWhatThePoliciesReallyDo has a policy in force, and what it moves by
// the evidence, the model and the novelty of each request.
func TestTodayIsWhatThePoliciesReallyDo(t *testing.T) {
	profile := schemas.Profile{Features: classifier.Version, Pairs: 50, Middle: make([]int32, classifier.ShapeSize), Scale: make([]uint32, classifier.ShapeSize), Bound: 1}
	ready := classifier.Evidence{Workload: "a", Provider: "openai", Scorer: classifier.Builtin().Scorer(), RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini", State: schemas.EvidenceReady, Profile: profile}
	collecting, unlike, stale := ready, ready, ready
	stale.Scorer.Version--
	collecting.State = schemas.EvidenceCollecting
	unlike.Profile = schemas.Profile{}
	canary := schemas.Policy{Project: "p", Workload: "a", Version: 1, Mode: schemas.ModeLive, Candidate: "openai/gpt-4o-mini", RequestModel: "gpt-4o", Threshold: .5, Share: 10_000, Salt: []byte("s")}
	forced, both := canary, canary
	forced.Override = true
	both.RequestModel, both.Override = "", true
	for _, tt := range []struct {
		name              string
		policy            schemas.Policy
		evidence          []classifier.Evidence
		novel             bool // a third of the log is recorded as novel
		routed            float64
		unproved, novelty bool
	}{
		{"evidence is ready: the model it speaks of moves", canary, []classifier.Evidence{ready}, false, 1, false, false},
		{"without evidence nothing moves", canary, nil, false, 0, true, false},
		{"while evidence collects nothing moves", canary, []classifier.Evidence{collecting}, false, 0, true, false},
		{"evidence that does not know its prompts moves nothing", canary, []classifier.Evidence{unlike}, false, 0, true, false},
		{"evidence of other scores moves nothing", canary, []classifier.Evidence{stale}, false, 0, true, false},
		{"what was novel stays", canary, []classifier.Evidence{ready}, true, 2. / 3, false, true},
		{"an override asks for no evidence, and minds nothing novel", forced, nil, true, 1, false, false},
		{"a policy for every model moves both", both, nil, false, 2, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, q := traffic(t, 6000), question(t)
			would := 0.0 // of gpt-4o, up to the threshold
			for i := range l.requests {
				r := &l.requests[i]
				r.cell.Novel = tt.novel && i%3 == 0
				if c := &r.cell; c.Workload == "a" && c.RequestModel == "gpt-4o" && !c.Bypassed && c.Gates&schemas.GateServerState == 0 && r.score <= 32_767 {
					would++
				}
			}
			q.Parts.Policies, q.Parts.Evidence, q.Workload = []schemas.Policy{tt.policy}, tt.evidence, "a"
			got, err := Ask(t.Context(), l, q)
			if err != nil {
				t.Fatal(err)
			}
			p := got.Workloads[0].Today
			if math.Abs(float64(p.Routed)-tt.routed*would) > .1*would || p.HeldEvidence > 0 != tt.unproved || p.HeldNovel > 0 != tt.novelty || p.SavingMonth > 0 != (tt.routed > 0) {
				t.Errorf("%d of %.0f routed, %d held for evidence, %d as novel", p.Routed, would, p.HeldEvidence, p.HeldNovel)
			}
		})
	}
}

func TestAWorkloadThatIsNotThereOrHardlyIsSaid(t *testing.T) {
	l, q := traffic(t, 3000), question(t)
	q.Workload = "aa"
	var unknown *UnknownError
	if _, err := Ask(t.Context(), l, q); !errors.As(err, &unknown) || unknown.Workload != "aa" || fmt.Sprint(unknown.Known) != "[a b]" {
		t.Errorf("%v", err)
	}
	q.Workload = ""
	l.requests = append(only(l, "gpt-4o").requests[:7], traffic(t, 0).requests...)
	r, err := Ask(t.Context(), l, q)
	if err != nil || len(r.Workloads) != 0 || len(r.TooFew) != 1 || r.TooFew[0] != (TooFew{"a", 7}) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestWithNothingToSayTheFrontierIsEmpty(t *testing.T) {
	for name, l := range map[string]*logOf{"no request": {}, "no candidate": only(traffic(t, 300), "gpt-4o-mini")} {
		q := question(t)
		q.Parts.Ladders = []classifier.Ladder{{Baseline: "openai/gpt-4o", Candidates: []string{"openai/gpt-4o-mini"}}}
		r, err := Ask(t.Context(), l, q)
		if err != nil || len(r.Workloads) != 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if raw, err := json.Marshal(r); err != nil || string(raw) == "" || r.Workloads == nil {
			t.Errorf("%s: %s, %v", name, raw, err)
		}
	}
}

func TestParseLadder(t *testing.T) {
	l, err := ParseLadder("openai/gpt-4o=openai/gpt-4o-mini, openai/gpt-4.1-nano")
	if err != nil || l.Baseline != "openai/gpt-4o" || len(l.Candidates) != 2 || l.Candidates[1] != "openai/gpt-4.1-nano" {
		t.Errorf("%+v, %v", l, err)
	}
	for _, bad := range []string{"", "gpt-4o=openai/x", "openai/gpt-4o", "openai/gpt-4o=", "openai/gpt-4o=mini"} {
		if _, err := ParseLadder(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
