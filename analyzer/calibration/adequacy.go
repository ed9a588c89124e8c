package calibration

import (
	"math"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Pair is one graded pair as far as the chance goes that the candidate's answer
// is no worse.
type Pair struct {
	Group       string  // what has a level of its own: a workload, or a candidate in one
	Score       uint16  // of the request, in 1/65535, as the proxy's
	NoWorse     bool    // the candidate's answer was no worse than the baseline's
	Probability float64 // with which it was sampled; 0 = 1
	Session     string  // all of it is one piece of news; empty: by itself
}

// Adequacies are what to expect of requests by their scores: of each group, and
// of one of which nothing is graded.
type Adequacies struct {
	Groups map[string]schemas.Calibration
	Other  schemas.Calibration // Pairs is 0: no pair of its own speaks for it
}

// Adequacy calibrates the score by graded pairs, all groups at once: each is
// drawn towards what they have in common, by how much they are seen to differ.
// The prior is how little the score says that the strong model is needed.
//
// It is the one place where that is done: for what the analyzer tells the
// proxies, and for gnomon assess --evidence.
func Adequacy(pairs []Pair) Adequacies {
	obs := make([]Observation, len(pairs))
	for i, p := range pairs {
		obs[i] = Observation{Workload: p.Group, Prior: 1 - float64(p.Score)/math.MaxUint16, Cluster: p.Session}
		if p.NoWorse {
			obs[i].Outcome = 1
		}
		if p.Probability > 0 {
			obs[i].Weight = 1 / p.Probability
		}
	}
	m := Fit(obs, 1)
	out := Adequacies{Groups: map[string]schemas.Calibration{}, Other: fixed(m.Other)}
	for name, e := range m.Workloads {
		out.Groups[name] = fixed(e)
	}
	return out
}

// At is the chance for a request of a group, by its score, in 1/65535.
func (a *Adequacies) At(group string, score uint16) uint16 {
	c, ok := a.Groups[group]
	if !ok {
		c = a.Other
	}
	return c.At(score)
}

// z95 is the normal quantile of a two-sided interval of 95 %.
const z95 = 1.959964

// fixed puts an effect into the integers that decide.
func fixed(e Effect) schemas.Calibration {
	return schemas.Calibration{
		Pairs: uint32(min(e.Pairs, math.MaxUint32)), Level: part(e.Level), Lower: part(e.Level - z95*e.SE), Upper: part(e.Level + z95*e.SE),
		Centre: part(1 - e.Centre), Slope: part(e.Slope),
	}
}

// part is a share in 1/65535.
func part(x float64) uint16 { return uint16(math.Round(math.MaxUint16 * max(0, min(x, 1)))) }
