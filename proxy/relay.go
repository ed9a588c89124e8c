package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Buffers: large ones for bodies, small ones for streams, which hold theirs for
// minutes while little comes at a time.
var (
	buffers      = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}
	smallBuffers = sync.Pool{New: func() any { b := make([]byte, 2<<10); return &b }}
)

// relay passes an answer on as it comes. Each read is flushed: an event is never
// held for the next one.
func (x *exchange) relay(resp *http.Response, askedUsage bool) {
	defer resp.Body.Close()
	x.ans.HTTPStatus = resp.StatusCode
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.upgrade(resp)
		return
	}
	if resp.StatusCode < 200 || resp.StatusCode > 999 {
		x.refuse(dialect.Fault{Status: http.StatusBadGateway, Kind: "upstream_invalid", Message: "gnomon: the provider answered with no valid status"}, schemas.StatusProviderError)
		return
	}
	var cut *dialect.UsageCut
	encoding := resp.Header.Get("Content-Encoding")
	if askedUsage && resp.StatusCode == http.StatusOK && dialect.IsEventStream(resp.Header.Get("Content-Type")) && (encoding == "" || encoding == "identity") {
		cut = &dialect.UsageCut{Max: x.p.cfg.CaptureBytes}
	}
	x.tap = x.newTap(resp, encoding)
	x.head(resp, cut != nil)
	x.copy(resp, cut)
	x.trailers(resp)
}

// head writes the answer's status and headers, adding nothing that the provider
// did not say but our own.
func (x *exchange) head(resp *http.Response, cut bool) {
	h := x.w.Header()
	if own, is := x.w.(interface{ Adopt(http.Header, string) }); is {
		// Nobody else has a use for the provider's: they become the answer's.
		dropHeaders(resp.Header)
		for name, values := range h {
			resp.Header[name] = values
		}
		h = resp.Header
		own.Adopt(h, x.phrase(resp))
	} else {
		passHeaders(h, resp.Header)
	}
	x.withhold(h)
	for _, name := range []string{"Date", "Content-Type"} {
		if _, said := resp.Header[name]; !said {
			h[name] = nil // or the server makes one up
		}
	}
	if cut {
		delete(h, "Content-Length") // of a stream: not known any more
	}
	for name := range resp.Trailer {
		if !hopByHop(name) && !strings.HasPrefix(name, ownPrefix) {
			h.Add("Trailer", name)
		}
	}
	x.early(h)
	x.c.Writer.WriteHeader(resp.StatusCode)
	x.c.Writer.WriteHeaderNow()
	x.headSent = true
}

// copy passes the body on. The event is recorded before the last byte is
// released: the end of a body of known length, the terminator of any other.
func (x *exchange) copy(resp *http.Response, cut *dialect.UsageCut) {
	pool := &buffers
	if dialect.IsEventStream(resp.Header.Get("Content-Type")) {
		pool = &smallBuffers
	}
	pooled := pool.Get().(*[]byte)
	defer pool.Put(pooled)
	buf := *pooled
	flush, _ := x.w.(interface{ FlushError() error })
	if resp.ContentLength < 0 && flush != nil && resp.Body != http.NoBody && x.r.Method != http.MethodHead {
		_ = flush.FlushError() // the head goes at once, and no length is made up
	}
	var idle *watchdog
	if body, is := resp.Body.(interface{ AtHand() bool }); !is || !body.AtHand() {
		idle = x.watchIdle()
		defer idle.end()
	}
	var scratch []byte
	room := gauge{x.hold, streamFree}
	for total := int64(0); ; {
		idle.begin()
		n, err := resp.Body.Read(buf)
		idle.pause()
		if n > 0 {
			if x.ans.TTFT == 0 {
				x.ans.TTFT = time.Since(x.start)
			}
			total += int64(n)
			x.ans.ResponseBytes = total
			out := buf[:n]
			if cut != nil {
				out, scratch = cutUsage(cut, &room, scratch[:0], out)
			}
			last := total == resp.ContentLength && cut == nil
			if last {
				x.tap.write(buf[:n])
				x.end()
			}
			if len(out) > 0 {
				if _, err := x.w.Write(out); err != nil {
					x.untaken(err)
				}
			}
			if last {
				return
			}
			if len(out) > 0 && flush != nil {
				if err := flush.FlushError(); err != nil {
					x.tap.write(buf[:n])
					x.untaken(err)
				}
			}
			x.tap.write(buf[:n])
		}
		if err == io.EOF { //nolint:errorlint // readers return it bare
			break
		}
		if err != nil {
			x.died(err)
		}
	}
	if cut != nil {
		if rest := cut.Close(nil, true); len(rest) > 0 {
			_, _ = x.w.Write(rest)
		}
	}
	x.end()
}

// cutUsage is what may pass of a piece, and the memory for the next; one long event's
// is not kept.
func cutUsage(cut *dialect.UsageCut, room *gauge, scratch, piece []byte) (out, next []byte) {
	out = cut.Append(scratch, piece)
	if !room.fits(cut.Held()) {
		out = cut.Pass(out)
	}
	return out, small(out)
}

// small is memory to be used again, none where it is much.
func small(b []byte) []byte {
	if cap(b) > smallBody {
		return nil
	}
	return b
}

// untaken ends an answer that its client does not take.
func (x *exchange) untaken(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		x.setStatus(schemas.StatusTimeout, "send_timeout")
	}
	x.leave()
	x.abort()
}

// died ends an answer whose source failed in the middle.
func (x *exchange) died(error) {
	switch {
	case x.gone():
		x.leave()
	case errors.Is(context.Cause(x.ctx), errIdle):
		x.setStatus(schemas.StatusTimeout, "idle")
	case errors.Is(context.Cause(x.ctx), errTotal):
		x.setStatus(schemas.StatusTimeout, "total_timeout")
	default:
		x.setStatus(schemas.StatusTruncated, "upstream_closed")
	}
	x.abort()
}

func (x *exchange) trailers(resp *http.Response) {
	h := x.w.Header()
	x.withhold(resp.Trailer)
	for name, values := range resp.Trailer {
		if !hopByHop(name) && !strings.HasPrefix(name, ownPrefix) {
			h[http.TrailerPrefix+name] = values
		}
	}
}

// watchdog ends the exchange when the provider sends nothing for too long. It
// runs only while a read is waiting: a client that reads slowly is no fault of
// the provider. A nil one watches nothing: no read will wait.
type watchdog struct {
	limit   time.Duration
	since   atomic.Int64 // when the waiting read began, nanoseconds since x.start; −1: none waits
	origin  time.Time
	timer   *time.Timer
	stopped atomic.Bool
}

func (x *exchange) watchIdle() *watchdog {
	w := &watchdog{limit: x.at.IdleTimeout, origin: x.start}
	w.begin()
	cancel := x.cancel // of this call: the next one has its own
	w.timer = time.AfterFunc(w.limit, func() {
		since, wait := w.since.Load(), w.limit
		if since >= 0 {
			if wait = w.limit - (time.Since(w.origin) - time.Duration(since)); wait <= 0 {
				cancel(errIdle)
				return
			}
		}
		if !w.stopped.Load() {
			w.timer.Reset(wait)
		}
	})
	return w
}

func (w *watchdog) begin() {
	if w != nil {
		w.since.Store(int64(time.Since(w.origin)))
	}
}

func (w *watchdog) pause() {
	if w != nil {
		w.since.Store(-1)
	}
}

func (w *watchdog) end() {
	w.stopped.Store(true)
	w.timer.Stop()
}
