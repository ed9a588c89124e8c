package simulator

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/schemas"
)

// held is one verdict held against the truth.
type held struct {
	seed    uint64
	verdict schemas.Verdict
	truth   Truth
	worse   bool // than the margin allows, by the hidden truth over what is routed
}

func (h *held) covered() bool {
	s := &h.verdict.Savings
	return s.SavingMonthLo != nil && *s.SavingMonthLo <= h.truth.Saving() && h.truth.Saving() <= *s.SavingMonthHi
}

func (h *held) shareCovered() bool {
	s := h.verdict.Savings.ShareNext
	return s != nil && s.Lo <= h.truth.Share() && h.truth.Share() <= s.Hi
}

// hold makes a history, has the analyzer look at it, and then lives through the
// 30 days of which its projections speak.
func hold(t testing.TB, seed uint64, scale float64) []held {
	t.Helper()
	cfg := configuration(t, 14)
	// Where in the week "now" falls is as much luck as the rest.
	cfg.From, cfg.To = cfg.From.AddDate(0, 0, int(seed%7)), cfg.To.AddDate(0, 0, int(seed%7))
	w, m := NewWorld(seed, scale), NewMemory()
	if _, err := w.History(context.Background(), cfg, m); err != nil {
		t.Fatal(err)
	}
	s := analyzer.DefaultSettings()
	s.MinMonthlySaving = schemas.NanoUSD(float64(s.MinMonthlySaving) * scale)
	verdicts, err := analyzer.Analyze(context.Background(), m.Log(), cfg.Project, s, cfg.To.Add(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	truths := w.NextMonth(cfg)
	var out []held
	for _, v := range verdicts {
		for _, tr := range truths {
			if tr.Workload == v.Workload && tr.RequestModel == v.RequestModel && tr.Candidate == v.Candidate {
				out = append(out, held{seed, v, tr, tr.Quality < -s.Margin})
			}
		}
	}
	if len(out) < len(w.Workloads) {
		t.Fatalf("seed %d: %d verdicts met a truth, of %d", seed, len(out), len(verdicts))
	}
	return out
}

func money(n *schemas.NanoUSD) float64 {
	if n == nil {
		return 0
	}
	return n.USD()
}

// The checks of the whole: histories of several seeds, made, rehearsed, analyzed
// and held against the truth. A short form runs always; GNOMON_BENCH_STATS=1 has
// twenty seeds at full traffic, or at GNOMON_BENCH_SCALE of it.
func TestVerdictsHoldAgainstTheTruth(t *testing.T) {
	// Few intervals can be covered by bad luck alone: the short form only notices
	// what is thoroughly wrong.
	seeds, scale, least := uint64(2), .15, .7
	if os.Getenv("GNOMON_BENCH_STATS") != "" {
		seeds, scale, least = 20, 1, .9
		if s, err := strconv.ParseFloat(os.Getenv("GNOMON_BENCH_SCALE"), 64); err == nil {
			scale = s
		}
	} else if underRace {
		t.Skip("not under the race detector: CI runs it without (go test ./internal/simulator)")
	} else if testing.Short() {
		t.Skip("histories take a while")
	}
	type tally struct{ n, dollars, shares int }
	by := map[string]*tally{}
	all := tally{}
	words := map[string]map[schemas.Readiness]int{}
	for seed := uint64(1); seed <= seeds; seed++ {
		for _, h := range hold(t, seed, scale) {
			v := &h.verdict
			name := v.Workload + " → " + v.Candidate
			if by[name] == nil {
				by[name], words[name] = &tally{}, map[schemas.Readiness]int{}
			}
			words[name][v.Readiness]++
			for _, a := range []*tally{by[name], &all} {
				a.n++
				if h.covered() {
					a.dollars++
				}
				if h.shareCovered() {
					a.shares++
				}
			}
			if h.worse && v.Readiness == schemas.Ready {
				t.Errorf("seed %d: %s is ready, and truly %.1f pp worse", seed, name, -100*h.truth.Quality)
			}
			t.Logf("%2d %-62s %-14s $%8.2f [%8.2f … %8.2f] truth %8.2f %-5v  share %.3f [%.3f … %.3f] truth %.3f %-5v  quality [%+.4f … %+.4f] mean %+.4f truth %+.4f agree %+.4f", seed, name, v.Readiness,
				v.Savings.SavingMonth.USD(), money(v.Savings.SavingMonthLo), money(v.Savings.SavingMonthHi), h.truth.Saving().USD(), h.covered(),
				v.Savings.ShareNext.Point, v.Savings.ShareNext.Lo, v.Savings.ShareNext.Hi, h.truth.Share(), h.shareCovered(),
				v.Quality.Lower, v.Quality.Upper, v.Quality.Mean, h.truth.Quality, h.truth.Agreement)
		}
	}
	for name, a := range by {
		t.Logf("%-62s %2d of %2d in dollars, %2d as a share; %v", name, a.dollars, a.n, a.shares, words[name])
	}
	t.Logf("all: %d of %d in dollars, %d as a share", all.dollars, all.n, all.shares)
	if float64(all.dollars) < least*float64(all.n) {
		t.Errorf("the intervals cover the truth for %d of %d, below %.0f %%", all.dollars, all.n, 100*least)
	}
}
