package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/proxy/wire"
	"github.com/gnomon-llm/gnomon/schemas"
)

// exchange is the life of one accepted request, from its head to its event.
type exchange struct {
	p   *Proxy
	c   *gin.Context
	w   http.ResponseWriter // the server's own: gin's wrapper buffers the head
	r   *http.Request
	row *row
	d   *dialect.Dialect

	path, query string // at the provider, as the client wrote them
	id          uuid.UUID
	idText      string
	seq         uint64
	start       time.Time
	ctx         context.Context
	cancel      context.CancelCauseFunc
	at          *row        // where the call under way goes
	total       *time.Timer // ends it, where its row bounds it; else nil
	host, key   *member     // it goes to and by, where they were chosen

	body   []byte  // of the request, when whole
	pooled *[]byte // body's memory, where it is to be used again
	lent   []*wire.Body
	first  [1]*wire.Body // lent's memory: most requests are sent once
	again  atomic.Bool   // a body was asked for once more: who reads it is not known
	whole  bool          // body is all of it
	upload *upload       // streams the body when it is not at hand
	sends  upload        // what upload points to
	waited time.Duration

	stored   bool   // the provider gets its stored credential, for the caller's gnomon key
	storedIn string // in this header; "" is the provider's usual one
	counted  string // the key whose limits count this request

	req      Request
	decision *pending
	begun    *pending // the decision that was begun, which may have come too late
	handed   bool     // the body was given away
	acts     bool     // a policy may act on it: it was decided before it was forwarded
	ans      Answer
	crossed  bool // the answer came in another dialect than the client's
	tap      *tap
	overhead time.Duration
	held     atomic.Int64 // bytes of bodies, reserved; a decoder of the answer reserves beside the exchange
	unheld   atomic.Bool  // some body was not held, for want of memory
	ended    bool
	headSent bool
}

// Causes that end an exchange from our side.
var (
	errIdle      = errors.New("the provider sent nothing for too long")
	errFirstByte = errors.New("the candidate's answer did not begin in time")
	errTotal     = errors.New("the provider's answer took longer than is allowed")
	errCutOff    = errors.New("gnomon was asked to stop")
	errBodyStall = errors.New("the client's body did not arrive in time")
)

// serve answers one request at a provider's row; strip is how many bytes of the
// path are gnomon's own.
func (p *Proxy) serve(c *gin.Context, at *row, strip int) {
	x := &exchange{p: p, c: c, r: c.Request, w: serverWriter(c.Writer), row: at, start: time.Now()}
	fits := p.flights.enter()
	defer p.flights.leave()
	x.begin(strip)
	defer x.close()
	if !fits {
		x.crowded("gnomon: too many requests in flight; try again")
		return
	}
	if x.authenticate() && x.readBody() {
		x.decide()
		x.forward()
	}
}

