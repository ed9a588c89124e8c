package simulator

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// call is one request that a simulated client makes.
type call struct {
	ts       time.Time
	item     item
	workload int
	session  string // as sent; "" when the client names none
	user     string
	body     []byte
	stream   bool
	retry    uint8 // the SDK's count
	fault    fault
	aborted  float64 // share of the answer the client waited for; 0: all of it
	timing   uint64
}

const day = 24 * time.Hour

func dayOf(t time.Time) int64 { return t.Unix() / 86400 }

func dayStart(n int64) time.Time { return time.Unix(n*86400, 0).UTC() }

// volume is how many requests a workload makes on a day: its weekly rhythm times
// a lognormal AR(1) of mean 1. The AR(1) is summed from its last 60 innovations
// instead of being carried along, so that any day can be asked for alone.
func (w *World) volume(n int, d int64) float64 {
	r := &w.Workloads[n].rhythm
	z, weight := 0.0, 1.0
	for k := range int64(60) {
		z += weight * normal(mix(w.seed, uint64(n), uint64(d-k), forVolume))
		weight *= r.rho
	}
	z *= math.Sqrt(1 - r.rho*r.rho)
	return w.scale * r.daily * r.week[dayStart(d).Weekday()] * math.Exp(r.sd*z-r.sd*r.sd/2)
}

// calls makes the requests of workload n whose sessions begin on day d, in the
// order of time. A session goes on past midnight.
func (w *World) calls(n int, d int64) []call {
	wl := &w.Workloads[n]
	r := stream(w.seed, uint64(n), uint64(d), forSessions)
	sessions := poisson(r, w.volume(n, d)/wl.rhythm.turns)
	out := make([]call, 0, int(float64(sessions)*wl.rhythm.turns*1.2)+8)
	for k := range sessions {
		out = w.session(out, n, d, uint32(mix(uint64(d), uint64(k))), r)
	}
	slices.SortFunc(out, func(a, b call) int {
		if c := a.ts.Compare(b.ts); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.item, b.item), cmp.Compare(a.retry, b.retry), cmp.Compare(a.timing, b.timing))
	})
	return out
}

// session adds the requests of one session.
func (w *World) session(out []call, n int, d int64, key uint32, r *rand.Rand) []call {
	wl := &w.Workloads[n]
	ts := dayStart(d).Add(hourOf(wl.rhythm.hours, r)).Truncate(time.Millisecond)
	turns := sessionTurns(wl.rhythm, r)
	id := ""
	if wl.sendSession {
		id = fmt.Sprintf("s-%02x%08x", n, key)
	}
	user := fmt.Sprintf("%s-%03d", wl.Team, int(200*math.Pow(r.Float64(), 2)))
	if r.Float64() < wl.duplicates {
		key, turns = uint32(r.IntN(cannedPrompts)), 1 // one of a few prompts that many send
	}
	c := w.begin(n, d)
	for t := range turns {
		i := newItem(n, key, t, 0)
		streaming := r.Float64() < wl.streamed
		body := c.ask(i, streaming)
		var went bool
		out, ts, went = w.attempts(out, call{ts: ts, item: i, workload: n, session: id, user: user, body: body, stream: streaming}, r)
		if !went {
			break // the client has given up
		}
		ts = ts.Add(time.Duration(lognormal(wl.rhythm.gap, .6, r.NormFloat64()) * float64(time.Second)))
	}
	return out
}

// cannedPrompts is how many prompts are sent again and again in a workload that
// has duplicates.
const cannedPrompts = 40

// attempts adds a request and what its SDK retries, and returns when the answer
// had come; false when it never did.
func (w *World) attempts(out []call, c call, r *rand.Rand) ([]call, time.Time, bool) {
	wl := &w.Workloads[c.workload]
	for {
		c.timing = r.Uint64()
		c.fault, c.aborted = noFault, 0
		switch u := r.Float64(); {
		case u < wl.errors*w.weather(wl.Provider, c.ts):
			c.fault = newFault(wl.Provider, c.stream, r)
		case u > 1-wl.aborts:
			c.aborted = .05 + .9*r.Float64()
		}
		out = append(out, c)
		if c.fault == noFault || c.fault == faultMidStream {
			return out, c.ts.Add(2 * time.Second), c.fault == noFault && c.aborted == 0
		}
		if c.retry == 2 {
			return out, c.ts, false
		}
		c.retry++
		c.ts = c.ts.Add(time.Duration(500+r.IntN(1500)) * time.Millisecond << c.retry)
	}
}

func newFault(provider string, streaming bool, r *rand.Rand) fault {
	switch u := r.Float64(); {
	case u < .15 && streaming:
		return faultMidStream
	case u < .55:
		return faultRate
	case u < .75 && provider == anthropic:
		return faultOverloaded
	}
	return faultServer
}

// weather multiplies a provider's error rate: about every eighth day has an hour
// or two in which it fails many requests.
func (w *World) weather(provider string, at time.Time) float64 {
	h := mix(w.seed, uint64(len(provider)), uint64(dayOf(at)), forErrors)
	if h%8 != 0 {
		return 1
	}
	begin := time.Duration(h>>8%22) * time.Hour
	into := at.Sub(dayStart(dayOf(at))) - begin
	if into > 0 && into < time.Hour+time.Duration(h>>16%60)*time.Minute {
		return 25
	}
	return 1
}

func hourOf(hours [24]float64, r *rand.Rand) time.Duration {
	u := r.Float64()
	for h, share := range hours {
		if u < share || h == 23 {
			return time.Duration(h)*time.Hour + time.Duration(r.Float64()*float64(time.Hour))
		}
		u -= share
	}
	return 0
}

// sessionTurns is geometric with the rhythm's mean, cut at its most.
func sessionTurns(rh rhythm, r *rand.Rand) int {
	if rh.most <= 1 {
		return 1
	}
	n := 1 + int(math.Log(1-r.Float64())/math.Log(1-1/rh.turns))
	return min(n, rh.most)
}
