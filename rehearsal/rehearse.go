package rehearsal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Config is what a Rehearser works by.
type Config struct {
	// Plan returns a workload's plan; false: it is not rehearsed.
	Plan func(workload string) (Plan, bool)
	// Margin of non-inferiority, in points of quality: .02.
	Margin float64
	Prices classifier.Pricer
	Grader Grader // nil: ExactMatch
	// Simulated marks every evaluation.
	Simulated bool
}

// Rehearser turns payloads into evaluations. It is safe for concurrent use; with
// one caller and one clock its results are a function of what it was given.
type Rehearser struct {
	cfg  Config
	send Sender

	saving    sync.Mutex // one writer of the memory's file
	mu        sync.Mutex
	workloads map[string]*workload
	counts    Counts
}

// Counts says what became of the payloads.
type Counts struct {
	Seen       uint64 // payloads
	Unfit      uint64 // not eligible: failed, aborted, bypassed, estimated, already routed, nothing to route
	Unread     uint64 // the baseline's answer could not be read
	NotDrawn   uint64
	OverBudget uint64 // the day's cap was reached
	Unsendable uint64 // no provider or credential for the call
	Rehearsed  uint64
	Checked    uint64 // baseline against baseline
	Ungraded   uint64
	Failed     uint64 // candidate failed, refused or was cut short
}

// workload is the memory of one workload.
type workload struct {
	sampler  *Sampler
	gates    map[string]*gate      // by baseline model and grader
	clusters map[uint64]clusterRef // prompt hash → the first session that sent it
}

type clusterRef struct {
	name string
	seen time.Time
}

// New returns a Rehearser that sends its calls through send.
func New(cfg Config, send Sender) (*Rehearser, error) {
	if cfg.Plan == nil || cfg.Prices == nil || send == nil {
		return nil, errors.New("rehearsal needs a plan, prices and a sender")
	}
	if cfg.Margin <= 0 || cfg.Margin >= 1 {
		return nil, fmt.Errorf("rehearsal: margin %v is not between 0 and 1", cfg.Margin)
	}
	if cfg.Grader == nil {
		cfg.Grader = ExactMatch{}
	}
	return &Rehearser{cfg: cfg, send: send, workloads: map[string]*workload{}}, nil
}

// Eligible reports whether an observed request may be rehearsed: it was
// answered in full by the model it asked for, with the provider's own count of
// tokens, and would have been routed elsewhere.
func Eligible(ev *schemas.RequestEvent) bool {
	baseline := cmp.Or(ev.BaselineProvider, ev.Provider) + "/" + ev.RequestModel
	return ev.Status == schemas.StatusOK && !ev.Bypassed && !ev.Fallback &&
		ev.UsageSource == schemas.UsageProvider && ev.BaselineReject == schemas.RejectNone &&
		ev.WouldRoute != "" && ev.WouldRoute != baseline &&
		ev.Provider+"/"+ev.ServedModel == baseline
}

// task is one drawn payload on its way.
type task struct {
	p        *schemas.Payload
	w        *workload
	gate     *gate
	base     Answer
	draw     Draw
	check    bool // ask the baseline again
	share    float64
	reserved schemas.NanoUSD
	closed   bool
	open     bool // the gate stood open when it was drawn
	cluster  string
	now      time.Time
}

