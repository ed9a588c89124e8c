package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
)

// twoTongues is a stand-in for both providers that answers each request with
// words and two tool calls, and one that brings results with words alone. It
// keeps the last body of each path.
type twoTongues struct {
	*httptest.Server
	mu   sync.Mutex
	last map[string]string
}

func newTwoTongues(t *testing.T) *twoTongues {
	p := &twoTongues{last: map[string]string{}}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() { p.CloseClientConnections(); p.Close() })
	return p
}

func (p *twoTongues) body(path string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last[path]
}

func (p *twoTongues) serve(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.last[r.URL.Path] = string(raw)
	p.mu.Unlock()
	var c struct {
		Stream bool
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	results := strings.Contains(string(raw), "tool_result") || strings.Contains(string(raw), `"tool"`)
	anthropic := r.URL.Path == "/v1/messages"
	switch {
	case anthropic && c.Stream && strings.Contains(string(raw), "die early"):
		events(w, anthropicEvents[:4])
		// More than gnomon looks at before it lets the first byte go.
		events(w, []string{`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + strings.Repeat("x", 8192) + `"}}`})
		panic(http.ErrAbortHandler)
	case anthropic && c.Stream:
		events(w, anthropicEvents)
	case anthropic && results:
		answers(w, `{"id":"msg_2","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"3 and noon"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":50,"output_tokens":5}}`)
	case anthropic:
		answers(w, `{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"let me see"},{"type":"tool_use","id":"toolu_1","name":"add","input":{"a":1,"b":2.50}},{"type":"tool_use","id":"toolu_2","name":"now","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":40,"cache_read_input_tokens":20,"cache_creation_input_tokens":0,"output_tokens":7}}`)
	case c.Stream:
		events(w, openaiEvents)
	case results:
		answers(w, `{"id":"c2","object":"chat.completion","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"3 and noon","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":50,"completion_tokens":5,"total_tokens":55}}`)
	default:
		answers(w, `{"id":"c1","object":"chat.completion","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"let me see","refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"add","arguments":"{\"a\":1,\"b\":2.50}"}},{"id":"call_2","type":"function","function":{"name":"now","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":60,"completion_tokens":7,"total_tokens":67,"prompt_tokens_details":{"cached_tokens":20}}}`)
	}
}

func answers(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, body)
}

func events(w http.ResponseWriter, list []string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range list {
		name := ""
		if strings.HasPrefix(e, `{"type"`) {
			kind, _, _ := strings.Cut(strings.TrimPrefix(e, `{"type":"`), `"`)
			name = "event: " + kind + "\n"
		}
		_, _ = io.WriteString(w, name+"data: "+e+"\n\n")
		w.(http.Flusher).Flush()
	}
}

var anthropicEvents = []string{
	`{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":40,"cache_read_input_tokens":20,"cache_creation_input_tokens":0,"output_tokens":1}}}`,
	`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
	`{"type":"ping"}`,
	`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"let me "}}`,
	`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"see"}}`,
	`{"type":"content_block_stop","index":0}`,
	`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"add","input":{}}}`,
	`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}`,
	`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1,"}}`,
	`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\"b\":2.50}"}}`,
	`{"type":"content_block_stop","index":1}`,
	`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_2","name":"now","input":{}}}`,
	`{"type":"content_block_stop","index":2}`,
	`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":7}}`,
	`{"type":"message_stop"}`,
}

var openaiEvents = []string{
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`,
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":"let me see"},"finish_reason":null}],"usage":null}`,
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"add","arguments":""}}]},"finish_reason":null}],"usage":null}`,
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1,"}}]},"finish_reason":null}],"usage":null}`,
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"b\":2.50}"}}]},"finish_reason":null}],"usage":null}`,
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"now","arguments":"{}"}}]},"finish_reason":null}],"usage":null}`,
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}`,
	`{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":60,"completion_tokens":7,"total_tokens":67,"prompt_tokens_details":{"cached_tokens":20}}}`,
	`[DONE]`,
}

