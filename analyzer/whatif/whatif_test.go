package whatif

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
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
			if p.Routed != routed || math.Abs(float64(p.SavingMonth-want.sum)) > float64(routed)*3 || routed == 0 {
				t.Errorf("%s at %.3f: %d routed saving %d, one by one %d saving %d", f.Workload, threshold, p.Routed, p.SavingMonth, routed, want.sum)
			}
			if p.SavingLo == nil || *p.SavingLo > p.SavingMonth || *p.SavingHi < p.SavingMonth || p.SavingCold > p.SavingMonth {
				t.Errorf("interval %v to %v of %d, cold %d", p.SavingLo, p.SavingHi, p.SavingMonth, p.SavingCold)
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
		e := schemas.Evaluation{Workload: "a", Provider: "openai", Scorer: classifier.Builtin().Scorer(), RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini", Cluster: fmt.Sprint(i / 2), Score: float32(score), QualityBaseline: 1, QualityCandidate: 1,
			Outcome: schemas.OutcomeGraded, SamplingProbability: &p, OutputTokens: 120, BaselineOutputTokens: 100}
		if score > .5 && i%2 == 0 {
			e.QualityCandidate = 0
		}
		evals = append(evals, e)
	}
	return evals
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
		p.quality(map[route][]uint64{key: {100}}, map[route][]estimate{key: upToEach(pairs, 1)}, 0, 100)
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
	q.Parts.Policies = []schemas.Policy{{Project: "p", Workload: "a", Version: 1, Mode: schemas.ModeCanary, Candidate: "openai/gpt-4o-mini", RequestModel: "gpt-4o", Threshold: .5, Share: 5000, Control: 500, Salt: []byte("s")}}
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
