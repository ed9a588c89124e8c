package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/rehearsal"
	"github.com/gnomon-llm/gnomon/schemas"
)

// ask sends a body to a fresh simulated provider.
func ask(t *testing.T, h http.Handler, path string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer simulated")
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, r)
	return rw
}

func with(body []byte, model string, streaming bool) []byte {
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		panic(err)
	}
	m["model"], m["stream"] = model, streaming
	delete(m, "stream_options")
	if streaming && m["system"] == nil {
		m["stream_options"] = map[string]any{"include_usage": true}
	}
	out, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return out
}

func TestPlainAndStreamedAnswersSayTheSameAndCountTheSame(t *testing.T) {
	w := NewWorld(1, .05)
	for n := range w.Workloads {
		wl := &w.Workloads[n]
		t.Run(string(rune('a'+n))+" "+wl.Name, func(t *testing.T) {
			name := dialectOf(wl.Provider)
			for _, c := range w.calls(n, dayOf(monday))[:5] {
				for _, model := range []string{wl.Model, wl.Candidate} {
					var answers []rehearsal.Answer
					for _, streaming := range []bool{false, true} {
						rw := ask(t, w.Providers(ProviderOptions{Now: func() time.Time { return c.ts }}), pathOf(wl.Provider), with(c.body, model, streaming))
						if rw.Code != 200 {
							t.Fatalf("%d %s", rw.Code, rw.Body)
						}
						a, err := rehearsal.ReadAnswer(name, rw.Body.Bytes())
						if err != nil {
							t.Fatalf("%v: %s", err, rw.Body)
						}
						read := dialect.Named(name).Read(rw.Body.Bytes())
						if !read.Final || read.Odd || read.Usage.InputTokens == 0 || read.Usage.OutputTokens == 0 || a.Model != models[model].snapshot || a.Truncated {
							t.Fatalf("streaming %v: %+v", streaming, read)
						}
						answers = append(answers, a)
					}
					p, s := answers[0], answers[1]
					if p.Text != s.Text || len(p.Calls) != len(s.Calls) || p.Finish != s.Finish || p.Usage.OutputTokens != s.Usage.OutputTokens {
						t.Errorf("plain %+v\nstream %+v", p, s)
					}
					if got := (rehearsal.ExactMatch{}).Applies(&p); got != (wl.shape.closed() && !w.reports(c.item)) {
						t.Errorf("closed = %v: %q %v", got, p.Text, p.Calls)
					}
				}
			}
		})
	}
}

func TestTheGraderFindsTheHiddenTruth(t *testing.T) {
	// What exact match sees of a candidate must be what the truth says it sees:
	// two models that are right never differ by their manner of writing.
	w := NewWorld(1, 1)
	for n := range w.Workloads {
		wl := &w.Workloads[n]
		if !wl.shape.closed() {
			continue
		}
		day, differ, expected, pairs := dayOf(monday), 0.0, 0.0, 0
		for k := range 20_000 {
			i := newItem(n, uint32(k), 0, 0)
			if w.reports(i) {
				continue
			}
			base, cand := w.graded(i, wl.Model, 0), w.graded(i, wl.Candidate, 0)
			pairs++
			if _, q := (rehearsal.ExactMatch{}).Grade(base, cand); q == 0 {
				differ++
			}
			_, agreement := w.difference(i, day)
			expected -= agreement
		}
		got, want := differ/float64(pairs), expected/float64(pairs)
		if slack := 5 * math.Sqrt(want/float64(pairs)); math.Abs(got-want) > slack {
			t.Errorf("%s: %.4f differ, the truth is %.4f", wl.Name, got, want)
		}
		t.Logf("%-20s differ %.4f, truth %.4f, true difference %+.4f", wl.Name, got, want, wl.trueDifference())
	}
}

func (w *World) graded(i item, model string, attempt uint64) *rehearsal.Answer {
	a := w.answer(i, model, attempt, dayOf(monday), 0)
	out := &rehearsal.Answer{Text: a.text, Choices: 1, Finish: a.finish}
	for _, c := range a.calls {
		out.Calls = append(out.Calls, rehearsal.ToolCall{Name: c.name, Args: c.args})
	}
	return out
}

