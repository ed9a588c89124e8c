package simulator

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// Providers serves both simulated providers on one handler: chat completions,
// embeddings and the list of models as OpenAI speaks, messages as Anthropic.
//
// An answer is a function of the seed and of the request: the reference in the
// prompt says what is asked. A prompt without one gets prose of its own hash.
// Only asking the same thing again may give another answer, as with the real.
type Providers struct {
	w     *World
	opts  ProviderOptions
	cache *prefixCache

	mu    sync.Mutex
	asked map[uint64]uint64 // how often a request was sent, by hash
}

// ProviderOptions are how the simulated providers behave.
type ProviderOptions struct {
	// Errors has them fail at each workload's rate; without it they never do.
	Errors bool
	// Pace multiplies the time an answer takes; 0 answers at once, 1 takes as
	// long as the real ones (seconds).
	Pace float64
	Now  func() time.Time // time.Now when nil
}

const maxBody = 64 << 20

// Providers returns the simulated providers of the world.
func (w *World) Providers(opts ProviderOptions) *Providers {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Providers{w: w, opts: opts, cache: newPrefixCache(), asked: map[uint64]uint64{}}
}

// ServeHTTP answers as the provider whose path is asked.
func (p *Providers) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case pathOpenAI:
		p.chat(rw, r, dialectOpenAI)
	case pathAnthropic:
		p.chat(rw, r, dialectAnthropic)
	case pathEmbeddings:
		p.embeddings(rw, r)
	case pathModels:
		p.models(rw)
	default:
		fail(rw, http.StatusNotFound, errorBody(dialectOpenAI, "invalid_request_error", "Unknown path (simulated)."))
	}
}

// prompt is what a provider finds in a request.
type prompt struct {
	body      []byte
	model     string
	stream    bool
	askUsage  bool
	maxTokens int
	item      item
	known     bool // the prompt carries a reference of this world
	attempt   uint64
}

