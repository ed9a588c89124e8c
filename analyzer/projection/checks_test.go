package projection_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
)

// The checks of the intervals: histories made of requests with heavy tails, in
// days that depend on each other, of which the truth is known. Beside the rule
// stands the bootstrap of requests, which must fail the same rows.

func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }

// world is a way in which days and requests come about.
type world struct {
	name   string
	rho    float64 // AR(1) of the day's state
	week   [7]float64
	swing  float64 // how much the share routed differs on weekends, in logits
	pareto float64 // tail index of a request's cost; 0: lognormal with σ 1.6
}

var (
	even   = [7]float64{1, 1, 1, 1, 1, 1, 1}
	office = [7]float64{.25, 1.1, 1.15, 1.12, 1.08, .95, .35}
	monday = [7]float64{.1, 5, .1, .1, .1, .1, .1}
)

const (
	perDay     = 120 // requests
	shareSD    = .35 // of a day's share routed, in logits
	volumeSD   = .15 // of a day's volume, logarithm
	priceRatio = .1  // candidate's price per baseline's
)

// request is what one costs and would cost.
type request struct{ a, b float64 }

// history makes n days of requests.
func (w world) history(r *rand.Rand, n int) (days [][]request) {
	share, volume := r.NormFloat64(), r.NormFloat64()
	for t := range n {
		if t > 0 {
			k := math.Sqrt(1 - w.rho*w.rho)
			share, volume = w.rho*share+k*r.NormFloat64(), w.rho*volume+k*r.NormFloat64()
		}
		p := w.routed(share, t)
		size := w.week[t%7] * math.Exp(volumeSD*volume-volumeSD*volumeSD/2)
		day := make([]request, max(1, int(math.Round(perDay*size))))
		for i := range day {
			a := w.cost(r)
			b := a
			if r.Float64() < p {
				b = priceRatio * a
			}
			day[i] = request{a, b}
		}
		days = append(days, day)
	}
	return days
}

func (w world) routed(state float64, t int) float64 {
	x := .4 + shareSD*state
	if t%7 == 0 || t%7 == 6 {
		x += w.swing
	}
	return 1 / (1 + math.Exp(-x))
}

func (w world) cost(r *rand.Rand) float64 {
	if w.pareto > 0 {
		return math.Pow(1-r.Float64(), -1/w.pareto) - 1
	}
	return math.Exp(1.6*r.NormFloat64() - 1.28)
}

// truth is 1 − E[Σb]/E[Σa] over the weeks.
func (w world) truth() float64 {
	num, den := 0.0, 0.0
	for t := range 7 {
		p := 0.0
		const steps = 4000
		for i := range steps { // the share's mean over the state's distribution
			z := -6 + 12*(float64(i)+.5)/steps
			p += w.routed(z, t) * math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) * 12 / steps
		}
		num += w.week[t] * p * (1 - priceRatio)
		den += w.week[t]
	}
	return num / den
}

func sums(days [][]request) (a, b []float64) {
	for _, d := range days {
		x, y := 0.0, 0.0
		for _, q := range d {
			x += q.a
			y += q.b
		}
		a, b = append(a, x), append(b, y)
	}
	return a, b
}

// bootstrap is the interval that takes requests as the sampling unit.
func bootstrap(r *rand.Rand, days [][]request) (lo, hi float64) {
	all := slices.Concat(days...)
	const times = 200
	out := make([]float64, times)
	for k := range out {
		x, y := 0.0, 0.0
		for range all {
			q := all[r.IntN(len(all))]
			x += q.a
			y += q.b
		}
		out[k] = 1 - y/x
	}
	slices.Sort(out)
	return out[times*25/1000], out[times*975/1000]
}

// measured is what a number of histories showed.
type measured struct {
	cover, width, boot float64 // width: the median, as a multiple of the oracle's
}

func measure(w world, n, histories, boots int, seed uint64) (m measured) {
	truth := w.truth()
	points, widths := make([]float64, histories), make([]float64, histories)
	for h := range histories {
		r := stream(seed<<32 + uint64(h))
		days := w.history(r, n)
		a, b := sums(days)
		ratio, u := projection.Ratio(a, b)
		s, _ := projection.MeanSpread(a, u, .95)
		points[h], widths[h] = 1-ratio, 2*s.Half()
		if math.Abs(1-ratio-truth) <= s.Half() {
			m.cover += 1 / float64(histories)
		}
		if h < boots {
			if lo, hi := bootstrap(r, days); lo <= truth && truth <= hi {
				m.boot += 1 / float64(boots)
			}
		}
	}
	mse := 0.0
	for _, p := range points {
		mse += (p - truth) * (p - truth) / float64(histories)
	}
	slices.Sort(widths)
	m.width = widths[histories/2] / (2 * 1.96 * math.Sqrt(mse))
	return m
}

func worlds(rho float64) []world {
	return []world{
		{name: "even weeks", rho: rho, week: even},
		{name: "office weeks", rho: rho, week: office, swing: -.5},
		{name: "Pareto tail 1.8", rho: rho, week: even, pareto: 1.8},
	}
}