// serverWriter finds the server's ResponseWriter below gin's.
func serverWriter(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// begin makes the request known to the recorder before anything of it leaves.
func (x *exchange) begin(strip int) {
	p := x.p
	full, query := target(x.r)
	x.path, x.query = full[strip:], query
	x.d = dialect.Of(x.r.Method, x.path)
	x.ctx, x.cancel = context.WithCancelCause(x.r.Context())
	x.id = newID()
	x.idText = x.id.String()
	x.req = Request{Ts: p.cfg.Now().UTC().Truncate(time.Millisecond), Provider: x.row.Name, Path: x.path, Dialect: x.d.Name, Operation: x.d.Operation, Simulated: x.row.Simulated}
	attribution(&x.req, x.r.Header)
	x.seq = p.rec.Begin(p.cfg.Project, x.req.Ts, x.id)
	x.w.Header()[headerRequestID] = []string{x.idText}
}

func init() { uuid.EnableRandPool() } // asks the system for randomness once for sixteen ids

// newID is a UUIDv7; when the system has no randomness to give it falls back to
// a random-less one rather than refuse traffic.
func newID() uuid.UUID {
	id, err := uuid.NewV7()
	if err != nil {
		n := fallbackIDs.Add(1)
		now := uint64(time.Now().UnixMilli())
		for i := range 6 {
			id[i] = byte(now >> (40 - 8*i))
		}
		for i := range 8 {
			id[8+i] = byte(n >> (56 - 8*i))
		}
		id[6], id[8] = 0x70, id[8]&0x3f|0x80
	}
	return id
}

var fallbackIDs atomic.Uint64

// close ends the exchange whatever happened to it, also in a panic.
func (x *exchange) close() {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler { //nolint:errorlint // the server's own sentinel, thrown as it is
		x.p.log.Error("a request failed inside gnomon", "request_id", x.id, "panic", fmt.Sprint(fault))
		x.setStatus(schemas.StatusRefused, "internal")
	}
	x.cancel(nil)
	if x.total != nil {
		x.total.Stop()
	}
	x.putBack()
	x.end()
	x.release()
	x.freeBody()
	if x.counted != "" {
		x.p.limits.leave(x.counted)
	}
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
}

// setStatus notes how the exchange ended; the first word stands.
func (x *exchange) setStatus(s schemas.Status, errorType string) {
	if x.ans.Status == "" {
		x.ans.Status, x.ans.ErrorType = s, errorType
	}
}

// refuse answers with an error of gnomon's own, in the client's dialect.
func (x *exchange) refuse(f dialect.Fault, s schemas.Status) {
	x.setStatus(s, f.Kind)
	x.ans.HTTPStatus = f.Status
	x.headSent = true
	family := x.d.Family
	if family == "" {
		family = x.row.Dialect
	}
	x.end()
	x.early(x.w.Header())
	x.p.fault(x.c, family, f)
}

// crowded refuses a request for want of room, and in HTTP/1.1 the connection with
// it.
func (x *exchange) crowded(message string) {
	h := x.w.Header()
	h["Retry-After"] = []string{"1"}
	if x.r.ContentLength != 0 && x.r.ProtoMajor == 1 {
		h["Connection"] = []string{"close"} // or the server reads the body before it says so; in HTTP/2 it would be the end of all streams
	}
	x.refuse(dialect.Fault{Status: http.StatusServiceUnavailable, Kind: "overloaded", Message: message}, schemas.StatusRefused)
}

// abort ends an answer that has begun so that the client cannot take it for
// complete: a plain return would write the clean terminator.
func (x *exchange) abort() {
	x.end()
	panic(http.ErrAbortHandler)
}

// gone reports whether the client has left, or gnomon was told to stop.
func (x *exchange) gone() bool { return x.r.Context().Err() != nil }

// leave notes that the client has left before the answer's end.
func (x *exchange) leave() {
	if errors.Is(context.Cause(x.r.Context()), errCutOff) {
		x.setStatus(schemas.StatusTimeout, "drain")
		return
	}
	x.setStatus(schemas.StatusClientAbort, "")
}

// end makes the event, once, and hands it to the recorder.
func (x *exchange) end() {
	if x.ended {
		return
	}
	x.ended = true
	began := time.Now()
	a := &x.ans
	a.Latency = began.Sub(x.start)
	a.Read = x.tap.close()
	if x.upload != nil {
		x.req.BodyBytes = int(x.upload.n.Load())
	}
	d := x.decided()
	x.overhead += time.Since(began)
	a.Overhead = x.overhead
	ev := events.Get().(*schemas.RequestEvent)
	*ev = x.p.observer.Event(&x.req, d, a)
	ev.RequestID, ev.BootID, ev.Seq = x.idText, x.p.rec.BootID(), x.seq
	x.p.rec.End(ev)
	x.p.metrics.observe(ev, a.Latency, a.TTFT, a.Overhead)
	x.handPayload(ev)
	x.recount(ev, d)
	*ev = schemas.RequestEvent{} // who keeps it has copied it
	events.Put(ev)
}

// events are for records until everybody has had a look at them.
var events = sync.Pool{New: func() any { return new(schemas.RequestEvent) }}

// handPayload gives bodies away for rehearsal where the workload's data policy
// permits it, and only whole ones of answers that came to their end.
func (x *exchange) handPayload(ev *schemas.RequestEvent) {
	p := x.p
	if p.sink == nil || !x.whole || x.crossed || ev.Status != schemas.StatusOK || ev.HTTPStatus != http.StatusOK || p.cfg.KeepPayload == nil || !p.cfg.KeepPayload(ev.Workload) {
		return
	}
	if body := x.tap.payload(); len(body) > 0 {
		p.metrics.payloads.Inc()
		x.handed = true
		p.sink(schemas.Payload{Version: schemas.SchemaVersion, Event: *ev, Path: x.path, RequestBody: x.body, ResponseBody: body})
	}
}

// pending is a decision being taken while the provider works.
type pending struct {
	done chan struct{}
	d    Decided
	o    *Observer
	req  Request
}

func (pd *pending) decide() {
	defer close(pd.done)
	pd.o.decide(&pd.req, &pd.d)
}

// deciders are goroutines kept for decisions: a fresh one would have to grow its
// stack each time. Where all are busy, or none runs, a fresh one does it: a
// decision waits for no other.
type deciders struct{ work chan *pending }

func (d *deciders) take(pd *pending) {
	select {
	case d.work <- pd:
	default:
		go pd.decide()
	}
}

// run decides until stop is closed.
func (d *deciders) run(stop <-chan struct{}) {
	for {
		select {
		case pd := <-d.work:
			pd.decide()
		case <-stop:
			return
		}
	}
}

// decide starts classification. It waits for it only where a policy may act on
// this request: everything else is forwarded first.
func (x *exchange) decide() {
	if !x.d.Readable || !x.whole {
		return // decided at the end: there is nothing to assess
	}
	if x.req.Body = x.body; x.req.Body == nil {
		x.req.Body = []byte{} // known to be empty, which is not the same as not at hand
	}
	x.acts = x.mayAct()
	if x.acts || x.asksUsage(x.row) {
		peek := x.d.Peek(x.path, x.body)
		x.req.Peek = &peek
	}
	pd := &pending{done: make(chan struct{}), o: x.p.observer, req: x.req}
	x.decision, x.begun = pd, pd
	x.p.deciders.take(pd)
	if x.acts {
		x.await(pd)
	}
}

// await waits for a decision, at most for the budget.
func (x *exchange) await(pd *pending) bool {
	select {
	case <-pd.done:
		return true
	default:
	}
	timer := time.NewTimer(x.p.cfg.ClassifyBudget)
	defer timer.Stop()
	select {
	case <-pd.done:
		return true
	case <-timer.C:
		// It goes on by itself; its result is left alone from here on.
		late := &pending{done: make(chan struct{})}
		late.d = x.p.observer.refuse(&x.req, x.p.snapshots(), schemas.RejectClassifier)
		close(late.done)
		x.decision = late
		return false
	}
}

// decided returns the decision, taking it now where there was nothing to
// assess.
func (x *exchange) decided() *Decided {
	if x.decision == nil {
		d := x.p.observer.Decide(&x.req)
		return &d
	}
	x.await(x.decision)
	if x.decision.d.Decision.BaselineReject == schemas.RejectClassifier {
		x.p.metrics.failures.Inc()
	}
	return &x.decision.d
}

// acting says which workloads of a snapshot have a policy that may act.
type acting struct {
	of         *classifier.Snapshot
	any        bool
	discovered bool // one of them is found by its system prompt, not by a header
	overflow   bool // one is of the names past the bound
}

func actingOf(s *classifier.Snapshot) *acting {
	a := &acting{of: s}
	policies := s.Parts().Policies
	for i := range policies {
		if acts(&policies[i]) {
			a.any = true
			w := policies[i].Workload
			a.overflow = a.overflow || w == overflow
			a.discovered = a.discovered || w[:1] == "~" || slices.ContainsFunc(s.Parts().Names, func(n classifier.Name) bool { return n.Name == w })
		}
	}
	return a
}

func acts(p *schemas.Policy) bool {
	return p != nil && (p.Mode == schemas.ModeCanary || p.Mode == schemas.ModeLive) && p.Workload != ""
}

// mayAct reports whether the request must be decided before it is forwarded.
func (x *exchange) mayAct() bool {
	if x.req.Bypassed || x.d.Operation != "chat" {
		return false
	}
	s := x.p.snapshots()
	a := x.p.acting.Load()
	if a == nil || a.of != s {
		a = actingOf(s)
		x.p.acting.Store(a)
	}
	if !a.any {
		return false
	}
	if x.req.Feature == "" {
		return a.discovered
	}
	return a.overflow || acts(s.PolicyFor(x.req.Feature))
}

// asksUsage reports whether stream usage may be asked for at a row.
func (x *exchange) asksUsage(at *row) bool {
	return at.IncludeUsage && x.d.AsksUsage && x.whole && !x.req.Bypassed
}
