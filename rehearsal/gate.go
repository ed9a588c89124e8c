package rehearsal

import "math"

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
)

// gate holds what the baseline's second answers say of a grader in a workload:
// if a model does not agree with itself, disagreement with it means nothing.
type gate struct {
	Pairs    int  `json:"pairs"`    // closed answers that were asked again and graded
	Differ   int  `json:"differ"`   // of these, how many got quality below 1
	Answers  int  `json:"answers"`  // baseline answers looked at
	Closed   int  `json:"closed"`   // of these, how many the grader applies to
	Open     bool `json:"open"`     // pairs are graded
	Shut     bool `json:"shut"`     // looked at in full, and found unfit
	Ungraded int  `json:"ungraded"` // pairs since the workload is known to fit no grader
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
// most half the margin. Once open it shuts only when the disagreement is above
// half the margin beyond doubt (a Wilson bound at 95 %), so that a gate near
// its bound does not flicker and choose which pairs count.
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
	case g.Open && fits:
		if wilsonLower(g.Differ, g.Pairs) > margin/2 {
			g.Open, g.Shut = false, true
		}
	case g.Pairs >= gatePairs:
		g.Open = fits && float64(g.Differ) <= margin/2*float64(g.Pairs)
		g.Shut = !g.Open
	case g.Answers >= 2*gatePairs && !fits:
		g.Open, g.Shut = false, true // hardly a closed answer: there will never be enough pairs
	default:
		g.Open = false
	}
	if g.Open {
		g.Ungraded = 0
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