// runCoverage checks coverage and width of the share's interval.
func runCoverage(t *testing.T, histories, boots int, lengths []int, rhos []float64) {
	for _, n := range lengths {
		for _, rho := range rhos {
			for i, w := range worlds(rho) {
				m := measure(w, n, histories, boots, uint64(n*100+int(rho*10)*10+i))
				slack := 3 * math.Sqrt(.915*.085/float64(histories))
				if histories >= 2000 {
					slack = 0
				}
				name := fmt.Sprintf("%2d days, ρ %.1f, %s", n, rho, w.name)
				t.Logf("%-36s coverage %.3f, width %.2f of the oracle's, bootstrap of requests %.3f", name, m.cover, m.width, m.boot)
				widest := 1.6
				if n == projection.BlockDays && w.week != even {
					widest = 2
				}
				if n >= projection.BlockDays && rho <= .6 {
					if m.cover < .915-slack {
						t.Errorf("%s: coverage %.3f", name, m.cover)
					}
					if m.width > widest {
						t.Errorf("%s: width %.2f of the oracle's, at most %.1f", name, m.width, widest)
					}
				}
				if boots > 0 && rho >= .6 && n >= projection.BlockDays && m.boot >= .915 {
					t.Errorf("%s: the bootstrap of requests passes (%.3f): the check proves nothing", name, m.boot)
				}
			}
		}
	}
}

func TestCoverage(t *testing.T) { runCoverage(t, 250, 60, []int{14, 28}, []float64{.6}) }

func TestBenchStatsCoverage(t *testing.T) {
	benchStats(t)
	runCoverage(t, 2000, 300, []int{7, 14, 28, 56}, []float64{0, .3, .6, .8})
}

func benchStats(t *testing.T) {
	if os.Getenv("GNOMON_BENCH_STATS") == "" {
		t.Skip("set GNOMON_BENCH_STATS=1: minutes of simulation")
	}
}

// month returns how often the dollars of the next 30 days are covered, by the
// projection and by the interval of the mean alone, and the relative width.
func month(rho float64, week [7]float64, n, histories int, seed uint64) (cover, naive, width float64) {
	start := time.Date(2025, 11, 2, 0, 0, 0, 0, time.UTC) // a Sunday
	widths := make([]float64, histories)
	for h := range histories {
		r := stream(seed<<32 + uint64(h))
		z := r.NormFloat64()
		x, days := make([]float64, n+projection.Month), make([]time.Time, n+projection.Month)
		for t := range x {
			if t > 0 {
				z = rho*z + math.Sqrt(1-rho*rho)*r.NormFloat64()
			}
			// A day's state, and what some 400 heavy-tailed requests add to it.
			x[t] = 100 * week[t%7] * math.Exp(volumeSD*z-volumeSD*volumeSD/2) * math.Exp(.12*r.NormFloat64()-.0072)
			days[t] = start.AddDate(0, 0, t)
		}
		truth := 0.0
		for _, v := range x[n:] {
			truth += v
		}
		m := projection.ProjectMonth(days[:n], x[:n], .95)
		if math.Abs(m.Sum-truth) <= m.Half {
			cover += 1 / float64(histories)
		}
		if math.Abs(m.Sum-truth) <= m.Half/projection.Widening(n) {
			naive += 1 / float64(histories)
		}
		widths[h] = m.Half / m.Sum
	}
	slices.Sort(widths)
	return cover, naive, widths[histories/2]
}

func runMonth(t *testing.T, histories int, lengths []int, rhos []float64) {
	slack := 0.0
	if histories < 2000 {
		slack = 3 * math.Sqrt(.9*.1/float64(histories))
	}
	worst := 1.0
	for _, n := range lengths {
		for _, rho := range rhos {
			for i, w := range []struct {
				name string
				week [7]float64
			}{{"even weeks", even}, {"office weeks", office}, {"all on one weekday", monday}} {
				cover, naive, width := month(rho, w.week, n, histories, uint64(n*100+int(rho*10)*10+i+7000))
				name := fmt.Sprintf("%2d days, ρ %.1f, %s", n, rho, w.name)
				t.Logf("%-36s next month covered %.3f (without widening %.3f), ± %.0f %%", name, cover, naive, 100*width)
				if n >= projection.BlockDays && rho <= .6 && cover < .90-slack {
					t.Errorf("%s: the next month is covered in %.3f", name, cover)
				}
				if n >= projection.BlockDays && rho == .6 {
					worst = math.Min(worst, naive)
				}
			}
		}
	}
	if worst >= .90 {
		t.Errorf("without widening the rows pass (%.3f): the check proves nothing", worst)
	}
}

func TestNextMonth(t *testing.T) { runMonth(t, 400, []int{14, 20, 28, 56}, []float64{.6}) }

func TestBenchStatsNextMonth(t *testing.T) {
	benchStats(t)
	runMonth(t, 2000, []int{7, 14, 20, 28, 56}, []float64{0, .3, .6, .8})
}
