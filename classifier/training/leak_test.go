package training

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

// shuffles is over how many deals the mean is taken: the 20.
const shuffles = 20

// shuffled returns the rows with both grades dealt to other rows of their
// source: each source has its own pair of models.
func (d *dealer) shuffled(rows []Row) []Row {
	mixed := slices.Clone(rows)
	of := map[string][]int{}
	var sources []string
	for i := range mixed {
		if of[mixed[i].Source] == nil {
			sources = append(sources, mixed[i].Source)
		}
		of[mixed[i].Source] = append(of[mixed[i].Source], i)
	}
	for _, source := range sources {
		at := of[source]
		for i := len(at) - 1; i > 0; i-- {
			a, b := &mixed[at[i]], &mixed[at[d.below(i+1)]]
			a.StrongScore, a.WeakScore, b.StrongScore, b.WeakScore = b.StrongScore, b.WeakScore, a.StrongScore, a.WeakScore
			a.Scores, b.Scores = b.Scores, a.Scores
		}
	}
	return mixed
}

// spread is the mean and the standard deviation of single values.
func spread(v []float64) (mean, sd float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		sd += (x - mean) * (x - mean) / float64(len(v)-1)
	}
	return mean, math.Sqrt(sd)
}

// TestNoFeatureDependsOnALabel: what features are, and which words are known, is
// learnt from prompts alone. Only what they weigh may follow grades.
func TestNoFeatureDependsOnALabel(t *testing.T) {
	o, d := Defaults(), dealer{3}
	a, b := trained(t, invented(600), o), trained(t, d.shuffled(invented(600)), o)
	if a.Low != b.Low || a.Middle != b.Middle || a.High != b.High || a.Cuts != b.Cuts || a.Familiar != b.Familiar {
		t.Error("bounds, bins or familiar words differ under other labels")
	}
	for s := range a.Words {
		if a.Words[s] != 0 && b.Words[s] == 0 && math.Abs(float64(a.Words[s])) > 100 {
			t.Errorf("slot %d has a weight under one set of labels only", s)
		}
	}
	if a.Slope == b.Slope {
		t.Error("no slope differs: the check above compares a fit with itself")
	}
}

// TestShuffledLabelsAreNotRanked: labels that mean nothing are ranked no better
// than by chance by a model that had not seen them. The same rows asked of a model
// that had are ranked far better: it is what leakage looks like here.
func TestShuffledLabelsAreNotRanked(t *testing.T) {
	if underRace {
		t.Skip("not under the race detector: CI runs it without (go test ./classifier/training)")
	}
	rows, o, d := invented(600), Defaults(), dealer{7}
	for i := range rows { // of words enough to learn labels by heart
		for range 8 {
			n := d.below(300)
			rows[i].Prompt += " " + string([]byte{'k' + byte(n%15), 'a' + byte(n/15), 'u'})
		}
		rows[i].Group = rows[i].Prompt
	}
	o.Penalty = o.Penalty[:1]
	var unseen, seen []float64
	for range shuffles {
		mixed := d.shuffled(rows)
		asked := held{everything, everything, group, 2}.ask(t, mixed, o)
		unseen = append(unseen, curve(asked, func(s *said) float64 { return s.score }).APGR())
		seen = append(seen, MeanAPGR(mixed, train(t, mixed, o)))
	}
	mean, sd := spread(unseen)
	if math.Abs(mean-.5) > .02 {
		t.Errorf("APGR %.3f (standard deviation %.3f) in the mean of %d shuffles", mean, sd, shuffles)
	}
	if mean, _ := spread(seen); mean < .6 {
		t.Errorf("asked of a model that was fitted on them: APGR %.3f; the check above would find no leak", mean)
	}
}

// TestBenchRoutingShuffled is the same on the graded rows, by the pipeline of the
// figures: whatever it then finds is leakage.
func TestBenchRoutingShuffled(t *testing.T) {
	rows, o, d := benched(t), Defaults(), dealer{7}
	o.Penalty = o.Penalty[1:2]
	apgr := map[string][]float64{}
	for range shuffles {
		asked := held{everything, everything, group, 2}.ask(t, d.shuffled(rows), o)
		all := 0.0
		sources := []string{"routellm-mmlu", "routellm-gsm8k", "mmlu-pro", "llmrouter"}
		for _, s := range sources {
			a := curve(of(asked, s), func(s *said) float64 { return s.score }).APGR()
			apgr[s] = append(apgr[s], a)
			all += a / float64(len(sources))
		}
		apgr["mean of the sources"] = append(apgr["mean of the sources"], all)
	}
	fmt.Printf("\nlabels shuffled within their source, %d times, 2 folds by group\n", shuffles)
	for _, s := range slices.Sorted(maps.Keys(apgr)) {
		mean, sd := spread(apgr[s])
		fmt.Printf("   %-24s APGR %.3f, standard deviation of a single shuffle %.3f\n", s, mean, sd)
		if math.Abs(mean-.5) > .02 {
			t.Errorf("%s: labels that mean nothing are ranked with APGR %.3f", s, mean)
		}
	}
}
