package proxy

import (
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
		if !x.unheld {
			x.unheld = true
			x.p.metrics.unheld.Inc()
		}
		return false
	}
	x.held += bytes
	return true
}

// expected is what an answer's body is likely to take: its length where that is
// said, else that of a usual one.
func expected(resp *http.Response, bound int) int {
	if resp.ContentLength < 0 {
		return min(16<<10, bound)
	}
	return int(min(resp.ContentLength, int64(bound)))
}

// release gives back what the exchange has held.
func (x *exchange) release() {
	x.p.captured.held.Add(-int64(x.held))
	x.held = 0
}