// Rehearse draws, sends and grades one payload at the time now, and returns the
// evaluations to publish: none, the candidate's, or the candidate's and a
// baseline check. An error means that rehearsal itself failed (ctx ended), not
// a model.
func (r *Rehearser) Rehearse(ctx context.Context, p *schemas.Payload, now time.Time) ([]schemas.Evaluation, error) {
	t, ok := r.draw(p, now)
	if !ok {
		return nil, nil
	}
	evs, spent, err := r.run(ctx, t)
	r.mu.Lock()
	defer r.mu.Unlock()
	t.w.sampler.Settle(t.reserved, spent)
	if errors.Is(err, ErrUnsendable) {
		r.counts.Unsendable++
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return t.gate.release(evs, now), nil
}

// Wants tells whether the payload of ev could be drawn at all, so that a caller
// may spare itself making one.
func (r *Rehearser) Wants(ev *schemas.RequestEvent) bool {
	_, ok := r.cfg.Plan(ev.Workload)
	return ok && Eligible(ev)
}

func (r *Rehearser) draw(p *schemas.Payload, now time.Time) (*task, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ev := &p.Event
	r.counts.Seen++
	plan, ok := r.cfg.Plan(ev.Workload)
	if !ok || !Eligible(ev) {
		r.counts.Unfit++
		return nil, false
	}
	w := r.workload(ev.Workload, plan)
	t := &task{p: p, w: w, now: now, gate: w.gate(ev.RequestModel, r.cfg.Grader)}
	t.share = t.gate.share()
	t.check = uniform(w.sampler.key+1, ev.RequestID) < t.share
	var err error
	if t.reserved, err = r.price(ev, t.check); err != nil {
		r.counts.Unfit++
		return nil, false
	}
	limit := 1.0
	if t.gate.Ungraded >= enoughUngraded {
		limit = Floor
	}
	stopped := w.sampler.s.Stopped
	if t.draw = w.sampler.Draw(ev.RequestID, t.reserved, limit, now); !t.draw.Taken {
		r.counts.NotDrawn++
		r.counts.OverBudget += w.sampler.s.Stopped - stopped
		return nil, false
	}
	// Reading is dear, so only what is drawn is read: what cannot be read is a
	// matter of the request alone, and leaves the draw of others as it is.
	t.base, err = ReadAnswer(ev.Dialect, p.ResponseBody)
	if err != nil || t.base.Refused || t.base.Truncated {
		w.sampler.Settle(t.reserved, 0)
		r.counts.Unread++
		return nil, false
	}
	t.closed = r.cfg.Grader.Applies(&t.base)
	t.gate.saw(t.closed)
	t.open = t.gate.Open
	t.cluster = w.cluster(ev, now)
	r.counts.Rehearsed++
	return t, true
}

// enoughUngraded is how many pairs of a workload that no grader fits are made
// at its planned probability: enough to know the candidate's output length.
const enoughUngraded = 500

// price is what rehearsing ev costs at most, about: nothing comes from a cache.
func (r *Rehearser) price(ev *schemas.RequestEvent, check bool) (schemas.NanoUSD, error) {
	u := ev.Usage
	u.CacheReadTokens, u.CacheWriteTokens, u.CacheWrite1hTokens = 0, 0, 0
	total, err := r.cost(ev.WouldRoute, u, ev.Ts)
	if err != nil || !check {
		return total, err
	}
	again, err := r.cost(ev.Provider+"/"+ev.RequestModel, u, ev.Ts)
	return total + again, err
}

func (r *Rehearser) cost(route string, u schemas.Usage, at time.Time) (schemas.NanoUSD, error) {
	provider, model := splitRoute(route)
	total, _, err := r.cfg.Prices.Cost(provider, model, "", u, at)
	return total, err
}

// workload returns the memory of a workload, made when first needed; r.mu is held.
func (r *Rehearser) workload(name string, plan Plan) *workload {
	w, ok := r.workloads[name]
	if !ok {
		w = &workload{sampler: NewSampler(name, plan), gates: map[string]*gate{}, clusters: map[uint64]clusterRef{}}
		r.workloads[name] = w
	}
	w.sampler.SetPlan(plan)
	return w
}

func (w *workload) gate(model string, g Grader) *gate {
	key := model + " " + g.Name() + " " + g.Version()
	if w.gates[key] == nil {
		w.gates[key] = &gate{}
	}
	return w.gates[key]
}

// clusterMemory bounds the prompts remembered in a workload.
const clusterMemory = 50_000

// cluster names the unit of one bet: the session, or the first session that
// sent the very same prompt, so that duplicates do not pass for news.
func (w *workload) cluster(ev *schemas.RequestEvent, now time.Time) string {
	own := ev.Session
	if own == "" {
		own = fmt.Sprintf("prompt:%016x", ev.PromptHash)
	}
	if ev.PromptHash == 0 {
		return own
	}
	if first, ok := w.clusters[ev.PromptHash]; ok {
		return first.name
	}
	if len(w.clusters) >= clusterMemory {
		maps.DeleteFunc(w.clusters, func(_ uint64, c clusterRef) bool { return now.Sub(c.seen) > 24*time.Hour })
		if len(w.clusters) >= clusterMemory {
			clear(w.clusters)
		}
	}
	w.clusters[ev.PromptHash] = clusterRef{own, now}
	return own
}

// run sends the calls of a drawn payload; r.mu is not held.
func (r *Rehearser) run(ctx context.Context, t *task) (evs []schemas.Evaluation, spent schemas.NanoUSD, err error) {
	ev := &t.p.Event
	if t.check {
		e, cost, err := r.pair(ctx, t, ev.Provider+"/"+ev.RequestModel)
		spent += cost
		if err != nil {
			return nil, spent, err
		}
		evs = append(evs, e)
	}
	e, cost, err := r.pair(ctx, t, ev.WouldRoute)
	spent += cost
	if err != nil {
		return nil, spent, err
	}
	return append(evs, e), spent, nil
}

// pair sends the request to route and grades the answer against the baseline's.
func (r *Rehearser) pair(ctx context.Context, t *task, route string) (schemas.Evaluation, schemas.NanoUSD, error) {
	ev := &t.p.Event
	again := route == ev.Provider+"/"+ev.RequestModel
	call, err := newCall(ev.Dialect, t.p.Path, route, t.p.RequestBody, again)
	if err != nil {
		return schemas.Evaluation{}, 0, fmt.Errorf("%w: %w", ErrUnsendable, err)
	}
	reply, err := r.send.Send(ctx, call)
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrUnsendable)) {
		return schemas.Evaluation{}, 0, err
	}
	e := r.record(t, route)
	spent := r.judge(t, &e, reply, err, again)
	return e, spent, nil
}