func (p *Providers) chat(rw http.ResponseWriter, r *http.Request, dialect string) {
	if r.Method != http.MethodPost {
		fail(rw, http.StatusMethodNotAllowed, errorBody(dialect, "invalid_request_error", "Use POST (simulated)."))
		return
	}
	if r.Header.Get("Authorization") == "" && r.Header.Get("X-Api-Key") == "" {
		fail(rw, http.StatusUnauthorized, errorBody(dialect, "authentication_error", "No API key was sent (simulated)."))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if err != nil {
		fail(rw, http.StatusBadRequest, errorBody(dialect, "invalid_request_error", "The body could not be read (simulated)."))
		return
	}
	q, text := p.read(body, dialect)
	if text != "" {
		fail(rw, http.StatusBadRequest, errorBody(dialect, "invalid_request_error", text))
		return
	}
	q.attempt = p.count(&q)
	f := p.fault(&q)
	rw.Header().Set("X-Request-Id", "req_"+hex(mix(p.w.seed, hash(body), q.attempt)))
	rw.Header().Set("Request-Id", rw.Header().Get("X-Request-Id"))
	if f != noFault && f != faultMidStream {
		if f == faultRate {
			rw.Header().Set("Retry-After", "1")
		}
		fail(rw, f.status(), f.body(dialect))
		return
	}
	s := p.say(&q)
	first, rest := p.delays(&q, s)
	if !sleep(r.Context(), first) {
		return
	}
	if !q.stream {
		if !sleep(r.Context(), rest) {
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(s.plain(dialect))
		return
	}
	p.streamOut(rw, r, dialect, &q, s, f, rest)
}

// read finds what a request asks; text is the reason when it cannot be answered.
func (p *Providers) read(body []byte, dialect string) (q prompt, text string) {
	if !gjson.ValidBytes(body) {
		return q, "The body is not valid JSON (simulated)."
	}
	doc := gjson.ParseBytes(body)
	q = prompt{body: body, model: doc.Get("model").String(), stream: doc.Get("stream").Bool(), askUsage: doc.Get("stream_options.include_usage").Bool()}
	q.maxTokens = int(max(doc.Get("max_tokens").Int(), doc.Get("max_completion_tokens").Int()))
	m, ok := models[q.model]
	if !ok || (m.provider == anthropic) != (dialect == dialectAnthropic) {
		return q, fmt.Sprintf("The model %q does not exist (simulated).", q.model)
	}
	if dialect == dialectAnthropic && q.maxTokens == 0 {
		return q, "max_tokens: field required (simulated)."
	}
	if !doc.Get("messages").IsArray() {
		return q, "messages: field required (simulated)."
	}
	if !q.stream && doc.Get("stream_options").Exists() {
		return q, "stream_options is only allowed with stream (simulated)."
	}
	q.item, q.known = p.w.find(body)
	return q, ""
}

// find reads the last reference in a body.
func (w *World) find(body []byte) (item, bool) {
	at := bytes.LastIndex(body, []byte(refMark))
	if at < 0 || len(body) < at+len(refMark)+16 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(body[at+len(refMark):at+len(refMark)+16]), 16, 64)
	i := item(n)
	return i, err == nil && i.workload() < len(w.Workloads)
}

// askedMost bounds the memory of what was asked.
const askedMost = 1 << 17

// count returns how often the model was asked the same before.
func (p *Providers) count(q *prompt) uint64 {
	key := mix(hash([]byte(q.model)), uint64(q.item))
	if !q.known {
		key = mix(hash([]byte(q.model)), hash(q.body))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.asked) >= askedMost {
		clear(p.asked)
	}
	n := p.asked[key]
	p.asked[key] = n + 1
	return n
}

func (p *Providers) fault(q *prompt) fault {
	if !p.opts.Errors || !q.known {
		return noFault
	}
	wl := &p.w.Workloads[q.item.workload()]
	r := stream(p.w.seed, uint64(q.item), hash([]byte(q.model)), q.attempt, forErrors)
	if r.Float64() < wl.errors*p.w.weather(wl.Provider, p.opts.Now()) {
		return newFault(wl.Provider, q.stream, r)
	}
	return noFault
}

// say answers a prompt, and counts its tokens.
func (p *Providers) say(q *prompt) *said {
	now := p.opts.Now()
	s := &said{model: q.model, at: now, id: hex(mix(p.w.seed, hash(q.body), q.attempt)) + hex(mix(hash(q.body), 1))}
	if q.known {
		wl := &p.w.Workloads[q.item.workload()]
		s.answer = p.w.answer(q.item, q.model, q.attempt, dayOf(now), q.maxTokens)
		s.usage = p.cache.usage(wl, q.item, q.model, len(q.body), s.tokens, now)
		return s
	}
	h := hash(q.body)
	s.tokens = 20 + int(h%120)
	s.finish = "stop"
	if q.maxTokens > 0 && s.tokens > q.maxTokens {
		s.tokens, s.finish = q.maxTokens, "length"
	}
	s.text = "(simulated) " + flow()[chat].cut(h, s.tokens*tokenBytes)
	s.usage.InputTokens, s.usage.OutputTokens = uint32(len(q.body)/tokenBytes)+1, uint32(s.tokens)
	return s
}

// natural is the time to the first byte, and from there to the end.
func (p *Providers) natural(q *prompt, s *said) (first, rest time.Duration) {
	return latency(mix(p.w.seed, hash(q.body), q.attempt, forTiming), q.model, s.usage.InputTokens, s.usage.OutputTokens)
}

// delays are the same at the providers' pace.
func (p *Providers) delays(q *prompt, s *said) (first, rest time.Duration) {
	first, rest = p.natural(q, s)
	return time.Duration(float64(first) * p.opts.Pace), time.Duration(float64(rest) * p.opts.Pace)
}

// latency is how long the real ones take, about.
func latency(h uint64, name string, input, output uint32) (first, rest time.Duration) {
	perToken, start := 14.0, 420.0
	switch name {
	case gpt4oMini, gpt41Mini, gpt41Nano, claudeHaiku:
		perToken, start = 8, 290
	case claudeOpus:
		perToken, start = 22, 900
	}
	ms := start*math.Exp(.35*normal(h)) + float64(input)/40
	return time.Duration(ms * 1e6), time.Duration(float64(output) * perToken * math.Exp(.2*normal(mix(h, 1))) * 1e6)
}

// streamOut sends the answer event by event. A fault in the middle ends it with
// an error event.
func (p *Providers) streamOut(rw http.ResponseWriter, r *http.Request, dialect string, q *prompt, s *said, f fault, rest time.Duration) {
	rw.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	rw.Header().Set("Cache-Control", "no-cache")
	flush := http.NewResponseController(rw)
	events := s.events(dialect, q.askUsage)
	for n, e := range events {
		if f == faultMidStream && n == len(events)/2 {
			_, _ = rw.Write(f.event(dialect))
			_ = flush.Flush()
			return
		}
		if _, err := rw.Write(e); err != nil {
			return
		}
		if flush.Flush() != nil || !sleep(r.Context(), rest/time.Duration(len(events))) {
			return
		}
	}
}

func (p *Providers) models(rw http.ResponseWriter) {
	type row struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	var rows []row
	for _, name := range slices.Sorted(maps.Keys(models)) {
		rows = append(rows, row{name, "model", 1_730_000_000, models[name].provider + " (simulated)"})
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(map[string]any{"object": "list", "data": rows})
}

// embeddingDims is the length of a simulated embedding.
const embeddingDims = 256

func (p *Providers) embeddings(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if err != nil || !gjson.GetBytes(body, "input").Exists() {
		fail(rw, http.StatusBadRequest, errorBody(dialectOpenAI, "invalid_request_error", "input: field required (simulated)."))
		return
	}
	inputs := []string{gjson.GetBytes(body, "input").String()}
	if in := gjson.GetBytes(body, "input"); in.IsArray() {
		inputs = inputs[:0]
		for _, v := range in.Array() {
			inputs = append(inputs, v.String())
		}
	}
	out := []byte(`{"object":"list","data":[`)
	tokens := 0
	for n, text := range inputs {
		tokens += len(text)/tokenBytes + 1
		out = append(out, sep(n, ",")...)
		out = append(out, `{"object":"embedding","index":`+strconv.Itoa(n)+`,"embedding":`...)
		out = append(appendEmbedding(out, hash([]byte(text)), gjson.GetBytes(body, "encoding_format").String() == "base64"), '}')
	}
	out = fmt.Appendf(out, `],"model":%q,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, gjson.GetBytes(body, "model").String(), tokens, tokens)
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(out)
}

func appendEmbedding(dst []byte, h uint64, encoded bool) []byte {
	raw := make([]byte, 0, 4*embeddingDims)
	for d := range uint64(embeddingDims) {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(normal(mix(h, d))/math.Sqrt(embeddingDims))))
	}
	if encoded {
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), raw), '"')
	}
	dst = append(dst, '[')
	for d := range embeddingDims {
		dst = append(dst, sep(d, ",")...)
		dst = strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*d:]))), 'g', -1, 32)
	}
	return append(dst, ']')
}

func fail(rw http.ResponseWriter, status int, body []byte) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_, _ = rw.Write(body)
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
