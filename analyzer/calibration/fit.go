package calibration

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Observation is one graded pair: what the prior said and what came.
type Observation struct {
	Workload string
	Prior    float64 // any scale on which more means more
	Outcome  float64
	Weight   float64 // the inverse of the probability with which it was sampled; 0 = 1
	Cluster  string  // a session, all of which counts as one of its weight; empty: by itself
}

// Effect is what is taken of one workload.
type Effect struct {
	Pairs  int
	Level  float64 // outcome at the mean prior
	Centre float64 // mean prior
	Slope  float64 // outcome per unit of the prior, never below 0
	SE     float64 // standard error of Level, what is common to all workloads taken as known
}

// Model predicts outcomes.
type Model struct {
	Workloads map[string]Effect
	Other     Effect // of a workload without pairs
}

// Predict returns the outcome to expect for a prompt of a workload.
func (m *Model) Predict(workload string, prior float64) float64 {
	e, ok := m.Workloads[workload]
	if !ok {
		e = m.Other
	}
	return e.Level + e.Slope*(prior-e.Centre)
}

// sums are a workload's sufficient statistics.
type sums struct {
	name           string
	pairs          int
	n              float64 // effective: (Σw)²/Σw² over clusters (Kish)
	x, y           float64 // weighted means
	xx, xy, yy     float64 // about the means, scaled to n
	slope, slopeSE float64 // by least squares
	ranks          bool    // the prior varies enough for a slope
}

// typicalSpread is how much levels are taken to differ (a standard deviation)
// where workloads are too few to see it, and fewWorkloads how few those are.
// Graded benchmarks differ by .1 to .25 between subjects and tasks.
const (
	typicalSpread = .15
	fewWorkloads  = 4
)

// Fit estimates the effects. Without observations everything is 0. No slope is
// above steepest (1 where the prior is itself a calibrated forecast): pairs that
// the prior was fitted on make it look sharper than it is.
func Fit(obs []Observation, steepest float64) *Model {
	m := &Model{Workloads: map[string]Effect{}}
	all := gather(obs)
	if len(all) == 0 {
		return m
	}
	noise := residual(all)
	slope, slopeVar := slopes(all, noise)
	slope = min(slope, steepest)
	level, centre, across, levelVar := levels(all, noise, slope)
	m.Other = Effect{Level: level, Centre: centre, Slope: slope}
	for _, s := range all {
		own := s.n / noise // precision of the workload's own mean
		e := Effect{Pairs: s.pairs, Centre: s.x, Slope: slope}
		prior := level + across*(s.x-centre)
		e.Level, e.SE = blend(prior, 1/levelVar, s.y, own), 1/math.Sqrt(1/levelVar+own)
		if s.ranks && slopeVar > 0 {
			e.Slope = max(0, min(blend(slope, 1/slopeVar, s.slope, 1/(s.slopeSE*s.slopeSE)), steepest))
		}
		m.Workloads[s.name] = e
	}
	return m
}

// blend is the mean of two estimates by their precisions.
func blend(a, pa, b, pb float64) float64 {
	if math.IsInf(pa, 1) {
		return a
	}
	return (a*pa + b*pb) / (pa + pb)
}

// gather sums up by workload, in the order of their names.
func gather(obs []Observation) []sums {
	by := map[string][]Observation{}
	for _, o := range obs {
		if o.Weight == 0 {
			o.Weight = 1
		}
		if o.Weight > 0 && !math.IsInf(o.Weight, 0) && !math.IsNaN(o.Prior) && !math.IsNaN(o.Outcome) {
			by[o.Workload] = append(by[o.Workload], o)
		}
	}
	var all []sums
	for _, name := range slices.Sorted(maps.Keys(by)) {
		// A fixed order: sums of floats depend on it.
		slices.SortFunc(by[name], func(a, b Observation) int {
			return cmp.Or(cmp.Compare(a.Prior, b.Prior), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Cluster, b.Cluster))
		})
		all = append(all, sumUp(name, by[name]))
	}
	return all
}

