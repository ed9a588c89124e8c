package proxy

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/proxy/translate"
	"github.com/gnomon-llm/gnomon/schemas"
)

// spokenTo is the dialect in which a provider is told a request: the request's
// own, or else the first that anything is translated into; "" for neither.
func spokenTo(at *classifier.Provider, own string) (name string) {
	if at == nil {
		return own
	}
	for _, d := range at.Dialects {
		if d == own {
			return own
		}
		if name == "" && translate.Gate(d) != 0 {
			name = d
		}
	}
	return name
}

// way looks whether a request can be said in a candidate's dialect, where that
// is another one and has not been looked at yet.
func (o *Observer) way(r *Request, s *classifier.Snapshot, candidate string, known schemas.Gate) schemas.Gate {
	provider, _, _ := cutRoute(candidate)
	if provider == r.Provider || known&(schemas.GateUnreadable|schemas.GateRepeatedKey) != 0 || r.Body == nil {
		return 0
	}
	to := spokenTo(s.Provider(provider), r.Dialect)
	if to == r.Dialect || to == "" || translate.Gate(r.Dialect) == 0 || known&translate.Gate(to) != 0 {
		return 0
	}
	gate, err := translate.Check(translate.Ask{Dialect: r.Dialect, Path: r.Path, Body: r.Body}, to)
	if err != nil && o.refused != nil {
		o.refused(to, translate.IsRefusal(err))
	}
	return gate
}

// caches reports whether a candidate would keep a prefix of this request: a
// translated one asks Anthropic to keep nothing.
func caches(s *classifier.Snapshot, r *Request, candidate string) bool {
	provider, _, _ := cutRoute(candidate)
	return provider == r.Provider || r.Dialect == dialect.AnthropicMessages || spokenTo(s.Provider(provider), r.Dialect) != dialect.AnthropicMessages
}

// crossing is a routed request in its candidate's dialect, and its way back.
type crossing struct {
	d    *dialect.Dialect // the candidate's
	said translate.Said
	back translate.Back
	// whole is the answer in the client's dialect, where it is no stream.
	whole []byte
}

// nativeDialect is what a row of a family is told routed requests in.
var nativeDialect = map[string]string{
	dialect.FamilyOpenAI: dialect.OpenAIChat, dialect.FamilyAnthropic: dialect.AnthropicMessages, dialect.FamilyGemini: dialect.GeminiGenerate,
}

// cross puts the request in its candidate's dialect; nil where that is the
// client's own.
func (x *exchange) cross(at *row, to Route) (*crossing, error) {
	if at == x.row || at.Dialect == x.d.Family {
		return nil, nil
	}
	able, _ := x.p.snapshots().CapabilityOf(to.String())
	name := nativeDialect[at.Dialect]
	said, err := translate.Request(translate.Ask{Dialect: x.d.Name, Path: x.path, Query: x.query, Body: x.body},
		translate.Target{Dialect: name, Model: to.Model, MaxOutput: able.MaxOutput, AskUsage: at.IncludeUsage})
	if err != nil {
		return nil, err
	}
	return &crossing{d: dialect.Named(name), said: said, back: translate.Back{
		From: name, To: x.d.Name, ID: x.idText, Model: to.Model, Usage: x.req.Peek.IncludeUsage == dialect.Yes, Created: x.start.Unix(),
	}}, nil
}

// dress makes the request one of the candidate's dialect: path, body, and of the
// headers only what means the same there.
func (o *crossing) dress(x *exchange, req *http.Request, at *row, to *address) {
	u := &url.URL{Scheme: to.scheme, Host: to.host, Opaque: to.base + o.said.Path}
	if o.said.Query != "" {
		u.RawQuery = o.said.Query[1:]
	}
	if plain, err := url.PathUnescape(u.Opaque); err == nil {
		u.Path, u.RawPath, u.Opaque = plain, u.Opaque, ""
	}
	req.URL, req.ContentLength = u, 0 // set with the body
	if at.Dialect != dialect.FamilyAnthropic {
		delete(req.Header, "Anthropic-Version")
	}
	delete(req.Header, "Anthropic-Beta")
	req.Header["Content-Type"] = []string{"application/json"}
	req.Header["Accept-Encoding"] = []string{"identity"} // it must be read
	x.setBody(req, o.said.Body)
}

// begin waits until a candidate's answer has begun well: for the first bytes of
// a stream, for the whole of any other. Until then another can still answer.
func (o *crossing) begin(x *exchange, resp *http.Response, begun *firstByte) (why string) {
	contentType := resp.Header.Get("Content-Type")
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return "encoded"
	}
	if stream := dialect.IsEventStream(contentType); stream != x.req.Peek.Stream || resp.StatusCode != http.StatusOK {
		return "unexpected answer"
	} else if stream {
		return x.firstBytes(resp, o.d, begun)
	}
	if !begun.came() { // the head has; the rest has the idle and the total bound
		return "first_byte_timeout"
	}
	idle := x.watchIdle()
	body, kept, err := x.gather(resp, &watched{resp.Body, idle})
	defer func() { x.unhold(kept) }()
	idle.end()
	switch {
	case errors.Is(err, errMemory), err == nil && !x.hold(len(body)): // its translation is about as long
		return noMemory
	case err != nil:
		return x.brokeOff()
	case len(body) > x.p.cfg.CaptureBytes:
		return "too long"
	}
	if o.whole, err = o.back.Response(body); err != nil {
		return "untranslatable"
	}
	x.tap = o.newTap(x, contentType)
	x.tap.write(body)
	x.ans.ResponseBytes = int64(len(body))
	return ""
}

