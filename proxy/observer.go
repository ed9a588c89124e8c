package proxy

import (
	"fmt"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Request is what the observer is told of an accepted request.
type Request struct {
	Ts        time.Time
	Provider  string // the row it was sent to
	Path      string // at the provider, without query
	Dialect   string // dialect.OpenAIChat, …
	Operation string // "" takes the dialect's

	Feature, Team, User, Session, Trace string // as sent, cleaned
	Tags                                map[string]string
	KeyID                               string       // of a gnomon key, never the key
	Key                                 *schemas.Key // it came with; nil without
	CredentialHash                      string       // of the caller's credential; only its combination with the conversation is kept
	Retry                               uint8        // how often the client's SDK says that it has tried before
	Idempotency                         string       // a hash of its idempotency key and credential; "" without one
	Bypassed                            bool
	Simulated                           bool

	Body []byte // whole, as the client sent it; nil when it is not at hand
	// BodyBytes is how long the body was when Body is not all of it.
	BodyBytes int
	// Peek of Body; nil lets the observer look itself.
	Peek *dialect.Peek
}

// Decided is what was found out and decided about a request before its answer.
type Decided struct {
	Workload string
	Session  string
	Model    string // the baseline: the model the caller asked for
	Stream   bool
	Inputs   classifier.Inputs
	Decision classifier.Decision
	// Route is where the decision is acted on; zero Model means the baseline. It is
	// Decide's word, and nobody else's.
	Route Route

	peek   dialect.Peek
	packed []byte
	// kept is how long a prefix the decided route's cache would hold, in tokens as
	// predicted, had every decision before been acted on.
	kept     uint32
	before   prefix // what the route acted on held of the conversation
	snapshot *classifier.Snapshot
}

// Route is a model at a provider.
type Route struct{ Provider, Model string }

// String is provider/model, as records name routes.
func (r Route) String() string { return r.Provider + "/" + r.Model }

// Answer is what the observer is told of how a request ended.
type Answer struct {
	HTTPStatus int
	Status     schemas.Status
	ErrorType  string // of gnomon's own making; the provider's comes from Body

	// Body is the answer's bytes, decoded: JSON, or those of an event stream. It
	// is read unless Read already says what was in it.
	Body []byte
	Read *dialect.Answer
	// Sent: the provider may have begun to work, so that a broken-off request
	// has a cost which is estimated when nothing was stated.
	Sent bool

	ResponseBytes int64
	Latency       time.Duration // from accept to the last byte
	TTFT          time.Duration // from accept to the first byte of the answer's body; 0 when none came
	Overhead      time.Duration // of gnomon's own

	Provider    string // served route; "" is the request's
	ServedModel string // "" is the baseline
	Fallback    bool   // the candidate failed and the baseline answered

	Calls  uint8  // made to providers
	Lost   uint8  // of them, those to the candidate that did not serve and that the provider may have worked for, and charge
	Reason string // why the last call to the candidate did not serve; "ejected" where none was made
}

// Observer makes events of requests and answers. The proxy uses it for live
// traffic and the simulator for its history, so both are recorded alike. It may
// be used by many goroutines.
type Observer struct {
	project   string
	snapshots func() *classifier.Snapshot
	book      *savings.Book
	judge     judge
	names     names
	teams     names
	found     discovered
	warmth    warmth
	unhealthy func(candidate string, at time.Time) bool // nil: all are well
	refused   func(to, what string)                     // counts what cannot be said in a candidate's dialect; may be nil
}

// NewObserver makes an observer for one project.
func NewObserver(project string, snapshots func() *classifier.Snapshot, book *savings.Book) *Observer {
	return &Observer{project: project, snapshots: snapshots, book: book, judge: builtinJudge, names: names{max: maxWorkloads}, teams: names{max: maxTeams}, found: discovered{max: maxDiscovered}, warmth: warmth{max: maxSessions}}
}

// Decide assesses a request, finds its workload, session and arm, and decides
// under the current snapshot. It takes about ten microseconds for a usual body
// and never fails: a classifier that panics leaves the request at its baseline.
func (o *Observer) Decide(r *Request) (d Decided) {
	o.decide(r, &d)
	return d
}

// decide is Decide into a zero d.
func (o *Observer) decide(r *Request, d *Decided) {
	s := o.snapshots()
	defer func() {
		if e := recover(); e != nil {
			*d = o.refuse(r, s, schemas.RejectClassifier)
		}
	}()
	o.assess(r, s.Model(), d)
	in := &d.Inputs
	o.name(r, s, d)
	if p := s.PolicyFor(d.Workload); p != nil {
		in.Arm = classifier.Assign(p, d.Session)
	}
	candidates := s.CandidatesFor(d.Workload, r.Provider, d.Model)
	now := r.Ts.Unix()
	key, shared := warmKey(d.Workload, d.Session), warmKey(d.Workload, "")
	mine, all := o.warmth.last(key), o.warmth.last(shared)
	for i, c := range candidates[:min(len(candidates), 64)] {
		in.Features.Gates |= o.way(r, s, c, in.Features.Gates)
		if r.barred(c) {
			in.Barred |= 1 << i
		}
		if _, ok := mine.of(routeHash(c), now); ok && caches(s, r, c) {
			in.CacheWarm |= 1 << i
		}
		if o.unhealthy != nil && o.unhealthy(c, r.Ts) {
			in.Unhealthy |= 1 << i
		}
	}
	baseline := routeHash(r.Provider + "/" + d.Model)
	_, in.BaselineWarm = mine.of(baseline, now)
	d.Decision, d.snapshot = o.judge.decide(in, s), s
	// Its own conversation left a prefix, or any other its system prompt.
	route := routeHash(d.Decision.Route)
	own, _ := mine.of(route, now)
	system, _ := all.of(route, now)
	d.kept = max(own, system)
	d.act()
	if d.staysAway() {
		route = baseline
	}
	o.warmth.note(shared, route, now, in.Features.SystemBytes/4)
	if d.Session != "" {
		d.before = mine.held(route)
		o.warmth.note(key, route, now, in.Features.PromptTokens)
	}
	d.packed = in.AppendBinary(make([]byte, 0, usualInputs))
}

// usualInputs is more than most packed inputs take.
const usualInputs = 224

// Reassess says of a kept request what was said of it when it came, under the
// same weights: replay holds the recorded features and assessment against it.
func Reassess(p *schemas.Payload, m *classifier.Model) (classifier.Features, classifier.Assessment) {
	ev := &p.Event
	o := Observer{judge: builtinJudge}
	r := Request{Ts: ev.Ts, Path: p.Path, Dialect: ev.Dialect, Operation: ev.Operation, Bypassed: ev.Bypassed, Body: p.RequestBody}
	var d Decided
	o.assess(&r, m, &d)
	return d.Inputs.Features, d.Inputs.Assessment
}

// assess looks at a request's bytes and judges it under a model's weights.
func (o *Observer) assess(r *Request, m *classifier.Model, d *Decided) {
	o.look(r, d)
	in := &d.Inputs
	if r.Body != nil && in.Features.Gates&schemas.GateUnreadable == 0 && dialect.Named(r.Dialect).Readable {
		gates := in.Features.Gates
		in.Features, in.Assessment = o.judge.assess(m, r.Dialect, r.Body)
		in.Features.Gates |= gates
		if d.Model != "" {
			in.Features.Gates &^= schemas.GateNoModel // named in the path
		}
	}
}

// look fills in what the request's bytes say for certain.
func (o *Observer) look(r *Request, d *Decided) {
	dd := dialect.Named(r.Dialect)
	if r.Peek != nil {
		d.peek = *r.Peek
	} else {
		d.peek = dd.Peek(r.Path, r.Body)
	}
	d.Model, d.Stream = d.peek.Model, d.peek.Stream
	operation := r.Operation
	if operation == "" {
		operation = dd.Operation
	}
	d.Inputs = classifier.Inputs{
		Provider: r.Provider, RequestModel: d.Model, Dialect: r.Dialect, Operation: operation,
		Arm: schemas.ArmNone, Bypassed: r.Bypassed, Hour: uint32(max(0, r.Ts.Unix()/3600)),
	}
	d.Inputs.Features.Gates = d.peek.Gates
	if r.CredentialHash == "" {
		d.Inputs.Features.Gates |= schemas.GateAnonymous
	}
	d.Inputs.Features.Bytes = uint32(min(r.bodyBytes(), 1<<32-1))
	if dd.Readable && r.Body == nil {
		d.Inputs.Features.Gates |= schemas.GateUnreadable
	}
}

// name finds workload and session.
func (o *Observer) name(r *Request, s *classifier.Snapshot, d *Decided) {
	f := &d.Inputs.Features
	switch {
	case r.Feature != "":
		d.Workload = o.names.bound(r.Feature, func(w string) bool { return s.PolicyFor(w) != nil })
	case f.Gates&schemas.GateUnreadable != 0 || !dialect.Named(r.Dialect).Readable:
		d.Workload = unnamed
	default:
		d.Workload = o.found.name(&o.judge, s, r.Dialect, r.Body, f)
	}
	d.Inputs.Workload = d.Workload
	if d.Session = r.Session; d.Session == "" && f.FirstUserHash != 0 {
		d.Session = derivedSession(r.CredentialHash, f.SystemHash, f.FirstUserHash)
	}
}

// refuse is the decision where the classifier could not take one.
func (o *Observer) refuse(r *Request, s *classifier.Snapshot, why schemas.Reject) Decided {
	var d Decided
	o.look(r, &d)
	d.Workload = r.Feature
	if d.Workload == "" {
		d.Workload = unnamed
	}
	d.Workload = o.names.bound(d.Workload, func(w string) bool { return s.PolicyFor(w) != nil })
	d.Session, d.Inputs.Workload = r.Session, d.Workload
	d.Decision = classifier.Refused(&d.Inputs, s, why)
	d.packed = d.Inputs.AppendBinary(nil)
	return d
}

// act sets the route when the decision says so, and asks nothing more: what
// speaks against a route is an input of the decision, or the would-be route that
// is recorded would not be the one that live takes.
func (d *Decided) act() {
	if provider, model, ok := cutRoute(d.Decision.Route); ok && d.Decision.Act {
		d.Route = Route{provider, model}
	}
}

// barred reports whether a candidate is at another provider, whose stored
// credential the caller's gnomon key may not spend.
func (r *Request) barred(candidate string) bool {
	if r.Key == nil {
		return false
	}
	provider, _, _ := cutRoute(candidate)
	return provider != r.Provider && !r.Key.Spends(provider)
}

// staysAway reports whether a conversation that is moved was not, this time: it
// was held, and the baseline's cache has what the route's has not. Where nothing is
// moved at all the would-be routes are taken to have been acted on, each of them:
// so what is recorded is what live would do from the first turn on.
func (d *Decided) staysAway() bool {
	return d.Inputs.Arm == schemas.ArmTreated && d.Route.Model == ""
}

// settle corrects what was noted of a conversation whose candidate failed, so that
// the baseline answered.
func (o *Observer) settle(r *Request, d *Decided) {
	if d.Route.Model == "" || d.Session == "" {
		return
	}
	key := warmKey(d.Workload, d.Session)
	o.warmth.note(key, routeHash(d.Route.String()), d.before.at, d.before.tokens)
	o.warmth.note(key, routeHash(r.Provider+"/"+d.Model), r.Ts.Unix(), d.Inputs.Features.PromptTokens)
}

func (r *Request) bodyBytes() int64 { return int64(max(r.BodyBytes, len(r.Body))) }

// derivedSession stands in for a session that was not sent: the same caller
// going on with the same conversation.
func derivedSession(credential string, system, firstUser uint64) string {
	h := xxhash.New()
	_, _ = h.WriteString(credential)
	_, _ = h.WriteString("\x00" + strconv.FormatUint(system, 16) + "\x00" + strconv.FormatUint(firstUser, 16))
	return fmt.Sprintf("h-%016x", h.Sum64())
}
