package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Tokenizer counts a text's tokens by a model's vocabulary, and names it; own is
// false where the model's is not known and another one stands in.
type Tokenizer func(model string, text []byte) (n int, vocabulary string, own bool, err error)

// Amend takes the record of a request that was recorded before, at a higher
// revision. It may block until ctx ends.
type Amend func(context.Context, *schemas.RequestEvent) error

// Bounds of what waits to be counted. Past them the first record stands.
const (
	maxRecounts     = 1024
	maxRecountBytes = 32 << 20
	maxRecountTexts = maxTexts / 2 // the other half is for streams that go on
	// recountDrain is how long is gone on with at the end.
	recountDrain = 2 * time.Second
	// recountRest is how much longer the worker rests than it has counted: whoever
	// has streams broken off by the hundred gets at most a quarter of a core. Only
	// building a vocabulary, once, takes so long that the bound of the rest counts.
	recountRest    = 3
	maxRecountRest = time.Second
)

// recounts are requests whose usage was estimated from bytes and whose text is
// at hand. A request is recorded at once, with the estimate, before its answer's
// last byte is released, as any other; what is counted later is a second
// record of it at a higher revision, with the same boot id and sequence. So
// nothing waits for a tokenizer, and a count that is dropped or dies with the
// process costs no record: the estimate stands.
type recounts struct {
	texts texts
	queue chan *recount
	bytes atomic.Int64 // of bodies that wait
	heard atomic.Int64 // of streams' texts that wait
}

// recount is one request to be counted.
type recount struct {
	ev     schemas.RequestEvent
	d      Decided
	count  Tokenizer
	stated uint32 // output tokens that the provider had stated so far
	output bool   // there was some

	heard  heard           // a stream's text, or
	answer *dialect.Reader // a JSON answer, kept whole
	prompt []byte          // the request's body, where its tokens are not stated
	spoken string          // the dialect of prompt
	bytes  int64           // of answer and prompt
	waits  int64           // of heard's memory
	notes  schemas.Notes
}

// listen has a tap keep the text that passes, where it may have to be counted.
func (x *exchange) listen(t *tap) {
	if x.p.cfg.Tokens == nil || !x.d.Readable {
		return
	}
	t.heard.texts = &x.p.recounts.texts
	t.reader.Listen(&t.heard)
}

// recount offers a request that was recorded with an estimate to be counted; it
// never waits.
func (x *exchange) recount(ev *schemas.RequestEvent, d *Decided) {
	var h heard
	if x.tap != nil {
		h, x.tap.heard = x.tap.heard, heard{}
	}
	if ev.UsageSource != schemas.UsageEstimated || x.p.cfg.Tokens == nil {
		h.free()
		return
	}
	if h.refused {
		x.p.metrics.unheard.Inc()
	}
	read := x.ans.Read
	r := &recount{ev: *ev, d: *d, count: x.p.cfg.Tokens, stated: read.Usage.OutputTokens, output: read.OutputBytes > 0 && ev.Operation != "embeddings", heard: h}
	if body := x.tap.answer(); h.first == nil && len(body) > 0 {
		r.answer, r.bytes = x.tap.reader, int64(cap(body))
	}
	if !read.HasUsage && x.whole && len(x.body) > 0 {
		r.prompt, r.spoken = x.body, x.d.Name
		r.bytes += int64(cap(x.body))
	}
	if !x.p.recounts.offer(r) {
		x.p.metrics.recounts.WithLabelValues("dropped").Inc()
		return
	}
	x.handed = x.handed || r.prompt != nil
}

func (q *recounts) offer(r *recount) bool {
	r.waits = r.heard.held()
	if bytes, texts := q.bytes.Add(r.bytes), q.heard.Add(r.waits); bytes <= maxRecountBytes && texts <= maxRecountTexts {
		select {
		case q.queue <- r:
			return true
		default:
		}
	}
	q.done(r)
	return false
}

func (q *recounts) done(r *recount) {
	q.bytes.Add(-r.bytes)
	q.heard.Add(-r.waits)
	r.heard.free()
}