func TestTheBaselineAgreesWithItselfWhereAnswersAreClosed(t *testing.T) {
	w := NewWorld(1, 1)
	for n := range w.Workloads {
		wl := &w.Workloads[n]
		differ := 0
		const pairs = 5000
		for k := range pairs {
			i := newItem(n, uint32(k), 0, 0)
			first, again := w.graded(i, wl.Model, 0), w.graded(i, wl.Model, 1)
			if first.Text != again.Text || len(first.Calls) != len(again.Calls) || len(first.Calls) > 0 && first.Calls[0] != again.Calls[0] {
				differ++
			}
		}
		share := float64(differ) / pairs
		if closed := wl.shape.closed() && wl.shape != tools; closed && share > .005 || !closed && share < .02 && wl.shape != tools {
			t.Errorf("%s: %.3f of second answers differ", wl.Name, share)
		}
	}
}

func TestAStreamStatesItsUsageOnlyWhenAsked(t *testing.T) {
	w := NewWorld(1, .05)
	c := w.calls(0, dayOf(monday))[0]
	body := with(c.body, gpt4o, true)
	asked := ask(t, w.Providers(ProviderOptions{}), pathOpenAI, body).Body.Bytes()
	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "stream_options")
	unasked, _ := json.Marshal(m)
	silent := ask(t, w.Providers(ProviderOptions{}), pathOpenAI, unasked).Body.Bytes()
	if !dialect.Named(dialect.OpenAIChat).Read(asked).HasUsage || dialect.Named(dialect.OpenAIChat).Read(silent).HasUsage {
		t.Error("usage is stated where it was not asked for, or not where it was")
	}
	if bytes.Contains(silent, []byte(`"usage"`)) || !bytes.Contains(asked, []byte(`"usage":null`)) {
		t.Error("the usage member is not where OpenAI puts it")
	}
	if !bytes.HasSuffix(silent, []byte("data: [DONE]\n\n")) {
		t.Error("the stream has no end")
	}
}

func TestTheCacheOfAProvider(t *testing.T) {
	w := NewWorld(1, 1)
	agent, at := 4, monday
	c := newPrefixCache()
	wl := &w.Workloads[agent]
	use := func(turn, tokens int, model string) (uint32, uint32) {
		return c.use(wl, newItem(agent, 7, turn, 0), model, uint32(tokens), at)
	}
	if r, wr := use(0, 3000, wl.Model); r != 0 || wr != 3000-cacheTail {
		t.Errorf("the first turn reads %d and writes %d", r, wr)
	}
	at = at.Add(time.Minute)
	if r, wr := use(1, 3500, wl.Model); r != 3000 || wr != 500-cacheTail {
		t.Errorf("the second turn reads %d and writes %d", r, wr)
	}
	if r, wr := use(2, 3900, wl.Candidate); r != 0 || wr != 0 {
		t.Errorf("the candidate caches below its minimum: %d, %d", r, wr)
	}
	at = at.Add(cacheLife)
	if r, _ := use(3, 4000, wl.Model); r != 0 {
		t.Errorf("%d tokens are cached after the cache's life", r)
	}
	if r, _ := c.use(wl, newItem(agent, 8, 0, 0), wl.Model, 3100, at.Add(time.Second)); r != uint32(wl.sizes.system) {
		t.Errorf("another session reads %d of the shared prefix", r)
	}
}

func TestFaultsAreTheVendors(t *testing.T) {
	w := NewWorld(1, .05)
	for n := range w.Workloads {
		w.Workloads[n].errors = 1
	}
	seen := map[string]int{}
	for n := range w.Workloads {
		wl := &w.Workloads[n]
		for _, c := range w.calls(n, dayOf(monday))[:10] {
			rw := ask(t, w.Providers(ProviderOptions{Errors: true}), pathOf(wl.Provider), with(c.body, wl.Model, true))
			read := dialect.Named(dialectOf(wl.Provider)).Read(rw.Body.Bytes())
			if !read.Failed || read.ErrorType == "" {
				t.Fatalf("no fault: %d %s", rw.Code, rw.Body)
			}
			if rw.Code == http.StatusTooManyRequests && rw.Header().Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			seen[http.StatusText(rw.Code)+"/"+read.ErrorType]++
		}
	}
	for _, want := range []string{"Too Many Requests/rate_limit_error", "Too Many Requests/requests", "/overloaded_error", "OK/server_error", "Internal Server Error/server_error"} {
		if seen[want] == 0 {
			t.Errorf("no %s among %v", want, seen)
		}
	}
}

