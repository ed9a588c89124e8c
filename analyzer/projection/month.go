package projection

import (
	"math"
	"time"

	"gonum.org/v1/gonum/stat"
)

// Rhythm says how the days of a series are compared with each other.
type rhythm struct {
	group  func(d time.Time) int
	groups int
}

// The rhythms of a week: all days alike, working days and weekends, each
// weekday by itself.
var (
	noRhythm      = rhythm{func(time.Time) int { return 0 }, 1}
	weekendRhythm = rhythm{func(d time.Time) int {
		if w := d.Weekday(); w == time.Saturday || w == time.Sunday {
			return 1
		}
		return 0
	}, 2}
	weekdayRhythm = rhythm{func(d time.Time) int { return int(d.Weekday()) }, 7}
)

// MonthSum projects the sum of a daily amount over the 30 days that follow.
type MonthSum struct {
	Sum    float64
	Half   float64 // half-width of the interval of that sum; 0 when OK is false
	OK     bool    // seven days or more
	Early  bool    // fewer than fourteen
	Method string

	rhythm rhythm
}

// Apply projects another amount of the same days with the same rhythm, so that
// the sum of two projected amounts is the projection of their sum.
func (m MonthSum) Apply(days []time.Time, x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	means, _ := m.rhythm.fit(days, x)
	return m.rhythm.month(days[len(days)-1], means)
}

// ProjectMonth projects daily amounts x, of days in order (a Usable number of
// them; days missing between them were not observed), over the 30 days after the
// last. The interval is of that sum, which will vary by itself, and not of the
// mean.
//
// The weekly rhythm is taken out before days are compared: weekends against
// working days while there are few weeks, each weekday where that tells far
// more, and blocks of whole weeks from 28 days on.
func ProjectMonth(days []time.Time, x []float64, level float64) MonthSum {
	n := len(x)
	switch {
	case n == 0:
		return MonthSum{rhythm: noRhythm, Method: "nothing observed"}
	case n < MinDays:
		m := noRhythm.project(days, x, Spread{})
		m.OK, m.Half, m.Method = false, 0, "mean of the days observed; no interval below 7 days"
		return m
	case n < BlockDays:
		r := weekendRhythm
		if !r.covers(days) {
			r = noRhythm
		}
		_, u := r.fit(days, x)
		m := r.project(days, x, earlySpread(u, level, r.groups).atMost(heavyDays(x)-1, level))
		m.Method = "Student's t on days, taken as AR(1), weekends apart (early: 7 to 13 days)"
		return m
	case n < WeekDays:
		return blocksOfDays(days, x, level)
	default:
		_, u := weekdayRhythm.fit(days, x)
		m := weekdayRhythm.project(days, x, weekSpread(u, level).atMost(heavyDays(x)-1, level))
		m.Method = "Student's t on blocks of whole weeks"
		return m
	}
}

// muchBetter is how many times narrower the weekday rhythm must be to replace
// that of weekends: a choice by less would be a choice of luck.
const muchBetter = 2

func blocksOfDays(days []time.Time, x []float64, level float64) MonthSum {
	r := weekendRhythm
	if !r.covers(days) {
		r = noRhythm
	}
	m := r.project(days, x, r.blockSpread(days, x, level, 3))
	m.Method = "Student's t on 4 blocks of days, weekends apart"
	if !weekdayRhythm.covers(days) {
		return m
	}
	// With two weeks the second's residuals mirror the first's: of four block
	// means two are free.
	df := 3.0
	if len(x) < 3*7 {
		df = 2
	}
	w := weekdayRhythm.project(days, x, weekdayRhythm.blockSpread(days, x, level, df))
	if w.Half*muchBetter < m.Half {
		w.Method = "Student's t on 4 blocks of days, each weekday by itself"
		return w
	}
	return m
}

// blockSpread is that of four blocks of what is left when the rhythm is taken
// out, made up for the rhythm having been fitted to the same days.
func (r rhythm) blockSpread(days []time.Time, x []float64, level, df float64) Spread {
	_, u := r.fit(days, x)
	s := BlockSpread(u, 4, level)
	n := float64(len(x))
	s.SE *= math.Sqrt(n / (n - float64(r.groups)))
	s.DF, s.T = df, quantile(level, df)
	return s.atMost(heavyDays(x)-1, level)
}

// covers reports whether each group has at least two days, as it must to say
// anything of how days of it vary.
func (r rhythm) covers(days []time.Time) bool {
	count := make([]int, r.groups)
	for _, d := range days {
		count[r.group(d)]++
	}
	for _, c := range count {
		if c < 2 {
			return false
		}
	}
	return true
}

// fit returns the groups' means and what is left of x. A group without a day has
// the mean of all.
func (r rhythm) fit(days []time.Time, x []float64) (means, rest []float64) {
	means, count := make([]float64, r.groups), make([]float64, r.groups)
	for t, d := range days {
		means[r.group(d)] += x[t]
		count[r.group(d)]++
	}
	for g := range means {
		if count[g] > 0 {
			means[g] /= count[g]
		} else {
			means[g] = stat.Mean(x, nil)
		}
	}
	rest = make([]float64, len(x))
	for t, d := range days {
		rest[t] = x[t] - means[r.group(d)]
	}
	return means, rest
}

// month sums the groups' means over the 30 days after last.
func (r rhythm) month(last time.Time, means []float64) float64 {
	sum := 0.0
	for i := 1; i <= Month; i++ {
		sum += means[r.group(last.AddDate(0, 0, i))]
	}
	return sum
}

func (r rhythm) project(days []time.Time, x []float64, s Spread) MonthSum {
	m := MonthSum{rhythm: r, OK: true, Early: s.Early}
	m.Sum = m.Apply(days, x)
	m.Half = Month * s.Next(len(x))
	return m
}
