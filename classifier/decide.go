package classifier

import (
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// routable is the only operation that may ever be routed.
const routable = "chat"

// Decide chooses the route of a request, and says of every other candidate why
// it was not chosen. It is pure: the same Inputs and Snapshot give the same
// Decision everywhere, so the log can be decided again.
//
// What hardly any request could change (dialect, credential, price, known
// capabilities) is looked at first, then what the request needs, then the health of the
// target, the price of this request, and last the score. Evidence gates acting,
// never recording: without it the would-be route is named all the same.
func Decide(in *Inputs, s *Snapshot) Decision {
	plan, threshold, policy := s.choose(in.Workload, in.Provider, in.RequestModel)
	d := Decision{Mode: schemas.ModeObserve, Evidence: schemas.EvidenceNone, SnapshotHash: s.hash}
	if pp := s.policies[in.Workload]; pp != nil {
		d.Mode, d.PolicyVersion = pp.policy.Mode, pp.policy.Version
	}
	x := expectation{in: in, prices: s.parts.Prices, at: time.Unix(int64(in.Hour)*3600, 0)}
	if in.BaselineWarm {
		x.own = s.capability(in.Provider, in.RequestModel)
	}
	baseline, priced := x.baseline()
	d.Expected = schemas.OptUSD{Nano: baseline, Known: priced}
	if plan != nil {
		d.Candidates = plan.names
		d.Rejects = make([]schemas.Reject, len(plan.names))
	}
	if d.BaselineReject = stays(in, plan != nil && len(plan.names) > 0, priced); d.BaselineReject != schemas.RejectNone {
		for i := range d.Rejects {
			d.Rejects[i] = d.BaselineReject
		}
		d.Route = in.baselineName(plan)
		return d
	}
	chosen := -1
	for i := range plan.cands {
		c := &plan.cands[i]
		if chosen >= 0 {
			d.Rejects[i] = schemas.RejectBetterChoice
			continue
		}
		fact := s.evidence[evidenceKey{in.Workload, in.Provider, in.RequestModel, c.name}]
		cost, reject := weigh(in, c, i, &x, fact, baseline, policy != nil && policy.Override)
		if reject == schemas.RejectNone && uint32(in.Assessment.Score) >= threshold {
			reject = schemas.RejectScore
		}
		if reject == schemas.RejectNone || reject == schemas.RejectScore && !d.Adequate.Known {
			d.Adequate = fact.chance(in.Assessment.Score)
		}
		if d.Rejects[i] = reject; reject != schemas.RejectNone {
			continue
		}
		chosen = i
		d.Route, d.Expected = c.name, schemas.KnownUSD(cost)
		if fact.state != "" {
			d.Evidence = fact.state
		}
		d.Held = hold(in, &fact, policy)
	}
	if chosen < 0 {
		d.Route = in.baselineName(plan)
		return d
	}
	d.Act = d.Held == schemas.HeldNot
	return d
}

// hold says why the route to a candidate is not acted on, or that it is. What a
// person overrode with a policy is held by neither novelty nor evidence.
func hold(in *Inputs, fact *evidenceFact, policy *schemas.Policy) schemas.Held {
	if policy == nil || !policy.Override {
		novel, known := fact.novel(in)
		switch {
		case fact.stale != schemas.HeldNot:
			return fact.stale
		case known && novel:
			return schemas.HeldNovel
		case fact.state != schemas.EvidenceReady:
			return schemas.HeldEvidence
		case !known: // nothing is like what is not known
			return schemas.HeldNovel
		}
	}
	switch {
	case policy == nil || policy.Mode != schemas.ModeCanary && policy.Mode != schemas.ModeLive:
		return schemas.HeldMode
	case in.Arm != schemas.ArmTreated:
		return schemas.HeldArm
	}
	return schemas.HeldNot
}

// novel reports whether a prompt is unlike those that the evidence is of, and
// whether it is known at all what they are like.
func (f *evidenceFact) novel(in *Inputs) (novel, known bool) {
	if f.profile == nil {
		return false, false
	}
	s, known := Strangeness(&in.Features, in.Assessment.Task, f.profile)
	return s > f.profile.Bound, known
}

// Refused is the decision where none could be taken: the classifier failed, or
// took too long. The request goes to its baseline, for the reason given.
func Refused(in *Inputs, s *Snapshot, reason schemas.Reject) Decision {
	plan, _, _ := s.choose(in.Workload, in.Provider, in.RequestModel)
	d := Decision{Route: in.baselineName(plan), BaselineReject: reason, Mode: schemas.ModeObserve, Evidence: schemas.EvidenceNone, SnapshotHash: s.hash}
	if pp := s.policies[in.Workload]; pp != nil {
		d.Mode, d.PolicyVersion = pp.policy.Mode, pp.policy.Version
	}
	if plan != nil {
		d.Candidates, d.Rejects = plan.names, make([]schemas.Reject, len(plan.names))
		for i := range d.Rejects {
			d.Rejects[i] = reason
		}
	}
	return d
}

// baselineName is the route of a request that stays where it was sent.
func (in *Inputs) baselineName(p *plan) string {
	if p != nil && len(p.baseline) == len(in.Provider)+1+len(in.RequestModel) {
		return p.baseline // the same text, without building it again
	}
	return in.Provider + "/" + in.RequestModel
}

// stays says why a request is bound to its baseline whatever the candidates.
func stays(in *Inputs, known, priced bool) schemas.Reject {
	gates := in.Features.Gates
	switch {
	case in.Bypassed:
		return schemas.RejectBypassed
	case in.Operation != routable:
		return schemas.RejectOperation
	case gates&schemas.GateUnreadable != 0:
		return schemas.RejectUnreadable
	case gates&schemas.GateRepeatedKey != 0:
		return schemas.RejectRepeatedKey
	case gates&schemas.GateNoModel != 0:
		return schemas.RejectNoLadder
	case gates&schemas.GateServerState != 0:
		return schemas.RejectServerState
	case gates&schemas.GateSignedThinking != 0:
		return schemas.RejectSignedThinking
	case !known:
		return schemas.RejectNoLadder
	case !priced:
		return schemas.RejectUnpriced
	}
	return schemas.RejectNone
}

// weigh returns the candidate's expected cost, and why it cannot serve the
// request or would not be worth it.
func weigh(in *Inputs, c *candidate, i int, x *expectation, fact evidenceFact, baseline schemas.NanoUSD, override bool) (schemas.NanoUSD, schemas.Reject) {
	if r := reachable(in, c, i); r != schemas.RejectNone {
		return 0, r
	}
	cost, priced := x.candidate(c, i, fact)
	if !priced {
		return 0, schemas.RejectUnpriced
	}
	if c.cap == nil && !override {
		return 0, schemas.RejectUnknownCandidate
	}
	if c.cap != nil {
		if r := capable(in, c.cap); r != schemas.RejectNone {
			return 0, r
		}
	}
	if i < maxCandidates && in.Unhealthy&(1<<i) != 0 {
		return 0, schemas.RejectUnhealthy
	}
	if cost >= baseline || c.model == in.RequestModel && c.provider == in.Provider {
		return 0, schemas.RejectNotCheaper
	}
	return cost, schemas.RejectNone
}

// reachable says why a candidate at another provider cannot be asked: for want of
// a dialect, of a stored credential, or of a caller for whom it may be spent.
func reachable(in *Inputs, c *candidate, i int) schemas.Reject {
	if c.provider == in.Provider {
		return schemas.RejectNone // the caller speaks to it already
	}
	if c.at == nil {
		return schemas.RejectNoCredential
	}
	if !sayable(in, c.at) {
		return schemas.RejectDialect
	}
	if !c.at.Credential {
		return schemas.RejectNoCredential
	}
	if in.Features.Gates&schemas.GateAnonymous != 0 {
		return schemas.RejectAnonymous
	}
	if i < maxCandidates && in.Barred&(1<<i) != 0 {
		return schemas.RejectKeyScope
	}
	return schemas.RejectNone
}

// sayable reports whether a provider can be told the request: in its own words,
// or translated. What was never looked at counts as not translatable.
func sayable(in *Inputs, at *Provider) bool {
	for _, d := range at.Dialects {
		if d == in.Dialect || in.Features.Gates&translated[d] != 0 {
			return true
		}
	}
	return false
}

// translated are the gates that say a request can be put in a dialect.
var translated = map[string]schemas.Gate{
	"openai.chat": schemas.GateInOpenAI, "anthropic.messages": schemas.GateInAnthropic, "gemini.generate": schemas.GateInGemini,
}

// needs pairs what a request may need with the reason for refusing a model
// without it, in the order of DESIGN.md's capability gates.
var needs = [...]struct {
	gate   schemas.Gate
	reject schemas.Reject
}{
	{schemas.GateTools, schemas.RejectTools},
	{schemas.GateParallelTools, schemas.RejectParallelTools},
	{schemas.GateVision, schemas.RejectVision},
	{schemas.GateAudio, schemas.RejectAudio},
	{schemas.GateJSONMode, schemas.RejectJSONMode},
	{schemas.GateJSONSchema, schemas.RejectJSONSchema},
	{schemas.GateLogprobs, schemas.RejectLogprobs},
	{schemas.GateMultipleChoices, schemas.RejectMultipleChoices},
	{schemas.GateReasoning, schemas.RejectReasoning},
	{schemas.GatePrediction, schemas.RejectPrediction},
	{schemas.GateWebSearch, schemas.RejectWebSearch},
}

// What is taken for a model of which a limit is not known: the smallest of
// today's models.
const (
	smallContext = 8192
	smallOutput  = 4096
)

// capable says what the request needs that the model lacks.
func capable(in *Inputs, cap *Capability) schemas.Reject {
	f := &in.Features
	window, ceiling := uint64(cap.ContextWindow), cap.MaxOutput
	if window == 0 {
		window = smallContext
	}
	if ceiling == 0 {
		ceiling = smallOutput
	}
	// The prompt's length is predicted: a quarter more must fit, too.
	if uint64(f.PromptTokens)*5/4+uint64(f.MaxOutput) > window {
		return schemas.RejectContextWindow
	}
	missing := f.Gates &^ cap.Supports
	for _, n := range needs {
		if missing&n.gate != 0 {
			return n.reject
		}
	}
	if f.MaxOutput > ceiling {
		return schemas.RejectOutputCeiling
	}
	return schemas.RejectNone
}
