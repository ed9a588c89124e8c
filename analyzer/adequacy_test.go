package analyzer_test

import (
	"math"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// share of a fixed-point figure.
func share(n uint16) float64 { return float64(n) / 65535 }

func TestAdequacyIsTheGradedPairsLevel(t *testing.T) {
	good := change(fine("good"), func(w *workload) { w.worse, w.better, w.checks = .05, .02, 40 })
	bad := change(fine("bad"), func(w *workload) { w.worse, w.checks = .30, 40 })
	none := change(fine("none"), func(w *workload) { w.ungraded = true })
	drawn := change(fine("drawn"), func(w *workload) { // the worse are drawn nine times as often, and count a ninth
		w.eachProb = func(int) float64 { return .9 }
	})
	l := build(5, good, bad, none, drawn)
	for i := range l.evals { // graded with a probability that goes with the outcome
		if e := &l.evals[i]; e.Workload == "drawn" && i%2 == 0 {
			p := .1
			e.SamplingProbability, e.QualityCandidate = &p, 1
		} else if e.Workload == "drawn" {
			e.QualityBaseline, e.QualityCandidate = 1, 0
		}
	}
	for _, v := range analyze(t, l, settings()) {
		a := v.Quality.Adequacy
		want := map[string]float64{"good": .95, "bad": .70, "drawn": .9}[v.Workload]
		if want == 0 {
			if a != nil {
				t.Errorf("%s: %+v of nothing graded", v.Workload, a)
			}
			continue
		}
		if a == nil || a.Pairs == 0 || a.Pairs > 14*250 || math.Abs(share(a.Level)-want) > .02 || a.Lower >= a.Level || a.Upper <= a.Level {
			t.Errorf("%s: %+v, want about %v", v.Workload, a, want)
		}
	}
}

func TestAdequacyFallsWithTheScoreWhereThePairsSaySo(t *testing.T) {
	l := build(7, fine("falls"), fine("flat"))
	for i := range l.evals {
		e := &l.evals[i]
		e.Score = float32(i%100) / 200
		e.QualityBaseline, e.QualityCandidate = 1, 1
		if n := i / 100 % 10; e.Workload == "falls" && n < i%100/10 || e.Workload == "flat" && n < 2 {
			e.QualityCandidate = 0
		}
	}
	slopes := map[string]*schemas.Calibration{}
	for _, v := range analyze(t, l, settings()) {
		slopes[v.Workload] = v.Quality.Adequacy
	}
	f, g := slopes["falls"], slopes["flat"]
	if f == nil || g == nil || share(f.Slope) < .9 || share(g.Slope) > .1 {
		t.Fatalf("falls %+v, flat %+v", f, g)
	}
	if low, high := share(f.At(0)), share(f.At(65535/2)); low < .75 || high > .4 {
		t.Errorf("from %.2f to %.2f", low, high)
	}
	if got := f.At(65535); got != 0 {
		t.Errorf("beyond what was seen %d", got)
	}
}

func TestPairsOfOneSessionNarrowNothing(t *testing.T) {
	wide := analyze(t, build(3, change(fine("w"), func(w *workload) { w.length = 50 })), settings())[0].Quality.Adequacy
	narrow := analyze(t, build(3, fine("w")), settings())[0].Quality.Adequacy
	if wide.Upper-wide.Lower < 2*(narrow.Upper-narrow.Lower) {
		t.Errorf("sessions of fifty: %+v; each by itself: %+v", wide, narrow)
	}
}

func TestTheGradedPromptsAreDrawnFromWhatWasRecorded(t *testing.T) {
	l := build(3, fine("w"), fine("bare"))
	l.inputs = map[string][]byte{}
	for i, e := range l.evals {
		in := classifier.Inputs{Workload: e.Workload, Assessment: classifier.Assessment{Task: classifier.TaskRAG, Version: classifier.Version},
			Features: classifier.Features{SystemPrint: 9, PromptHash: uint64(i), PromptTokens: 800}}
		if e.Workload == "w" {
			l.inputs[e.RequestID] = in.AppendBinary(nil)
		}
	}
	for _, v := range analyze(t, l, settings()) {
		p := v.Quality.Profile
		switch {
		case v.Readiness != schemas.Ready:
			t.Errorf("%s is %s", v.Workload, v.Readiness)
		case warned(&v) == (v.Workload == "w"):
			t.Errorf("%s: warnings %+v", v.Workload, v.Warnings)
		case v.Workload == "bare" && p != nil:
			t.Errorf("%+v of nothing recorded", p)
		case v.Workload == "w" && (p == nil || p.Pairs < 3000 || p.Bound == 0 || len(p.Templates) != 1):
			t.Errorf("%+v", p)
		}
	}
}

func warned(v *schemas.Verdict) bool {
	return slices.ContainsFunc(v.Warnings, func(w schemas.Warning) bool { return w.Code == "no_profile" })
}

// TestForecastsAreHeldAgainstWhatCame has proxies that said the truth, and such
// that said too much: only of the second is there a warning.
func TestForecastsAreHeldAgainstWhatCame(t *testing.T) {
	say := func(p float32) func(i int) *float32 { return func(int) *float32 { return &p } }
	for _, row := range []struct {
		name   string
		said   func(i int) *float32
		warned bool
		about  float64 // came less said; NaN: nothing is said
	}{
		{"as it came", say(.9), false, 0},
		{"too sure", say(.98), true, -.08},
		{"not sure enough", say(.8), true, .1},
		{"nothing was expected: the first pairs of a workload", func(int) *float32 { return nil }, false, math.NaN()},
		{"of the later ones alone", func(i int) *float32 { return []*float32{nil, say(.9)(0)}[i%2] }, false, 0},
	} {
		l := build(9, change(fine("w"), func(w *workload) {
			w.worse, w.better, w.eachProb = .1, 0, func(i int) float64 { return []float64{.1, .2}[i%2] }
		}))
		for i := range l.evals {
			l.evals[i].PAdequate = row.said(i)
		}
		v := analyze(t, l, settings())[0]
		f := v.Quality.Forecast
		if warned := slices.ContainsFunc(v.Warnings, func(w schemas.Warning) bool { return w.Code == "forecast_off" }); warned != row.warned {
			t.Errorf("%s: warned %v, %+v", row.name, warned, f)
		}
		if math.IsNaN(row.about) {
			if f != nil {
				t.Errorf("%s: %+v", row.name, f)
			}
			continue
		}
		if f == nil || math.Abs(f.Off.Point-row.about) > .02 || f.Off.Lo > row.about+.005 || f.Off.Hi < row.about-.005 || math.Abs(f.Error-math.Abs(f.Off.Point)) > 1e-9 || f.Pairs == 0 {
			t.Errorf("%s: %+v, want about %v", row.name, f, row.about)
		}
	}
}
