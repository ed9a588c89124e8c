package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// captured bounds the memory of bodies that are held to be looked at, over all
// requests in flight. Past it looking is given up first: bodies stream by, the
// requests are unrouted and recorded without usage, and no request is refused
// for it.
type captured struct {
	max  atomic.Int64
	held atomic.Int64
}

// hold reserves memory for a part of a body; false: it is not to be held.
func (x *exchange) hold(bytes int) bool {
	c := &x.p.captured
	if c.held.Add(int64(bytes)) > c.max.Load() {
		c.held.Add(-int64(bytes))
		if x.unheld.CompareAndSwap(false, true) {
			x.p.metrics.unheld.Inc()
		}
		return false
	}
	x.held.Add(int64(bytes))
	return true
}

// unhold gives back a part of what was reserved.
func (x *exchange) unhold(bytes int) {
	x.held.Add(-int64(bytes))
	x.p.captured.held.Add(-int64(bytes))
}

// streamFree is what the event that a stream is in may take without being counted:
// few take more.
const streamFree = 8 << 10

// usual is what an answer takes whose length is not said.
const usual = 16 << 10

// gauge reserves memory as something grows.
type gauge struct {
	hold func(bytes int) bool
	has  int // reserved, or free
}

// fits reports whether bytes, which are in use by now, are reserved.
func (g *gauge) fits(bytes int) bool {
	if bytes <= g.has {
		return true
	}
	if !g.hold(bytes - g.has) {
		return false
	}
	g.has = bytes
	return true
}

// gather reads the whole of an answer into memory that is reserved as it is taken;
// kept is how much that was, also where it fails.
func (x *exchange) gather(resp *http.Response, src io.Reader) (body []byte, kept int, err error) {
	bound := x.p.cfg.CaptureBytes
	for want := expected(resp, bound) + 1; ; want = min(4*cap(body), bound+1) {
		if !x.hold(want) {
			return nil, kept, errMemory
		}
		bigger := append(make([]byte, 0, want), body...)
		x.unhold(kept)
		body, kept = bigger, want
		for len(body) < cap(body) {
			n, err := src.Read(body[len(body):cap(body)])
			if body = body[:len(body)+n]; err == io.EOF { //nolint:errorlint // readers return it bare
				return body, kept, nil
			} else if err != nil {
				return nil, kept, err
			}
		}
		if len(body) > bound {
			return body, kept, nil // too long, as its length says
		}
	}
}

var errMemory = errors.New("proxy.capture_total_bytes is reached")

// noMemory is why a candidate's answer that must be whole did not serve.
const noMemory = "memory"

// expected is what an answer's body is likely to take: its length where that is
// said, else that of a usual one.
func expected(resp *http.Response, bound int) int {
	if resp.ContentLength < 0 {
		return min(usual, bound)
	}
	return int(min(resp.ContentLength, int64(bound)))
}

// release gives back what the exchange has held.
func (x *exchange) release() {
	x.p.captured.held.Add(-x.held.Swap(0))
}
