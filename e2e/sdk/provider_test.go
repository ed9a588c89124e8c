package sdk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// provider is a stand-in for OpenAI and Anthropic. The model's name says how it
// behaves; every request gets a number, its answer's id and token counts derive
// from it, and what it answered is kept to be held against the store.
type provider struct {
	*httptest.Server
	n       atomic.Int64
	mu      sync.Mutex
	answers map[string]answer // by response id
	failed  map[string]bool   // which logical calls have failed once
	last    string            // model of the newest request
}

type answer struct {
	input, cached, output int
	kind                  string // ok, error, slow
}

func newProvider(t *testing.T) *provider {
	p := &provider{answers: map[string]answer{}, failed: map[string]bool{}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

type call struct {
	Model         string `json:"model"`
	Stream        bool   `json:"stream"`
	User          string `json:"user"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Metadata struct {
		UserID string `json:"user_id"`
	} `json:"metadata"`
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	var c call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n := int(p.n.Add(1))
	p.mu.Lock()
	p.last = c.Model
	p.mu.Unlock()
	a := answer{input: 100 + n, cached: n % 90, output: 1 + n%50, kind: "ok"}
	id := fmt.Sprintf("resp-%06d", n)
	tag := c.User + c.Metadata.UserID
	p.mu.Lock()
	fail := strings.HasPrefix(tag, "err") && !p.failed[tag]
	if fail {
		p.failed[tag] = true
		a.kind = "error"
	}
	if strings.HasPrefix(tag, "slow") {
		a.kind = "slow"
	}
	p.answers[id] = a
	p.mu.Unlock()
	if fail {
		w.Header().Set("Retry-After-Ms", "1")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"type":"error","error":{"type":"rate_limit_error","message":"slow down","code":"rate_limit_exceeded"}}`)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/messages") {
		p.messages(w, r, c, id, a)
		return
	}
	p.chat(w, r, c, id, a)
}

func (p *provider) chat(w http.ResponseWriter, r *http.Request, c call, id string, a answer) {
	usage := fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}`, a.input, a.output, a.input+a.output, a.cached)
	if !c.Stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"object":"chat.completion","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"hello","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":%s}`, id, usage)
		return
	}
	null := ""
	if c.StreamOptions.IncludeUsage {
		null = `,"usage":null`
	}
	s := newStream(w, r)
	for i := 0; i < 5 || a.kind == "slow"; i++ {
		if !s.send(fmt.Sprintf(`data: {"id":%q,"object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"hello "},"finish_reason":null}]%s}`, id, null), a.kind == "slow") {
			return
		}
	}
	s.send(fmt.Sprintf(`data: {"id":%q,"object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]%s}`, id, null), false)
	if c.StreamOptions.IncludeUsage {
		s.send(fmt.Sprintf(`data: {"id":%q,"object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06","choices":[],"usage":%s}`, id, usage), false)
	}
	s.send("data: [DONE]", false)
}

func (p *provider) messages(w http.ResponseWriter, r *http.Request, c call, id string, a answer) {
	in := fmt.Sprintf(`"input_tokens":%d,"cache_creation_input_tokens":0,"cache_read_input_tokens":%d`, a.input-a.cached, a.cached)
	if !c.Stream {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":%q,"type":"message","role":"assistant","model":"claude-sonnet-4-20250514","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{%s,"output_tokens":%d}}`, id, in, a.output)
		return
	}
	s := newStream(w, r)
	s.send(fmt.Sprintf("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":%q,\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-20250514\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{%s,\"output_tokens\":1}}}", id, in), false)
	s.send("event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}", false)
	for i := 0; i < 5 || a.kind == "slow"; i++ {
		if !s.send("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hello \"}}", a.kind == "slow") {
			return
		}
	}
	s.send("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}", false)
	s.send(fmt.Sprintf("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":%d}}", a.output), false)
	s.send("event: message_stop\ndata: {\"type\":\"message_stop\"}", false)
}

type stream struct {
	w http.ResponseWriter
	r *http.Request
}

func newStream(w http.ResponseWriter, r *http.Request) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	return &stream{w, r}
}

// send writes one event and flushes it; a slow stream pauses behind it, and
// ends when the client has left.
func (s *stream) send(event string, slow bool) bool {
	if _, err := fmt.Fprint(s.w, event, "\n\n"); err != nil {
		return false
	}
	s.w.(http.Flusher).Flush()
	if slow {
		select {
		case <-s.r.Context().Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	return true
}

// lastModel is the model that the newest request named at the provider.
func lastModel(p *provider) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}
