package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/tokens"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// A tokenizer that takes long must not take the machine: it rests three times as
// long as it works.
func TestTheWorkerTakesAtMostAQuarterOfACore(t *testing.T) {
	const each, n = 20 * time.Millisecond, 6
	r := newRig(t, counting(func(string, []byte) (int, string, bool, error) { time.Sleep(each / 2); return 1, "slow", true, nil }))
	r.up.answers(ok200("application/json", `{"choices":[{"message":{"content":"Hello"}}]}`))
	for range n {
		ask(t, r.addr, post("/v1/chat/completions", chatBody)) // its prompt is counted, too
	}
	r.event(n)
	var got amended
	at := time.Now()
	r.recounting(got.take)
	eventually(t, "all are counted", func() bool { return got.len() == n })
	if took, least := time.Since(at), n*each+(n-1)*recountRest*each; took < least {
		t.Errorf("%d counts of %v took %v: less than %v, so it did not rest", n, each, took, least)
	}
}

// letters count as a token each, so that figures can be seen.
func letters(_ string, text []byte) (int, string, bool, error) {
	return len(text), "letters", true, nil
}

func counting(t Tokenizer) option { return func(c *Config, _ *parts) { c.Tokens = t } }

// amended gathers second records.
type amended struct {
	mu  sync.Mutex
	evs []schemas.RequestEvent
}

func (a *amended) take(_ context.Context, ev *schemas.RequestEvent) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.evs = append(a.evs, *ev)
	return nil
}

func (a *amended) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.evs)
}

// recounting runs the rig's Recount until the returned function is called.
func (r *rig) recounting(amend Amend) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.p.Recount(ctx, amend) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.t.Errorf("Recount: %v", err)
			}
		})
	}
	r.t.Cleanup(stop)
	return stop
}

