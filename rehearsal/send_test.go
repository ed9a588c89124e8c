package rehearsal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
)

func TestACandidateInAnotherDialectIsRehearsedInItsOwn(t *testing.T) {
	var got, auth, path string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, auth, path = string(body), r.Header.Get("X-Api-Key"), r.URL.Path
		_, _ = io.WriteString(w, `{"id":"m","type":"message","model":"claude-haiku-4-5","content":[{"type":"text","text":"yes"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"cache_read_input_tokens":3,"output_tokens":2}}`)
	}))
	defer srv.Close()
	s := NewHTTPSender([]Provider{{Name: "anthropic", Dialect: "anthropic", BaseURL: srv.URL, APIKey: "stored"}}, time.Second)
	defer s.Close()
	call, err := newCall(dialect.OpenAIChat, "/v1/chat/completions", "anthropic/claude-haiku-4-5", []byte(`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}`), false)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := s.Send(context.Background(), call)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"model":"claude-haiku-4-5","max_tokens":64000,"messages":[{"role":"user","content":"hi"}]}`; got != want || auth != "stored" || path != "/v1/messages" {
		t.Errorf("%s got %s with %s", path, got, auth)
	}
	a, err := ReadAnswer(dialect.OpenAIChat, reply.Body)
	if err != nil || a.Text != "yes" || a.Usage.InputTokens != 8 || a.Usage.CacheReadTokens != 3 || a.Usage.OutputTokens != 2 || a.Model != "claude-haiku-4-5" {
		t.Errorf("read as %+v, %v", a, err)
	}
	call.Body = []byte(`{"model":"gpt-4o","n":2,"messages":[{"role":"user","content":"hi"}]}`)
	if _, err := s.Send(context.Background(), call); !errors.Is(err, ErrUnsendable) {
		t.Errorf("what cannot be said there was sent: %v", err)
	}
}