func TestBadRequestsAreRefusedAsByTheVendor(t *testing.T) {
	p := NewWorld(1, .05).Providers(ProviderOptions{})
	for _, tt := range []struct {
		name, path, body string
		status           int
	}{
		{"no JSON", pathOpenAI, `{"model"`, 400},
		{"an unknown model", pathOpenAI, `{"model":"gpt-9","messages":[]}`, 400},
		{"a model of the other vendor", pathOpenAI, `{"model":"claude-haiku-4-5","messages":[]}`, 400},
		{"Anthropic without max_tokens", pathAnthropic, `{"model":"claude-haiku-4-5","messages":[]}`, 400},
		{"stream options without a stream", pathOpenAI, `{"model":"gpt-4o","messages":[],"stream_options":{}}`, 400},
		{"an unknown path", "/v1/nothing", `{}`, 404},
		{"a prompt of nobody's", pathOpenAI, `{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]}`, 200},
		{"embeddings", pathEmbeddings, `{"model":"text-embedding-3-small","input":["a","b"]}`, 200},
		{"embeddings in base64", pathEmbeddings, `{"model":"text-embedding-3-small","input":"a","encoding_format":"base64"}`, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rw := ask(t, p, tt.path, []byte(tt.body))
			if rw.Code != tt.status || !json.Valid(rw.Body.Bytes()) {
				t.Errorf("%d %s", rw.Code, rw.Body)
			}
		})
	}
	rw := httptest.NewRecorder()
	p.ServeHTTP(rw, httptest.NewRequest(http.MethodPost, pathOpenAI, bytes.NewReader([]byte("{}"))))
	if rw.Code != http.StatusUnauthorized {
		t.Errorf("without a key: %d", rw.Code)
	}
	rw = httptest.NewRecorder()
	p.ServeHTTP(rw, httptest.NewRequest(http.MethodGet, pathModels, nil))
	if gjson.Get(rw.Body.String(), "data.#").Int() != int64(len(models)) {
		t.Errorf("models: %s", rw.Body)
	}
}

func TestRehearsalReachesTheSimulatedProvidersOverHTTP(t *testing.T) {
	w := NewWorld(1, .05)
	srv := httptest.NewServer(w.Providers(ProviderOptions{}))
	defer srv.Close()
	s := rehearsal.NewHTTPSender([]rehearsal.Provider{{Name: anthropic, BaseURL: srv.URL, APIKey: "k"}}, time.Minute)
	defer s.Close()
	c := w.calls(5, dayOf(monday))[0]
	reply, err := s.Send(context.Background(), rehearsal.Call{Provider: anthropic, Dialect: dialectAnthropic, Path: pathAnthropic, Body: with(c.body, claudeHaiku, false)})
	if err != nil || reply.HTTPStatus != 200 {
		t.Fatalf("%+v, %v", reply, err)
	}
	a, err := rehearsal.ReadAnswer(dialectAnthropic, reply.Body)
	if err != nil || a.Usage == (schemas.Usage{}) {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestLiveTrafficBehavesLikeClients(t *testing.T) {
	w := NewWorld(1, .05)
	providers := w.Providers(ProviderOptions{Errors: true})
	seen := make(chan *http.Request, 10_000)
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		seen <- r
		providers.ServeHTTP(rw, r)
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done atomic.Int64
	sum, err := w.Live(ctx, LiveConfig{Proxy: srv.URL, Rate: 500, Haste: 1e6, Run: 1, Sent: func(int, error) {
		if done.Add(1) == 400 {
			cancel()
		}
	}})
	if err != nil || sum.Sent < 400 || sum.OK < 380 || sum.Broken > 0 || sum.Sent != sum.OK+sum.Errors+sum.Aborted {
		t.Fatalf("%+v, %v", sum, err)
	}
	features, sessions := map[string]int{}, 0
	for range len(seen) {
		r := <-seen
		features[r.Header.Get("X-Gnomon-Feature")]++
		if r.Header.Get("X-Gnomon-Session") != "" {
			sessions++
		}
	}
	if len(features) < 8 || features[""] == 0 || sessions == 0 {
		t.Errorf("features %v, %d with a session", features, sessions)
	}
	if _, err := w.Live(context.Background(), LiveConfig{Proxy: "localhost"}); err == nil {
		t.Error("an address without a scheme is taken")
	}
}
