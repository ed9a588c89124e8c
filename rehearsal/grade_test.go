package rehearsal

import (
	"errors"
	"testing"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
)

func text(s string) *Answer { return &Answer{Text: s, Choices: 1, Finish: "stop"} }

func called(calls ...ToolCall) *Answer { return &Answer{Calls: calls, Choices: 1} }

func TestExactMatchGradesClosedAnswersAlone(t *testing.T) {
	cases := []struct {
		name                string
		baseline, candidate *Answer
		applies             bool
		want                float64
	}{
		{"the same word is the same answer", text("refund"), text("refund"), true, 1},
		{"case, white space and a full stop make no difference", text("Refund"), text(" refund.\n"), true, 1},
		{"another word is another answer", text("refund"), text("exchange"), true, 0},
		{"a long text is not closed, even when both say it", text("It depends on what the customer wants."), text("It depends on what the customer wants."), false, 0},
		{"a text of 32 characters is closed", text("aaaaaaaaaabbbbbbbbbbccccccccccdd"), text("aaaaaaaaaabbbbbbbbbbccccccccccdd"), true, 1},
		{"a text of 33 characters is not", text("aaaaaaaaaabbbbbbbbbbccccccccccddd"), text("x"), false, 0},
		{"characters are counted, not bytes", text("ääääääääääöööööööööö"), text("ääääääääääöööööööööö"), true, 1},
		{"an empty answer is not closed", text(""), text(""), false, 0},
		{"the order of JSON keys makes no difference", text(`{"a":1,"b":[1,2]}`), text("{\"b\": [1, 2],\n \"a\": 1}"), true, 1},
		{"the order of a JSON array does", text(`{"b":[1,2]}`), text(`{"b":[2,1]}`), true, 0},
		{"numbers are compared by value", text(`{"total":12.50}`), text(`{"total":12.5}`), true, 1},
		{"a number is not the text of its digits", text(`{"total":12}`), text(`{"total":"12"}`), true, 0},
		{"long JSON is closed as well", text(`{"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`), text(`{"text":"b"}`), true, 0},
		{"a fence around JSON makes no difference", text(`{"a":true}`), text("```json\n{\"a\": true}\n```"), true, 1},
		{"JSON followed by a remark is prose", text(`{"a":true} I was not sure about the second one.`), text(`{"a":true}`), false, 0},
		{"prose where JSON was expected is worse", text(`{"a":true}`), text("The value of a is true, as far as I can see."), true, 0},
		{"the same tool call is the same answer", called(ToolCall{"move", `{"n":1,"to":"x"}`}), called(ToolCall{"move", `{"to": "x", "n": 1}`}), true, 1},
		{"another argument is another call", called(ToolCall{"move", `{"n":1}`}), called(ToolCall{"move", `{"n":2}`}), true, 0},
		{"another tool is another call", called(ToolCall{"move", `{}`}), called(ToolCall{"count", `{}`}), true, 0},
		{"parallel calls are a set", called(ToolCall{"a", `{}`}, ToolCall{"b", `{}`}), called(ToolCall{"b", `{}`}, ToolCall{"a", `{}`}), true, 1},
		{"a call twice is not a call once", called(ToolCall{"a", `{}`}, ToolCall{"a", `{}`}), called(ToolCall{"a", `{}`}), true, 0},
		{"a call with broken arguments is not closed", called(ToolCall{"a", `{`}), called(ToolCall{"a", `{`}), false, 0},
		{"several choices are not closed", &Answer{Text: "yes", Choices: 2}, text("yes"), false, 0},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			g := ExactMatch{}
			if got := g.Applies(tt.baseline); got != tt.applies {
				t.Fatalf("Applies = %v, want %v", got, tt.applies)
			}
			if !tt.applies {
				return
			}
			if qb, qc := g.Grade(tt.baseline, tt.candidate); qb != 1 || qc != tt.want {
				t.Errorf("Grade = %v, %v; want 1, %v", qb, qc, tt.want)
			}
		})
	}
}

