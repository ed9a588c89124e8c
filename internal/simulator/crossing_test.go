package simulator

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy"
	"github.com/gnomon-llm/gnomon/rehearsal"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// events is a Recorder that keeps events.
type events struct {
	mu   sync.Mutex
	seq  uint64
	last []schemas.RequestEvent
}

func (k *events) BootID() uint64 { return 1 }
func (k *events) Begin(string, time.Time, [16]byte) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seq++
	return k.seq
}
func (k *events) End(ev *schemas.RequestEvent) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = append(k.last, *ev)
}

// Every workload's traffic goes, live, to a candidate in the other dialect, and
// its clients read what that candidate would have told them directly.
func TestEveryWorkloadMayCrossToTheOtherDialect(t *testing.T) {
	w := NewWorld(1, .05)
	now := monday.Add(10 * time.Hour)
	asked := httptest.NewServer(w.Providers(ProviderOptions{Now: func() time.Time { return now }}))
	defer asked.Close()
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	parts := classifier.Parts{Project: "demo", Prices: book, Capabilities: classifier.BuiltinCapabilities(),
		Providers: []classifier.Provider{{Name: openAI, Dialects: []string{dialectOpenAI}, Credential: true}, {Name: anthropic, Dialects: []string{dialectAnthropic}, Credential: true}}}
	other := map[string]string{openAI: claudeHaiku, anthropic: gpt4oMini}
	for n := range w.Workloads {
		wl := &w.Workloads[n]
		provider := map[string]string{openAI: anthropic, anthropic: openAI}[wl.Provider]
		parts.Policies = append(parts.Policies, schemas.Policy{Project: "demo", Workload: wl.Name, Version: 1, Mode: schemas.ModeLive, Candidate: provider + "/" + other[wl.Provider],
			Share: 10_000, Threshold: 1, Salt: []byte("s"), Override: true})
	}
	snapshot := classifier.NewSnapshot(parts)
	rec := &events{}
	p, err := proxy.New(proxy.Config{Project: "demo", Providers: []proxy.Provider{
		{Name: openAI, Dialect: "openai", BaseURL: asked.URL, APIKey: "k", IncludeUsage: true}, {Name: anthropic, Dialect: "anthropic", BaseURL: asked.URL, APIKey: "k"},
	}}, rec, func() *classifier.Snapshot { return snapshot }, book, nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- p.Serve(ctx, ln) }()
	defer func() { stop(); <-served }()
	crossed, stayed := 0, map[string]bool{}
	for n := range w.Workloads {
		wl := &w.Workloads[n]
		for _, c := range w.calls(n, dayOf(monday))[:3] {
			for attempt, streaming := range []bool{false, true} {
				body := with(c.body, wl.Model, streaming)
				req, err := http.NewRequest(http.MethodPost, "http://"+ln.Addr().String()+"/"+wl.Provider+pathOf(wl.Provider), bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer client")
				req.Header.Set("X-Gnomon-Feature", wl.Name)
				req.Header.Set("X-Gnomon-Session", "s")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				raw, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				route := resp.Header.Get("X-Gnomon-Route")
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("%s: %v %d %s", wl.Name, err, resp.StatusCode, raw)
				}
				if route == "" {
					stayed[wl.Name] = true
					continue
				}
				crossed++
				a, err := rehearsal.ReadAnswer(dialectOf(wl.Provider), raw)
				want := w.answer(c.item, other[wl.Provider], uint64(attempt), dayOf(now), wl.maxTokens)
				if err != nil || a.Model != models[other[wl.Provider]].snapshot || a.Text != want.text || len(a.Calls) != len(want.calls) || int(a.Usage.OutputTokens) != want.tokens {
					t.Fatalf("%s, stream %v: %v %+v, want %+v\n%s", wl.Name, streaming, err, a, want, raw)
				}
			}
		}
	}
	// JSON mode has no words at Anthropic, a tiny model is not made cheaper, and
	// the one without a feature header has no policy under that name.
	if crossed != 42 || len(stayed) != 3 || !stayed["orders/extract"] || !stayed["chat/moderation"] {
		t.Errorf("%d requests crossed; stayed: %v", crossed, stayed)
	}
}