// activate routes a workload to a candidate and returns a session that is in
// the treated arm; one of a hundred must be.
func (g *gnomon) activate(workload, candidate string, ask func(session string) (*http.Response, error)) string {
	g.t.Helper()
	if _, err := ask("first"); err != nil { // a workload that was seen
		g.t.Fatal(err)
	}
	if out, err := g.cli("activate", workload, "--candidate", candidate, "--share", "100%", "--reason", "test", "--override", "--unseen"); err != nil {
		g.t.Fatalf("activate: %v\n%s", err, out)
	}
	for i := range 100 {
		session := fmt.Sprintf("s%d", i)
		resp, err := ask(session)
		if err != nil {
			g.t.Fatal(err)
		}
		if resp.Header.Get("X-Gnomon-Route") == candidate {
			return session
		}
	}
	g.t.Fatal("no session of a hundred is routed to " + candidate)
	return ""
}

func TestTheOfficialSDKsReadAnswersOfCandidatesInTheOtherDialect(t *testing.T) {
	p := newTwoTongues(t)
	t.Setenv("GNOMON_PROVIDERS__OPENAI__API_KEY", "sk-stored")
	t.Setenv("GNOMON_PROVIDERS__ANTHROPIC__API_KEY", "sk-ant-stored")
	g := newGnomon(t, p.URL)
	c := newClients(g)
	t.Run("openai-go, from Anthropic", func(t *testing.T) { openaiFromAnthropic(t, g, c, p) })
	t.Run("anthropic-sdk-go, from OpenAI", func(t *testing.T) { anthropicFromOpenAI(t, g, c, p) })
}

func openaiFromAnthropic(t *testing.T, g *gnomon, c clients, p *twoTongues) {
	params := openai.ChatCompletionNewParams{Model: "gpt-4o", Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("You are terse."), openai.UserMessage("1 + 2.5?")}}
	for _, name := range []string{"add", "now"} {
		params.Tools = append(params.Tools, openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: name, Parameters: openai.FunctionParameters{"type": "object"}}))
	}
	var resp *http.Response
	with := func(session string) []openaioption.RequestOption {
		return []openaioption.RequestOption{openaioption.WithHeader("x-gnomon-session", session), openaioption.WithResponseInto(&resp)}
	}
	treated := g.activate("e2e/openai", "anthropic/claude-haiku-4-5", func(session string) (*http.Response, error) {
		_, err := c.openai.Chat.Completions.New(context.Background(), params, with(session)...)
		return resp, err
	})
	check := func(r *openai.ChatCompletion) {
		t.Helper()
		m := r.Choices[0].Message
		if m.Content != "let me see" || len(m.ToolCalls) != 2 || m.ToolCalls[0].ID != "toolu_1" || m.ToolCalls[0].Function.Name != "add" || m.ToolCalls[0].Function.Arguments != `{"a":1,"b":2.50}` ||
			m.ToolCalls[1].Function.Arguments != "{}" || r.Choices[0].FinishReason != "tool_calls" || r.Model != "claude-haiku-4-5-20251001" {
			t.Errorf("read as %+v", r)
		}
		if u := r.Usage; u.PromptTokens != 60 || u.PromptTokensDetails.CachedTokens != 20 || u.CompletionTokens != 7 || u.TotalTokens != 67 {
			t.Errorf("usage read as %+v", u)
		}
	}
	whole, err := c.openai.Chat.Completions.New(t.Context(), params, with(treated)...)
	if err != nil {
		t.Fatal(err)
	}
	check(whole)
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := c.openai.Chat.Completions.NewStreaming(t.Context(), params, with(treated)...)
	acc := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("the SDK cannot add %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	check(&acc.ChatCompletion)
	dying := params
	dying.Messages = append(dying.Messages[:len(dying.Messages):len(dying.Messages)], openai.UserMessage("die early"))
	broken := c.openai.Chat.Completions.NewStreaming(t.Context(), dying, with(treated)...)
	said := ""
	for broken.Next() {
		for _, choice := range broken.Current().Choices {
			said += choice.Delta.Content
		}
	}
	if err := broken.Err(); err == nil || !strings.Contains(err.Error(), "broke the answer off") || !strings.HasPrefix(said, "let me xxx") {
		t.Errorf("a stream that dies: %v, after %d bytes", err, len(said))
	}
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{}
	params.Messages = append(params.Messages, whole.Choices[0].Message.ToParam(), openai.ToolMessage("3.5", "toolu_1"), openai.ToolMessage("noon", "toolu_2"))
	last, err := c.openai.Chat.Completions.New(t.Context(), params, with(treated)...)
	if err != nil || last.Choices[0].Message.Content != "3 and noon" || last.Choices[0].FinishReason != "stop" {
		t.Errorf("%v: %+v", err, last)
	}
	if got, want := p.body("/v1/messages"), `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"3.5"},{"type":"tool_result","tool_use_id":"toolu_2","content":"noon"}]}`; !strings.Contains(got, want) {
		t.Errorf("the candidate got %s", got)
	}
}

