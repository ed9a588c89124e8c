package evidence

import "math"

// Finding is what a process says at its end.
type Finding struct {
	Bets       int
	Log        float64 // logarithm of the wealth against −margin, now
	LogMax     float64 // its maximum so far
	Confidence float64 // 1 − 1/max(1, highest wealth): evidence, not a probability
	First      int     // the bet, from 1, at which wealth first reached 1/alpha; 0: never
}

// Against plays the bets against D ≤ −margin.
func (p *Process) Against(margin, alpha float64) Finding {
	f := Finding{Bets: p.Len(), LogMax: 0}
	t, bar := 0, math.Log(1/alpha)
	p.trace(mean(-margin), func(logK float64) {
		t++
		f.Log = logK
		f.LogMax = math.Max(f.LogMax, logK)
		if f.First == 0 && logK >= bar {
			f.First = t
		}
	})
	f.Confidence = 1 - math.Exp(-f.LogMax)
	return f
}

// Path returns the logarithm of the wealth against D ≤ −margin after each bet.
func (p *Process) Path(margin float64) []float64 {
	path := make([]float64, 0, p.Len())
	p.trace(mean(-margin), func(logK float64) { path = append(path, logK) })
	return path
}

// Where bounds are looked for: means this near 0 or 1 are taken for it.
const edge = 1e-6

// gridSteps is the coarseness of the scan. The wealth need not be monotone in
// the mean that is bet against, so a bisection alone could step over the first
// mean that is not excluded.
const gridSteps = 100

// LowerNow returns the least D that the wealth at the last bet alone does not
// exclude at level alpha, to tol; −1 when nothing is excluded.
func (p *Process) LowerNow(alpha, tol float64) float64 {
	n, bar := p.Len(), math.Log(1/alpha)
	return p.search(tol, func(m float64) bool {
		_, last := p.walk(m, n, math.Inf(1))
		return last >= bar
	})
}

// search returns the least D whose mean is not excluded.
func (p *Process) search(tol float64, excluded func(m float64) bool) float64 {
	low := edge
	for k := range gridSteps + 1 {
		m := grid(k)
		if !excluded(m) {
			if k == 0 {
				return -1
			}
			return 2*bisect(low, m, tol/2, excluded) - 1
		}
		low = m
	}
	return 1
}

func grid(k int) float64 {
	return math.Min(math.Max(float64(k)/gridSteps, edge), 1-edge)
}

// bisect narrows the border between an excluded low and a high that is not, and
// returns the low end: a bound errs on the side that excludes less.
func bisect(low, high, tol float64, excluded func(m float64) bool) float64 {
	for high-low > tol {
		if mid := (low + high) / 2; excluded(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// Lower returns the anytime-valid lower bound of D at level 1 − alpha as it
// stood after each of the given numbers of bets (ascending), to tol: the least
// D that was not excluded by then. It never falls; −1 when nothing is excluded.
func (p *Process) Lower(alpha, tol float64, after ...int) []float64 {
	bar := math.Log(1 / alpha)
	firsts := make([]int, 0, gridSteps+1) // when the mean of each grid point was excluded
	longest := 0
	for _, n := range after {
		longest = max(longest, n)
	}
	out := make([]float64, len(after))
	for i, n := range after {
		k := 0
		for ; k <= gridSteps; k++ {
			if k == len(firsts) {
				first, _ := p.walk(grid(k), longest, bar)
				firsts = append(firsts, first)
			}
			if firsts[k] == 0 || firsts[k] > n {
				break
			}
		}
		switch {
		case k == 0:
			out[i] = -1
		case k > gridSteps:
			out[i] = 1
		default:
			low := grid(k - 1)
			if i > 0 && after[i-1] <= n { // the bound never falls
				low = math.Max(low, mean(out[i-1]))
			}
			out[i] = 2*bisect(low, math.Max(low, grid(k)), tol/2, func(m float64) bool {
				first, _ := p.walk(m, n, bar)
				return first > 0
			}) - 1
		}
	}
	return out
}

// Mirrored prepares the opposite bets, on −d: their lower bound, negated, is the
// upper bound of d.
func Mirrored(b Bettor, d, weights []float64, warm int) *Process {
	neg := make([]float64, len(d))
	for i, v := range d {
		neg[i] = -v
	}
	return New(b, neg, weights, warm)
}

// Upper returns the upper bounds of D for bets prepared by Mirrored; see Lower.
func (p *Process) Upper(alpha, tol float64, after ...int) []float64 {
	out := p.Lower(alpha, tol, after...)
	for i := range out {
		out[i] = -out[i]
	}
	return out
}
