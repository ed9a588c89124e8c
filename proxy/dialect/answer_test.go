package dialect

import (
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

func sse(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

type u = schemas.Usage

func TestUsageIsWhatTheProviderMeant(t *testing.T) {
	const start = `{"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-20250514","usage":{"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"cache_creation":{"ephemeral_5m_input_tokens":150,"ephemeral_1h_input_tokens":50},"output_tokens":1,"service_tier":"priority"}}}`
	for _, tt := range []struct {
		name, dialect, answer string
		want                  schemas.Usage
		has, final, odd       bool
	}{
		{"OpenAI includes what was cached", OpenAIChat, `{"usage":{"prompt_tokens":100,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10,"audio_tokens":5},"completion_tokens_details":{"reasoning_tokens":12,"audio_tokens":3,"rejected_prediction_tokens":2}}}`,
			u{InputTokens: 100, CacheReadTokens: 60, CacheWriteTokens: 10, AudioInputTokens: 5, OutputTokens: 20, ReasoningTokens: 12, AudioOutputTokens: 3}, true, true, false},
		{"usage in the extra chunk", OpenAIChat, sse(`{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}],"usage":null}`, `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6}}`, `[DONE]`), u{InputTokens: 5, OutputTokens: 6}, true, true, false},
		{"usage on a chunk with an empty delta", OpenAIChat, sse(`{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":6}}`), u{InputTokens: 5, OutputTokens: 6}, true, true, false},
		{"usage on every chunk is cumulative", OpenAIChat, sse(`{"choices":[{"delta":{}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`, `{"choices":[{"delta":{}}],"usage":{"prompt_tokens":5,"completion_tokens":2}}`), u{InputTokens: 5, OutputTokens: 2}, true, false, false},
		{"usage in the middle, then null", OpenAIChat, sse(`{"usage":{"prompt_tokens":5,"completion_tokens":6}}`, `{"choices":[{"finish_reason":"stop"}],"usage":null}`, `[DONE]`), u{InputTokens: 5, OutputTokens: 6}, true, true, false},
		{"an insane count loses to the sane one before it", OpenAIChat, sse(`{"usage":{"prompt_tokens":5,"completion_tokens":6}}`, `{"usage":{"prompt_tokens":-1,"completion_tokens":1e30}}`, `[DONE]`), u{InputTokens: 5, OutputTokens: 6}, true, true, true},
		{"counts as text are none", OpenAIChat, `{"usage":{"prompt_tokens":"many"}}`, u{}, false, false, true},
		{"counts with a point", OpenAIChat, `{"usage":{"prompt_tokens":5.0,"completion_tokens":6.0}}`, u{InputTokens: 5, OutputTokens: 6}, true, true, false},
		{"an empty usage object says nothing", OpenAIChat, `{"usage":{}}`, u{}, false, false, true},
		{"cached tokens beyond the prompt are reported apart", OpenAIChat, `{"usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":90}}}`, u{InputTokens: 100, CacheReadTokens: 90, OutputTokens: 1}, true, true, true},
		{"DeepSeek's hits", OpenAIChat, `{"usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}}`, u{InputTokens: 10, CacheReadTokens: 8, OutputTokens: 1}, true, true, false},
		{"Groq's older streams", OpenAIChat, sse(`{"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":4}},"choices":[{"finish_reason":"stop"}]}`), u{InputTokens: 3, OutputTokens: 4}, true, true, false},
		{"a stream without usage", OpenAIChat, sse(`{"choices":[{"delta":{"content":"x"}}]}`, `[DONE]`), u{}, false, false, false},
		{"embeddings have a prompt only", OpenAIEmbeddings, `{"data":[{"embedding":"AAAA"}],"usage":{"prompt_tokens":8,"total_tokens":8}}`, u{InputTokens: 8}, true, true, false},
		{"Responses, completed", OpenAIResponses, sse(`{"type":"response.created","response":{"id":"r","model":"m"}}`, `{"type":"response.output_text.delta","delta":"hey"}`, `{"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":9,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":2},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3}}}}`),
			u{InputTokens: 9, CacheReadTokens: 4, CacheWriteTokens: 2, OutputTokens: 7, ReasoningTokens: 3}, true, true, false},
		{"Responses, incomplete", OpenAIResponses, sse(`{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":9,"output_tokens":7}}}`), u{InputTokens: 9, OutputTokens: 7}, true, true, false},
		{"Anthropic excludes what was cached", AnthropicMessages, `{"id":"m","usage":{"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,"cache_creation":{"ephemeral_5m_input_tokens":150,"ephemeral_1h_input_tokens":50},"output_tokens":7}}`,
			u{InputTokens: 3210, CacheReadTokens: 3000, CacheWriteTokens: 200, CacheWrite1hTokens: 50, OutputTokens: 7}, true, true, false},
		{"message_delta is cumulative: it replaces", AnthropicMessages, sse(start, `{"type":"message_delta","delta":{},"usage":{"output_tokens":5}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}`, `{"type":"message_stop"}`),
			u{InputTokens: 3210, CacheReadTokens: 3000, CacheWriteTokens: 200, CacheWrite1hTokens: 50, OutputTokens: 9}, true, true, false},
		{"a stream that broke off has its input", AnthropicMessages, sse(start, `{"type":"content_block_delta","delta":{"type":"text_delta","text":"hello"}}`), u{InputTokens: 3210, CacheReadTokens: 3000, CacheWriteTokens: 200, CacheWrite1hTokens: 50, OutputTokens: 1}, true, false, false},
		{"server tools write more than the split says", AnthropicMessages, sse(start, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10,"cache_creation_input_tokens":500,"cache_read_input_tokens":3000,"output_tokens":9}}`),
			u{InputTokens: 3510, CacheReadTokens: 3000, CacheWriteTokens: 500, CacheWrite1hTokens: 50, OutputTokens: 9}, true, true, true},
		{"a look-alike corrects its input in message_delta", AnthropicMessages, sse(`{"type":"message_start","message":{"usage":{"input_tokens":1000,"output_tokens":0}}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":200,"cache_read_input_tokens":800,"output_tokens":9}}`), u{InputTokens: 1000, CacheReadTokens: 800, OutputTokens: 9}, true, true, false},
		{"a look-alike states the whole input first", AnthropicMessages, sse(`{"type":"message_start","message":{"usage":{"input_tokens":1000,"output_tokens":0}}}`, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"cache_read_input_tokens":800,"output_tokens":9}}`), u{InputTokens: 1000, CacheReadTokens: 800, OutputTokens: 9}, true, true, true},
		{"thinking is part of the output", AnthropicMessages, `{"usage":{"input_tokens":1,"output_tokens":90,"output_tokens_details":{"thinking_tokens":70}}}`, u{InputTokens: 1, OutputTokens: 90, ReasoningTokens: 70}, true, true, false},
		{"an insane delta loses to the start", AnthropicMessages, sse(start, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":-4}}`), u{InputTokens: 3210, CacheReadTokens: 3000, CacheWriteTokens: 200, CacheWrite1hTokens: 50, OutputTokens: 1}, true, false, true},
		{"Gemini's thoughts are output", GeminiGenerate, sse(`{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":50}}`, `{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":50,"cachedContentTokenCount":20,"candidatesTokenCount":5,"thoughtsTokenCount":30,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":9}]},"modelVersion":"gemini-2.5-pro"}`),
			u{InputTokens: 50, CacheReadTokens: 20, AudioInputTokens: 9, OutputTokens: 35, ReasoningTokens: 30}, true, true, false},
		{"Gemini's stream as an array", GeminiGenerate, `[{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":1}},{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3}}]`, u{InputTokens: 5, OutputTokens: 3}, true, true, false},
		{"a page of HTML", OpenAIChat, `<html>usage</html>`, u{}, false, false, false},
		{"nothing", OpenAIChat, ``, u{}, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := Named(tt.dialect).Read([]byte(tt.answer))
			if a.Usage != tt.want || a.HasUsage != tt.has || a.Final != tt.final || a.Odd != tt.odd {
				t.Errorf("usage %+v has %v final %v odd %v\nwant  %+v has %v final %v odd %v", a.Usage, a.HasUsage, a.Final, a.Odd, tt.want, tt.has, tt.final, tt.odd)
			}
		})
	}
}

