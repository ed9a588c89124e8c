package analyzer

import (
	"math"

	"github.com/gnomon-llm/gnomon/analyzer/calibration"
	"github.com/gnomon-llm/gnomon/analyzer/evidence"
	"github.com/gnomon-llm/gnomon/analyzer/familiar"
	"github.com/gnomon-llm/gnomon/schemas"
)

// adequacies calibrates the score by the pairs of every candidate of a project,
// all at once: each is drawn towards what they have in common, by how much they
// are seen to differ. The prior is how little the score says that the strong
// model is needed.
func (o *observed) adequacies(found []*quality) {
	var obs []calibration.Observation
	for i, q := range found {
		for _, p := range q.inForce {
			outcome := 0.0
			if p.D >= 0 {
				outcome = 1
			}
			obs = append(obs, calibration.Observation{Workload: o.keys[i].String(), Prior: 1 - p.Score, Outcome: outcome, Weight: 1 / p.Probability, Cluster: p.Cluster})
		}
	}
	fitted := calibration.Fit(obs, 1)
	for i, q := range found {
		if e, ok := fitted.Workloads[o.keys[i].String()]; ok {
			q.finding.Adequacy = fixed(e)
		}
	}
}

// profiles draws what each candidate's graded prompts look like.
func (o *observed) profiles(found []*quality) {
	for _, q := range found {
		var prompts []familiar.Seen
		for _, p := range q.inForce {
			if s, ok := familiar.Unpack(o.inputs[p.Request]); ok {
				s.Cluster = p.Cluster
				prompts = append(prompts, s)
			}
		}
		q.finding.Profile = familiar.Fit(prompts)
	}
}

// z95 is the normal quantile of a two-sided interval of 95 %.
const z95 = 1.959964

// fixed puts an effect into the integers that decide.
func fixed(e calibration.Effect) *schemas.Calibration {
	return &schemas.Calibration{
		Pairs: uint32(min(e.Pairs, math.MaxUint32)), Level: part(e.Level), Lower: part(e.Level - z95*e.SE), Upper: part(e.Level + z95*e.SE),
		Centre: part(1 - e.Centre), Slope: part(e.Slope),
	}
}

// part is a share in 1/65535.
func part(x float64) uint16 { return uint16(math.Round(math.MaxUint16 * max(0, min(x, 1)))) }

// scored is a pair with the score of its request.
type scored struct {
	evidence.Pair
	Score float64
}

// current are the pairs about what is in force, by the units of the epoch that
// are: of a failed candidate, that never said what it was, too.
func current(pairs []scored, e *evidence.Epoch) (out []scored) {
	thing := func(t evidence.Thing) evidence.Thing {
		if e.PromptVaries {
			t.Prompt = 0
		}
		return t
	}
	in := map[evidence.Thing]bool{}
	for _, u := range e.Units {
		t := thing(u.Thing)
		in[t] = true
		t.Candidate = ""
		in[t] = true
	}
	for _, p := range pairs {
		if in[thing(p.Thing)] {
			out = append(out, p)
		}
	}
	return out
}
