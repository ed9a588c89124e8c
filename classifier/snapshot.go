package classifier

import (
	"math"
	"slices"
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

// maxCandidates is how many candidates of a ladder are looked at: the runtime
// facts of Inputs have a bit for each.
const maxCandidates = 64

// Snapshot is everything a decision depends on besides the request. It never
// changes; a new policy, price or piece of evidence makes a new one.
type Snapshot struct {
	parts     Parts
	origin    Origin
	hash      uint64
	draft     uint32
	policies  map[string]*policyPlan
	ladders   map[modelKey]*plan
	caps      map[string]*Capability
	providers map[string]*Provider
	evidence  map[evidenceKey]evidenceFact
	names     map[string]string
	members   map[string][]string // discovered workloads by what they are called, sorted
	spoken    map[string]bool     // the workloads of policies, evidence and names
}

type modelKey struct{ provider, model string }

type evidenceKey struct{ workload, provider, requestModel, candidate string }

type evidenceFact struct {
	state    schemas.EvidenceState
	stale    schemas.Held // why evidence that was ready speaks of nothing now
	ratioPPM uint64       // candidate's output tokens per million of the baseline's
	adequacy schemas.Calibration
	profile  *schemas.Profile
}

// chance is what the graded pairs make expect of a request of a score.
func (f *evidenceFact) chance(score uint16) Chance {
	if f.adequacy.Pairs == 0 {
		return Chance{}
	}
	return Chance{P: f.adequacy.At(score), Known: true}
}

// plan is a list of candidates with what is known of each.
type plan struct {
	baseline string // provider/model; empty for a policy's own candidate
	names    []string
	cands    []candidate
}

type candidate struct {
	name, provider, model string
	cap                   *Capability // nil when unknown
	at                    *Provider   // nil when not configured
}

type policyPlan struct {
	policy    schemas.Policy
	threshold uint32
	own       *plan // of the candidate it names; nil when it names none
}

// NewSnapshot freezes parts. Order does not matter, but for the candidates of a
// ladder; where two parts speak of the same thing the first one holds. Policies
// of other projects are left out.
func NewSnapshot(p Parts) *Snapshot { return newSnapshot(p, thisBuild(p.Model)) }

// newSnapshot is NewSnapshot for parts that a build of that origin was given.
func newSnapshot(p Parts, o Origin) *Snapshot {
	p = canonical(p)
	s := &Snapshot{
		parts: p, origin: o, draft: admits(p.DraftThreshold),
		policies: make(map[string]*policyPlan, len(p.Policies)), ladders: make(map[modelKey]*plan, len(p.Ladders)),
		caps: make(map[string]*Capability, len(p.Capabilities)), providers: make(map[string]*Provider, len(p.Providers)),
		evidence: make(map[evidenceKey]evidenceFact, len(p.Evidence)),
	}
	for i := range p.Capabilities {
		s.caps[p.Capabilities[i].Model] = &p.Capabilities[i]
	}
	for i := range p.Providers {
		s.providers[p.Providers[i].Name] = &p.Providers[i]
	}
	for i := range p.Ladders {
		provider, model, _ := strings.Cut(p.Ladders[i].Baseline, "/")
		s.ladders[modelKey{provider, model}] = s.plan(p.Ladders[i].Baseline, p.Ladders[i].Candidates)
	}
	for i := range p.Policies {
		pp := &policyPlan{policy: p.Policies[i], threshold: admits(p.Policies[i].Threshold)}
		if pp.policy.Candidate != "" {
			pp.own = s.plan("", []string{pp.policy.Candidate})
		}
		s.policies[pp.policy.Workload] = pp
	}
	s.name()
	for i := range p.Evidence {
		e := &p.Evidence[i]
		fact := evidenceFact{state: e.State, ratioPPM: ratioPPM(e.OutputRatio), profile: &e.Profile}
		if e.Scorer == s.Scorer() { // else it expects something of other scores
			fact.adequacy = e.Adequacy
		}
		if e.State == schemas.EvidenceReady {
			if fact.stale = s.Outdated(e.Workload, e.Scorer, e.Members); fact.stale != schemas.HeldNot {
				fact.state = schemas.EvidenceStale
			}
		}
		s.evidence[evidenceKey{e.Workload, e.Provider, e.RequestModel, e.Candidate}] = fact
	}
	s.hash = sumSnapshot(&s.parts, o)
	return s
}

// Outdated says why evidence of a workload that stands on the scores of a scorer,
// and on discovered workloads (sorted), does not speak of what is decided: other
// scores are, or other workloads go by the name.
func (s *Snapshot) Outdated(workload string, by schemas.Scorer, members []string) schemas.Held {
	switch {
	case by != s.Scorer():
		return schemas.HeldWeights
	case !slices.Equal(members, s.members[workload]):
		return schemas.HeldMembers
	}
	return schemas.HeldNot
}

// Scorer is whose scores the snapshot decides by.
func (s *Snapshot) Scorer() schemas.Scorer {
	return schemas.Scorer{Version: s.origin.Version, Weights: s.origin.Model}
}

// Stale is evidence that was ready and holds no more.
type Stale struct {
	Workload, Provider, RequestModel, Candidate string
	Why                                         schemas.Held
	Acts                                        bool // a policy would act on it
}

// Stale lists what nobody acts on any more though it was ready, in the order of
// workloads.
func (s *Snapshot) Stale() (out []Stale) {
	for i := range s.parts.Evidence {
		e := &s.parts.Evidence[i]
		fact := s.evidence[evidenceKey{e.Workload, e.Provider, e.RequestModel, e.Candidate}]
		if fact.stale == schemas.HeldNot {
			continue
		}
		p := s.PolicyFor(e.Workload)
		acts := p != nil && !p.Override && p.Candidate == e.Candidate && (p.Mode == schemas.ModeCanary || p.Mode == schemas.ModeLive) && applies(p, e.Provider, e.RequestModel)
		out = append(out, Stale{e.Workload, e.Provider, e.RequestModel, e.Candidate, fact.stale, acts})
	}
	return out
}

// name notes what workloads are called, and which are spoken of.
func (s *Snapshot) name() {
	s.names, s.spoken, s.members = make(map[string]string, len(s.parts.Names)), map[string]bool{}, map[string][]string{}
	for _, n := range s.parts.Names { // in the order of what was found
		s.names[n.Found], s.spoken[n.Name] = n.Name, true
		if !strings.HasPrefix(n.Name, "~") { // that one is the same requests, found by rules of before
			s.members[n.Name] = append(s.members[n.Name], n.Found)
		}
	}
	for i := range s.parts.Policies {
		s.spoken[s.parts.Policies[i].Workload] = true
	}
	for i := range s.parts.Evidence {
		s.spoken[s.parts.Evidence[i].Workload] = true
	}
}

// maxCarried is how many versions of the rules a name may come down from.
const maxCarried = 8

// NameOf returns what a person calls a discovered workload; its own name where
// nobody has given it one.
func (s *Snapshot) NameOf(found string) string {
	name := found
	for range maxCarried {
		next, ok := s.names[name]
		if !ok {
			break
		}
		name = next
	}
	return name
}

// Spoken reports whether a policy, evidence or a person's name for it speaks of
// a workload.
func (s *Snapshot) Spoken(workload string) bool { return s.spoken[workload] }

// canonical returns a deep copy in a fixed order without repetitions.
func canonical(p Parts) Parts {
	p.Ladders = unique(p.Ladders, func(l Ladder) string { return l.Baseline })
	for i := range p.Ladders {
		c := slices.Clone(p.Ladders[i].Candidates)
		p.Ladders[i].Candidates = c[:min(len(c), maxCandidates)]
	}
	p.Capabilities = unique(p.Capabilities, func(c Capability) string { return c.Model })
	p.Providers = unique(p.Providers, func(v Provider) string { return v.Name })
	for i := range p.Providers {
		p.Providers[i].Dialects = slices.Clone(p.Providers[i].Dialects)
		slices.Sort(p.Providers[i].Dialects)
	}
	p.Policies = slices.DeleteFunc(slices.Clone(p.Policies), func(v schemas.Policy) bool { return v.Project != p.Project })
	p.Policies = unique(p.Policies, func(v schemas.Policy) string { return v.Workload })
	for i := range p.Policies {
		p.Policies[i].Salt = slices.Clone(p.Policies[i].Salt)
	}
	p.Names = unique(p.Names, func(n Name) string { return n.Found })
	p.Evidence = unique(p.Evidence, func(e Evidence) string {
		return e.Workload + "\x00" + e.Provider + "\x00" + e.RequestModel + "\x00" + e.Candidate
	})
	for i := range p.Evidence {
		p.Evidence[i].Members = slices.Clone(p.Evidence[i].Members)
		slices.Sort(p.Evidence[i].Members)
		q := &p.Evidence[i].Profile
		q.Middle, q.Scale, q.Task, q.Templates = slices.Clone(q.Middle), slices.Clone(q.Scale), slices.Clone(q.Task), slices.Clone(q.Templates)
	}
	return p
}

// unique returns a sorted copy in which the first of equal keys stays.
func unique[T any](in []T, key func(T) string) []T {
	out := slices.Clone(in)
	slices.SortStableFunc(out, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	return slices.CompactFunc(out, func(a, b T) bool { return key(a) == key(b) })
}

func (s *Snapshot) plan(baseline string, names []string) *plan {
	p := &plan{baseline: baseline, names: slices.Clone(names)}
	for _, name := range p.names {
		provider, model, _ := strings.Cut(name, "/")
		c := candidate{name: name, provider: provider, model: model, cap: s.capability(provider, model), at: s.providers[provider]}
		p.cands = append(p.cands, c)
	}
	return p
}

func (s *Snapshot) capability(provider, model string) *Capability {
	if c, ok := s.caps[provider+"/"+model]; ok {
		return c
	}
	if base := undated(model); base != model {
		return s.caps[provider+"/"+base]
	}
	return nil
}

// admits turns a threshold into the highest score it lets through, in 1/65535
// plus one; 0 lets nothing through.
func admits(threshold float64) uint32 {
	if !(threshold >= 0) { // NaN too
		return 0
	}
	return uint32(math.Floor(float64(min(threshold, 1)*math.MaxUint16))) + 1
}

// ratioPPM makes an output ratio an integer; unmeasured counts as 1.
func ratioPPM(r float64) uint64 {
	if !(r > 0) || r > 1000 {
		return 1_000_000
	}
	return uint64(math.Floor(float64(r * 1_000_000)))
}

// undated strips what makes a model's name a dated snapshot of it:
// gpt-4o-2024-08-06, claude-sonnet-4-20250514, claude-haiku-4-5@20251001,
// …-latest.
func undated(model string) string {
	if base, ok := strings.CutSuffix(model, "-latest"); ok {
		return base
	}
	n := len(model)
	digits := func(s string) bool {
		for i := range len(s) {
			if s[i] < '0' || s[i] > '9' {
				return false
			}
		}
		return true
	}
	if n > 11 && model[n-11] == '-' && model[n-6] == '-' && model[n-3] == '-' && digits(model[n-10:n-6]) && digits(model[n-5:n-3]) && digits(model[n-2:]) {
		return model[:n-11]
	}
	if n > 9 && (model[n-9] == '-' || model[n-9] == '@') && digits(model[n-8:]) && (model[n-8] == '2') {
		return model[:n-9]
	}
	return model
}

// Hash identifies everything that can change a decision: prices, ladders,
// capabilities, providers, policies with their salts, evidence, thresholds, and
// the origin: features and weights, and the rules.
func (s *Snapshot) Hash() uint64 { return s.hash }

// Model assesses the requests that the snapshot decides about.
func (s *Snapshot) Model() *Model {
	if s.parts.Model == nil {
		return builtin
	}
	return s.parts.Model
}

// Parts returns what the snapshot was made of, in canonical order. The caller
// must not write to it.
func (s *Snapshot) Parts() Parts { return s.parts }

// PolicyFor returns the workload's policy, or nil while it has none. The caller
// must not write to it.
func (s *Snapshot) PolicyFor(workload string) *schemas.Policy {
	if p, ok := s.policies[workload]; ok {
		return &p.policy
	}
	return nil
}

// Proved reports whether evidence lets a route be acted on, for prompts like those
// that it is of.
func (s *Snapshot) Proved(workload, provider, requestModel, candidate string) bool {
	fact, ok := s.evidence[evidenceKey{workload, provider, requestModel, candidate}]
	if !ok || fact.stale != schemas.HeldNot || fact.state != schemas.EvidenceReady || fact.profile == nil {
		return false
	}
	_, known := Strangeness(&Features{}, TaskOther, fact.profile)
	return known
}

// PolicyOn returns the workload's policy where it speaks of a baseline, as Decide
// goes by it; nil where there is none. The caller must not write to it.
func (s *Snapshot) PolicyOn(workload, provider, requestModel string) *schemas.Policy {
	_, _, policy := s.choose(workload, provider, requestModel)
	return policy
}

// Provider returns what is known of a configured provider, or nil. The caller
// must not write to it.
func (s *Snapshot) Provider(name string) *Provider { return s.providers[name] }

// LadderFor returns the candidates of a baseline given as provider/model; a
// dated snapshot of a model has the model's ladder.
func (s *Snapshot) LadderFor(baseline string) ([]string, bool) {
	provider, model, _ := strings.Cut(baseline, "/")
	if p := s.ladder(provider, model); p != nil {
		return p.names, true
	}
	return nil, false
}

// CapabilityOf returns what is known of a model given as provider/model.
func (s *Snapshot) CapabilityOf(name string) (Capability, bool) {
	provider, model, _ := strings.Cut(name, "/")
	if c := s.capability(provider, model); c != nil {
		return *c, true
	}
	return Capability{}, false
}

// CandidatesFor returns the candidates that Decide looks at for a workload and
// baseline, in order: bit i of Inputs.Unhealthy and Inputs.CacheWarm speaks of
// the i-th. The caller must not write to it.
func (s *Snapshot) CandidatesFor(workload, provider, requestModel string) []string {
	if plan, _, _ := s.choose(workload, provider, requestModel); plan != nil {
		return plan.names
	}
	return nil
}

func (s *Snapshot) ladder(provider, model string) *plan {
	if p, ok := s.ladders[modelKey{provider, model}]; ok {
		return p
	}
	if base := undated(model); base != model {
		return s.ladders[modelKey{provider, base}]
	}
	return nil
}

// choose returns the candidates to look at, the threshold, and the policy when
// it applies to this model.
func (s *Snapshot) choose(workload, provider, requestModel string) (*plan, uint32, *schemas.Policy) {
	pp := s.policies[workload]
	if pp == nil || !applies(&pp.policy, provider, requestModel) {
		return s.ladder(provider, requestModel), s.draft, nil
	}
	if pp.own == nil {
		return s.ladder(provider, requestModel), s.draft, &pp.policy
	}
	return pp.own, pp.threshold, &pp.policy
}

// applies says whether a policy speaks of a baseline: its request model is
// empty, the model, or provider/model.
func applies(p *schemas.Policy, provider, model string) bool {
	if p.RequestModel == "" || p.RequestModel == model {
		return true
	}
	rest, ok := strings.CutSuffix(p.RequestModel, model)
	return ok && len(rest) == len(provider)+1 && rest[:len(provider)] == provider && rest[len(provider)] == '/'
}
