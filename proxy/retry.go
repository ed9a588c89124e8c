package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/wire"
)

// Retry says how often a candidate is asked again before its baseline answers.
// Zero values take the stated defaults.
type Retry struct {
	Attempts int           // more than the first; default 1, below 0 none
	Budget   float64       // of the requests routed to the provider, at most this share is asked again; default 0.1
	MaxWait  time.Duration // for which a provider's Retry-After is obeyed; past it the baseline answers; default 1 s
}

func (r *Retry) defaults() {
	if r.Attempts == 0 {
		r.Attempts = 1
	}
	if r.Budget <= 0 {
		r.Budget = 0.1
	}
	if r.MaxWait <= 0 {
		r.MaxWait = time.Second
	}
}

// budget bounds how many requests are repeated, so that a provider in trouble is
// not given more work than before. Each routed request pays its share in, each
// repetition takes a whole one out; it begins empty, so that the share is never
// exceeded, and holds a hundred requests' worth at most.
type budget struct {
	mu   sync.Mutex
	left float64
}

func (b *budget) earn(share float64) {
	b.mu.Lock()
	b.left = min(b.left+share, 100*share)
	b.mu.Unlock()
}

func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1-1e-9 { // ten tenths are one
		return false
	}
	b.left--
	return true
}

// never says that a call is not to be repeated.
const never time.Duration = -1

// backoff is how long is waited where the provider does not say: enough for a
// connection lost to a restart, and not the same for all.
func backoff() time.Duration { return 25*time.Millisecond + rand.N(50*time.Millisecond) }

// afterFailure says why a call that got no answer failed, and how long to wait
// before it may be made again. That is safe where the connection was never made,
// and where it ended before the provider said a byte; the provider may then have
// begun to work, which is recorded.
func (x *exchange) afterFailure(err error) (why string, wait time.Duration) {
	cause := context.Cause(x.ctx)
	var timeout net.Error
	switch {
	case errors.Is(err, errPrivate):
		return "refused", never
	case notSent(err):
		if errors.As(err, &timeout) && timeout.Timeout() {
			return "connect_timeout", never // it has taken long enough
		}
		return "connect", backoff()
	case errors.Is(cause, errTotal):
		return "total_timeout", never
	case errors.Is(cause, errFirstByte), errors.As(err, &timeout) && timeout.Timeout():
		return "first_byte_timeout", never
	case errors.Is(err, wire.ErrNoAnswer):
		return "reset", backoff()
	}
	return "broken", never
}

// notSent reports whether a call failed before a byte of it left.
func notSent(err error) bool {
	if err == nil {
		return false
	}
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// afterRefusal says how long to wait before a call that was refused with a status
// may be made again: as long as the provider says, if it says so and the bound
// allows it. Without a word from the provider the baseline is the better answer.
func afterRefusal(resp *http.Response, bound time.Duration) time.Duration {
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, 529:
	default:
		return never
	}
	if resp.Header.Get("X-Should-Retry") == "false" {
		return never
	}
	wait := retryAfter(resp.Header)
	if wait > bound {
		return never
	}
	return wait
}

// retryAfter is what a provider asks to wait: retry-after-ms before Retry-After,
// as the SDKs read them; never where it says nothing.
func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(h.Get("Retry-After-Ms")), 64); err == nil && ms >= 0 && ms < 1e9 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	after := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(after, 64); err == nil && s >= 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(after); err == nil {
		return max(0, time.Until(at))
	}
	return never
}

// pause waits before a call is repeated; false: the client has left meanwhile.
func (x *exchange) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.r.Context().Done():
		return false
	}
}
