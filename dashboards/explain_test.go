package dashboards

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// perToken prices every model of provider p at so many nano-USD a token.
type perToken map[string]schemas.NanoUSD

func (p perToken) Cost(provider, model, _ string, u schemas.Usage, _ time.Time) (total, output schemas.NanoUSD, err error) {
	rate, ok := p[provider+"/"+model]
	if !ok {
		return 0, 0, errors.New("unpriced")
	}
	return rate * schemas.NanoUSD(u.InputTokens+u.OutputTokens), 0, nil
}

func (perToken) Hash() uint64 { return 1 }

func TestExplainerPricesEachCandidateAndKeepsWhatWasRecorded(t *testing.T) {
	in := classifier.Inputs{Workload: "w", Provider: "p", RequestModel: "big", Operation: "chat"}
	ev := schemas.RequestEvent{Provider: "p", RequestModel: "big", Candidates: []string{"p/small", "p/unpriced", "p/tiny"}, WouldRoute: "p/tiny",
		Rejects: []schemas.Reject{schemas.RejectTools, schemas.RejectUnpriced, 0}, Usage: schemas.Usage{InputTokens: 90, CacheReadTokens: 80, OutputTokens: 10}, UsageSource: schemas.UsageProvider,
		BaselineCost: schemas.KnownUSD(5000), WouldCost: schemas.KnownUSD(77), ExpectedCost: schemas.KnownUSD(80), Inputs: in.AppendBinary(nil)}
	e := &Explainer{Prices: perToken{"p/small": 3, "p/tiny": 1}, Threshold: func(*schemas.RequestEvent) *float64 { return ptr(.4) },
		Expected: func(got *classifier.Inputs, names []string) (schemas.OptUSD, []schemas.OptUSD) {
			if got.RequestModel != "big" || len(names) != 3 {
				t.Errorf("%+v %v", got, names)
			}
			return schemas.KnownUSD(4000), []schemas.OptUSD{schemas.KnownUSD(300), {}, schemas.KnownUSD(1)}
		},
		Contributions: func(*classifier.Inputs) []Contribution { return []Contribution{{"turns", "2", -.1}} }}
	x, err := e.Explain(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	want := []CandidateLine{
		{Model: "p/big", Baseline: true, Seen: schemas.KnownUSD(5000), Expected: schemas.KnownUSD(4000)},
		{Model: "p/small", Reject: "tools", Why: schemas.RejectTools.Sentence(), Seen: schemas.KnownUSD(300), Expected: schemas.KnownUSD(300)},
		{Model: "p/unpriced", Reject: "unpriced", Why: schemas.RejectUnpriced.Sentence()},
		{Model: "p/tiny", Chosen: true, Seen: schemas.KnownUSD(77), Expected: schemas.KnownUSD(80)},
	}
	for i, l := range x.Candidates {
		if l != want[i] {
			t.Errorf("line %d is %+v, want %+v", i, l, want[i])
		}
	}
	if *x.Threshold != .4 || len(x.Contributions) != 1 {
		t.Errorf("%+v", x)
	}
	ev.Inputs = []byte{1, 2, 3}
	if x, err = e.Explain(t.Context(), ev); err == nil || len(x.Candidates) != 4 {
		t.Errorf("unreadable inputs: %v, %d lines", err, len(x.Candidates))
	}
}

func TestARequestThatStaysSaysWhy(t *testing.T) {
	h, f := newServer(t, func(c *Config, f *fake) { c.Explain = (&Explainer{}).Explain })
	f.requests[0].Candidates, f.requests[0].Rejects, f.requests[0].BaselineReject = nil, nil, schemas.RejectServerState
	f.requests[0].WouldRoute = f.requests[0].Provider + "/" + f.requests[0].RequestModel
	body := get(t, h, "/requests/"+f.requests[0].RequestID).Body.String()
	if !strings.Contains(body, schemas.RejectServerState.Sentence()) {
		t.Error("the reason why it is bound to its provider is not shown")
	}
}
