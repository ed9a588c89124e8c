package evidence

import (
	"math"
	"sort"

	"gonum.org/v1/gonum/stat/distuv"
)

// SampleSize returns how many independent pairs a test of fixed size needs to
// show, with the given power, that D is above −margin at one-sided level alpha
// when its true mean is d and a share of pairs (discordance) differs at all:
// (z₁₋α + z_power)² (discordance − d²)/(d + margin)². It is infinite when d does
// not exceed −margin, and never below 1.
func SampleSize(alpha, power, discordance, d, margin float64) float64 {
	if d+margin <= 0 {
		return math.Inf(1)
	}
	z := distuv.UnitNormal.Quantile(1-alpha) + distuv.UnitNormal.Quantile(power)
	return math.Max(1, z*z*(discordance-d*d)/((d+margin)*(d+margin)))
}

// BenjaminiHochberg applies e-BH (Wang & Ramdas 2022) to e-values looked at
// once: it rejects the k largest, k the largest j whose j-th largest e-value is
// at least W/(alpha·j). The false discovery rate is at most alpha however the
// e-values depend on each other. It returns the rejected indices, ascending,
// and the threshold they met (+Inf when none did).
func BenjaminiHochberg(e []float64, alpha float64) (rejected []int, threshold float64) {
	order := make([]int, len(e))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return e[order[i]] > e[order[j]] })
	k, threshold := 0, math.Inf(1)
	for j := 1; j <= len(e); j++ {
		if t := float64(len(e)) / (alpha * float64(j)); e[order[j-1]] >= t {
			k, threshold = j, t
		}
	}
	rejected = order[:k]
	sort.Ints(rejected)
	return rejected, threshold
}

// EverLevel is the level at which each of w candidates is tested so that the
// chance that any of them is ever falsely declared, however often one looks, is
// at most alpha: wealth must reach w/alpha.
func EverLevel(alpha float64, w int) float64 { return alpha / float64(max(1, w)) }

// Graded is one request of a population of which some were graded.
type Graded struct {
	Mu          float64 // predicted value, from a model that has not seen this request's
	Probability float64 // with which it was to be graded
	Taken       bool
	Y           float64 // when Taken
}

// DoublyRobust estimates the population's mean of Y: right when either the
// probabilities or the predictions are. half is the half-width of the normal
// interval at level; ok is false when a probability is missing or impossible
// (no weighting repairs it), or fewer than two rows are given.
func DoublyRobust(rows []Graded, level float64) (estimate, se, half float64, ok bool) {
	n := float64(len(rows))
	if n < 2 {
		return 0, 0, 0, false
	}
	phi := make([]float64, len(rows))
	sum := 0.0
	for i, r := range rows {
		if !(r.Probability > 0 && r.Probability <= 1) {
			return 0, 0, 0, false
		}
		phi[i] = r.Mu
		if r.Taken {
			phi[i] += (r.Y - r.Mu) / r.Probability
		}
		sum += phi[i]
	}
	estimate = sum / n
	ss := 0.0
	for _, v := range phi {
		ss += (v - estimate) * (v - estimate)
	}
	se = math.Sqrt(ss / (n - 1) / n)
	return estimate, se, distuv.UnitNormal.Quantile((1+level)/2) * se, true
}
