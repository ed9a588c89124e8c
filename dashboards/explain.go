package dashboards

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// request reads one request and takes its decision apart.
func (s *server) request(ctx context.Context, project, id string) (requestAnswer, error) {
	if _, err := uuid.Parse(id); err != nil {
		return requestAnswer{}, &Error{Code: "bad_request_id", Message: "That is not a request id.", Hint: "Copy it from the x-gnomon-request-id header of an answer."}
	}
	ev, err := s.data(ctx).Request(ctx, project, id)
	if err != nil {
		return requestAnswer{}, err
	}
	x, note := Explanation{}, ""
	if s.Explain != nil {
		if x, err = s.Explain(ctx, ev); err != nil { // what it did find stays
			note = "The decision could not be taken apart further: " + err.Error()
		}
	}
	if len(x.Candidates) == 0 {
		x.Candidates = linesOf(&ev)
	}
	if note != "" {
		x.Note = note
	}
	x.Candidates, x.Contributions = orEmpty(x.Candidates), orEmpty(x.Contributions)
	return requestAnswer{ev, x}, nil
}

// linesOf tells of the candidates what the event itself holds: the expected
// cost is recorded for the chosen route only.
func linesOf(ev *schemas.RequestEvent) []CandidateLine {
	baseline := baselineOf(ev)
	lines := []CandidateLine{{Model: baseline, Seen: ev.BaselineCost, Baseline: true, Chosen: ev.WouldRoute == baseline || ev.WouldRoute == ""}}
	if lines[0].Chosen {
		lines[0].Expected = ev.ExpectedCost
	}
	if ev.BaselineReject != schemas.RejectNone {
		lines[0].Reject, lines[0].Why = ev.BaselineReject.Code(), ev.BaselineReject.Sentence()
	}
	for i, c := range ev.Candidates {
		l := CandidateLine{Model: c}
		if i < len(ev.Rejects) && ev.Rejects[i] != schemas.RejectNone {
			l.Reject, l.Why = ev.Rejects[i].Code(), ev.Rejects[i].Sentence()
		} else if c == ev.WouldRoute {
			l.Chosen, l.Expected, l.Seen = true, ev.ExpectedCost, ev.WouldCost
		}
		lines = append(lines, l)
	}
	return lines
}

// baselineOf names what the caller asked for as provider/model.
func baselineOf(ev *schemas.RequestEvent) string {
	if ev.BaselineProvider != "" {
		return ev.BaselineProvider + "/" + ev.RequestModel
	}
	return ev.Provider + "/" + ev.RequestModel
}

// rejectWords lists all reject codes for messages and the filter.
func rejectWords() string { return strings.Join(rejectCodes(), ", ") }

func rejectCodes() []string {
	var out []string
	for r := schemas.RejectNone + 1; ; r++ {
		c := r.Code()
		if c == "unknown" {
			return out
		}
		out = append(out, c)
	}
}

// rejectSentence finds the sentence of a code as it stands in a verdict.
func rejectSentence(code string) string {
	for r := schemas.RejectNone; ; r++ {
		switch r.Code() {
		case code:
			return r.Sentence()
		case "unknown":
			return "A reason of a newer gnomon."
		}
	}
}

// collective says what is in a workload that holds what could not be told apart;
// empty of any other.
func collective(workload string) string {
	switch workload {
	case "~no-system-prompt":
		return "Requests without a feature header, system prompt, tools or answer's format: nothing tells what they are for. Sending x-gnomon-feature tells them apart."
	case "~unnamed":
		return "Requests without a feature header whose body gnomon does not read: another kind of call, or one too large or too odd. They are recorded and never routed."
	case "~other":
		return "Requests without a feature header beyond the 500 workloads that a project may have discovered. Sending x-gnomon-feature tells them apart."
	case "other":
		return "Requests whose feature header names one of more than 10,000 workloads: those past the bound are counted together."
	}
	return ""
}

// gateNames lists what a request needs, in words.
func gateNames(g schemas.Gate) []string {
	words := []string{"tools", "parallel tools", "vision", "audio", "JSON mode", "JSON schema", "log probabilities", "several choices", "reasoning",
		"signed thinking", "state at the provider", "a repeated key", "an unreadable body", "no model", "a predicted output", "provider-side tools"}
	var out []string
	for i, w := range words {
		if g&(1<<i) != 0 {
			out = append(out, w)
		}
	}
	return out
}

// Explainer takes recorded decisions apart with today's classifier and prices.
// What a part cannot tell is left unknown, and shown as not recorded.
type Explainer struct {
	// Prices prices each candidate for the tokens that were used.
	Prices classifier.Pricer
	// Expected prices baseline and candidates, in the event's order, as the
	// decision did before the answer was known; nil leaves all but the chosen
	// route's unknown.
	Expected func(in *classifier.Inputs, candidates []string) (baseline schemas.OptUSD, each []schemas.OptUSD)
	// Contributions says what each feature added to the score; nil: not shown.
	Contributions func(in *classifier.Inputs) []Contribution
	// Threshold is the one in force for the event's policy version; nil: not shown.
	Threshold func(ev *schemas.RequestEvent) *float64
}

// Explain implements Config.Explain.
func (e *Explainer) Explain(_ context.Context, ev schemas.RequestEvent) (Explanation, error) {
	x := Explanation{Candidates: linesOf(&ev)}
	if e.Threshold != nil {
		x.Threshold = e.Threshold(&ev)
	}
	for i := range x.Candidates {
		if l := &x.Candidates[i]; !l.Seen.Known {
			l.Seen = e.seen(&ev, l.Model)
		}
	}
	var in classifier.Inputs
	if len(ev.Inputs) == 0 {
		return x, nil
	}
	if err := in.UnmarshalBinary(ev.Inputs); err != nil {
		return x, fmt.Errorf("its inputs cannot be read: %w", err)
	}
	if e.Contributions != nil {
		x.Contributions = e.Contributions(&in)
	}
	if e.Expected == nil {
		return x, nil
	}
	baseline, each := e.Expected(&in, ev.Candidates)
	if !x.Candidates[0].Expected.Known {
		x.Candidates[0].Expected = baseline
	}
	for i, cost := range each {
		if i+1 < len(x.Candidates) && !x.Candidates[i+1].Expected.Known {
			x.Candidates[i+1].Expected = cost
		}
	}
	return x, nil
}

// seen prices a model for the tokens that were used, none of them from a cache
// it may not have had: what it would have cost at most.
func (e *Explainer) seen(ev *schemas.RequestEvent, name string) schemas.OptUSD {
	provider, model, ok := strings.Cut(name, "/")
	if !ok || e.Prices == nil || ev.UsageSource == schemas.UsageNone {
		return schemas.OptUSD{}
	}
	u := ev.Usage
	u.CacheReadTokens, u.CacheWriteTokens, u.CacheWrite1hTokens = 0, 0, 0
	total, _, err := e.Prices.Cost(provider, model, "", u, ev.Ts)
	return schemas.OptUSD{Nano: total, Known: err == nil}
}

// FeatureValue parts "how long the prompt is (1,234 words)" into the feature and
// its value; what has no value keeps its words.
func FeatureValue(text string) (feature, value string) {
	if at := strings.Index(text, " ("); at > 0 && strings.HasSuffix(text, ")") {
		return text[:at], text[at+2 : len(text)-1]
	}
	return text, ""
}
