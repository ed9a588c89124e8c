package translate

import (
	"errors"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
)

var sources = map[string]string{
	openai: `data: {"id":"c1","object":"chat.completion.chunk","model":"gpt","choices":[],"prompt_filter_results":[]}

data: {"id":"c1","object":"chat.completion.chunk","model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

: a comment

data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"content":"let \ud83d"},"finish_reason":null}],"usage":null}

data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"content":"\ude00 me"},"finish_reason":null}],"usage":null}

data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"add","arguments":""}}]},"finish_reason":null}],"usage":null}

data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]},"finish_reason":null}],"usage":null}

data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1.50}"}}]},"finish_reason":null}],"usage":null}

data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"t2","type":"function","function":{"name":"now","arguments":""}}]},"finish_reason":null}],"usage":null}

data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}

data: {"id":"c1","model":"gpt","choices":[],"usage":{"prompt_tokens":60,"completion_tokens":7,"total_tokens":67,"prompt_tokens_details":{"cached_tokens":20},"completion_tokens_details":{"reasoning_tokens":3}}}

data: [DONE]

`,
	anthropic: `event: message_start
data: {"type":"message_start","message":{"id":"c1","type":"message","role":"assistant","model":"gpt","content":[],"stop_reason":null,"usage":{"input_tokens":40,"cache_read_input_tokens":20,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type":"ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"let \ud83d"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ude00 me"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"add","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1.50}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t2","name":"now","input":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}}}

event: new_kind
data: {"type":"new_kind"}

event: message_stop
data: {"type":"message_stop"}

`,
	gemini: strings.ReplaceAll(`data: {"candidates":[{"content":{"parts":[{"text":"let \ud83d"}],"role":"model"},"index":0}],"modelVersion":"gpt","responseId":"c1","usageMetadata":{"promptTokenCount":60}}

data: {"candidates":[{"content":{"parts":[{"text":"\ude00 me"}],"role":"model"},"index":0}],"modelVersion":"gpt","responseId":"c1"}

data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"t1","name":"add","args":{"a":1.50}}},{"functionCall":{"id":"t2","name":"now","args":{}}}],"role":"model"},"index":0}],"modelVersion":"gpt","responseId":"c1"}

data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"modelVersion":"gpt","responseId":"c1","usageMetadata":{"promptTokenCount":60,"cachedContentTokenCount":20,"candidatesTokenCount":4,"thoughtsTokenCount":3}}

`, "\n", "\r\n"), // as Gemini ends its lines
}

// translated runs a whole stream through, in the pieces given.
func translated(t *testing.T, from, to string, pieces ...string) (string, error) {
	t.Helper()
	b := Back{From: from, To: to, ID: "own", Model: "served", Usage: true, Created: 5}
	s, err := b.Stream(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	var dst []byte
	for _, p := range pieces {
		if dst, err = s.Append(dst, []byte(p)); err != nil {
			return string(dst), err
		}
	}
	dst, err = s.Close(dst)
	return string(dst), err
}

// heard collects a stream as its dialect's source reads it.
type heard struct {
	writing
	id, model, said, why, seq string
	calls                     []block
	ended                     bool
	failed                    *dialect.Fault
	usage                     usage
}

func TestAStreamGoesBackInTheClientsDialect(t *testing.T) {
	want := heardIn(t, openai, sources[openai])
	if want.said != "let 😀 me" || len(want.calls) != 2 || want.calls[0].input != `{"a":1.50}` || want.calls[1].input != "{}" || want.why != forTools || !want.ended ||
		want.usage.InputTokens != 60 || want.usage.CacheReadTokens != 20 || want.usage.OutputTokens != 7 || want.usage.ReasoningTokens != 3 {
		t.Fatalf("the source itself is read as %+v", want)
	}
	for from, raw := range sources {
		for to := range sources {
			t.Run(from+" to "+to, func(t *testing.T) {
				whole, err := translated(t, from, to, raw)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, heardIn(t, to, whole), want)
				for cut := range len(raw) {
					if got, err := translated(t, from, to, raw[:cut], raw[cut:]); err != nil || got != whole {
						t.Fatalf("cut at %d: %v\n%s", cut, err, got)
					}
				}
			})
		}
	}
}