func anthropicFromOpenAI(t *testing.T, g *gnomon, c clients, p *twoTongues) {
	params := anthropic.MessageNewParams{Model: "claude-opus-4-5", MaxTokens: 100, System: []anthropic.TextBlockParam{{Text: "You are terse."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("1 + 2.5?"))}}
	for _, name := range []string{"add", "now"} {
		params.Tools = append(params.Tools, anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{}, name))
	}
	var resp *http.Response
	with := func(session string) []anthropicoption.RequestOption {
		return []anthropicoption.RequestOption{anthropicoption.WithHeader("x-gnomon-session", session), anthropicoption.WithResponseInto(&resp)}
	}
	treated := g.activate("e2e/anthropic", "openai/gpt-4o-mini", func(session string) (*http.Response, error) {
		_, err := c.anthropic.Messages.New(context.Background(), params, with(session)...)
		return resp, err
	})
	check := func(r *anthropic.Message) {
		t.Helper()
		if len(r.Content) != 3 || r.Content[0].Text != "let me see" || r.Content[1].ID != "call_1" || r.Content[1].Name != "add" || string(r.Content[1].Input) != `{"a":1,"b":2.50}` ||
			string(r.Content[2].Input) != "{}" || r.StopReason != anthropic.StopReasonToolUse || r.Model != "gpt-4o-mini-2024-07-18" {
			t.Errorf("read as %+v", r)
		}
		if u := r.Usage; u.InputTokens != 40 || u.CacheReadInputTokens != 20 || u.OutputTokens != 7 {
			t.Errorf("usage read as %+v", u)
		}
	}
	whole, err := c.anthropic.Messages.New(t.Context(), params, with(treated)...)
	if err != nil {
		t.Fatal(err)
	}
	check(whole)
	stream := c.anthropic.Messages.NewStreaming(t.Context(), params, with(treated)...)
	var acc anthropic.Message
	for stream.Next() {
		if err := acc.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	check(&acc)
	params.Messages = append(params.Messages, whole.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock("call_1", "3.5", false), anthropic.NewToolResultBlock("call_2", "noon", false)))
	last, err := c.anthropic.Messages.New(t.Context(), params, with(treated)...)
	if err != nil || last.Content[0].Text != "3 and noon" || last.StopReason != anthropic.StopReasonEndTurn {
		t.Errorf("%v: %+v", err, last)
	}
	if got, want := p.body("/v1/chat/completions"), `{"role":"tool","tool_call_id":"call_1","content":"3.5"},{"role":"tool","tool_call_id":"call_2","content":"noon"}`; !strings.Contains(got, want) {
		t.Errorf("the candidate got %s", got)
	}
}
