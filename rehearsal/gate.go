package rehearsal

import (
	"math"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The gate's bounds.
const (
	// gatePairs is how many baseline-against-baseline pairs it takes to open.
	gatePairs = 100
	// gateClosedShare is the least share of closed answers: below it a grader
	// of closed answers would judge a workload by a corner of it.
	gateClosedShare = 0.5
	// gateLater is the share of draws that go to the baseline once more after
	// the gate has taken its first decision: answers drift.
	gateLater = 0.1
	// gateWindow bounds the memory: pairs count half when it is full.
	gateWindow = 2000
	// gateWaiting bounds the grades that wait for the gate.
	gateWaiting = 5000
)

// gate holds what the baseline's second answers say of a grader in a workload:
// if a model does not agree with itself, disagreement with it means nothing.
//
// Pairs of before it opens are not lost: their grades wait, unseen, and are
// published once it does. It looks at the baseline alone, so which pairs count
// never depends on how a candidate did.
type gate struct {
	Pairs    int  `json:"pairs"`    // closed answers that were asked again and graded
	Differ   int  `json:"differ"`   // of these, how many got quality below 1
	Answers  int  `json:"answers"`  // baseline answers looked at
	Closed   int  `json:"closed"`   // of these, how many the grader applies to
	Open     bool `json:"open"`     // pairs are graded
	Shut     bool `json:"shut"`     // looked at in full, and found unfit
	Ungraded int  `json:"ungraded"` // pairs since it was shut

	waiting []schemas.Evaluation // graded, and published as ungraded so far
}

// wait keeps a grade until the gate opens.
func (g *gate) wait(e schemas.Evaluation) {
	if len(g.waiting) < gateWaiting {
		g.waiting = append(g.waiting, e)
	}
}

// release adds the grades that have waited to evs, in which the last of them may
// still be found ungraded.
func (g *gate) release(evs []schemas.Evaluation, now time.Time) []schemas.Evaluation {
	if !g.Open || len(g.waiting) == 0 {
		return evs
	}
	at := map[string]int{}
	for i := range evs {
		at[evs[i].EvaluationID] = i
	}
	for _, e := range g.waiting {
		e.GradedAt = now.UTC().Truncate(time.Millisecond)
		if i, ok := at[e.EvaluationID]; ok {
			evs[i] = e
		} else {
			evs = append(evs, e)
		}
	}
	g.waiting = nil
	return evs
}

// saw counts a drawn baseline answer.
func (g *gate) saw(applies bool) {
	g.Answers++
	if applies {
		g.Closed++
	}
	if g.Answers >= 2*gateWindow {
		g.Answers, g.Closed = g.Answers/2, g.Closed/2
	}
}

// compared counts a baseline-against-baseline pair and decides anew.
//
// The gate opens when, over at least gatePairs pairs, the disagreement is at
// most half the margin, and shuts when it is above that beyond doubt (a Wilson
// bound at 95 %). In between it stays as it is: one that is not decided yet goes
// on asking, and an open one does not flicker.
func (g *gate) compared(same bool, margin float64) {
	g.Pairs++
	if !same {
		g.Differ++
	}
	if g.Pairs >= gateWindow {
		g.Pairs, g.Differ = g.Pairs/2, g.Differ/2
	}
	g.decide(margin)
}

func (g *gate) decide(margin float64) {
	fits := g.Answers == 0 || float64(g.Closed) >= gateClosedShare*float64(g.Answers)
	switch {
	case !fits && g.Answers >= 2*gatePairs:
		// Hardly a closed answer: there will never be pairs enough.
		g.Open, g.Shut = false, true
	case g.Pairs < gatePairs:
		g.Open = false
	case fits && float64(g.Differ) <= margin/2*float64(g.Pairs):
		g.Open, g.Shut = true, false
	case wilsonLower(g.Differ, g.Pairs) > margin/2:
		g.Open, g.Shut = false, true
	}
	if g.Open {
		g.Ungraded = 0
	}
	if g.Shut {
		g.waiting = nil
	}
}

// share is the part of draws that also go to the baseline again.
func (g *gate) share() float64 {
	if g.Open || g.Shut {
		return gateLater
	}
	return 1
}

// wilsonLower is the one-sided 95 % Wilson bound below k of n.
func wilsonLower(k, n int) float64 {
	if n == 0 {
		return 0
	}
	const z = 1.6448536269514722
	nn, p := float64(n), float64(k)/float64(n)
	mid := p + z*z/(2*nn)
	half := z * math.Sqrt(p*(1-p)/nn+z*z/(4*nn*nn))
	return max(0, (mid-half)/(1+z*z/nn))
}
