package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
)

// tried is how a call to a candidate went.
type tried struct {
	resp *http.Response
	cut  bool
	err  error
	gone bool // the client left: nobody waits for an answer

	why  string        // it does not serve; "" where it does
	wait time.Duration // before it may be made again; never
	lost bool          // the provider may have worked, and charge for it
}

// tryCandidate sends the request to its candidate, again where that is safe and
// the budget allows it. It returns false when the baseline must answer: then
// nothing has reached the client.
func (x *exchange) tryCandidate(to Route) bool {
	at := x.p.rows[to.Provider]
	if at == nil || (at != x.row && at.APIKey == "") {
		return false
	}
	over, err := x.cross(at, to)
	if err != nil {
		return false // looked at before it was decided: only a body that changed meanwhile
	}
	if over != nil && !x.hold(usual) { // its answer will have to be held; what is given back shows that there is room
		x.ans.Reason = noMemory
		x.p.metrics.fallbacks.WithLabelValues(to.String(), noMemory).Inc()
		return false
	} else if over != nil {
		x.unhold(usual)
	}
	b := x.p.health.of(to.String(), at.Breaker)
	at.budget.earn(at.Retry.Budget)
	for n := 0; ; n++ {
		ok, probe := b.enter()
		if !ok { // it opened after the decision, or others are trying it
			if n == 0 {
				x.ans.Reason = "ejected"
				x.p.metrics.fallbacks.WithLabelValues(b.name, "ejected").Inc()
			}
			return false
		}
		t := x.try(b, probe, at, to, over)
		if t.gone {
			x.sendFailed(t.err)
			return true
		}
		if t.why == "" {
			x.served(to, t, over)
			return true
		}
		x.failedTry(t)
		if again := x.repeat(at, n, t); x.gone() { // nobody is asked for nobody
			x.sendFailed(context.Cause(x.r.Context()))
			return true
		} else if !again {
			x.p.metrics.fallbacks.WithLabelValues(b.name, t.why).Inc()
			return false
		}
	}
}

// failedTry notes a call that did not serve, and makes the exchange ready for the
// next one: what ended that call must not end this.
func (x *exchange) failedTry(t tried) {
	if t.resp != nil {
		t.resp.Body.Close()
	}
	x.ans.Reason, x.ans.Sent = t.why, false // what it used is in no cost
	if t.lost {
		x.ans.Lost++
	}
	x.cancel(nil)
	x.ctx, x.cancel = context.WithCancelCause(x.r.Context())
}

// repeat reports whether the candidate is asked once more, and waits for it.
func (x *exchange) repeat(at *row, n int, t tried) bool {
	if n >= at.Retry.Attempts || t.wait == never {
		return false
	}
	if !at.budget.spend() {
		x.p.metrics.unretried.WithLabelValues(at.Name).Inc()
		return false
	}
	began := time.Now()
	ok := x.pause(t.wait)
	x.waited += time.Since(began)
	if ok {
		x.p.metrics.retries.WithLabelValues(at.Name, t.why).Inc()
	}
	return ok // else the client has left
}

// try makes one call and waits until its answer has begun well. The breaker is
// told before the rest of the answer is relayed, which may take minutes.
func (x *exchange) try(b *breaker, probe bool, at *row, to Route, over *crossing) (t tried) {
	v := noVerdict
	defer func() { b.leave(v, probe) }() // also in a panic
	cancel := x.cancel
	firstByte := &firstByte{}
	timer := time.AfterFunc(at.HeaderTimeout, func() {
		if firstByte.settled.CompareAndSwap(false, true) {
			cancel(errFirstByte)
		}
	})
	defer timer.Stop()
	began := time.Now()
	defer func() { x.waited += time.Since(began) }()
	t.wait = never
	t.resp, t.cut, t.err = x.send(at, to.Model, over)
	if t.err != nil {
		if t.gone = x.gone(); t.gone {
			return t
		}
		t.why, t.wait = x.afterFailure(t.err)
		t.lost = x.ans.Sent
		if !noRoom(t.err) {
			v = wentWrong
		}
		return t
	}
	if code := t.resp.StatusCode; code >= 400 {
		// Whatever the candidate objects to, the caller asked for the baseline.
		if t.why = http.StatusText(code); t.why == "" { // 529 has no name
			t.why = "status " + strconv.Itoa(code)
		}
		t.wait = afterRefusal(t.resp, at.Retry.MaxWait)
		if code != 400 && code != 413 && code != 422 { // those are about the request
			v = wentWrong
		}
		return t
	}
	if over != nil {
		t.why = over.begin(x, t.resp, firstByte)
	} else {
		t.why = x.firstBytes(t.resp, x.d, firstByte)
	}
	switch {
	case t.why == "":
		v = wentWell
	case x.gone():
		t.gone, t.err = true, context.Cause(x.r.Context())
		t.resp.Body.Close()
	case t.why == noMemory: // no fault of the candidate's
		t.lost = true
	default:
		v, t.lost = wentWrong, t.why != "error event"
	}
	return t
}

// served relays a candidate's answer.
func (x *exchange) served(to Route, t tried, over *crossing) {
	x.ans.Provider, x.ans.ServedModel = to.Provider, to.Model
	x.w.Header()[headerRoute] = []string{to.String()}
	if over != nil {
		over.relay(x, t.resp)
		return
	}
	x.relay(t.resp, t.cut)
}

// firstByte is the wait for an answer to begin: it came, or it was given up, and
// never both, or an answer that is being relayed would be cut off.
type firstByte struct{ settled atomic.Bool }

func (f *firstByte) came() bool { return f.settled.CompareAndSwap(false, true) }

// firstBytes waits for the first bytes of a candidate's answer, so that one that
// dies or errs before them can still be replaced.
func (x *exchange) firstBytes(resp *http.Response, d *dialect.Dialect, begun *firstByte) (why string) {
	buf := make([]byte, 4096)
	stop := x.watchIdle()
	n, err := resp.Body.Read(buf)
	stop.end()
	if n == 0 && err != nil && err != io.EOF { //nolint:errorlint // readers return it bare
		return x.brokeOff()
	}
	if !begun.came() {
		return "first_byte_timeout"
	}
	if contentType := resp.Header.Get("Content-Type"); dialect.IsEventStream(contentType) && resp.Header.Get("Content-Encoding") == "" {
		r := d.NewReader(contentType, len(buf))
		_, _ = r.Write(buf[:n])
		if r.Failed() {
			return "error event"
		}
	}
	resp.Body = &rejoined{first: buf[:n], err: err, ReadCloser: resp.Body}
	return ""
}

// brokeOff says why an answer ended before it was used.
func (x *exchange) brokeOff() string {
	switch cause := context.Cause(x.ctx); {
	case errors.Is(cause, errTotal):
		return "total_timeout"
	case errors.Is(cause, errFirstByte), errors.Is(cause, errIdle):
		return "first_byte_timeout"
	}
	return "died"
}

// rejoined is a body whose first read was done ahead.
type rejoined struct {
	first []byte
	err   error
	io.ReadCloser
}

func (r *rejoined) Read(p []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(p, r.first)
		if r.first = r.first[n:]; len(r.first) > 0 {
			return n, nil
		}
		return n, r.err
	}
	if r.err != nil {
		return 0, r.err
	}
	return r.ReadCloser.Read(p)
}