func TestAnswersAreReadFromBodiesAndStreams(t *testing.T) {
	const openAIStream = "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\n" +
		"data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ref\"}}]}\r\n\r\n" +
		": a comment\n\n" +
		"data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"und\"},\"finish_reason\":\"stop\"}]}\n\n" +
		"data: {\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n" +
		"data: [DONE]\n\n"
	const openAICalls = "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"a\",\"arguments\":\"\"}}]}}]}\n\n" +
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"name\":\"b\",\"arguments\":\"{}\"}}]}}]}\n\n" +
		"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\":1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n"
	const anthropicStream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"c-1\",\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":20,\"cache_creation_input_tokens\":7,\"output_tokens\":1}}}\n\n" +
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ok\"}}\n\n" +
		"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"name\":\"a\",\"input\":{}}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"x\\\":\"}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"1}\"}}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	cases := []struct {
		name, shape, body string
		want              Answer
		fails             bool
	}{
		{"an OpenAI body", dialect.OpenAIChat, `{"model":"m-1","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`,
			Answer{Text: "hi", Choices: 1, Finish: "stop", Model: "m-1", HasUsage: true}, false},
		{"an OpenAI stream, with its usage last", dialect.OpenAIChat, openAIStream, Answer{Text: "refund", Choices: 1, Finish: "stop", Model: "m-1", HasUsage: true}, false},
		{"tool calls in pieces", dialect.OpenAIChat, openAICalls, Answer{Calls: []ToolCall{{"a", `{"x":1}`}, {"b", "{}"}}, Choices: 1, Finish: "tool_calls", Model: "m-1"}, false},
		{"an OpenAI stream that broke off is truncated", dialect.OpenAIChat, openAIStream[:200], Answer{Text: "ref", Choices: 1, Model: "m-1", Truncated: true}, false},
		{"an OpenAI answer cut at its ceiling is truncated", dialect.OpenAIChat, `{"model":"m-1","choices":[{"message":{"content":"hi"},"finish_reason":"length"}]}`, Answer{Text: "hi", Choices: 1, Finish: "length", Truncated: true, Model: "m-1"}, false},
		{"an OpenAI refusal is refused", dialect.OpenAIChat, `{"model":"m-1","choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}]}`, Answer{Choices: 1, Finish: "stop", Refused: true, Model: "m-1"}, false},
		{"an error inside a stream is no answer", dialect.OpenAIChat, "data: {\"error\":{\"type\":\"server_error\"}}\n\n", Answer{}, true},
		{"an Anthropic body", dialect.AnthropicMessages, `{"type":"message","model":"c-1","content":[{"type":"text","text":"a"},{"type":"tool_use","name":"n","input":{"x":1}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}`,
			Answer{Text: "a", Calls: []ToolCall{{"n", `{"x":1}`}}, Choices: 1, Finish: "tool_use", Model: "c-1", HasUsage: true}, false},
		{"an Anthropic stream", dialect.AnthropicMessages, anthropicStream, Answer{Text: "ok", Calls: []ToolCall{{"a", `{"x":1}`}}, Choices: 1, Finish: "tool_use", Model: "c-1", HasUsage: true}, false},
		{"an Anthropic stream without its end is truncated", dialect.AnthropicMessages, anthropicStream[:len(anthropicStream)-60], Answer{Text: "ok", Calls: []ToolCall{{"a", `{"x":1}`}}, Choices: 1, Finish: "tool_use", Model: "c-1", HasUsage: true, Truncated: true}, false},
		{"an Anthropic refusal is refused", dialect.AnthropicMessages, `{"type":"message","model":"c-1","content":[],"stop_reason":"refusal"}`, Answer{Choices: 1, Finish: "refusal", Refused: true, Model: "c-1"}, false},
		{"an error body is no answer", dialect.AnthropicMessages, `{"type":"error","error":{"type":"overloaded_error"}}`, Answer{}, true},
		{"what is not JSON is no answer", dialect.OpenAIChat, `{"model":`, Answer{}, true},
		{"nothing is no answer", dialect.OpenAIChat, ``, Answer{}, true},
		{"an unknown dialect is no answer", "other", `{}`, Answer{}, true},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ReadAnswer(tt.shape, []byte(tt.body))
			if tt.fails {
				if !errors.Is(err, ErrAnswer) {
					t.Fatalf("err = %v, want ErrAnswer", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Text != tt.want.Text || got.Finish != tt.want.Finish || got.Model != tt.want.Model || got.Choices != tt.want.Choices ||
				got.Refused != tt.want.Refused || got.Truncated != tt.want.Truncated || got.HasUsage != tt.want.HasUsage {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if len(got.Calls) != len(tt.want.Calls) {
				t.Fatalf("calls %v, want %v", got.Calls, tt.want.Calls)
			}
			for i, c := range got.Calls {
				if c != tt.want.Calls[i] {
					t.Errorf("call %d = %v, want %v", i, c, tt.want.Calls[i])
				}
			}
		})
	}
	a, err := ReadAnswer(dialect.AnthropicMessages, []byte(anthropicStream))
	if err != nil || a.Usage.InputTokens != 30 || a.Usage.CacheReadTokens != 20 || a.Usage.CacheWriteTokens != 7 || a.Usage.OutputTokens != 9 {
		t.Errorf("Anthropic input includes what the cache read and wrote, output is the last count: %+v, %v", a.Usage, err)
	}
	o, err := ReadAnswer(dialect.OpenAIChat, []byte(openAIStream))
	if err != nil || o.Usage.InputTokens != 10 || o.Usage.CacheReadTokens != 4 || o.Usage.OutputTokens != 2 {
		t.Errorf("OpenAI input includes what the cache read: %+v, %v", o.Usage, err)
	}
}
