package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"time"
)

// entry is what is known of one request outside gnomon.
type entry struct {
	name     string
	front    int
	id       string // x-gnomon-request-id, where its answer's head arrived
	complete bool   // the client has the answer whole
	asked    int    // how often the provider was asked
	kind     kind
	took     span
}

// kind is how a request goes, apart from what is broken around it.
type kind string

const (
	plain  kind = "plain"
	stream kind = "stream"
	leaves kind = "leaves" // the client goes away in the middle of its stream
	errs   kind = "errs"   // the provider answers 500
	dies   kind = "dies"   // the provider's connection ends in the middle
)

var kinds = []kind{plain, plain, plain, plain, stream, stream, stream, leaves, errs, dies}

// ledger is every request of a run.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
}

func (l *ledger) with(name string, f func(*entry)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[name]
	if e == nil {
		e = &entry{name: name}
		l.entries[name] = e
	}
	f(e)
}

// usage is what the provider says that a request took: from its name, so that a
// row can be held against it.
func usage(name string) (input, output int) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return 100 + int(h.Sum32()%1000), 1 + int(h.Sum32()>>16%50)
}

// provider answers as OpenAI does.
func (l *ledger) provider() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, k := r.Header.Get("x-chaos-name"), kind(r.Header.Get("x-chaos-kind"))
		_, _ = io.Copy(io.Discard, r.Body)
		l.with(name, func(e *entry) { e.asked++ })
		in, out := usage(name)
		said := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, in, out, in+out)
		switch k {
		case errs:
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"error":{"message":"broken","type":"server_error"}}`)
			return
		case plain:
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"id":%q,"object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":%s}`, name, said)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		chunk := func(rest string) {
			_, _ = fmt.Fprintf(w, "data: {\"id\":%q,\"object\":\"chat.completion.chunk\",\"model\":\"gpt-4o\",%s}\n\n", name, rest)
			w.(http.Flusher).Flush()
		}
		for i := range 6 {
			chunk(`"choices":[{"index":0,"delta":{"content":"hello "},"finish_reason":null}],"usage":null`)
			if k == dies && i == 3 {
				panic(http.ErrAbortHandler)
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		chunk(`"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null`)
		chunk(`"choices":[],"usage":` + said)
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
}

// load sends requests until ctx ends.
func (l *ledger) load(ctx context.Context, seed uint64, workers int, fronts []string) {
	var wait sync.WaitGroup
	for n := range workers {
		wait.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(n)))
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}, Timeout: 20 * time.Second}
			defer client.CloseIdleConnections()
			for i := 0; ctx.Err() == nil; i++ {
				e := entry{name: fmt.Sprintf("%d-%d-%d", seed, n, i), front: rnd.IntN(len(fronts)), kind: kinds[rnd.IntN(len(kinds))]}
				l.send(ctx, client, fronts[e.front], e)
				select {
				case <-ctx.Done():
				case <-time.After(time.Duration(rnd.IntN(10)) * time.Millisecond):
				}
			}
		})
	}
	wait.Wait()
}

// send sends one request and writes down how far its answer came.
func (l *ledger) send(ctx context.Context, client *http.Client, front string, e entry) {
	l.with(e.name, func(have *entry) { have.front, have.kind, have.took.from = e.front, e.kind, time.Now() })
	defer func() { l.with(e.name, func(have *entry) { have.took.to = time.Now() }) }()
	// A client that is at work when the load ends finishes.
	ctx, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	body := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":"request %s"}]%s}`, e.name,
		map[bool]string{true: `,"stream":true,"stream_options":{"include_usage":true}`}[e.kind == stream || e.kind == leaves || e.kind == dies])
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+front+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.GetBody = nil // a request is sent once
	req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer chaos"}, "X-Gnomon-Feature": {"chaos/" + string(e.kind)},
		"X-Gnomon-User": {e.name}, "X-Chaos-Name": {e.name}, "X-Chaos-Kind": {string(e.kind)}}
	resp, err := client.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			time.Sleep(20 * time.Millisecond)
		}
		return
	}
	defer resp.Body.Close()
	l.with(e.name, func(have *entry) { have.id = resp.Header.Get("x-gnomon-request-id") })
	if e.kind == leaves {
		_, _ = bufio.NewReader(resp.Body).ReadString('\n')
		return
	}
	raw, err := io.ReadAll(resp.Body)
	// A stream that was cut must not look whole: only its last event says so.
	whole := err == nil && len(raw) > 0 && (e.kind != stream || strings.HasSuffix(string(raw), "data: [DONE]\n\n"))
	l.with(e.name, func(have *entry) { have.complete = whole })
}
