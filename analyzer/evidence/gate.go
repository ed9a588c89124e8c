package evidence

import (
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// GateDays are the days on which DayGate looks, each at a third of alpha.
var GateDays = [...]int{14, 21, 28}

// rounding is what floats may differ by when numbers are the same.
const rounding = 1e-12

// Gate is what the day gate says.
type Gate struct {
	Passed bool
	Failed bool // all looks are spent
	Day    int  // of the look that passed, or of the last that did not
	Next   int  // day of the next look; 0 when none is left
	T      float64
	P      float64 // one-sided, of the look at Day
}

// DayGate tests daily means of D against −margin: pairs of one day share its
// weather, which bets on pairs cannot see. It looks after 14, 21 and 28 days by a
// one-sided t at alpha/3 each, at the days that were then there; days already
// judged are not judged again. With early > 0 it looks once, after that many
// days, at alpha/3: for an observation ended early by a person.
func DayGate(means []float64, margin, alpha float64, early int) Gate {
	looks := GateDays[:]
	if early > 1 && early < GateDays[0] {
		looks = []int{early}
	}
	var g Gate
	for _, day := range looks {
		if len(means) < day {
			g.Next = day
			return g
		}
		g.Day = day
		g.T, g.P = aboveMargin(means[:day], margin)
		if g.P <= alpha/float64(len(GateDays)) {
			g.Passed = true
			return g
		}
	}
	g.Failed = true
	return g
}

// WorseDays are the days on which DaysBelow looks, each at a fifth of alpha.
var WorseDays = [...]int{3, 7, 14, 21, 28}

// DaysBelow is the gate on the other side: whether daily means have been below
// −margin, by a one-sided t at alpha/5 on one of WorseDays. Bets that say "worse"
// wait for it, so that a few bad days are not taken for the candidate.
func DaysBelow(means []float64, margin, alpha float64) bool {
	neg := make([]float64, len(means))
	for i, m := range means {
		neg[i] = -m
	}
	for _, day := range WorseDays {
		if len(neg) < day {
			return false
		}
		if _, p := aboveMargin(neg[:day], -margin); p <= alpha/float64(len(WorseDays)) {
			return true
		}
	}
	return false
}

// aboveMargin is the one-sided t-test of mean > −margin.
func aboveMargin(means []float64, margin float64) (t, p float64) {
	n := float64(len(means))
	m, sd := stat.MeanStdDev(means, nil)
	if sd < rounding { // days all alike
		if m > -margin+rounding {
			return math.Inf(1), 0
		}
		return math.Inf(-1), 1
	}
	t = (m + margin) / (sd / math.Sqrt(n))
	return t, distuv.StudentsT{Sigma: 1, Nu: n - 1}.Survival(t)
}

// DaySD estimates the day-to-day standard deviation of E[D]: what daily means
// vary by beyond what their own pairs explain. days holds the units' D by day.
// ok is false below two days or when no day has two units.
func DaySD(days [][]float64) (sd float64, ok bool) {
	means := make([]float64, 0, len(days))
	ss, df := 0.0, 0
	invert := 0.0
	for _, d := range days {
		if len(d) == 0 {
			continue
		}
		m := stat.Mean(d, nil)
		means = append(means, m)
		invert += 1 / float64(len(d))
		for _, v := range d {
			ss += (v - m) * (v - m)
		}
		df += len(d) - 1
	}
	if len(means) < 2 || df == 0 {
		return 0, false
	}
	within := ss / float64(df) * invert / float64(len(means))
	return math.Sqrt(math.Max(0, stat.Variance(means, nil)-within)), true
}
