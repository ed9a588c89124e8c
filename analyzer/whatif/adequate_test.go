package whatif

import (
	"math"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// TestExpectedQualityIsWhatTheProxiesExpect holds a point's chance against what
// Decide says of each routed request alone.
func TestExpectedQualityIsWhatTheProxiesExpect(t *testing.T) {
	l, q := traffic(t, 3000), question(t)
	for _, model := range []string{"gpt-4o", "gpt-4.1"} { // gpt-4o-mini stays without
		for _, candidate := range []string{"openai/gpt-4o-mini", "openai/gpt-4.1-mini"} {
			q.Parts.Evidence = append(q.Parts.Evidence, classifier.Evidence{Workload: "a", Provider: "openai", RequestModel: model, Candidate: candidate, Scorer: classifier.Builtin().Scorer(),
				Adequacy: schemas.Calibration{Pairs: 100, Level: 58_000, Lower: 55_000, Upper: 60_000, Centre: 20_000, Slope: 30_000}})
		}
	}
	r, err := Ask(t.Context(), l, q)
	if err != nil {
		t.Fatal(err)
	}
	parts := q.Parts
	parts.Prices, parts.DraftThreshold = q.Prices, .5
	s := classifier.NewSnapshot(parts)
	sum, n := 0.0, 0
	for _, row := range l.requests {
		c := &row.cell
		in := classifier.Inputs{Workload: c.Workload, Provider: c.Provider, RequestModel: c.RequestModel, Dialect: c.Dialect, Operation: c.Operation, Bypassed: c.Bypassed,
			Features: classifier.Features{Gates: c.Gates, PromptTokens: c.Longest}, Assessment: classifier.Assessment{Score: row.score}, Hour: uint32(c.Day.Unix() / 3600)}
		d := classifier.Decide(&in, s)
		if c.Workload != "a" || d.Route == "openai/"+c.RequestModel {
			continue
		}
		if !d.Adequate.Known {
			t.Fatalf("nothing is known of %s", d.Route)
		}
		sum, n = sum+float64(d.Adequate.P)/math.MaxUint16, n+1
	}
	for _, f := range r.Workloads {
		for _, p := range f.Points {
			switch {
			case f.Workload == "b" && p.Adequate != nil:
				t.Errorf("b: %+v of nothing graded", p.Adequate)
			case f.Workload != "a" || p.Threshold != .5:
			case p.Adequate == nil || math.Abs(p.Adequate.Point-sum/float64(n)) > .005 || p.Adequate.Lo >= p.Adequate.Point || p.Adequate.Hi <= p.Adequate.Point:
				t.Errorf("%+v, want %.4f over %d", p.Adequate, sum/float64(n), n)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d requests are routed", n)
	}
}
