package training

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/analyzer/calibration"
)

const (
	pairsEach = 50 // graded pairs of each workload
	draws     = 10 // of them, over which figures are means
)

// figures are what pairs of a workload's own bring.
type figures struct {
	prior, fitted, mean float64 // APGR: of the prompt alone, with pairs, of the pairs' plain mean
	one, two            float64 // weak share at −1 pp, −2 pp
	ece                 float64 // of p_adequate, as proxies and gnomon assess have it
	rows                int
	forecasts           []Forecast // of one draw; a mean over draws has none
}

func (f figures) add(g figures, weight float64) figures {
	f.prior += g.prior * weight
	f.fitted += g.fitted * weight
	f.mean += g.mean * weight
	f.one += g.one * weight
	f.two += g.two * weight
	f.ece += g.ece * weight
	f.rows = g.rows
	return f
}

// deal parts each workload's rows into evidence and test, by hash.
func deal(rows []said, draw uint64) (evidence, test []said) {
	by := map[string][]said{}
	for _, s := range rows {
		by[s.row.Workload] = append(by[s.row.Workload], s)
	}
	for _, of := range by {
		slices.SortFunc(of, func(a, b said) int {
			return cmp.Or(cmp.Compare(foldOf(a.row.Group, 1<<30, draw), foldOf(b.row.Group, 1<<30, draw)), cmp.Compare(a.row.ID, b.row.ID))
		})
		n := min(pairsEach, len(of)/2)
		evidence, test = append(evidence, of[:n]...), append(test, of[n:]...)
	}
	return evidence, test
}

// calibrated measures test rows under the evidence.
func calibrated(evidence, test []said) figures {
	var gain []calibration.Observation
	var pairs []calibration.Pair
	for _, s := range evidence {
		gain = append(gain, calibration.Observation{Workload: s.row.Workload, Prior: s.score / 65535, Outcome: s.row.Gain()})
		pairs = append(pairs, calibration.Pair{Group: s.row.Workload, Score: uint16(s.score), NoWorse: s.row.Adequate()})
	}
	g, a, means := calibration.Fit(gain, SteepestGain), calibration.Adequacy(pairs), workloadMeans(rowsOf(evidence))
	fitted := curve(test, func(s *said) float64 { return g.Predict(s.row.Workload, s.score/65535) })
	f := make([]Forecast, len(test))
	for i, s := range test {
		f[i] = Forecast{float64(a.At(s.row.Workload, uint16(s.score))) / 65535, s.row.Adequate()}
	}
	return figures{
		forecasts: f,
		prior:     curve(test, func(s *said) float64 { return s.score }).APGR(), fitted: fitted.APGR(),
		mean: curve(test, func(s *said) float64 { return means[s.row.Workload] }).APGR(),
		one:  fitted.WeakShare(.01), two: fitted.WeakShare(.02), ece: ECE(f), rows: len(test),
	}
}

func rowsOf(in []said) (out []Row) {
	for _, s := range in {
		out = append(out, *s.row)
	}
	return out
}

// drawn is the mean over draws.
func drawn(rows []said) (f figures) {
	for d := range uint64(draws) {
		evidence, test := deal(rows, 1000+d)
		f = f.add(calibrated(evidence, test), 1./draws)
	}
	return f
}

// TestBenchRoutingEvidence measures what 50 graded pairs of each workload bring.
func TestBenchRoutingEvidence(t *testing.T) {
	rows, o := benched(t), Defaults()
	fmt.Printf("\n%-56s %5s %8s %8s %8s %6s %6s %6s  floor → goal\n", "with 50 pairs of each workload, mean of 10 draws", "rows", "prompt", "fitted", "mean", "−1 pp", "−2 pp", "ECE")
	show := func(name string, f figures, floor, goal float64) {
		fmt.Printf("%-56s %5d %8.3f %8.3f %8.3f %5.1f%% %5.1f%% %6.3f  %.3f → %.3f\n", name, f.rows, f.prior, f.fitted, f.mean, 100*f.one, 100*f.two, f.ece, floor, goal)
		if f.fitted < floor {
			t.Errorf("%s: APGR %.3f is below the floor %.3f", name, f.fitted, floor)
		}
		if f.fitted < f.mean-.005 {
			t.Errorf("%s: APGR %.3f, the plain workload mean alone has %.3f", name, f.fitted, f.mean)
		}
		if f.ece > .06 {
			t.Errorf("%s: ECE %.3f is above .06", name, f.ece)
		}
	}
	// Pairs that were in training are shown, not held: nobody should calibrate by them.
	mention := func(name string, f figures) {
		fmt.Printf("%-56s %5d %8.3f %8.3f %8.3f %5.1f%% %5.1f%% %6.3f\n", name, f.rows, f.prior, f.fitted, f.mean, 100*f.one, 100*f.two, f.ece)
	}
	in := held{everything, everything, group, 5}.ask(t, rows, o)
	show("R3 MMLU, subjects seen in training", drawn(of(in, "routellm-mmlu")), .650, .690)
	show("R3 MMLU, subjects not seen", drawn(held{from("routellm-mmlu"), everything, workload, 5}.ask(t, rows, o)), .650, .690)
	show("R7 LLMRouter, tasks not seen", drawn(held{from("llmrouter"), everything, workload, 5}.ask(t, rows, o)), .640, .680)
	show("   LLMRouter, tasks seen", drawn(of(in, "llmrouter")), 0, 0)
	show("   MMLU-Pro, subjects seen", drawn(of(in, "mmlu-pro")), 0, 0)
	show("R9 MMLU-Pro, fitted on the others alone", drawn(held{from("mmlu-pro"), otherThan("mmlu-pro"), group, 1}.ask(t, rows, o)), 0, 0)
	for _, source := range []string{"routellm-mmlu", "llmrouter"} {
		mention("   "+source+", pairs that were in training", seenPairs(t, rows, o, source))
	}
}

// seenPairs takes as evidence rows that the model was fitted on: what is said of
// them is too good, and must not make slopes too steep to help.
func seenPairs(t *testing.T, rows []Row, o Options, source string) figures {
	var fitted []Row
	var unseen []*Row
	for i := range rows {
		if foldOf(rows[i].Group, 5, 77) == 0 {
			unseen = append(unseen, &rows[i])
		} else {
			fitted = append(fitted, rows[i])
		}
	}
	m := train(t, fitted, o)
	var seen, test []said
	for i := range fitted {
		if fitted[i].Source == source {
			seen = append(seen, ask(m, &fitted[i]))
		}
	}
	for _, r := range unseen {
		if r.Source == source {
			test = append(test, ask(m, r))
		}
	}
	var f figures
	for d := range uint64(draws) {
		evidence, _ := deal(seen, 1000+d)
		f = f.add(calibrated(evidence, test), 1./draws)
	}
	return f
}
