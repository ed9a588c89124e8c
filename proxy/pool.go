package proxy

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Host is one of the addresses at which a provider serves what gnomon pays for.
type Host struct {
	BaseURL string // as Provider.BaseURL
	Weight  int    // of the traffic, against the others; default 1
}

// pool is a provider's hosts, or its stored credentials. It is drawn from for
// calls on stored credentials alone: a caller's own key goes to base_url, and
// with no other.
type pool []*member

// member is one host, or one credential.
type member struct {
	to     address
	key    string
	name   string // for people: a host's name, a credential's number
	weight int64
	busy   atomic.Int64 // calls under way
	inRow  atomic.Int32 // failures
	until  atomic.Int64 // left alone until then, Unix nanoseconds
}

// draw takes two members by weight and returns the one that has less to do for
// its weight, the first where neither has: so idle ones share by weight, too. Those that are left alone, and the one to avoid, are taken only
// where there is no other: nobody invents an error. nil: there are none.
func (p pool) draw(now time.Time, avoid *member) *member {
	if len(p) == 0 {
		return nil
	}
	at, total, n := now.UnixNano(), int64(0), 0
	fit := func(m *member) bool { return m != avoid && m.until.Load() <= at }
	for range 2 {
		for _, m := range p {
			if fit(m) {
				total, n = total+m.weight, n+1
			}
		}
		if n > 0 {
			break
		}
		fit = func(m *member) bool { return m != avoid || len(p) == 1 }
	}
	one := p.nth(rand.Int64N(total), nil, fit)
	if n == 1 {
		return one
	}
	// Another call may have had one of them left alone meanwhile.
	if two := p.nth(rand.Int64N(max(1, total-one.weight)), one, fit); two != nil && two.busy.Load()*one.weight < one.busy.Load()*two.weight {
		return two
	}
	return one
}

// nth is the member at a place on the line of weights, without one of them.
func (p pool) nth(place int64, without *member, fit func(*member) bool) *member {
	var last *member
	for _, m := range p {
		if m == without || !fit(m) {
			continue
		}
		if last = m; place < m.weight {
			return m
		}
		place -= m.weight
	}
	if last == nil && without == nil {
		return p[0]
	}
	return last
}

// leaveAlone takes a member out for a while and reports whether it was in.
func (m *member) leaveAlone(now time.Time, pause time.Duration) bool {
	return m.until.Swap(now.Add(pause).UnixNano()) <= now.UnixNano()
}

// draw chooses host and credential of a call that gnomon pays for.
func (x *exchange) draw(at *row) (to *address, key string) {
	to, key = &at.address, at.APIKey
	if at.hosts == nil && at.keys == nil {
		return to, key
	}
	was := x.host
	x.putBack()
	now := time.Now()
	if x.host = at.hosts.draw(now, was); x.host != nil {
		x.host.busy.Add(1)
		to = &x.host.to
	}
	if x.key = at.keys.draw(now, nil); x.key != nil {
		x.key.busy.Add(1)
		key = x.key.key
	}
	return to, key
}

// putBack says that a call is over.
func (x *exchange) putBack() {
	for _, m := range []**member{&x.host, &x.key} {
		if *m != nil {
			(*m).busy.Add(-1)
			*m = nil
		}
	}
}

// judge says how a call's host and credential did: a host that fails in a row is
// left alone, and so is a credential that is refused, or for as long as it is
// told to wait.
func (x *exchange) judge(at *row, resp *http.Response, err error) {
	if x.host == nil && x.key == nil || err != nil && (x.gone() || x.upload.failed() != nil || noRoom(err)) {
		return
	}
	now := time.Now()
	if m := x.host; m != nil {
		if err == nil && resp.StatusCode < 500 {
			m.inRow.Store(0)
		} else if int(m.inRow.Add(1)) >= at.Breaker.Failures {
			x.eject(at, m, "host", now, at.Breaker.Pause)
		}
	}
	if m := x.key; m != nil && err == nil {
		switch code := resp.StatusCode; code {
		case http.StatusUnauthorized:
			x.eject(at, m, "key", now, at.Breaker.Pause)
		case http.StatusForbidden: // may be about the request
			if int(m.inRow.Add(1)) >= at.Breaker.Failures {
				x.eject(at, m, "key", now, at.Breaker.Pause)
			}
		case http.StatusTooManyRequests:
			wait := retryAfter(resp.Header)
			if wait == never {
				wait = time.Second
			}
			x.eject(at, m, "key", now, min(wait, at.Breaker.Pause))
		default:
			m.inRow.Store(0)
		}
	}
}

func (x *exchange) eject(at *row, m *member, kind string, now time.Time, pause time.Duration) {
	if m.leaveAlone(now, pause) {
		x.p.metrics.members.WithLabelValues(at.Name, kind, m.name).Inc()
		x.p.log.Warn("a "+kind+" of a provider fails and is left alone", "provider", at.Name, kind, m.name, "for", pause)
	}
}

// members makes a row's pools; nil where there is nothing to choose.
func (r *row) members() error {
	for i, h := range r.Hosts {
		to, err := newAddress(h.BaseURL)
		if err != nil {
			return err
		}
		r.hosts = append(r.hosts, &member{to: to, name: strconv.Itoa(i+1) + " " + to.host, weight: int64(max(1, h.Weight))})
	}
	if len(r.APIKeys) > 0 {
		for i, k := range append([]string{r.APIKey}, r.APIKeys...) {
			r.keys = append(r.keys, &member{key: k, name: strconv.Itoa(i + 1), weight: 1})
		}
	}
	return nil
}
