package classifier

import (
	"errors"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

var errUnpriced = errors.New("no price")

const everything = schemas.GateTools | schemas.GateParallelTools | schemas.GateVision | schemas.GateAudio | schemas.GateJSONMode | schemas.GateJSONSchema |
	schemas.GateLogprobs | schemas.GateMultipleChoices | schemas.GateReasoning | schemas.GatePrediction | schemas.GateWebSearch

// testParts is a project with a ladder of two at its own provider and one
// candidate each at another provider of the same and of another dialect.
func testParts() Parts {
	return Parts{
		Project: "shop",
		Ladders: []Ladder{
			{Baseline: "openai/big", Candidates: []string{"openai/mid", "openai/small"}},
			{Baseline: "openai/other", Candidates: []string{"anthropic/claude", "groq/llama", "nowhere/model", "openai/small"}},
			{Baseline: "openai/odd", Candidates: []string{"openai/unpriced", "openai/unknown", "openai/dear", "openai/odd"}},
			{Baseline: "openai/unpriced", Candidates: []string{"openai/small"}},
		},
		Capabilities: []Capability{
			{Model: "openai/mid", Supports: everything, ContextWindow: 100_000, MaxOutput: 8_000},
			{Model: "openai/small", Supports: schemas.GateTools | schemas.GateJSONMode, ContextWindow: 16_000, MaxOutput: 4_000},
			{Model: "openai/dear", Supports: everything, ContextWindow: 100_000, MaxOutput: 8_000},
			{Model: "openai/odd", Supports: everything, ContextWindow: 100_000, MaxOutput: 8_000},
			{Model: "anthropic/claude", Supports: everything, ContextWindow: 100_000, MaxOutput: 8_000},
			{Model: "groq/llama", Supports: everything, ContextWindow: 100_000, MaxOutput: 8_000},
		},
		Providers: []Provider{
			{Name: "openai", Dialects: []string{"openai.chat"}}, {Name: "anthropic", Dialects: []string{"anthropic.messages"}, Credential: true},
			{Name: "groq", Dialects: []string{"openai.chat"}},
		},
		Evidence: []Evidence{{Workload: "proven", Provider: "openai", RequestModel: "big", Candidate: "openai/mid", State: schemas.EvidenceReady, OutputRatio: 1.5, Scorer: builtin.Scorer(),
			Adequacy: schemas.Calibration{Pairs: 400, Level: 60_000, Lower: 58_000, Upper: 61_000, Centre: 20_000, Slope: 13_107}},
			{Workload: "guarded", Provider: "openai", RequestModel: "big", Candidate: "openai/mid", State: schemas.EvidenceReady, Profile: testProfile(), Scorer: builtin.Scorer()},
			{Workload: "rolled-back", Provider: "openai", RequestModel: "big", Candidate: "openai/mid", State: schemas.EvidenceReady, Profile: wideProfile(), Scorer: builtin.Scorer()}},
		Policies: []schemas.Policy{
			{Project: "shop", Workload: "proven", Version: 3, Mode: schemas.ModeLive, Candidate: "openai/mid", Threshold: 0.8, Share: 5000, Control: 500, Salt: []byte("s")},
			{Project: "shop", Workload: "guarded", Version: 1, Mode: schemas.ModeLive, Candidate: "openai/mid", Threshold: 1, Share: 5000, Control: 500, Salt: []byte("s")},
			{Project: "shop", Workload: "unproven", Version: 2, Mode: schemas.ModeCanary, Candidate: "openai/mid", Threshold: 0.8, Share: 5000, Salt: []byte("s")},
			{Project: "shop", Workload: "forced", Version: 1, Mode: schemas.ModeLive, Candidate: "openai/unknown", Threshold: 1, Share: 10000, Salt: []byte("s"), Override: true},
			{Project: "shop", Workload: "watched", Version: 4, Mode: schemas.ModeObserve, Candidate: "openai/small", Threshold: 0.1},
			{Project: "shop", Workload: "rolled-back", Version: 5, Mode: schemas.ModeObserve},
			{Project: "shop", Workload: "one-model", Version: 6, Mode: schemas.ModeLive, Candidate: "openai/mid", RequestModel: "openai/other", Threshold: 1, Override: true},
			{Project: "another", Workload: "faq", Version: 9, Mode: schemas.ModeLive, Candidate: "openai/small", Threshold: 1, Override: true},
		},
		Prices: fixedPrices{"big": {5000, 15000}, "big-2026-01-31": {5000, 15000}, "other": {5000, 15000}, "odd": {5000, 15000}, "mid": {1000, 4000}, "small": {150, 600}, "unknown": {10, 20},
			"dear": {6000, 15000}, "claude": {1000, 5000}, "llama": {50, 80}, "model": {1, 1}},
		DraftThreshold: 0.5,
	}
}

// testProfile is of prompts like testInputs', of a template of their own.
func testProfile() schemas.Profile {
	f := testInputs().Features
	p := schemas.Profile{Features: Version, Pairs: 80, Task: []uint32{1000, 90_000}, Templates: []uint64{0, 77}, Bound: 20_000}
	for i, x := range f.Shape() {
		p.Middle, p.Scale = append(p.Middle, x+int32(i)), append(p.Scale, 64*65536/256+uint32(i))
	}
	return p
}

// wideProfile is of so many kinds of prompts that only one with three figures
// out of all bounds is unlike them: it notices where a figure stops counting.
func wideProfile() schemas.Profile {
	p := testProfile()
	p.Task, p.Templates, p.Bound = nil, nil, 140_000
	return p
}

func testInputs() Inputs {
	return Inputs{Workload: "faq", Provider: "openai", RequestModel: "big", Dialect: "openai.chat", Operation: "chat",
		Features: Features{PromptTokens: 1000, Turns: 1, Bytes: 4000}, Assessment: Assessment{Score: 20_000, Version: Version}, Arm: schemas.ArmNone, Hour: 496_000}
}

func withGates(g schemas.Gate) func(*Inputs) {
	return func(in *Inputs) { in.Features.Gates = g }
}

func treatedIn(workload string) func(*Inputs) {
	return func(in *Inputs) { in.Workload, in.Arm = workload, schemas.ArmTreated }
}

const (
	baseline = "openai/big"
	better   = schemas.RejectBetterChoice
)

var decisions = []struct {
	name    string
	change  func(*Inputs)
	route   string
	rejects []schemas.Reject
	stays   schemas.Reject
	act     bool
}{
	{"without a policy the first candidate of the ladder is the would-be route, and nobody acts", nil, "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"a dated snapshot of the baseline has its ladder", func(in *Inputs) { in.RequestModel = "big-2026-01-31" }, "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"a score above the draft threshold stays", func(in *Inputs) { in.Assessment.Score = 32_768 }, baseline, []schemas.Reject{schemas.RejectScore, schemas.RejectScore}, 0, false},
	{"a score at the draft threshold goes", func(in *Inputs) { in.Assessment.Score = 32_767 }, "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"a bypassed request stays", func(in *Inputs) { in.Bypassed = true }, baseline, []schemas.Reject{schemas.RejectBypassed, schemas.RejectBypassed}, schemas.RejectBypassed, false},
	{"embeddings are never routed", func(in *Inputs) { in.Operation = "embeddings" }, baseline, []schemas.Reject{schemas.RejectOperation, schemas.RejectOperation}, schemas.RejectOperation, false},
	{"a body that is no JSON stays", withGates(schemas.GateUnreadable), baseline, []schemas.Reject{schemas.RejectUnreadable, schemas.RejectUnreadable}, schemas.RejectUnreadable, false},
	{"a repeated top-level key stays", withGates(schemas.GateRepeatedKey), baseline, []schemas.Reject{schemas.RejectRepeatedKey, schemas.RejectRepeatedKey}, schemas.RejectRepeatedKey, false},
	{"signed thinking stays with its model", withGates(schemas.GateSignedThinking), baseline, []schemas.Reject{schemas.RejectSignedThinking, schemas.RejectSignedThinking}, schemas.RejectSignedThinking, false},
	{"a turn with state at its provider stays", withGates(schemas.GateServerState), baseline, []schemas.Reject{schemas.RejectServerState, schemas.RejectServerState}, schemas.RejectServerState, false},
	{"an unknown model stays", func(in *Inputs) { in.RequestModel = "never-heard" }, "openai/never-heard", nil, schemas.RejectNoLadder, false},
	{"an unpriced baseline stays: savings cannot be told", func(in *Inputs) { in.RequestModel = "unpriced" }, "openai/unpriced", []schemas.Reject{schemas.RejectUnpriced}, schemas.RejectUnpriced, false},
	{"an image goes to a candidate that can see", withGates(schemas.GateVision), "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"what the first candidate lacks the next may have", func(in *Inputs) { in.Unhealthy = 1 }, "openai/small", []schemas.Reject{schemas.RejectUnhealthy, 0}, 0, false},
	{"each candidate has its own reason", func(in *Inputs) { in.Unhealthy = 1; in.Features.Gates = schemas.GateVision }, baseline, []schemas.Reject{schemas.RejectUnhealthy, schemas.RejectVision}, 0, false},
	{"tools come before the image in the reasons", func(in *Inputs) {
		in.Unhealthy = 1
		in.Features.Gates = schemas.GateVision | schemas.GateParallelTools | schemas.GateTools
	}, baseline, []schemas.Reject{schemas.RejectUnhealthy, schemas.RejectParallelTools}, 0, false},
	{"a prompt that might not fit is not tried", func(in *Inputs) { in.Features.PromptTokens = 90_000 }, baseline, []schemas.Reject{schemas.RejectContextWindow, schemas.RejectContextWindow}, 0, false},
	{"requested output counts towards the window", func(in *Inputs) { in.Features.PromptTokens, in.Features.MaxOutput = 78_000, 3_000 }, baseline, []schemas.Reject{schemas.RejectContextWindow, schemas.RejectContextWindow}, 0, false},
	{"more output than the candidate's ceiling is refused", func(in *Inputs) { in.Features.MaxOutput = 10_000 }, baseline, []schemas.Reject{schemas.RejectOutputCeiling, schemas.RejectOutputCeiling}, 0, false},
	{"another dialect, another provider without a credential, a provider that is not there", func(in *Inputs) { in.RequestModel = "other" }, "openai/small",
		[]schemas.Reject{schemas.RejectDialect, schemas.RejectNoCredential, schemas.RejectNoCredential, 0}, 0, false},
	{"another dialect that the request can be said in is as good as its own", func(in *Inputs) { in.RequestModel, in.Features.Gates = "other", schemas.GateInAnthropic }, "anthropic/claude",
		[]schemas.Reject{0, better, better, better}, 0, false},
	{"nobody's request goes to another provider, and to another model of its own", func(in *Inputs) {
		in.RequestModel, in.Features.Gates = "other", schemas.GateInAnthropic|schemas.GateAnonymous
	}, "openai/small",
		[]schemas.Reject{schemas.RejectAnonymous, schemas.RejectNoCredential, schemas.RejectNoCredential, 0}, 0, false},
	{"a key that may not spend there goes nowhere else", func(in *Inputs) { in.RequestModel, in.Features.Gates, in.Barred = "other", schemas.GateInAnthropic, 1 }, "openai/small",
		[]schemas.Reject{schemas.RejectKeyScope, schemas.RejectNoCredential, schemas.RejectNoCredential, 0}, 0, false},
	{"at its own provider nobody is barred", func(in *Inputs) { in.Barred, in.Features.Gates = 3, schemas.GateAnonymous }, "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"that it can be said in a third dialect helps nobody", func(in *Inputs) { in.RequestModel, in.Features.Gates = "other", schemas.GateInGemini }, "openai/small",
		[]schemas.Reject{schemas.RejectDialect, schemas.RejectNoCredential, schemas.RejectNoCredential, 0}, 0, false},
	{"unpriced, unknown, dearer, the same model", func(in *Inputs) { in.RequestModel = "odd" }, "openai/odd",
		[]schemas.Reject{schemas.RejectUnpriced, schemas.RejectUnknownCandidate, schemas.RejectNotCheaper, schemas.RejectNotCheaper}, 0, false},
	{"proven, but nobody knows by what prompts: held", treatedIn("proven"), "openai/mid", []schemas.Reject{0}, 0, false},
	{"a prompt like those that were graded acts", treatedIn("guarded"), "openai/mid", []schemas.Reject{0}, 0, true},
	{"of another graded template, too", func(in *Inputs) { treatedIn("guarded")(in); in.Features.SystemPrint = 77 }, "openai/mid", []schemas.Reject{0}, 0, true},
	{"a template that was not graded is novel: its route is recorded, and nobody acts", func(in *Inputs) { treatedIn("guarded")(in); in.Features.SystemPrint = 78 }, "openai/mid", []schemas.Reject{0}, 0, false},
	{"a prompt of another shape is novel", func(in *Inputs) { treatedIn("guarded")(in); in.Features.Lexical[0], in.Features.Lexical[3] = 900, -900 }, "openai/mid", []schemas.Reject{0}, 0, false},
	{"a task that was not graded is novel", func(in *Inputs) { treatedIn("guarded")(in); in.Assessment.Task = TaskChat }, "openai/mid", []schemas.Reject{0}, 0, false},
	{"control records the route and does not act", func(in *Inputs) { in.Workload, in.Arm = "proven", schemas.ArmControl }, "openai/mid", []schemas.Reject{0}, 0, false},
	{"outside the experiment the route is recorded only", func(in *Inputs) { in.Workload = "proven" }, "openai/mid", []schemas.Reject{0}, 0, false},
	{"evidence of one model does not speak for its snapshot", func(in *Inputs) { treatedIn("proven")(in); in.RequestModel = "big-2026-01-31" }, "openai/mid", []schemas.Reject{0}, 0, false},
	{"without evidence nobody acts", treatedIn("unproven"), "openai/mid", []schemas.Reject{0}, 0, false},
	{"an override acts without evidence, on a candidate of which nothing is known", treatedIn("forced"), "openai/unknown", []schemas.Reject{0}, 0, true},
	{"an override does not make a bypassed request move", func(in *Inputs) { treatedIn("forced")(in); in.Bypassed = true }, baseline, []schemas.Reject{schemas.RejectBypassed}, schemas.RejectBypassed, false},
	{"an override works for a baseline in no ladder, if it has a price", func(in *Inputs) { treatedIn("forced")(in); in.RequestModel = "dear" }, "openai/unknown", []schemas.Reject{0}, 0, true},
	{"an observing policy's candidate and threshold hold for the would-be route", func(in *Inputs) { treatedIn("watched")(in) }, baseline, []schemas.Reject{schemas.RejectScore}, 0, false},
	{"a policy that names no candidate observes under the draft", treatedIn("rolled-back"), "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"a policy for another model does not apply", treatedIn("one-model"), "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"a policy for provider/model applies to it", func(in *Inputs) { treatedIn("one-model")(in); in.RequestModel = "other" }, "openai/mid", []schemas.Reject{0}, 0, true},
	{"another project's policy is not ours", treatedIn("faq"), "openai/mid", []schemas.Reject{0, better}, 0, false},
	{"a warm cache at the baseline makes moving dearer", func(in *Inputs) {
		in.Features.PromptTokens, in.Features.LastUserBytes, in.BaselineWarm = 50_000, 100, true
		in.Features.MaxOutput = 10
	}, baseline, []schemas.Reject{schemas.RejectNotCheaper, schemas.RejectContextWindow}, 0, false},
	{"and a warm cache at the candidate cheaper again", func(in *Inputs) {
		in.Features.PromptTokens, in.Features.LastUserBytes, in.BaselineWarm, in.CacheWarm = 50_000, 100, true, 1
		in.Features.MaxOutput = 10
	}, "openai/mid", []schemas.Reject{0, better}, 0, false},
}

// TestEvidenceHoldsForWhatItIsOf changes one thing that ready evidence rests on at
// a time: its route is recorded, and nobody acts on it.
func TestEvidenceHoldsForWhatItIsOf(t *testing.T) {
	other := *builtin
	other.hash++
	named := func(names ...Name) func(*Parts) { return func(p *Parts) { p.Names = names } }
	of := func(members ...string) func(*Parts) { return func(p *Parts) { p.Evidence[1].Members = members } }
	overridden := func(p *Parts) { p.Policies[1].Override = true }
	for _, row := range []struct {
		name   string
		change []func(*Parts)
		held   schemas.Held
		state  schemas.EvidenceState
	}{
		{"as it was gathered", nil, schemas.HeldNot, schemas.EvidenceReady},
		{"other weights score the requests", []func(*Parts){func(p *Parts) { p.Model = &other }}, schemas.HeldWeights, schemas.EvidenceStale},
		{"the evidence is of a build with other features", []func(*Parts){func(p *Parts) { p.Evidence[1].Scorer.Version-- }}, schemas.HeldWeights, schemas.EvidenceStale},
		{"the evidence does not say whose scores it is of", []func(*Parts){func(p *Parts) { p.Evidence[1].Scorer = schemas.Scorer{} }}, schemas.HeldWeights, schemas.EvidenceStale},
		{"other weights that the evidence is of, too", []func(*Parts){func(p *Parts) { p.Model, p.Evidence[1].Scorer = &other, other.Scorer() }}, schemas.HeldNot, schemas.EvidenceReady},
		{"a workload was merged into it", []func(*Parts){named(Name{"~found", "guarded"})}, schemas.HeldMembers, schemas.EvidenceStale},
		{"one more was merged into it", []func(*Parts){named(Name{"~a", "guarded"}, Name{"~b", "guarded"}), of("~a")}, schemas.HeldMembers, schemas.EvidenceStale},
		{"one was taken from it", []func(*Parts){named(Name{"~a", "guarded"}), of("~a", "~b")}, schemas.HeldMembers, schemas.EvidenceStale},
		{"it was judged with what was merged into it", []func(*Parts){named(Name{"~b", "guarded"}, Name{"~a", "guarded"}), of("~b", "~a")}, schemas.HeldNot, schemas.EvidenceReady},
		{"a workload was named otherwise that has nothing to do with it", []func(*Parts){named(Name{"~found", "letters"})}, schemas.HeldNot, schemas.EvidenceReady},
		{"the evidence is of the same model at another provider", []func(*Parts){func(p *Parts) { p.Evidence[1].Provider = "azure" }}, schemas.HeldEvidence, schemas.EvidenceNone},
		{"a person overrode", []func(*Parts){overridden, func(p *Parts) { p.Model = &other }}, schemas.HeldNot, schemas.EvidenceStale},
		{"it was never ready, whoever scores", []func(*Parts){func(p *Parts) { p.Evidence[1].State, p.Model = schemas.EvidenceCollecting, &other }}, schemas.HeldEvidence, schemas.EvidenceCollecting},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := testParts()
			p.Evidence[1].Adequacy = schemas.Calibration{Pairs: 9, Level: 60_000}
			for _, change := range row.change {
				change(&p)
			}
			s, in := NewSnapshot(p), testInputs()
			treatedIn("guarded")(&in)
			d := Decide(&in, s)
			if d.Route != "openai/mid" || d.Held != row.held || d.Act != (row.held == schemas.HeldNot) || d.Evidence != row.state {
				t.Errorf("to %s, held %q, acts %v, evidence %s; want held %q, %s", d.Route, d.Held, d.Act, d.Evidence, row.held, row.state)
			}
			// What is expected of a score is known of the scores that it was fitted to alone.
			if sameScores := row.state != schemas.EvidenceNone && p.Evidence[1].Scorer == s.Scorer(); d.Adequate.Known != sameScores {
				t.Errorf("expects %+v", d.Adequate)
			}
			stale := s.Stale()
			about := len(stale) > 0 && slices.ContainsFunc(stale, func(x Stale) bool {
				return x.Workload == "guarded" && x.Why == row.held && x.Acts
			})
			if want := row.state == schemas.EvidenceStale && row.held != schemas.HeldNot; about != want {
				t.Errorf("stale: %+v", stale)
			}
		})
	}
}

// TestEachProviderOfAModelHasItsOwnEvidence has one model at two providers in one
// workload, one proven and one worse.
func TestEachProviderOfAModelHasItsOwnEvidence(t *testing.T) {
	p := testParts()
	p.Ladders = append(p.Ladders, Ladder{Baseline: "azure/big", Candidates: []string{"openai/mid"}})
	p.Providers[0].Credential = true
	there := p.Evidence[1]
	there.Provider, there.State = "azure", schemas.EvidenceWorse
	p.Evidence = append(p.Evidence, there)
	s := NewSnapshot(p)
	for provider, want := range map[string]schemas.EvidenceState{"openai": schemas.EvidenceReady, "azure": schemas.EvidenceWorse} {
		in := testInputs()
		treatedIn("guarded")(&in)
		in.Provider = provider
		if d := Decide(&in, s); d.Route != "openai/mid" || d.Evidence != want || d.Act != (want == schemas.EvidenceReady) {
			t.Errorf("%s: to %s, evidence %s, act %v, held %s", provider, d.Route, d.Evidence, d.Act, d.Held)
		}
	}
}

// TestAPartOfATokenCountsAsOne prices answers of a measured length: what is
// expected is never below what the length says.
func TestAPartOfATokenCountsAsOne(t *testing.T) {
	for _, row := range []struct {
		ratio   float64
		ceiling uint32
		want    int64
	}{{1, 3, 3}, {.666667, 3, 3}, {.666666, 3, 2}, {1.5, 3, 5}, {1.5, 4, 6}, {.000001, 1, 1}, {0, 7, 7}} {
		p, in := testParts(), testInputs()
		p.Evidence[0].OutputRatio = row.ratio
		in.Workload, in.Features.MaxOutput = "proven", row.ceiling
		d := Decide(&in, NewSnapshot(p))
		if want := schemas.KnownUSD(schemas.NanoUSD(1000*1000 + 4000*row.want)); d.Expected != want {
			t.Errorf("%v times %d tokens: expected %v, want %d tokens: %v", row.ratio, row.ceiling, d.Expected, row.want, want)
		}
	}
}

func TestDecide(t *testing.T) {
	s := NewSnapshot(testParts())
	for _, row := range decisions {
		t.Run(row.name, func(t *testing.T) {
			in := testInputs()
			if row.change != nil {
				row.change(&in)
			}
			d := Decide(&in, s)
			if d.Route != row.route || !slices.Equal(d.Rejects, row.rejects) || d.BaselineReject != row.stays || d.Act != row.act {
				t.Errorf("got %s rejects %v, stays %v, act %v\nwant %s rejects %v, stays %v, act %v", d.Route, codes(d.Rejects), d.BaselineReject.Code(), d.Act,
					row.route, codes(row.rejects), row.stays.Code(), row.act)
			}
			if len(d.Candidates) != len(d.Rejects) || d.SnapshotHash != s.Hash() {
				t.Errorf("%d candidates, %d reasons, snapshot %x", len(d.Candidates), len(d.Rejects), d.SnapshotHash)
			}
			if got := s.CandidatesFor(in.Workload, in.Provider, in.RequestModel); !slices.Equal(got, d.Candidates) {
				t.Errorf("CandidatesFor says %v, Decide looked at %v", got, d.Candidates)
			}
		})
	}
}

func codes(rr []schemas.Reject) (out []string) {
	for _, r := range rr {
		out = append(out, r.Code())
	}
	return out
}

func TestDecisionSaysWhatItKnew(t *testing.T) {
	s := NewSnapshot(testParts())
	in := testInputs()
	in.Workload, in.Arm = "proven", schemas.ArmTreated
	d := Decide(&in, s)
	if d.Evidence != schemas.EvidenceReady || d.Mode != schemas.ModeLive || d.PolicyVersion != 3 {
		t.Errorf("got %+v", d)
	}
	// 1,000 prompt tokens and 300 × 1.5 of answer at the candidate.
	if want := schemas.KnownUSD(1000*1000 + 450*4000); d.Expected != want {
		t.Errorf("expected cost %v, want %v", d.Expected, want)
	}
	if want := (Chance{60_000, true}); d.Adequate != want {
		t.Errorf("at the mean score %+v, want %+v", d.Adequate, want)
	}
	in.Assessment.Score = 65535 // kept back by its score alone: what was known of the candidate all the same
	if d, want := Decide(&in, s), (Chance{60_000 - 13_107*45_535/65_535, true}); d.Route != baseline || d.Adequate != want {
		t.Errorf("%s, %+v, want %+v", d.Route, d.Adequate, want)
	}
	in.Unhealthy = 1
	if d := Decide(&in, s); d.Adequate.Known {
		t.Errorf("of a candidate that could not have answered: %+v", d.Adequate)
	}
	in = testInputs()
	in.Assessment.Score = 65535
	if d := Decide(&in, s); d.Expected != schemas.KnownUSD(1000*5000+300*15000) || d.Mode != schemas.ModeObserve || d.Evidence != schemas.EvidenceNone {
		t.Errorf("a request that stays has its baseline's cost: %+v", d)
	}
	in.RequestModel = "never-heard"
	if d := Decide(&in, s); d.Expected.Known {
		t.Errorf("an unpriced baseline has no expected cost: %+v", d)
	}
}

func TestRefusedGoesToTheBaselineForTheReasonGiven(t *testing.T) {
	in := testInputs()
	d := Refused(&in, NewSnapshot(testParts()), schemas.RejectClassifier)
	if d.Route != "openai/big" || d.Act || d.BaselineReject != schemas.RejectClassifier || len(d.Rejects) != 2 || d.Rejects[0] != schemas.RejectClassifier {
		t.Errorf("got %+v", d)
	}
}

// TestNothingActsWithoutEvidenceOrOverride draws on every workload, arm and
// score: R11 of the routing targets.
func TestNothingActsWithoutEvidenceOrOverride(t *testing.T) {
	s := NewSnapshot(testParts())
	acted := 0
	for _, workload := range []string{"faq", "proven", "guarded", "unproven", "forced", "watched", "rolled-back", "one-model"} {
		for _, arm := range []schemas.Arm{schemas.ArmNone, schemas.ArmControl, schemas.ArmTreated} {
			for _, model := range []string{"big", "other", "odd", "dear"} {
				for score := 0; score <= 65535; score += 4369 {
					in := testInputs()
					in.Workload, in.Arm, in.RequestModel, in.Assessment.Score = workload, arm, model, uint16(score)
					d := Decide(&in, s)
					if !d.Act {
						continue
					}
					acted++
					p := s.PolicyFor(workload)
					if arm != schemas.ArmTreated || p == nil || p.Mode == schemas.ModeObserve || d.Evidence != schemas.EvidenceReady && !p.Override || d.Route == "openai/"+model {
						t.Fatalf("%s, %s, %s: acted on %+v", workload, arm, model, d)
					}
				}
			}
		}
	}
	if acted == 0 {
		t.Error("the test never saw a decision that acts")
	}
}