// judge fills in what the reply says, tells the gate of a baseline check, and
// returns what the call cost, or may have cost where that is not known.
func (r *Rehearser) judge(t *task, e *schemas.Evaluation, reply Reply, sendErr error, again bool) schemas.NanoUSD {
	ev := &t.p.Event
	e.LatencyMS = uint32(min(max(reply.Latency.Milliseconds(), 0), 1<<31))
	answer, err := Answer{}, sendErr
	if err == nil && (reply.HTTPStatus < 200 || reply.HTTPStatus > 299) {
		e.CandidateCost = schemas.KnownUSD(0) // providers do not charge for errors
		err = fmt.Errorf("HTTP status %d", reply.HTTPStatus)
	} else if err == nil {
		answer, err = ReadAnswer(ev.Dialect, reply.Body)
	}
	e.Outcome = schemas.OutcomeGraded
	switch {
	case err != nil:
		e.Outcome = schemas.OutcomeFailed
	case answer.Refused:
		e.Outcome = schemas.OutcomeRefused
	case answer.Truncated:
		e.Outcome = schemas.OutcomeTruncated
	}
	e.CandidateSnapshot = answer.Model
	spent := r.charge(t, e, &answer)
	qb, qc := 1.0, 0.0
	if t.closed && e.Outcome == schemas.OutcomeGraded {
		qb, qc = r.cfg.Grader.Grade(&t.base, &answer)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if again {
		r.counts.Checked++
		if t.closed && e.Outcome == schemas.OutcomeGraded {
			t.gate.compared(qc >= qb, r.cfg.Margin)
		} else {
			t.gate.decide(r.cfg.Margin)
		}
	} else if e.Outcome != schemas.OutcomeGraded {
		r.counts.Failed++
	}
	r.grade(t, e, qb, qc, again)
	return spent
}

// grade writes the grade into the evaluation, or keeps it until the gate opens;
// r.mu is held. A failure is graded by the same rule as an answer: where no
// grader applies it is recorded with its outcome and without a grader, or only
// the failures of a workload would count.
func (r *Rehearser) grade(t *task, e *schemas.Evaluation, qb, qc float64, again bool) {
	graded := *e
	graded.Grader, graded.GraderVersion = r.cfg.Grader.Name(), r.cfg.Grader.Version()
	graded.QualityBaseline, graded.QualityCandidate = float32(qb), float32(qc)
	if t.closed && (t.open || again) {
		*e = graded
		return
	}
	if t.closed && !t.gate.Shut {
		t.gate.wait(graded)
	}
	if e.Outcome == schemas.OutcomeGraded {
		e.Outcome = schemas.OutcomeUngraded
		r.counts.Ungraded++
	}
	if t.gate.Shut {
		t.gate.Ungraded++
	}
}

// charge prices the call. A call whose usage is not known (a timeout) has no
// cost, and is charged to the budget as it was reserved.
func (r *Rehearser) charge(t *task, e *schemas.Evaluation, a *Answer) schemas.NanoUSD {
	if a.HasUsage {
		e.InputTokens, e.OutputTokens = a.Usage.InputTokens, a.Usage.OutputTokens
		if total, err := r.cost(e.Candidate, a.Usage, t.now); err == nil {
			e.CandidateCost = schemas.KnownUSD(total)
		}
	}
	if e.CandidateCost.Known {
		return e.CandidateCost.Nano
	}
	return t.reserved
}

// evaluationSpace names evaluations: one that is made twice has one id.
var evaluationSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("gnomon/evaluation"))

