package analyzer

import (
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/calibration"
	"github.com/gnomon-llm/gnomon/analyzer/evidence"
	"github.com/gnomon-llm/gnomon/analyzer/familiar"
)

// adequacies calibrates the score by the pairs of every candidate of a project.
func (o *observed) adequacies(found []*quality) {
	var pairs []calibration.Pair
	for i, q := range found {
		for _, p := range q.inForce {
			pairs = append(pairs, calibration.Pair{Group: o.keys[i].String(), Score: p.Score, NoWorse: p.D >= 0, Probability: p.Probability, Session: p.Cluster})
		}
	}
	fitted := calibration.Adequacy(pairs)
	for i, q := range found {
		if c, ok := fitted.Groups[o.keys[i].String()]; ok {
			q.finding.Adequacy = &c
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

// scored is a pair with the score of its request, and what was expected of it
// before it was graded.
type scored struct {
	evidence.Pair
	Score    uint16
	Expected *float32
	Recorded string // the workload's name when the request came
	Came     time.Time
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