// Recount counts what waits, one request after the other, and amends its record,
// until ctx ends; then for at most two seconds what is left. It is to run once.
func (p *Proxy) Recount(ctx context.Context, amend Amend) error {
	q := &p.recounts
	rest := time.NewTimer(0)
	defer rest.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-rest.C:
		}
		select {
		case <-ctx.Done():
		case r := <-q.queue:
			rest.Reset(min(recountRest*p.recountOne(ctx, r, amend), maxRecountRest))
		}
	}
	return p.recountLeft(ctx, amend)
}

// recountLeft counts what is left at the end, and drops what it has no time for.
func (p *Proxy) recountLeft(ctx context.Context, amend Amend) error {
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), recountDrain)
	defer cancel()
	for {
		select {
		case r := <-p.recounts.queue:
			p.recountOne(rest, r, amend)
		default:
			return nil
		}
	}
}

// recountOne counts one request, and says how long that took. A text that the
// tokenizer chokes on must not take the others with it.
func (p *Proxy) recountOne(ctx context.Context, r *recount, amend Amend) (took time.Duration) {
	outcome := "dropped"
	defer func() {
		if e := recover(); e != nil {
			outcome = "failed"
			p.log.Error("a request's tokens could not be counted; the estimate stands", "request_id", r.ev.RequestID, "panic", fmt.Sprint(e))
		}
		p.recounts.done(r)
		p.metrics.recounts.WithLabelValues(outcome).Inc()
	}()
	if ctx.Err() != nil {
		return 0
	}
	began := time.Now()
	found, err := r.run(p.observer)
	took = time.Since(began)
	switch {
	case err != nil:
		outcome = "failed"
		p.log.Error("a request's tokens could not be counted; the estimate stands", "request_id", r.ev.RequestID, "err", err)
	case !found:
		outcome = "unheard"
	case amend(ctx, &r.ev) == nil:
		outcome = "counted"
	}
	return took
}

// run makes the record of the request as counted; found is false where its text
// is not at hand.
func (r *recount) run(o *Observer) (found bool, err error) {
	if r.answer != nil {
		r.heard = heard{texts: &texts{}}
		r.answer.Retell(&r.heard)
	}
	if r.output && r.heard.kept == 0 {
		return false, nil
	}
	if r.output {
		n, err := r.tokens(&r.heard)
		if err != nil {
			return false, err
		}
		r.ev.OutputTokens, found = max(r.stated, n), true
	}
	if r.prompt != nil {
		said := heard{texts: &texts{}}
		beside := classifier.PromptTexts(r.spoken, r.prompt, said.Hear)
		if said.kept > 0 {
			n, err := r.tokens(&said)
			if err != nil {
				return false, err
			}
			r.ev.InputTokens, found = beside+n, true
		}
	}
	if !found {
		return false, nil
	}
	if err := r.note(); err != nil {
		return false, err
	}
	r.ev.Revision, r.ev.UsageSource = 2, schemas.UsageTokenizer
	o.price(&r.ev, &r.d)
	return true, nil
}

// tokens counts what was kept of a text, and scales it to the whole.
func (r *recount) tokens(h *heard) (uint32, error) {
	model := r.ev.ResponseModel
	if model == "" {
		model = r.ev.ServedModel
	}
	n, vocabulary, own, err := r.count(model, classifier.Unescape(nil, h.appendTo(nil)))
	if h.kept < h.all {
		n = int(int64(n) * int64(h.all) / int64(h.kept))
		r.notes.TokenizerScaled = true
	}
	r.notes.Tokenizer, r.notes.TokenizerForeign = vocabulary, !own
	return clamp32(int64(n)), err
}

// note adds how it was counted to the record's notes.
func (r *recount) note() error {
	counted := r.notes
	if r.ev.Extra != "" {
		if err := json.Unmarshal([]byte(r.ev.Extra), &r.notes); err != nil {
			return fmt.Errorf("read the record's notes: %w", err)
		}
	}
	r.notes.Tokenizer, r.notes.TokenizerForeign, r.notes.TokenizerScaled = counted.Tokenizer, counted.TokenizerForeign, counted.TokenizerScaled
	raw, err := json.Marshal(&r.notes)
	if err != nil {
		return fmt.Errorf("write the record's notes: %w", err)
	}
	r.ev.Extra = string(raw)
	return nil
}