func TestWhatElseAnAnswerSays(t *testing.T) {
	for _, tt := range []struct {
		name, dialect, answer string
		want                  Answer
	}{
		{"the model that ran, the id, the tier and the reason", OpenAIChat, `{"id":"c1","model":"gpt-4o-2024-08-06","service_tier":"priority","choices":[{"finish_reason":"length","message":{"content":"12345"}}],"usage":{"prompt_tokens":1}}`,
			Answer{ID: "c1", Model: "gpt-4o-2024-08-06", ServiceTier: "priority", FinishReason: "length", OutputBytes: 5}},
		{"an OpenAI error body", OpenAIChat, `{"error":{"message":"secret sk-123","type":"insufficient_quota","code":"insufficient_quota"}}`, Answer{Failed: true, ErrorType: "insufficient_quota"}},
		{"an Anthropic error body", AnthropicMessages, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Answer{Failed: true, ErrorType: "overloaded_error"}},
		{"a Gemini error body", GeminiGenerate, `{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}`, Answer{Failed: true, ErrorType: "RESOURCE_EXHAUSTED"}},
		{"an error as text", OpenAIChat, `{"error":"boom"}`, Answer{Failed: true, ErrorType: "error"}},
		{"error null is none", OpenAIChat, `{"id":"x","error":null,"usage":{"prompt_tokens":1}}`, Answer{ID: "x"}},
		{"an error event in an OpenAI stream", OpenAIChat, sse(`{"id":"c","choices":[]}`, `{"error":{"message":"m","code":502}}`), Answer{ID: "c", Failed: true, ErrorType: "502"}},
		{"an error event in an Anthropic stream", AnthropicMessages, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", Answer{Failed: true, ErrorType: "overloaded_error"}},
		{"an error event of Responses", OpenAIResponses, sse(`{"type":"error","code":"server_error","message":"m"}`), Answer{Failed: true, ErrorType: "server_error"}},
		{"tool calls and reasoning are output", OpenAIChat, sse(`{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"get","arguments":"{\"a\":1}"}}]}}]}`, `{"choices":[{"delta":{"reasoning_content":"abc"}}]}`), Answer{OutputBytes: 3 + 7 + 3}},
		{"padding is not output", OpenAIChat, sse(`{"choices":[{"delta":{"content":"ab"}}],"obfuscation":"xxxxxxxxxxxxxxxx"}`), Answer{OutputBytes: 2}},
		{"a ping and events of a newer API", AnthropicMessages, sse(`{"type":"ping"}`, `{"type":"something_new","delta":{"text":"x"}}`), Answer{}},
		{"the tier of message_start", AnthropicMessages, sse(`{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":1,"output_tokens":1,"service_tier":"batch"}}}`), Answer{ID: "m", Model: "c", ServiceTier: "batch"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := Named(tt.dialect).Read([]byte(tt.answer))
			got := Answer{ID: a.ID, Model: a.Model, ServiceTier: a.ServiceTier, FinishReason: a.FinishReason, ErrorType: a.ErrorType, Failed: a.Failed, OutputBytes: a.OutputBytes}
			if tt.want.OutputBytes == 0 {
				got.OutputBytes = 0
			}
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestOwnErrorsHaveTheShapeOfTheClientsDialect(t *testing.T) {
	f := Fault{Status: 503, Kind: "overloaded", Message: "busy \"now\""}
	for family, want := range map[string]string{
		FamilyOpenAI:    `{"error":{"code":"overloaded","message":"busy \"now\"","param":null,"type":"gnomon_error"}}`,
		FamilyAnthropic: `{"error":{"message":"busy \"now\"","type":"overloaded_error"},"type":"error"}`,
		FamilyGemini:    `{"error":{"code":503,"message":"busy \"now\"","status":"UNAVAILABLE"}}`,
	} {
		if _, body := f.Body(family); string(body) != want {
			t.Errorf("%s: %s", family, body)
		}
	}
}

// FuzzAnswer: any bytes in any pieces give the same answer in every dialect,
// and parts never exceed their whole.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(sse(`{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":9}}}}`, `{"type":"message_delta","delta":{"stop_reason":"x"},"usage":{"output_tokens":3}}`)), uint8(3))
	f.Add([]byte(sse(`{"choices":[{"delta":{"content":"\u00e9\\"}}],"usage":{"prompt_tokens":4294967295,"completion_tokens":1}}`, `[DONE]`)), uint8(9))
	f.Add([]byte(`{"usage":{"input_tokens":999999999,"output_tokens":1,"cache_read_input_tokens":999999999,"cache_creation_input_tokens":999999999},"error":{"code":5}}`), uint8(1))
	f.Add([]byte(`[{"usageMetadata":{"promptTokenCount":1,"cachedContentTokenCount":7}}]`), uint8(2))
	f.Add([]byte(`{"type":"response.completed","response":{"usage":{"input_tokens":1}}}`), uint8(2))
	f.Fuzz(func(t *testing.T, answer []byte, size uint8) {
		for _, d := range append(rows, other) {
			for _, contentType := range []string{"application/json", "text/event-stream; charset=utf-8"} {
				r := d.NewReader(contentType, 1<<20)
				for rest := answer; len(rest) > 0; {
					n := min(max1(int(size)), len(rest))
					_, _ = r.Write(rest[:n])
					rest = rest[n:]
				}
				got := *r.Close()
				whole := d.NewReader(contentType, 1<<20)
				_, _ = whole.Write(answer)
				if want := *whole.Close(); got != want {
					t.Fatalf("%s: in pieces %+v, whole %+v", d.Name, got, want)
				}
				u := got.Usage
				if uint64(u.CacheReadTokens)+uint64(u.CacheWriteTokens) > uint64(u.InputTokens) || u.CacheWrite1hTokens > u.CacheWriteTokens || u.ReasoningTokens > u.OutputTokens {
					t.Fatalf("%s: parts exceed their whole: %+v", d.Name, u)
				}
				if got.OutputBytes < 0 || len(got.ErrorType) > maxWord || len(got.ID) > maxWord {
					t.Fatalf("%s: %+v", d.Name, got)
				}
			}
		}
	})
}