// watched tells a watchdog of each read.
type watched struct {
	io.Reader
	idle *watchdog
}

func (w *watched) Read(p []byte) (int, error) {
	w.idle.begin()
	defer w.idle.pause()
	return w.Reader.Read(p)
}

// newTap reads the answer as the candidate gave it: that is what is paid for.
func (o *crossing) newTap(x *exchange, contentType string) *tap {
	bound := x.p.cfg.CaptureBytes
	t := &tap{reader: o.d.NewReader(contentType, bound), bound: bound, failed: x.unread, room: gauge{x.hold, 0}}
	if dialect.IsEventStream(contentType) {
		t.room.has = streamFree
	}
	x.listen(t)
	return t
}

// relay answers the client in its own dialect.
func (o *crossing) relay(x *exchange, resp *http.Response) {
	defer resp.Body.Close()
	x.crossed = true
	x.ans.HTTPStatus = http.StatusOK
	h := x.w.Header()
	h["Content-Type"] = []string{"application/json"}
	if id := resp.Header.Get(requestIDs[o.d.Family]); id != "" && requestIDs[x.d.Family] != "" {
		h[requestIDs[x.d.Family]] = []string{id}
	}
	if o.whole == nil {
		o.stream(x, resp)
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(o.whole))}
	x.ans.TTFT = time.Since(x.start)
	x.end()
	x.c.Writer.WriteHeader(http.StatusOK)
	x.c.Writer.WriteHeaderNow()
	x.headSent = true
	_, _ = x.w.Write(o.whole)
}

// requestIDs are the headers in which the vendors name a request.
var requestIDs = map[string]string{dialect.FamilyOpenAI: "X-Request-Id", dialect.FamilyAnthropic: "Request-Id"}

// stream passes a stream on as it comes. One that dies gets the error event of
// the client's dialect, and is then aborted: never a clean end.
func (o *crossing) stream(x *exchange, resp *http.Response) {
	s, err := o.back.Stream(x.p.cfg.CaptureBytes)
	if err != nil { // both dialects are known: the request was put in one from the other
		x.setStatus(schemas.StatusRefused, "internal")
		x.abort()
	}
	h := x.w.Header()
	h["Content-Type"], h["Cache-Control"] = []string{"text/event-stream; charset=utf-8"}, []string{"no-cache"}
	x.c.Writer.WriteHeader(http.StatusOK)
	x.c.Writer.WriteHeaderNow()
	x.headSent = true
	flush, _ := x.w.(http.Flusher)
	send := func(out []byte) {
		if len(out) == 0 {
			return
		}
		if _, err := x.w.Write(out); err != nil {
			x.untaken(err)
		}
		if flush != nil {
			flush.Flush()
		}
	}
	x.tap = o.newTap(x, resp.Header.Get("Content-Type"))
	pooled := smallBuffers.Get().(*[]byte)
	defer smallBuffers.Put(pooled)
	idle := x.watchIdle()
	defer idle.end()
	var out []byte
	room := gauge{x.hold, streamFree}
	for {
		idle.begin()
		n, err := resp.Body.Read(*pooled)
		idle.pause()
		if n > 0 {
			if x.ans.TTFT == 0 {
				x.ans.TTFT = time.Since(x.start)
			}
			x.ans.ResponseBytes += int64(n)
			x.tap.write((*pooled)[:n])
			var broken error
			out, broken = s.Append(out[:0], (*pooled)[:n])
			send(out)
			if broken != nil {
				o.broke(x)
			}
			if held := s.Held(); !room.fits(held) && held > smallBody { // less goes on uncounted: traffic comes before the bound
				o.overloaded(x, send, s.Abort(nil))
			}
			out = small(out)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if !x.gone() {
				send(s.Abort(out[:0]))
			}
			x.died(err)
		}
	}
	if out, err = s.Close(out[:0]); err != nil {
		send(out)
		x.setStatus(schemas.StatusTruncated, "upstream_closed")
		x.abort()
	}
	x.end()
	send(out)
}

// overloaded ends a stream whose event there is no room for.
func (o *crossing) overloaded(x *exchange, send func([]byte), last []byte) {
	send(last)
	x.setStatus(schemas.StatusTruncated, "overloaded")
	x.abort()
}

// broke ends a stream that could not be passed on: the candidate said that it
// failed, or what it said has no words in the client's dialect.
func (o *crossing) broke(x *exchange) {
	if !x.tap.reader.Failed() {
		x.setStatus(schemas.StatusProviderError, "untranslatable")
	}
	x.abort()
}
