package simulator

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/gnomon-llm/gnomon/rehearsal"
	"github.com/gnomon-llm/gnomon/schemas"
)

// served is what became of a call, as a proxy in its way would have seen it.
type served struct {
	status     schemas.Status
	httpStatus int
	body       []byte
	usage      schemas.Usage
	source     schemas.UsageSource
	latency    time.Duration
	first      time.Duration // to the first byte
	overhead   time.Duration
	tokens     int
}

// bench is the providers of one workload without HTTP, under a simulated clock.
type bench struct {
	w        *World
	now      time.Time
	observed *Providers // what clients ask
	apart    *Providers // what rehearsal asks: it must not warm the clients' caches
}

func (w *World) bench() *bench {
	b := &bench{w: w}
	clock := func() time.Time { return b.now }
	b.observed = w.Providers(ProviderOptions{Now: clock})
	b.apart = w.Providers(ProviderOptions{Now: clock, Errors: true})
	return b
}

func dialectOf(provider string) string {
	if provider == anthropic {
		return dialectAnthropic
	}
	return dialectOpenAI
}

func pathOf(provider string) string {
	if provider == anthropic {
		return pathAnthropic
	}
	return pathOpenAI
}

// serve answers a client's call for the model it asks.
func (b *bench) serve(c *call) served {
	wl := &b.w.Workloads[c.workload]
	b.now = c.ts
	dialect := dialectOf(wl.Provider)
	overhead := time.Duration(60+mix(c.timing, 3)%160) * time.Microsecond
	if c.fault != noFault && c.fault != faultMidStream {
		first := time.Duration(40+mix(c.timing, 5)%300) * time.Millisecond
		return served{status: schemas.StatusProviderError, httpStatus: c.fault.status(), body: c.fault.body(dialect), source: schemas.UsageNone, latency: first, first: first, overhead: overhead}
	}
	q := prompt{body: c.body, model: wl.Model, stream: c.stream, askUsage: true, maxTokens: wl.maxTokens, item: c.item, known: true}
	s := b.observed.say(&q)
	first, rest := latency(c.timing, wl.Model, s.usage.InputTokens, s.usage.OutputTokens)
	out := served{status: schemas.StatusOK, httpStatus: 200, usage: s.usage, source: schemas.UsageProvider, latency: first + rest, first: first, overhead: overhead, tokens: s.tokens}
	share := 1.0
	switch {
	case c.fault == faultMidStream:
		out.status, share = schemas.StatusProviderError, .5
	case c.aborted > 0:
		out.status, share = schemas.StatusClientAbort, c.aborted
	}
	if share < 1 {
		out.cutShort(share, c)
	}
	out.body = b.bodyOf(s, c, dialect, share)
	return out
}

// cutShort turns a whole answer into one that ended early: what was sent until
// then is estimated, and nothing is known of a plain answer that was not awaited.
func (o *served) cutShort(share float64, c *call) {
	o.source = schemas.UsageEstimated
	o.latency = o.first + time.Duration(share*float64(o.latency-o.first))
	o.usage.CacheReadTokens, o.usage.CacheWriteTokens = 0, 0
	o.usage.OutputTokens = uint32(share * float64(o.usage.OutputTokens))
	if !c.stream {
		o.usage.OutputTokens = 0
		o.httpStatus = 0
	}
}

func (b *bench) bodyOf(s *said, c *call, dialect string, share float64) []byte {
	if !c.stream {
		if share < 1 {
			return nil
		}
		return s.plain(dialect)
	}
	events := s.events(dialect, true)
	events = events[:max(1, int(share*float64(len(events))))]
	if c.fault == faultMidStream {
		events = append(events, c.fault.event(dialect))
	}
	return bytes.Join(events, nil)
}

// Send answers a rehearsal call; bench is a rehearsal.Sender.
func (b *bench) Send(ctx context.Context, c rehearsal.Call) (rehearsal.Reply, error) {
	if err := ctx.Err(); err != nil {
		return rehearsal.Reply{}, err
	}
	q, text := b.apart.read(c.Body, c.Dialect)
	if text != "" {
		return rehearsal.Reply{HTTPStatus: http.StatusBadRequest, Body: errorBody(c.Dialect, "invalid_request_error", text)}, nil
	}
	var reply rehearsal.Reply
	for range 3 { // as often as the sender over HTTP tries
		q.attempt = b.apart.count(&q)
		if c.Again {
			q.attempt++ // the client's own was the first
		}
		if f := b.apart.fault(&q); f != noFault {
			reply = rehearsal.Reply{HTTPStatus: f.status(), Body: f.body(c.Dialect), Latency: 200 * time.Millisecond}
			continue
		}
		s := b.apart.say(&q)
		first, rest := b.apart.natural(&q, s)
		return rehearsal.Reply{HTTPStatus: 200, Body: s.plain(c.Dialect), Latency: first + rest}, nil
	}
	return reply, nil
}
