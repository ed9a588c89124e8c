package projection

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Ratio returns R = Σb/Σa and the linearised daily residuals
// u_t = (b_t − R a_t)/mean(a), whose mean is 0 and whose variation is R's.
// It is 1 with zero residuals when Σa is 0.
func Ratio(a, b []float64) (r float64, u []float64) {
	sa, sb := 0.0, 0.0
	for t := range a {
		sa += a[t]
		sb += b[t]
	}
	u = make([]float64, len(a))
	if sa == 0 {
		return 1, u
	}
	r = sb / sa
	m := sa / float64(len(a))
	for t := range a {
		u[t] = (b[t] - r*a[t]) / m
	}
	return r, u
}

// Blocks returns the means of u over q blocks of consecutive days; with
// n = kq + r days the first r blocks have k+1.
func Blocks(u []float64, q int) []float64 {
	out := make([]float64, q)
	k, r := len(u)/q, len(u)%q
	from := 0
	for j := range q {
		to := from + k
		if j < r {
			to++
		}
		out[j] = stat.Mean(u[from:to], nil)
		from = to
	}
	return out
}

// Spread is the uncertainty of a mean over days.
type Spread struct {
	SE float64
	DF float64
	T  float64 // quantile of Student's t
	// Early marks seven to thirteen days: an interval to be taken with care.
	Early  bool
	Blocks int // 0 when early
}

// Half is the half-width of the interval of the mean.
func (s Spread) Half() float64 { return s.T * s.SE }

// Next is the half-width for the mean of the next 30 days, after days observed:
// the mean's variance σ²/days and the month's own σ²/30.
func (s Spread) Next(days int) float64 { return s.Half() * Widening(days) }

// Widening is √(1 + days/30).
func Widening(days int) float64 { return math.Sqrt(1 + float64(days)/Month) }

// Month is the length of a projection in days.
const Month = 30

func quantile(level, df float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: df}.Quantile((1 + level) / 2)
}

// BlockSpread is Ibragimov and Müller's interval on q blocks.
func BlockSpread(u []float64, q int, level float64) Spread {
	_, sd := stat.MeanStdDev(Blocks(u, q), nil)
	df := float64(q - 1)
	return Spread{SE: sd / math.Sqrt(float64(q)), DF: df, T: quantile(level, df), Blocks: q}
}

// earlySpread takes days as an AR(1) series: they count as fewer, by their
// autocorrelation, which is corrected for its bias in short series.
func earlySpread(u []float64, level float64, parameters int) Spread {
	n := float64(len(u))
	m := stat.Mean(u, nil)
	c0, c1 := 0.0, 0.0
	for t, v := range u {
		c0 += (v - m) * (v - m)
		if t > 0 {
			c1 += (v - m) * (u[t-1] - m)
		}
	}
	rho := 0.0
	if c0 > 0 {
		rho = c1 / c0
	}
	rho = math.Min(math.Max(rho+(1+3*rho)/n, 0), maxRho)
	effective := n * (1 - rho) / (1 + rho)
	df := math.Max(1, math.Min(effective-1, n-float64(parameters)))
	sd := math.Sqrt(c0 / (n - float64(parameters)))
	return Spread{SE: sd / math.Sqrt(math.Max(effective, 2)), DF: df, T: quantile(level, df), Early: true}
}

// maxRho bounds what a dozen days can say of their autocorrelation.
const maxRho = 0.8

// Days with an interval, and with each number of blocks.
const (
	MinDays   = 7  // below: no interval
	BlockDays = 14 // from here on blocks
	WeekDays  = 28 // from here on blocks of whole weeks
	manyDays  = 56 // from here on more blocks
)

// blocksFor is how many blocks n days make.
func blocksFor(n int) int {
	switch {
	case n < manyDays:
		return 4
	case n < 2*manyDays:
		return 6
	default:
		return 8
	}
}

// Usable is how many of n days, the latest, are used: from 28 days on whole
// weeks, so that every block holds each weekday as often as the others.
func Usable(n int) int {
	if n < WeekDays {
		return n
	}
	return n - n%7
}

// weekSpread is BlockSpread on blocks of whole weeks.
func weekSpread(u []float64, level float64) Spread {
	weeks := Blocks(u, len(u)/7)
	q := blocksFor(len(u))
	s := BlockSpread(weeks, q, level)
	return s
}

// heavyDays is how many days the amount rests on: n when all are alike, 2 when
// two days hold nearly everything.
func heavyDays(x []float64) float64 {
	s, ss := 0.0, 0.0
	for _, v := range x {
		s += math.Abs(v)
		ss += v * v
	}
	if ss == 0 {
		return float64(len(x))
	}
	return s * s / ss
}

// atMost lowers the degrees of freedom to the whole ones that heavy days leave.
func (s Spread) atMost(df, level float64) Spread {
	if df = math.Max(1, math.Floor(df)); df < s.DF {
		s.DF, s.T = df, quantile(level, df)
	}
	return s
}

// MeanSpread is the uncertainty of the mean of daily residuals u of a Ratio over
// a (of a Usable number of days): blocks from 14 days on, of whole weeks from 28,
// an AR(1) approximation from 7. ok is false below. Where few days hold most of
// a, the interval is that of few days.
func MeanSpread(a, u []float64, level float64) (s Spread, ok bool) {
	switch n := len(u); {
	case n < MinDays:
		return Spread{}, false
	case n < BlockDays:
		s = earlySpread(u, level, 1)
	case n < WeekDays:
		s = BlockSpread(u, blocksFor(n), level)
	default:
		s = weekSpread(u, level)
	}
	return s.atMost(heavyDays(a)-1, level), true
}
