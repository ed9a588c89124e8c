package proxy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/proxy/wire"
	"github.com/gnomon-llm/gnomon/schemas"
)

// forward sends the request where it goes and relays the answer.
func (x *exchange) forward() {
	if x.routed() {
		if x.tryCandidate(x.decision.d.Route) {
			return
		}
		x.ans.Fallback = true
	}
	resp, cut, err := x.send(x.row, "", nil)
	if err != nil {
		x.sendFailed(err)
		return
	}
	x.relay(resp, cut)
}

// routed reports whether the decision, which was waited for, says to act.
func (x *exchange) routed() bool {
	return x.acts && x.req.Peek.Readable() && x.decision.d.Route.Model != ""
}

// send makes the request to a provider and waits for the answer's head. With a
// model it replaces the one in the body; over is the request in the provider's
// own dialect, where that is another than the client's. cut says that stream
// usage was asked for on the client's behalf.
func (x *exchange) send(at *row, model string, over *crossing) (resp *http.Response, cut bool, err error) {
	to, key := &at.address, ""
	if at != x.row || x.stored {
		to, key = x.draw(at)
	}
	// What a candidate hints at is kept back: another may answer yet.
	relay := &caller{x: x, to: to, private: at.AllowPrivate, done: model != ""}
	req := (&http.Request{
		Method: x.r.Method, URL: x.address(at, to, model), ContentLength: x.r.ContentLength,
		Trailer: x.sentTrailers(at), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(wire.WithCaller(x.ctx, relay))
	te := lists(x.r.Header["Te"], "trailers")
	up := x.r.Header["Upgrade"]
	if up != nil && !(webSocket(up) && lists(x.r.Header["Connection"], "upgrade")) {
		up = nil
	}
	if x.routed() {
		req.Header = make(http.Header, len(x.r.Header)+2)
		passHeaders(req.Header, x.r.Header)
	} else { // the only call: nobody has a use for the client's any more
		req.Header = x.r.Header
		dropHeaders(req.Header)
	}
	if _, sent := req.Header["User-Agent"]; !sent {
		req.Header["User-Agent"] = []string{""} // or net/http names itself
	}
	if te {
		req.Header["Te"] = []string{"trailers"}
	}
	if up != nil {
		req.Header["Connection"], req.Header["Upgrade"] = []string{"Upgrade"}, up
	}
	if at != x.row {
		req.Header = at.authorize(req.Header, to, key)
	} else if x.stored {
		at.spend(req.Header, to, key, x.d, x.storedIn)
	}
	switch {
	case over != nil:
		over.dress(x, req, at, to)
	case x.upload != nil:
		req.Body = x.upload
	case x.whole && x.r.ContentLength != 0 && x.r.Body != nil && x.r.Body != http.NoBody:
		body := x.body
		if peek := x.req.Peek; peek != nil {
			if cut = x.asksUsage(at) && peek.CanAskUsage(); cut || model != "" {
				body = peek.Edit(body, model, cut)
			}
		}
		x.setBody(req, body)
		if cut {
			// What is cut out must be read: a compressed stream could not be cut.
			req.Header["Accept-Encoding"] = []string{"identity"}
		}
	}
	if model != "" {
		apart(req.Header, model)
	}
	x.ans.Sent = true
	x.ans.Calls++
	x.overhead = time.Since(x.start) - x.waited
	x.bound(at)
	resp, err = at.upstream.RoundTrip(req)
	relay.stop()
	if notSent(err) {
		x.ans.Sent = false
	}
	x.judge(at, resp, err)
	return resp, cut, err
}

// sentTrailers are the trailers that go to a provider; to another than the client's
// own none do, as only headers that are known to mean something there.
func (x *exchange) sentTrailers(at *row) http.Header {
	if at != x.row || x.r.Trailer == nil {
		return nil
	}
	listed := x.r.Header["Connection"]
	dropTrailers(x.r.Trailer, listed)
	if x.upload != nil {
		x.upload.trailer, x.upload.listed = x.r.Trailer, listed
	}
	return x.r.Trailer
}

// apart gives a candidate's call an idempotency key of its own: its baseline may be
// asked after it, with another body, and a provider refuses one key with two.
func apart(h http.Header, model string) {
	for _, name := range idempotencyHeaders {
		if v := h.Get(name); v != "" {
			h[name] = []string{v + "-" + model}
		}
	}
}

// bound begins the time that a call to a provider may take in all, where its row
// has one.
func (x *exchange) bound(at *row) {
	x.at = at
	if x.total != nil {
		x.total.Stop()
		x.total = nil
	}
	if at.TotalTimeout > 0 {
		cancel := x.cancel
		x.total = time.AfterFunc(at.TotalTimeout, func() { cancel(errTotal) })
	}
}

// setBody gives a request a body that is at hand.
func (x *exchange) setBody(req *http.Request, body []byte) {
	at := wire.Whole(body)
	if req.Body = at; x.lent == nil {
		x.lent = x.first[:0]
	}
	x.lent = append(x.lent, at)
	if req.ContentLength >= 0 {
		req.ContentLength = int64(len(body))
	}
	delete(req.Header, "Expect") // the client has sent its body already
	if req.Header["Idempotency-Key"] == nil && req.Header["X-Idempotency-Key"] == nil {
		// Lets the transport repeat a request that the provider has surely not
		// seen. With an idempotency key it would repeat others, too.
		req.GetBody = func() (io.ReadCloser, error) {
			x.again.Store(true)
			return wire.Whole(body), nil
		}
	}
}

// address is the provider's URL for this request, path and query byte for byte.
func (x *exchange) address(at *row, to *address, model string) *url.URL {
	u := &url.URL{Scheme: to.scheme, Host: to.host}
	path := to.base + x.d.Path(x.path, model)
	if path == "" {
		path = "/"
	}
	if x.query != "" && at == x.row { // it may hold a key, which is for this provider only
		u.RawQuery, u.ForceQuery = x.query[1:], len(x.query) == 1
	}
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
		if u.EscapedPath() == path {
			return u
		}
	}
	u.Path, u.RawPath, u.Opaque = "", "", path // as it is, also where net/url would write it otherwise
	return u
}

// caller is an exchange to the client that sends its request. It relays 1xx
// answers, but for the 100 that the server itself sends when the body is read,
// and permits addresses by the row that the request goes to: a configuration
// that was replaced meanwhile cannot widen what it may.
type caller struct {
	to      *address
	private bool // it may be inside
	mu      sync.Mutex
	x       *exchange
	done    bool
}

func (i *caller) Permit(name string, to netip.Addr) error { return i.to.permit(name, to, i.private) }

func (i *caller) Informed(code int, header http.Header) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.done || code == http.StatusContinue {
		return
	}
	h := i.x.w.Header()
	before := maps.Clone(h)
	passHeaders(h, header)
	i.x.withhold(h)
	i.x.w.WriteHeader(code)
	clear(h)
	maps.Copy(h, before)
}