func sumUp(name string, obs []Observation) sums {
	s := sums{name: name, pairs: len(obs)}
	var w, ww float64
	clusters := map[string]float64{}
	for _, o := range obs {
		w += o.Weight
		// (a+b)² less a² is b(2a+b): the square of a cluster's weight, as it grows.
		ww += o.Weight * (2*clusters[o.Cluster] + o.Weight)
		if o.Cluster != "" {
			clusters[o.Cluster] += o.Weight
		}
		s.x += o.Weight * o.Prior
		s.y += o.Weight * o.Outcome
	}
	s.n, s.x, s.y = w*w/ww, s.x/w, s.y/w
	for _, o := range obs {
		dx, dy, share := o.Prior-s.x, o.Outcome-s.y, o.Weight/w*s.n
		s.xx += share * dx * dx
		s.xy += share * dx * dy
		s.yy += share * dy * dy
	}
	if s.ranks = s.n >= 3 && s.xx > 1e-9; s.ranks {
		s.slope = s.xy / s.xx
	}
	return s
}

// residual is the variance of an outcome about its workload's line, pooled, and
// sets each slope's standard error by it.
func residual(all []sums) float64 {
	var left, freedom float64
	for _, s := range all {
		left += s.yy
		freedom += s.n - 1
		if s.ranks {
			left -= s.xy * s.xy / s.xx
			freedom--
		}
	}
	noise := max(left/max(freedom, 1), .01)
	for i := range all {
		if all[i].ranks {
			all[i].slopeSE = math.Sqrt(noise / all[i].xx)
		}
	}
	return noise
}

// slopes returns the common slope, shrunk towards 0 by its own uncertainty
// (positive-part James–Stein), and how much slopes differ between workloads
// (DerSimonian & Laird 1986).
func slopes(all []sums, noise float64) (common, between float64) {
	var p, px, pp, q, k float64
	for _, s := range all {
		if s.ranks {
			w := s.xx / noise
			p, px, pp, k = p+w, px+w*s.slope, pp+w*w, k+1
		}
	}
	if k == 0 {
		return 0, 0
	}
	common = px / p
	for _, s := range all {
		if s.ranks {
			q += s.xx / noise * (s.slope - common) * (s.slope - common)
		}
	}
	if scale := p - pp/p; scale > 0 {
		between = max(0, (q-(k-1))/scale)
	}
	if common <= 0 {
		return 0, between
	}
	variance := 1/p + between/k
	return common * max(0, 1-variance/(common*common)), between
}

// levels returns the mean level, the mean prior, how much a workload's level
// rises with its mean prior, and how much levels differ between workloads beyond
// that. A prior that knows the workloads has most of their differences in it.
func levels(all []sums, noise, within float64) (level, centre, across, between float64) {
	k := float64(len(all))
	weigh := func(between float64) (sxx, sxy, p float64) {
		p, level, centre = 0, 0, 0
		for _, s := range all {
			w := 1 / (between + noise/s.n)
			p, level, centre = p+w, level+w*s.y, centre+w*s.x
		}
		level, centre = level/p, centre/p
		for _, s := range all {
			w := 1 / (between + noise/s.n)
			sxx += w * (s.x - centre) * (s.x - centre)
			sxy += w * (s.x - centre) * (s.y - level)
		}
		return sxx, sxy, p
	}
	weigh(typicalSpread * typicalSpread)
	if k < fewWorkloads {
		return level, centre, within, typicalSpread * typicalSpread
	}
	between, across = typicalSpread*typicalSpread, within
	for range 20 { // each needs the other; a few rounds settle
		sxx, sxy, _ := weigh(between)
		across = within
		if sxx > 1e-9 {
			// Drawn towards the slope within workloads by its own uncertainty.
			apart := sxy/sxx - within
			across += apart * max(0, 1-1/(sxx*apart*apart+1e-12))
		}
		between = excess(all, noise, level, centre, across)
	}
	return level, centre, across, between
}

// excess is how much levels differ beyond their own noise (DerSimonian & Laird).
func excess(all []sums, noise, level, centre, across float64) float64 {
	var p, pp, q float64
	for _, s := range all {
		w, d := s.n/noise, s.y-level-across*(s.x-centre)
		p, pp, q = p+w, pp+w*w, q+w*d*d
	}
	return max((q-float64(len(all)-2))/(p-pp/p), 1e-4)
}
