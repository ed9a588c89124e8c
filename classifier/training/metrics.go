package training

import (
	"cmp"
	"math"
	"slices"
)

// Scored is one prompt as the metrics see it: how much a router says the strong
// model is needed, and what both answers were worth.
type Scored struct {
	Score        float64
	Strong, Weak float64
}

// Curve is quality over the share of strong calls, from none to all: prompts go
// to the strong model in falling order of their score. Equal scores are sent in
// random order, of which the curve is the mean.
type Curve struct {
	quality      []float64 // summed, after k strong calls
	weak, strong float64
}

// NewCurve ranks the prompts.
func NewCurve(rows []Scored) Curve {
	order := slices.Clone(rows)
	slices.SortStableFunc(order, func(a, b Scored) int { return cmp.Compare(b.Score, a.Score) })
	c := Curve{quality: make([]float64, len(order)+1)}
	for _, r := range order {
		c.weak += r.Weak
		c.strong += r.Strong
	}
	c.quality[0] = c.weak
	for i := 0; i < len(order); {
		j, gain := i, 0.0
		for ; j < len(order) && order[j].Score == order[i].Score; j++ {
			gain += order[j].Strong - order[j].Weak
		}
		for k := i; k < j; k++ {
			c.quality[k+1] = c.quality[k] + gain/float64(j-i)
		}
		i = j
	}
	return c
}

// PGR is the share of the quality gap that is regained when a share of calls, 0
// to 1, is strong (RouteLLM, arXiv 2406.18665).
func (c Curve) PGR(share float64) float64 {
	at := share * float64(len(c.quality)-1)
	k := min(int(at), len(c.quality)-2)
	q := c.quality[k] + (at-float64(k))*(c.quality[k+1]-c.quality[k])
	return (q - c.weak) / (c.strong - c.weak)
}

// APGR is the area under PGR over the share of strong calls, at 11 thresholds;
// random is 1/2.
func (c Curve) APGR() (area float64) {
	for k := range 10 {
		area += (c.PGR(float64(k)/10) + c.PGR(float64(k+1)/10)) / 20
	}
	return area
}

// CPT is the least share of strong calls, 0 to 1, that regains so much of the gap.
func (c Curve) CPT(regained float64) float64 {
	bar := c.weak + regained*(c.strong-c.weak)
	for k := 1; k < len(c.quality); k++ {
		if c.quality[k] >= bar {
			step := (bar - c.quality[k-1]) / (c.quality[k] - c.quality[k-1])
			return (float64(k-1) + step) / float64(len(c.quality)-1)
		}
	}
	return 1
}

// WeakShare is the greatest share of weak calls that costs no more than so much
// of the strong model's mean quality.
func (c Curve) WeakShare(loss float64) float64 {
	n := len(c.quality) - 1
	for k := range c.quality {
		if c.quality[k] >= c.strong-loss*float64(n) {
			return 1 - float64(k)/float64(n)
		}
	}
	return 0
}

// Forecast is a probability and what came.
type Forecast struct {
	P    float64
	Came bool
}

// ECE is the expected calibration error over 15 bins of equal width: how far,
// in the mean, probabilities are from frequencies.
func ECE(rows []Forecast) (e float64) {
	for _, b := range Reliability(rows) {
		e += b.N / float64(len(rows)) * math.Abs(b.P-b.Came)
	}
	return e
}

// Bin is one bin of a reliability diagram.
type Bin struct{ N, P, Came float64 }

// Reliability returns the bins that hold anything: mean forecast and frequency.
func Reliability(rows []Forecast) []Bin {
	var bins [15]Bin
	for _, r := range rows {
		b := &bins[max(0, min(int(r.P*15), 14))]
		b.N++
		b.P += r.P
		if r.Came {
			b.Came++
		}
	}
	var out []Bin
	for _, b := range bins {
		if b.N > 0 {
			out = append(out, Bin{b.N, b.P / b.N, b.Came / b.N})
		}
	}
	return out
}

// Brier is the mean squared error of the forecasts.
func Brier(rows []Forecast) (sum float64) {
	for _, r := range rows {
		d := r.P
		if r.Came {
			d = 1 - r.P
		}
		sum += d * d
	}
	return sum / float64(len(rows))
}

// AUC is the chance that one of high is above one of low, ties by half.
func AUC(high, low []float64) float64 {
	low = slices.Sorted(slices.Values(low))
	sum := 0.0
	for _, v := range high {
		below, _ := slices.BinarySearch(low, v)
		upTo, _ := slices.BinarySearchFunc(low, v, func(e, t float64) int {
			if e > t {
				return 1
			}
			return -1
		})
		sum += float64(below+upTo) / 2
	}
	return sum / float64(len(high)) / float64(len(low))
}
