package calibration

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// made are workloads whose levels differ and within which the prior says so much.
func made(r *rand.Rand, workloads, pairs int, spread, slope float64) (obs []Observation, truth map[string]float64) {
	truth = map[string]float64{}
	for w := range workloads {
		name := fmt.Sprint("w", w)
		truth[name] = .7 + spread*r.NormFloat64()
		for range pairs {
			x := r.Float64()
			y := 0.0
			if r.Float64() < truth[name]+slope*(x-.5) {
				y = 1
			}
			obs = append(obs, Observation{Workload: name, Prior: x, Outcome: y})
		}
	}
	return obs, truth
}

// errors are the mean squared errors of predictions at a prior of .2 and .8: of
// the model, of the plain mean, and of each workload's own line.
func errorsOf(seed uint64, spread, slope float64) (fitted, mean, line float64) {
	r := rand.New(rand.NewPCG(seed, 1))
	obs, truth := made(r, 20, 50, spread, slope)
	m := Fit(obs, 1)
	for _, s := range gather(obs) {
		for _, x := range []float64{.2, .8} {
			want := truth[s.name] + slope*(x-.5)
			sq := func(v float64) float64 { return (v - want) * (v - want) }
			fitted += sq(m.Predict(s.name, x))
			mean += sq(s.y)
			line += sq(s.y + s.slope*(x-s.x))
		}
	}
	return fitted, mean, line
}

func TestShrinkageBeatsBothThatItLiesBetween(t *testing.T) {
	for _, row := range []struct {
		name          string
		spread, slope float64
		beatsMean     float64 // the model's error over the plain mean's
		beatsLine     float64
	}{
		{"workloads differ, the prior ranks within them", .15, .4, .5, .7},
		{"workloads differ, the prior says nothing within them", .15, 0, 1.02, .5},
		{"workloads are alike, the prior ranks", .01, .4, .3, .3},
		{"the prior ranks the wrong way round", .15, -.2, 1.02, 1.4},
	} {
		var fitted, mean, line float64
		for seed := range uint64(30) {
			f, m, l := errorsOf(seed, row.spread, row.slope)
			fitted, mean, line = fitted+f, mean+m, line+l
		}
		t.Logf("%s: error %.3f; plain mean %.3f, own line %.3f", row.name, fitted, mean, line)
		if fitted > row.beatsMean*mean || fitted > row.beatsLine*line {
			t.Errorf("%s: error %.3f; plain mean %.3f, own line %.3f", row.name, fitted, mean, line)
		}
	}
}

func TestAWorkloadOfManyPairsSpeaksForItself(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	obs, _ := made(r, 8, 20, .05, 0)
	odd := func(n int) float64 {
		o := slices.Clone(obs)
		for i := range n {
			o = append(o, Observation{Workload: "odd", Prior: r.Float64(), Outcome: float64(i % 5 / 4)}) // one in five
		}
		return Fit(o, 1).Predict("odd", .5)
	}
	few, many := odd(5), odd(5000)
	if math.Abs(many-.2) > .02 || few < many+.05 {
		t.Errorf("%.3f from few pairs, %.3f from many, of which a fifth are 1", few, many)
	}
}

func TestWeightsUndoTheSampling(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var naive, weighted []Observation
	for range 20_000 {
		y, p := 0.0, 1.0
		if r.Float64() < .9 {
			y, p = 1, .1 // successes are sampled one in ten
		}
		if r.Float64() < p {
			o := Observation{Workload: "w", Prior: r.Float64(), Outcome: y}
			naive = append(naive, o)
			o.Weight = 1 / p
			weighted = append(weighted, o)
		}
	}
	if got := Fit(weighted, 1).Predict("w", .5); math.Abs(got-.9) > .02 {
		t.Errorf("weighted: %.3f", got)
	}
	if got := Fit(naive, 1).Predict("w", .5); got > .6 {
		t.Errorf("the naive mean %.3f should be far off: this check catches nothing", got)
	}
}

func TestNoSlopeIsAboveTheSteepest(t *testing.T) {
	obs, _ := made(rand.New(rand.NewPCG(2, 2)), 10, 200, .1, .4)
	free, bound := Fit(obs, 1), Fit(obs, .1)
	for w, e := range bound.Workloads {
		if e.Slope > .1 || free.Workloads[w].Slope < .2 {
			t.Errorf("%s: slope %.2f bound by .1, %.2f by 1", w, e.Slope, free.Workloads[w].Slope)
		}
	}
}

func TestEdgesOfFit(t *testing.T) {
	if got := Fit(nil, 1).Predict("w", 1); got != 0 {
		t.Errorf("nothing known: %v", got)
	}
	one := Fit([]Observation{{Workload: "w", Prior: .5, Outcome: 1}, {Workload: "n", Prior: math.NaN(), Outcome: 1}}, 1)
	for _, w := range []string{"w", "n", "other"} {
		if got := one.Predict(w, .9); math.IsNaN(got) || got < 0 || got > 1 {
			t.Errorf("%s: %v", w, got)
		}
	}
	r := rand.New(rand.NewPCG(9, 9))
	obs, _ := made(r, 5, 40, .1, .3)
	want := Fit(obs, 1)
	r.Shuffle(len(obs), func(i, j int) { obs[i], obs[j] = obs[j], obs[i] })
	got := Fit(obs, 1)
	for w, e := range want.Workloads {
		if got.Workloads[w] != e {
			t.Errorf("%s: %+v in another order, %+v", w, got.Workloads[w], e)
		}
	}
}
