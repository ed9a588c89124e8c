package training

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
)

// graded are n pairs of three workloads, of prompts made by arithmetic; worse
// says which cheap answers are worse.
func graded(n int, worse func(i int, p *Pair, d *dealer) bool) (pairs []Pair, bodies [][]byte) {
	d := dealer{41}
	for i := range n {
		prompt := fmt.Sprintf("Please %s the letter of customer %d", []string{"sort", "answer", "explain", "file"}[d.below(4)], d.below(900))
		for range d.below(30) {
			prompt += []string{" about the invoice", " which is late?", " 17", " since March,", "\nplease\n"}[d.below(5)]
		}
		body := ChatBody(prompt)
		f, a := classifier.Assess("openai.chat", body)
		p := Pair{Workload: fmt.Sprint("w", i%3), RequestModel: "big", Candidate: "openai/small", Cluster: fmt.Sprint("s", i/2), Probability: .25, Baseline: 1, Cheap: 1, Features: f, Assessment: a}
		if worse(i, &p, &d) {
			p.Cheap = 0
		}
		pairs, bodies = append(pairs, p), append(bodies, body)
	}
	return pairs, bodies
}

// The shipped weights know nothing of what makes these pairs hard.
func byLines(_ int, p *Pair, d *dealer) bool {
	return int(p.Features.Lexical[8])>>8 >= 2 == (d.below(10) > 1) // lines, by their power of two
}