// record is what is known of a pair before it is sent.
func (r *Rehearser) record(t *task, route string) schemas.Evaluation {
	ev := &t.p.Event
	e := t.draw.Probability
	if route == ev.Provider+"/"+ev.RequestModel {
		e *= t.share
	}
	return schemas.Evaluation{
		Version: schemas.SchemaVersion, Project: ev.Project, Workload: ev.Workload, Provider: ev.Provider,
		RequestModel: ev.RequestModel, Candidate: route,
		RequestTs: ev.Ts, GradedAt: t.now.UTC().Truncate(time.Millisecond), RequestID: ev.RequestID,
		EvaluationID:     uuid.NewSHA1(evaluationSpace, []byte(ev.RequestID+" "+route)).String(),
		Cluster:          t.cluster,
		BaselineSnapshot: cmp.Or(t.base.Model, ev.ResponseModel), PromptVersion: promptVersion(t.p),
		Stratum: t.draw.Stratum, SamplingProbability: &e,
		WouldRoute: ev.WouldRoute, Score: ev.Score,
		GradingCost: schemas.KnownUSD(0), BaselineOutputTokens: ev.OutputTokens,
		Simulated: r.cfg.Simulated || ev.Simulated,
	}
}

// promptVersion is the fingerprint of the system prompt's template.
func promptVersion(p *schemas.Payload) uint64 {
	var in classifier.Inputs
	if len(p.Event.Inputs) > 0 && in.UnmarshalBinary(p.Event.Inputs) == nil {
		return in.Features.SystemPrint
	}
	system := gjson.GetBytes(p.RequestBody, "system").Raw
	if system == "" {
		system = gjson.GetBytes(p.RequestBody, `messages.#(role=="system").content`).Raw
	}
	if system == "" {
		return 0
	}
	return xxhash.Sum64String(system)
}

// Counts returns what became of the payloads so far.
func (r *Rehearser) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// SpentToday returns what a workload's rehearsals have cost on the UTC day of now.
func (r *Rehearser) SpentToday(name string, now time.Time) schemas.NanoUSD {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, ok := r.workloads[name]; ok {
		return w.sampler.SpentToday(now)
	}
	return 0
}