func TestTheEventsAreThoseOfTheDialect(t *testing.T) {
	b := Back{From: openai, To: anthropic}
	s, err := b.Stream(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Append(nil, []byte(sources[openai]))
	if err != nil {
		t.Fatal(err)
	}
	const want = `event: message_start
data: {"type":"message_start","message":{"id":"c1","type":"message","role":"assistant","model":"gpt","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"let \ud83d"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ude00 me"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"add","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1.50}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t2","name":"now","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":40,"cache_creation_input_tokens":0,"cache_read_input_tokens":20,"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}}}

event: message_stop
data: {"type":"message_stop"}

`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
}

func TestAStreamThatBreaksOffEndsInTheClientsErrorEvent(t *testing.T) {
	tail := map[string]string{
		openai:    `data: {"error":{"`,
		anthropic: "event: error\ndata: {\"error\":{",
		gemini:    `data: {"error":{"code":`,
	}
	for from, raw := range sources {
		complete := strings.LastIndex(strings.TrimRight(raw, "\r\n"), "data:")
		if from == openai { // without [DONE] but with a reason it is complete, as for OpenAI's own SDKs
			complete = strings.Index(raw, `data: {"id":"c1","model":"gpt","choices":[{"index":0,"delta":{},"finish`)
		}
		for to := range sources {
			t.Run(from+" to "+to, func(t *testing.T) {
				for cut := 0; cut < complete; cut += 13 {
					got, err := translated(t, from, to, raw[:cut])
					last := got[strings.LastIndex(strings.TrimRight(got, "\n"), "\n\n")+1:]
					if !errors.Is(err, ErrBroken) || !strings.HasPrefix(strings.TrimLeft(last, "\n"), tail[to]) || strings.Contains(got, "[DONE]") || strings.Contains(got, "message_stop") {
						t.Fatalf("cut at %d: %v\n%s", cut, err, got)
					}
					if h := heardIn(t, to, got); h.ended || h.failed == nil || !strings.HasPrefix("let 😀 me", strings.TrimRight(h.said, "�")) {
						t.Fatalf("cut at %d: heard as %+v", cut, h)
					}
				}
			})
		}
	}
}

func TestAnErrorInTheStreamIsSaidInTheClientsWords(t *testing.T) {
	for _, tt := range []struct{ name, from, to, raw, want string }{
		{"overloaded", anthropic, openai, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n", `"message":"busy"`},
		{"overloaded, for Anthropic", openai, anthropic, "data: {\"error\":{\"type\":\"server_overloaded\",\"message\":\"busy\"}}\n\n", `{"error":{"message":"busy","type":"overloaded_error"},"type":"error"}`},
		{"unavailable", gemini, anthropic, "data: {\"error\":{\"code\":503,\"status\":\"UNAVAILABLE\",\"message\":\"busy\"}}\n\n", `"overloaded_error"`},
		{"no words at all", openai, anthropic, "data: {\"error\":\"x\"}\n\n", `"api_error"`},
		{"an event that is no JSON", openai, anthropic, "data: {\"id\n\n", `"api_error"`},
		{"an event beyond the bound", openai, anthropic, "data: " + strings.Repeat("x", 1<<17) + "\n\n", `"api_error"`},
		{"calls whose pieces are mixed", openai, anthropic, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\"}},{\"index\":0,\"function\":{\"arguments\":\"{\"}}]}}]}\n\n", `"api_error"`},
		{"blocks whose pieces are mixed", anthropic, openai, "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{}}}\n\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"b\",\"name\":\"g\",\"input\":{}}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}}\n\n", `"code":"upstream_invalid"`},
		{"arguments that Gemini could not say", openai, gemini, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n", `"status":`},
		{"an end that is none", anthropic, openai, "data: {\"type\":\"message_stop\"}\n\n", `broke the answer off`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := translated(t, tt.from, tt.to, tt.raw)
			if !errors.Is(err, ErrBroken) || !strings.Contains(got, tt.want) {
				t.Errorf("%v\n%s", err, got)
			}
		})
	}
}

func TestWhatComesAfterTheEndIsNotSent(t *testing.T) {
	whole, err := translated(t, openai, anthropic, sources[openai])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := translated(t, openai, anthropic, sources[openai]+"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"more\"}}]}\n\n"); err != nil || got != whole {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestUsageIsSentOnlyToAClientThatAskedForIt(t *testing.T) {
	b := Back{From: anthropic, To: openai}
	s, err := b.Stream(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Append(nil, []byte(sources[anthropic]))
	if err != nil || strings.Contains(string(got), "usage") || !strings.HasSuffix(string(got), "data: [DONE]\n\n") {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestAnAbortedStreamSaysSo(t *testing.T) {
	b := Back{From: openai, To: anthropic}
	s, err := b.Stream(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.Append(nil, []byte(sources[openai][:700])); err != nil {
		t.Fatal(err)
	}
	if got := s.Abort(nil); !strings.HasPrefix(string(got), "event: error\n") {
		t.Errorf("%s", got)
	}
	if got := s.Abort(nil); len(got) != 0 {
		t.Errorf("said twice: %s", got)
	}
}