func (i *caller) stop() {
	i.mu.Lock()
	i.done = true
	i.mu.Unlock()
}

// sendFailed ends a request to which no answer came.
func (x *exchange) sendFailed(err error) {
	var timeout net.Error
	late := errors.As(err, &timeout) && timeout.Timeout()
	switch {
	case x.upload.failed() != nil:
		x.bodyFailed(x.upload.failed())
	case x.gone():
		x.leave()
		x.abort()
	case errors.Is(context.Cause(x.ctx), errTotal):
		x.refuse(dialect.Fault{Status: http.StatusGatewayTimeout, Kind: "total_timeout", Message: "gnomon: the provider " + x.row.Name + " took longer for its answer than is allowed (total_timeout)"}, schemas.StatusTimeout)
	case noRoom(err):
		x.p.closeIdle(nil) // what nobody uses may be just what is missing
		x.crowded("gnomon: too many connections are open; try again")
	case late && notSent(err):
		x.refuse(dialect.Fault{Status: http.StatusGatewayTimeout, Kind: "connect_timeout", Message: "gnomon: no connection to the provider " + x.row.Name + " in time"}, schemas.StatusTimeout)
	case errors.Is(context.Cause(x.ctx), errIdle), late:
		x.refuse(dialect.Fault{Status: http.StatusGatewayTimeout, Kind: "upstream_timeout", Message: "gnomon: the provider " + x.row.Name + " did not answer in time"}, schemas.StatusTimeout)
	default:
		x.p.log.Warn("provider unreachable", "provider", x.row.Name, "request_id", x.id, "error", plainError(err))
		x.refuse(dialect.Fault{Status: http.StatusBadGateway, Kind: "upstream_unreachable", Message: "gnomon: the provider " + x.row.Name + " could not be reached, or left without an answer"}, schemas.StatusProviderError)
	}
}

// plainError is an error's text without the address that was asked: a query may
// hold a key.
func plainError(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