func (r *rig) outcomes(name string) float64 {
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "gnomon_recounts_total" && m.GetLabel()[0].GetValue() == name {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func openAIStream(deltas ...string) string {
	var b strings.Builder
	for _, d := range deltas {
		fmt.Fprintf(&b, "data: {\"id\":\"c1\",\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s}}]}\n\n", d)
	}
	return b.String()
}

const claudeStart = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"claude-sonnet-4-20250514\",\"usage\":{\"input_tokens\":100,\"output_tokens\":1}}}\n\n"

func claudeDelta(text string) string {
	return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":" + text + "}}\n\n"
}

// The golden cases: what was delivered, counted by hand with the tokenizer, is
// what the second record says.
func TestWhatNobodyStatedIsCounted(t *testing.T) {
	const answer = "Grüße! The invoice №42 was charged twice:\n\n\t{\"a\": 1, \"b\": [2, 3]} — 客户 🙂."
	const prompt = "Why was I charged twice? Answer in three languages, please."
	asked := jsonOf(t, prompt)
	half := len(answer) / 2
	for half > 0 && answer[half]&0xc0 == 0x80 {
		half--
	}
	first, second := jsonOf(t, answer[:half]), jsonOf(t, answer[half:])
	chat := `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":` + asked + `}]}`
	beside := classifier.PromptTexts("openai.chat", []byte(chat), func([]byte) {})
	long := strings.Repeat("The customer asks why the invoice of last month was charged twice. ", 2000)
	count := func(e tokens.Encoding, text string) uint32 {
		n, err := e.Count([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	promptTokens := beside + count(tokens.O200K, prompt)
	const cut = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name          string
		path, body    string
		raw           string // what the provider sends before it closes
		input, output uint32
		notes         string
	}{
		{"an OpenAI stream that broke off", "/v1/chat/completions", chat, cut + chunks(openAIStream(first, second)), promptTokens, count(tokens.O200K, answer), `{"tokenizer":"o200k_base"}`},
		{"an OpenAI stream whose pieces are cut anywhere", "/v1/chat/completions", chat, cut + chunks(strings.Split(openAIStream(first, second), "")...), promptTokens, count(tokens.O200K, answer), `{"tokenizer":"o200k_base"}`},
		{"an Anthropic stream that broke off keeps its stated input", "/v1/messages", `{"model":"claude-sonnet-4-20250514","max_tokens":9,"stream":true,"messages":[{"role":"user","content":` + asked + `}]}`,
			cut + chunks(claudeStart, claudeDelta(first), claudeDelta(second)), 100, count(tokens.O200K, answer), `{"tokenizer":"o200k_base","tokenizer_foreign":true}`},
		{"tool calls are output", "/v1/chat/completions", chat, cut + chunks(`data: {"model":"gpt-4o","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"get_weather","arguments":""}}]}}]}`+"\n\n"+
			`data: {"model":"gpt-4o","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\": \"Paris\"}"}}]}}]}`+"\n\n"),
			promptTokens, count(tokens.O200K, `get_weather{"city": "Paris"}`), `{"tokenizer":"o200k_base"}`},
		{"a host that states no usage, of an older model", "/v1/chat/completions", strings.Replace(chat, "gpt-4o", "gpt-3.5-turbo", 1),
			ok200("application/json", `{"id":"c","model":"gpt-3.5-turbo-0125","choices":[{"message":{"role":"assistant","content":`+jsonOf(t, answer)+`},"finish_reason":"stop"}]}`),
			beside + count(tokens.CL100K, prompt), count(tokens.CL100K, answer), `{"tokenizer":"cl100k_base"}`},
		{"a Responses stream that broke off", "/v1/responses", `{"model":"gpt-4o","stream":true,"input":` + asked + `}`,
			cut + chunks(`data: {"type":"response.output_text.delta","delta":`+first+"}\n\n"+`data: {"type":"response.output_text.delta","delta":`+second+"}\n\n"),
			promptTokens, count(tokens.O200K, answer), `{"tokenizer":"o200k_base"}`},
		{"a text beyond the bound is scaled", "/v1/chat/completions", chat, cut + chunks(openAIStream(jsonOf(t, long))), promptTokens,
			uint32(uint64(count(tokens.O200K, long[:maxHeard])) * uint64(len(long)) / maxHeard), `{"tokenizer":"o200k_base","tokenizer_scaled":true}`},
		{"a compressed stream that broke off", "/v1/chat/completions", chat, strings.Replace(cut, "\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n", 1) + chunks(halfGzip(t, openAIStream(first, second))), promptTokens, count(tokens.O200K, answer), `{"tokenizer":"o200k_base"}`},
		{"a stream without a word", "/v1/chat/completions", chat, cut + chunks("data: {\"id\":\"c1\",\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"), promptTokens, 0, `{"tokenizer":"o200k_base"}`},
		{"an answer that never began", "/v1/chat/completions", chat, "", promptTokens, 0, `{"tokenizer":"o200k_base"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, counting(tokens.Count))
			r.up.handle(func(c *call) {
				_, _ = io.WriteString(c, tt.raw)
				if tt.raw == "" { // the client leaves first
					_, _ = c.Read(make([]byte, 1))
				}
				c.Close()
			})
			var got amended
			r.recounting(got.take)
			if tt.raw == "" {
				conn := dial(t, r.addr, post(tt.path, tt.body))
				eventually(t, "the provider is asked", func() bool { return len(r.up.requests()) > 0 })
				conn.Close()
			} else {
				ask(t, r.addr, post(tt.path, tt.body))
			}
			eventually(t, "it is counted", func() bool { return got.len() == 1 })
			first, ev := r.event(1), got.evs[0]
			if ev.Revision != 2 || ev.UsageSource != schemas.UsageTokenizer || ev.InputTokens != tt.input || ev.OutputTokens != tt.output || ev.Extra != tt.notes {
				t.Errorf("revision %d, %s, %d in, %d out, %s; want %d in, %d out, %s", ev.Revision, ev.UsageSource, ev.InputTokens, ev.OutputTokens, ev.Extra, tt.input, tt.output, tt.notes)
			}
			if first.Revision != 1 || first.UsageSource != schemas.UsageEstimated {
				t.Errorf("at first: revision %d, %s", first.Revision, first.UsageSource)
			}
			want := r.price(ev)
			if !ev.Cost.Known || ev.Cost != want || ev.BaselineCost != want || !ev.WouldCost.Known {
				t.Errorf("cost %v, baseline %v, would be %v; its tokens cost %v", ev.Cost, ev.BaselineCost, ev.WouldCost, want)
			}
			same := ev
			same.Revision, same.UsageSource, same.Usage, same.Extra = first.Revision, first.UsageSource, first.Usage, first.Extra
			same.Cost, same.ListCost, same.BaselineCost, same.WouldCost, same.WouldOutputCost = first.Cost, first.ListCost, first.BaselineCost, first.WouldCost, first.WouldOutputCost
			if a, b := jsonOf(t, same), jsonOf(t, first); a != b {
				t.Errorf("more than the usage has changed:\n%s\n%s", a, b)
			}
			r.nothingHeld()
		})
	}
}

// halfGzip is a gzip stream that was flushed and never ended.
func halfGzip(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil || z.Flush() != nil {
		t.Fatal(err)
	}
	return b.String()
}

// price is what the book says of an event's usage.
func (r *rig) price(ev schemas.RequestEvent) schemas.OptUSD {
	r.t.Helper()
	model := ev.ResponseModel
	if model == "" {
		model = ev.ServedModel
	}
	total, _, err := testBook(r.t).Cost(ev.Provider, model, ev.ServiceTier, ev.Usage, ev.Ts)
	if err != nil {
		r.t.Fatal(err)
	}
	return schemas.KnownUSD(total)
}

// nothingHeld: what was kept of texts and bodies is given back.
func (r *rig) nothingHeld() {
	r.t.Helper()
	q := &r.p.recounts
	eventually(r.t, "all memory is given back", func() bool { return q.texts.bytes.Load() == 0 && q.bytes.Load() == 0 && q.heard.Load() == 0 })
}

func TestWhatIsStatedIsNotCounted(t *testing.T) {
	r := newRig(t, counting(func(string, []byte) (int, string, bool, error) { t.Error("counted"); return 0, "", true, nil }))
	var got amended
	stop := r.recounting(got.take)
	for _, raw := range []string{chunked("text/event-stream", streamEvents), ok200("application/json", chatAnswer), "HTTP/1.1 500 X\r\nContent-Length: 2\r\n\r\n{}"} {
		r.up.answers(raw)
		ask(t, r.addr, post("/v1/chat/completions", saidStream))
	}
	r.event(3)
	stop()
	r.nothingHeld()
	if got.len() > 0 || r.outcomes("dropped") > 0 {
		t.Errorf("amended: %+v", got.evs)
	}
}

// A JSON body that broke off has no text that could be read for certain.
func TestTheEstimateStandsWhereNoTextIsAtHand(t *testing.T) {
	r := newRig(t, counting(letters))
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":\"c\",\"choices\":[{\"message\":{\"content\":\"Hello the")
		c.Close()
	})
	var got amended
	r.recounting(got.take)
	ask(t, r.addr, post("/v1/chat/completions", chatBody))
	if ev := r.event(1); ev.UsageSource != schemas.UsageEstimated || ev.OutputTokens == 0 {
		t.Errorf("recorded %s %+v", ev.UsageSource, ev.Usage)
	}
	eventually(t, "it is passed over", func() bool { return r.outcomes("unheard") == 1 })
	r.nothingHeld()
}

func TestAFailingCountLeavesTheEstimateAndTheNext(t *testing.T) {
	n := 0
	r := newRig(t, counting(func(string, []byte) (int, string, bool, error) {
		switch n++; n {
		case 1:
			panic("choked")
		case 2:
			return 0, "", false, errors.New("no vocabulary")
		}
		return 5, "fives", true, nil
	}))
	r.up.answers(ok200("application/json", `{"choices":[{"message":{"content":"Hello"}}]}`))
	var got amended
	r.recounting(got.take)
	for range 3 {
		ask(t, r.addr, post("/v1/chat/completions", chatBody))
	}
	eventually(t, "the third is counted", func() bool { return got.len() == 1 && r.outcomes("failed") == 2 })
	r.nothingHeld()
}

// Nobody counts here: what is offered is taken up to the bound, the rest is
// dropped and counted, and no answer waits.
func TestOverloadDropsCountsAndNeverWaits(t *testing.T) {
	r := newRig(t, counting(letters))
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(openAIStream(`"`+strings.Repeat("x", 60_000)+`"`)))
		c.Close()
	})
	const chunksEach = (60_000 + chunkBytes - 1) / chunkBytes
	const fit = maxRecountTexts / (chunksEach * chunkBytes)
	const sent = fit + 20
	for range sent {
		ask(t, r.addr, post("/v1/chat/completions", saidStream))
	}
	r.event(sent)
	eventually(t, "what is too much is dropped", func() bool { return r.outcomes("dropped") == sent-fit })
	if held := r.p.recounts.texts.bytes.Load(); held > maxRecountTexts {
		t.Errorf("%d bytes are held", held)
	}
	var got amended
	stop := r.recounting(got.take)
	eventually(t, "what waited is counted", func() bool { return got.len() == fit })
	stop()
	r.nothingHeld()
}

func TestTheBodiesAndTheNumberOfWhatWaitsAreBounded(t *testing.T) {
	q := recounts{queue: make(chan *recount, maxRecounts)}
	taken := 0
	for range 2 * maxRecounts {
		if q.offer(&recount{bytes: 1 << 10}) {
			taken++
		}
	}
	if taken != maxRecounts || q.bytes.Load() != maxRecounts<<10 {
		t.Errorf("%d wait, with %d bytes", taken, q.bytes.Load())
	}
	for range maxRecounts {
		q.done(<-q.queue)
	}
	taken = 0
	for range 100 {
		if q.offer(&recount{bytes: 1 << 20}) {
			taken++
		}
	}
	if taken != maxRecountBytes>>20 || q.bytes.Load() != maxRecountBytes {
		t.Errorf("%d wait, with %d bytes", taken, q.bytes.Load())
	}
}

func TestTheTextsOfAllStreamsAreBounded(t *testing.T) {
	var all texts
	piece := bytes.Repeat([]byte("x"), 1000)
	streams := make([]heard, 2*maxTexts/maxHeard)
	refused := 0
	for i := range streams {
		h := &streams[i]
		h.texts = &all
		for range 100 {
			h.Hear(piece)
		}
		if h.all != 100_000 || h.kept > maxHeard || !h.refused && h.kept != maxHeard {
			t.Fatalf("stream %d: %d said, %d kept, refused %v", i, h.all, h.kept, h.refused)
		}
		if h.refused {
			refused++
		}
	}
	if held := all.bytes.Load(); held > maxTexts || refused < len(streams)/2-20 {
		t.Errorf("%d bytes are held of at most %d; %d of %d were refused", held, maxTexts, refused, len(streams))
	}
	for i := range streams {
		streams[i].free()
	}
	if held := all.bytes.Load(); held != 0 {
		t.Errorf("%d bytes are not given back", held)
	}
}

// What every stream pays for the few that break off: its text is copied into
// memory that is used again.
func TestKeepingAUsualAnswersTextAllocatesNothing(t *testing.T) {
	var all texts
	d := dialect.Named(dialect.OpenAIChat)
	event := []byte(streamEvents[0])
	stream := func(listen bool) float64 {
		return testing.AllocsPerRun(200, func() {
			x := struct { // as they lie in a tap
				h heard
				r *dialect.Reader
			}{h: heard{texts: &all}, r: d.NewReader("text/event-stream", 1<<20)}
			if listen {
				x.r.Listen(&x.h)
			}
			for range 50 {
				_, _ = x.r.Write(event)
			}
			x.r.Close()
			if listen == (x.h.kept == 0) {
				t.Fatalf("kept %d", x.h.kept)
			}
			x.h.free()
		})
	}
	without, with := stream(false), stream(true)
	t.Logf("%.0f and %.0f allocations", without, with)
	if with > without {
		t.Errorf("%.1f allocations, %.1f without keeping", with, without)
	}
}

func TestAtTheEndWhatWaitsIsCountedOrDroppedWithinTheBound(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r := newRig(t, counting(letters))
	r.up.answers(ok200("application/json", `{"choices":[{"message":{"content":"Hello"}}]}`))
	for range 10 {
		ask(t, r.addr, post("/v1/chat/completions", chatBody))
	}
	r.event(10)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var got amended
	if err := r.p.Recount(ended, got.take); err != nil || got.len() != 10 {
		t.Errorf("%d of 10 were counted at the end (%v)", got.len(), err)
	}
	for range 10 {
		ask(t, r.addr, post("/v1/chat/completions", chatBody))
	}
	r.event(20)
	at := time.Now()
	err := r.p.Recount(ended, func(ctx context.Context, _ *schemas.RequestEvent) error { <-ctx.Done(); return ctx.Err() })
	if took := time.Since(at); err != nil || took > recountDrain+2*time.Second || r.outcomes("dropped") != 10 {
		t.Errorf("a broker that is away held up the end for %v; %v were dropped (%v)", took, r.outcomes("dropped"), err)
	}
	r.nothingHeld()
	r.up.close()
	r.stop()
	http.DefaultClient.CloseIdleConnections()
}