func refitted(t *testing.T, pairs []Pair) (*Comparison, *classifier.Model) {
	t.Helper()
	c, w, err := Refit(pairs, classifier.Builtin(), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	m, err := classifier.ReadWeights(w.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return c, m
}

func TestRefitFindsWhatThePairsTell(t *testing.T) {
	pairs, bodies := graded(1200, byLines)
	c, m := refitted(t, pairs[:900])
	if c.Anew.Within < .65 || c.BetterLo < .03 || c.Better < c.BetterLo || c.Better > c.BetterHi || c.Anew.Error >= c.Levelled.Error {
		t.Errorf("%+v", c)
	}
	var worse, not []float64 // of pairs that the fit had not seen, by the file itself and from the bodies
	for i := 900; i < 1200; i++ {
		_, a := m.Assess("openai.chat", bodies[i])
		if pairs[i].Cheap < 1 {
			worse = append(worse, float64(a.Score))
		} else {
			not = append(not, float64(a.Score))
		}
	}
	if a := AUC(worse, not); math.Abs(a-c.Anew.Within) > .06 {
		t.Errorf("the file ranks new pairs with AUC %.3f; cross-validated it was %.3f", a, c.Anew.Within)
	}
}

// TestRefitFindsNothingWhereNothingIs: pairs whose outcomes are dealt at random.
// The interval has to say so; a fit that is asked of the pairs it was fitted on
// does not.
func TestRefitFindsNothingWhereNothingIs(t *testing.T) {
	if underRace {
		t.Skip("not under the race detector: CI runs it without (go test ./classifier/training)")
	}
	beyond := 0
	for k := range 12 {
		pairs, _ := graded(400, func(_ int, _ *Pair, d *dealer) bool { return (d.below(1000)+k*37)%1000 < 300 })
		c, _, err := Refit(pairs, classifier.Builtin(), Defaults())
		if errors.Is(err, ErrRows) {
			continue // nothing at all was found
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.BetterLo > 0 {
			beyond++
		}
		if c.Anew.Within > .62 {
			t.Errorf("deal %d: AUC %.3f of pairs that mean nothing", k, c.Anew.Within)
		}
		r := newRefitting(pairs, classifier.Builtin(), Defaults())
		b, said := r.fit(r.everything(), ownPenalties[0]), make([]float64, len(pairs))
		for i := range said {
			said[i] = r.gain(b, i)
		}
		if a := r.within(said, r.everything()); k == 0 && a < .55 {
			t.Errorf("asked of what it was fitted on: AUC %.3f; the check above would find nothing", a)
		}
	}
	if beyond > 2 { // 2.5 % each would be by chance
		t.Errorf("%d of 12 deals of chance are better beyond doubt", beyond)
	}
}

func TestRefitDoesNotDependOnTheOrderOfPairs(t *testing.T) {
	pairs, _ := graded(400, byLines)
	_, first := refitted(t, pairs)
	slices.Reverse(pairs)
	SortPairs(pairs)
	_, again := refitted(t, pairs)
	slices.Reverse(pairs)
	SortPairs(pairs)
	_, third := refitted(t, pairs)
	if !bytes.Equal(again.Weights().Encode(), third.Weights().Encode()) || first.Weights().Data != again.Weights().Data {
		t.Error("the same pairs gave other weights")
	}
}

func TestTooFewPairsToRefit(t *testing.T) {
	pairs, _ := graded(400, byLines)
	for i := range pairs {
		pairs[i].Cluster = "one"
	}
	for name, few := range map[string][]Pair{"few": pairs[:50], "one cluster": pairs} {
		if _, _, err := Refit(few, classifier.Builtin(), Defaults()); !errors.Is(err, ErrRows) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTheRankingIsThatOfTheTraffic: of hard prompts, which the score ranks the
// wrong way round, every pair is graded, of the others one in ten. Counted one
// each the score looks worse than chance; weighed by their probabilities the pairs
// say what the whole traffic says.
func TestTheRankingIsThatOfTheTraffic(t *testing.T) {
	d := dealer{5}
	var traffic, sampled, naive []Pair
	for i := range 4000 {
		hard := d.below(10) == 0
		p := Pair{Workload: "w", Candidate: "c", Cluster: fmt.Sprint("s", i), Probability: .1, Baseline: 1, Cheap: 1}
		p.Assessment.Score = uint16(d.below(65536))
		if d.below(65536) < int(p.Assessment.Score) != hard {
			p.Cheap = 0
		}
		if hard {
			p.Probability = 1
		}
		if d.below(1000) < int(1000*p.Probability) {
			sampled = append(sampled, p)
			p.Probability = 0
			naive = append(naive, p)
		}
		p.Probability = 1
		traffic = append(traffic, p)
	}
	rank := func(pairs []Pair) float64 {
		r := newRefitting(pairs, classifier.Builtin(), Defaults())
		return r.compared(r.inForce, math.NaN()).Within
	}
	whole, got, wrong := rank(traffic), rank(sampled), rank(naive)
	if math.Abs(got-whole) > .05 || wrong > got-.15 {
		t.Errorf("AUC %.3f of the traffic, %.3f of what was graded, %.3f without probabilities", whole, got, wrong)
	}
}

// TestSessionsAreNotDealtToTwoFolds: twenty prompts of a session share shape and
// outcome, and outcomes follow nothing. Where each pair goes to a fold of its own
// a fit knows the session of what it is asked, and looks better beyond doubt.
func TestSessionsAreNotDealtToTwoFolds(t *testing.T) {
	d := dealer{11}
	var pairs []Pair
	for s := range 30 {
		worth := float64(d.below(2))
		var f classifier.Features
		for j := range f.Lexical {
			f.Lexical[j] = int16(d.below(2000))
		}
		for k := range 20 {
			f.PromptHash = uint64(s*100 + k)
			pairs = append(pairs, Pair{Workload: "w", Candidate: "c", Cluster: fmt.Sprint("s", s), Baseline: 1, Cheap: worth, Features: f, Assessment: classifier.Assessment{Score: uint16(d.below(65536))}})
		}
	}
	compare := func() *Comparison {
		c, _, err := Refit(pairs, classifier.Builtin(), Defaults())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	grouped := compare()
	for i := range pairs {
		pairs[i].Cluster = ""
	}
	naive := compare()
	if grouped.Clusters != 30 || grouped.BetterLo > 0 || naive.Clusters != 600 || naive.BetterLo <= 0 {
		t.Errorf("by session %+v, by pair %+v", grouped, naive)
	}
	r := newRefitting(pairs, classifier.Builtin(), Defaults())
	if o := r.observations(r.everything()); o[0].Cluster == "" || o[0].Cluster == o[1].Cluster {
		t.Errorf("a pair without a session is no cluster: %+v", o[0])
	}
}

// TestKnotsFollowWeights: a pair of weight n counts as n pairs of weight 1.
func TestKnotsFollowWeights(t *testing.T) {
	var gain, weight, once []float64
	for i := range 300 {
		n := 1 + i%7
		gain, weight = append(gain, float64(i)/100), append(weight, float64(n))
		for range n {
			once = append(once, float64(i)/100)
		}
	}
	var a, b classifier.Weights
	setKnots(&a, gain, weight)
	setKnots(&b, once, nil)
	for k := range a.Knots {
		if d := a.Knots[k] - b.Knots[k]; max(d, -d) > 1320 { // two hundredths: two pairs on
			t.Errorf("knot %d: %d, counted out %d", k, a.Knots[k], b.Knots[k])
		}
	}
}
