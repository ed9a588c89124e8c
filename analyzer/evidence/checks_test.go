package evidence_test

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/gnomon-llm/gnomon/analyzer/evidence"
)

// The checks of the bets: at the very boundary of "worse", looked at after every
// observation, how often would a candidate be let through? Beside each rule
// stands what one would do without it, and must fail the same row: a check that
// the naive way passes proves nothing.

const (
	margin = 0.02
	alpha  = 0.05
)

// size is how large a check is: short in every test run, full under BenchStats.
type size struct{ streams, steps int }

var (
	short = size{500, 1000}
	full  = size{10_000, 5000}
)

// most is the highest share of false GOs that n streams may show.
func most(n int) float64 { return alpha + 3*math.Sqrt(alpha*(1-alpha)/float64(n)) }

// share runs n streams, each from its own seed, and returns the part of them
// that ended in a GO.
func share(n int, seed uint64, run func(r *rand.Rand) bool) float64 {
	var hits, next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if run(stream(seed<<32 + uint64(i))) {
					hits.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return float64(hits.Load()) / float64(n)
}

// ternary draws D in {−1, 0, 1} with the given mean and discordance.
func ternary(r *rand.Rand, mean, discordance float64) float64 {
	switch u := r.Float64(); {
	case u < (discordance-mean)/2:
		return -1
	case u < discordance:
		return 1
	default:
		return 0
	}
}

func fill(n int, draw func(i int) float64) []float64 {
	d := make([]float64, n)
	for i := range d {
		d[i] = draw(i)
	}
	return d
}

// crosses reports whether the bets ever win against −margin.
func crosses(b evidence.Bettor, d, w []float64) bool {
	return evidence.New(b, d, w, 0).Against(margin, alpha).First > 0
}

// row is one check: the rule must hold, the naive ways must not.
type row struct {
	name  string
	rule  func(r *rand.Rand, n int) bool
	naive map[string]func(r *rand.Rand, n int) bool
}

// streamRow is a row whose observations come one by one.
func streamRow(name string, draw func(r *rand.Rand) func(i int) float64, naive ...string) row {
	all := map[string]func(d []float64) bool{"Wald interval looked at every 50": wald, "stakes that know what they bet on": clairvoyant}
	x := row{name: name, naive: map[string]func(*rand.Rand, int) bool{}}
	x.rule = func(r *rand.Rand, n int) bool { return crosses(evidence.Aimed, fill(n, draw(r)), nil) }
	for _, w := range naive {
		x.naive[w] = func(r *rand.Rand, n int) bool { return all[w](fill(n, draw(r))) }
	}
	return x
}

// wald is the textbook interval, looked at every 50 observations.
func wald(d []float64) bool {
	s, ss := 0.0, 0.0
	for i, v := range d {
		s += v
		ss += v * v
		if n := float64(i + 1); (i+1)%50 == 0 {
			m := s / n
			if se := math.Sqrt(math.Max(ss/n-m*m, 0) / n); se > 0 && m-1.6449*se > -margin {
				return true
			}
		}
	}
	return false
}

// clairvoyant bets by a mean that holds the observation bet on.
func clairvoyant(d []float64) bool {
	m := (1 - margin) / 2
	s, q, k := .5, .25, 0.0
	for i, v := range d {
		x := (v + 1) / 2
		q += (x - s/float64(i+1)) * (x - s/float64(i+1))
		s += x
		g, vv := s/float64(i+2)-m, q/float64(i+2)
		lambda := math.Min(math.Max(g/(vv+g*g), 0), .5/m)
		if g <= 0 {
			continue
		}
		if k += math.Log(1 + lambda*(x-m)); k >= math.Log(1/alpha) {
			return true
		}
	}
	return false
}

func rows() []row {
	const peeking = "Wald interval looked at every 50"
	var out []row
	for _, disc := range []float64{.05, .1, .2, .35, .6} {
		out = append(out, streamRow(fmt.Sprintf("discordance %.2f", disc), func(r *rand.Rand) func(int) float64 {
			return func(int) float64 { return ternary(r, -margin, disc) }
		}, peeking, "stakes that know what they bet on"))
	}
	out = append(out,
		streamRow("continuous scores (Beta)", func(r *rand.Rand) func(int) float64 {
			x := distuv.Beta{Alpha: 2 * (1 - margin), Beta: 2 * (1 + margin), Src: r} // of mean (1−margin)/2
			return func(int) float64 { return 2*x.Rand() - 1 }
		}, peeking),
		streamRow("extreme scores (Beta)", func(r *rand.Rand) func(int) float64 {
			x := distuv.Beta{Alpha: .05 * (1 - margin), Beta: .05 * (1 + margin), Src: r}
			return func(int) float64 { return 2*x.Rand() - 1 }
		}, peeking),
		streamRow("means that drift fast, their running average at most -margin", func(r *rand.Rand) func(int) float64 {
			return func(i int) float64 { return ternary(r, -margin+.05*drift(i, 25), .3) }
		}, peeking),
		streamRow("means that drift, their running average at most -margin", func(r *rand.Rand) func(int) float64 {
			return func(i int) float64 { return ternary(r, -margin+.05*drift(i, 100), .3) }
		}, peeking),
		streamRow("means that drift slowly, their running average at most -margin", func(r *rand.Rand) func(int) float64 {
			return func(i int) float64 { return ternary(r, -margin+.1*drift(i, 500), .3) }
		}),
		sessionRow(5), sessionRow(20), dayRow(.02, false), dayRow(.05, true), dayRow(.10, true), worseRow(.05), samplingRow(), changeRow(),
	)
	return out
}

// drift is −1 for a while, then +1 for as long: its running average never
// exceeds 0.
func drift(i, half int) float64 {
	if i/half%2 == 0 {
		return -1
	}
	return 1
}

// sessionRow: pairs of a session resemble each other.
func sessionRow(length int) row {
	pairs := func(r *rand.Rand, n int) []evidence.Pair {
		out := make([]evidence.Pair, n)
		mood := 0.0
		for i := range out {
			if i%length == 0 {
				mood = ternary(r, -margin, .4)
			}
			d := mood
			if r.Float64() > math.Sqrt(.5) { // a correlation of one half within a session
				d = ternary(r, -margin, .4)
			}
			at := monday.Add(time.Duration(i/length) * time.Hour)
			out[i] = evidence.Pair{At: at, Day: at, Cluster: fmt.Sprint(i / length), Request: fmt.Sprint("r", i), Probability: .1, D: d}
		}
		return out
	}
	return row{
		name: fmt.Sprintf("sessions of %d", length),
		rule: func(r *rand.Rand, n int) bool {
			units, _, _ := evidence.Units(pairs(r, n), monday.Add(100_000*time.Hour))
			return crosses(evidence.Aimed, evidence.Differences(units), nil)
		},
		naive: map[string]func(*rand.Rand, int) bool{"one bet for each pair": func(r *rand.Rand, n int) bool {
			d := make([]float64, n)
			for i, p := range pairs(r, n) {
				d[i] = p.D
			}
			return crosses(evidence.Aimed, d, nil)
		}},
	}
}

// dayRow: pairs of a day share its weather; 100 a day, looked at every evening
// for 28 days.
func dayRow(sd float64, naiveFails bool) row {
	const perDay = 100
	look := func(r *rand.Rand, gated bool) bool {
		var d, means []float64
		for range 28 {
			weather, m := -margin+sd*r.NormFloat64(), 0.0
			for range perDay {
				v := ternary(r, weather, math.Max(.12, math.Abs(weather)))
				d = append(d, v)
				m += v / perDay
			}
			means = append(means, m)
		}
		first := evidence.New(evidence.Aimed, d, nil, 0).Against(margin, alpha).First
		if first == 0 {
			return false
		}
		return !gated || evidence.DayGate(means, margin, alpha, 0).Passed
	}
	x := row{name: fmt.Sprintf("days that differ by %.2f", sd), rule: func(r *rand.Rand, _ int) bool { return look(r, true) }}
	if naiveFails {
		x.naive = map[string]func(*rand.Rand, int) bool{"no day gate": func(r *rand.Rand, _ int) bool { return look(r, false) }}
	}
	return x
}

// worseRow: a candidate at the margin itself must not be called worse for the
// weather of some days; looked at every evening for 28 days.
func worseRow(sd float64) row {
	const perDay = 100
	look := func(r *rand.Rand, braked bool) bool {
		var d, means []float64
		for range 28 {
			weather, m := -margin+sd*r.NormFloat64(), 0.0
			for range perDay {
				v := ternary(r, weather, math.Max(.12, math.Abs(weather)))
				d = append(d, v)
				m += v / perDay
			}
			means = append(means, m)
		}
		first := evidence.Mirrored(evidence.Aimed, d, nil, 0).Against(-margin, alpha).First
		if first == 0 || !braked {
			return first > 0
		}
		return evidence.DaysBelow(means, margin, alpha)
	}
	return row{
		name:  fmt.Sprintf("called worse, on days that differ by %.2f", sd),
		rule:  func(r *rand.Rand, _ int) bool { return look(r, true) },
		naive: map[string]func(*rand.Rand, int) bool{"no days asked": func(r *rand.Rand, _ int) bool { return look(r, false) }},
	}
}

// samplingRow: quality is better at night, when sampling is denser.
func samplingRow() row {
	draw := func(r *rand.Rand, n int) (d, w []float64) {
		for i := 0; len(d) < n; i++ {
			good := drift(i, 500)
			p := .05
			if good > 0 {
				p = .2
			}
			if r.Float64() < p {
				d, w = append(d, ternary(r, -margin+.05*good, .2)), append(w, 1/p)
			}
		}
		return d, w
	}
	return row{
		name: "sampling denser where quality is better",
		rule: func(r *rand.Rand, n int) bool { d, w := draw(r, n); return crosses(evidence.Aimed, d, w) },
		naive: map[string]func(*rand.Rand, int) bool{"every pair weighs the same": func(r *rand.Rand, n int) bool {
			d, _ := draw(r, n)
			return crosses(evidence.Aimed, d, nil)
		}},
	}
}

// changeRow: a good snapshot is replaced by one at the margin.
func changeRow() row {
	const before = 300
	draw := func(r *rand.Rand, n int) []evidence.Unit {
		units := make([]evidence.Unit, before+n)
		for i := range units {
			at := monday.Add(time.Duration(i) * 10 * time.Minute)
			units[i] = evidence.Unit{At: at, Day: at, Weight: 1, Pairs: 1, Thing: evidence.Thing{Candidate: "new"}, D: ternary(r, -margin, .1)}
			if i < before {
				units[i].Thing.Candidate, units[i].D = "old", ternary(r, .05, .1)
			}
		}
		return units
	}
	return row{
		name: "a snapshot at the margin follows a good one",
		rule: func(r *rand.Rand, n int) bool {
			e := evidence.Current(draw(r, n))
			both := evidence.Differences(slices.Concat(e.Before, e.Units))
			return evidence.New(evidence.Aimed, both, nil, len(e.Before)).Against(margin, alpha).First > 0
		},
		naive: map[string]func(*rand.Rand, int) bool{"wealth goes on": func(r *rand.Rand, n int) bool {
			return crosses(evidence.Aimed, evidence.Differences(draw(r, n)), nil)
		}},
	}
}

func runChecks(t *testing.T, s size) {
	bound := most(s.streams)
	for _, x := range rows() {
		seed := uint64(crc32.ChecksumIEEE([]byte(x.name)))
		got := share(s.streams, seed, func(r *rand.Rand) bool { return x.rule(r, s.steps) })
		t.Logf("%-62s false GO %.4f (at most %.4f)", x.name, got, bound)
		if got > bound {
			t.Errorf("%s: false GO in %.4f of streams, at most %.4f", x.name, got, bound)
		}
		for name, run := range x.naive {
			bad := share(s.streams, seed, func(r *rand.Rand) bool { return run(r, s.steps) })
			t.Logf("%-62s        %.4f with %s", "", bad, name)
			if bad <= bound {
				t.Errorf("%s: %s passes the row (%.4f): the check proves nothing", x.name, name, bad)
			}
		}
	}
}

func TestFalseGo(t *testing.T) { runChecks(t, short) }

// TestBenchStatsFalseGo is TestFalseGo at full size; see `make bench-stats`.
func TestBenchStatsFalseGo(t *testing.T) {
	if os.Getenv("GNOMON_BENCH_STATS") == "" {
		t.Skip("set GNOMON_BENCH_STATS=1: minutes of simulation")
	}
	runChecks(t, full)
	fixed := share(full.streams, 99, func(r *rand.Rand) bool {
		return crosses(evidence.Fixed, fill(full.steps, func(i int) float64 { return ternary(r, -margin+.1*drift(i, 250), .3) }), nil)
	})
	t.Logf("%-62s false GO %.4f with the fixed mixture", "means that drift", fixed)
	for _, delta := range []float64{.02, .05} {
		for _, disc := range []float64{.05, .1, .2, .35} {
			median, p80 := speed(2000, delta, disc)
			n := evidence.SampleSize(alpha, .8, disc, 0, delta)
			t.Logf("margin %.2f discordance %.2f: pairs to a GO at D = 0, against the fixed test's %.0f: median %.2f, 80th percentile %.2f", delta, disc, n, median/n, p80/n)
		}
	}
}

// speed returns the median and 80th percentile of the number of pairs to a GO
// when there is no difference.
func speed(n int, delta, disc float64) (median, p80 float64) {
	times := make([]float64, n)
	for i := range times {
		r := stream(7<<40 + uint64(i))
		d := fill(int(6*evidence.SampleSize(alpha, .8, disc, 0, delta)), func(int) float64 { return ternary(r, 0, disc) })
		times[i] = math.Inf(1)
		if first := evidence.New(evidence.Aimed, d, nil, 0).Against(delta, alpha).First; first > 0 {
			times[i] = float64(first)
		}
	}
	slices.Sort(times)
	return times[n/2], times[n*4/5]
}

func TestBetsDecideAboutAsFastAsATestOfFixedSize(t *testing.T) {
	median, p80 := speed(300, .05, .2)
	n := evidence.SampleSize(alpha, .8, .2, 0, .05)
	if median > 1.25*n || p80 > 2.2*n {
		t.Errorf("pairs to a GO: median %.2f, 80th percentile %.2f of the fixed test's %.0f", median/n, p80/n, n)
	}
}
