package translate

import (
	"errors"
	"testing"
)

func TestAnAnswerGoesBackInTheClientsDialect(t *testing.T) {
	for _, tt := range []struct{ name, from, to, in, want string }{
		{"Anthropic's words and calls, with usage of every kind", anthropic, openai,
			`{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"text","text":"let me"},{"type":"text","text":" see"},{"type":"tool_use","id":"t1","name":"add","input":{"a": 1.50}},{"type":"tool_use","id":"t2","name":"now","input":{}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":10,"cache_read_input_tokens":20,"cache_creation_input_tokens":30,"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}}}`,
			`{"id":"msg_1","object":"chat.completion","created":5,"model":"claude","choices":[{"index":0,"message":{"role":"assistant","content":"let me see","refusal":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"add","arguments":"{\"a\":1.50}"}},{"id":"t2","type":"function","function":{"name":"now","arguments":"{}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":60,"completion_tokens":7,"total_tokens":67,"prompt_tokens_details":{"cached_tokens":20,"cache_write_tokens":30,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":0}}}`},
		{"OpenAI's, whose input includes what the cache read", openai, anthropic,
			`{"id":"c","object":"chat.completion","model":"gpt","choices":[{"index":0,"message":{"role":"assistant","content":"yes","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":7,"total_tokens":67,"prompt_tokens_details":{"cached_tokens":20},"completion_tokens_details":{"reasoning_tokens":3}}}`,
			`{"id":"c","type":"message","role":"assistant","model":"gpt","content":[{"type":"text","text":"yes"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":40,"cache_creation_input_tokens":0,"cache_read_input_tokens":20,"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}}}`},
		{"a forced tool ends in stop at OpenAI", openai, anthropic,
			`{"id":"c","model":"gpt","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"add","arguments":"{\"a\": 1}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
			`{"id":"c","type":"message","role":"assistant","model":"gpt","content":[{"type":"tool_use","id":"t1","name":"add","input":{"a": 1}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2}}`},
		{"a refusal", openai, anthropic,
			`{"id":"c","model":"gpt","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"no"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
			`{"id":"c","type":"message","role":"assistant","model":"gpt","content":[{"type":"text","text":"no"}],"stop_reason":"refusal","stop_sequence":null,"usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":2}}`},
		{"Gemini's, whose thoughts stand beside its output and whose calls have no ids", gemini, openai,
			`{"responseId":"r","modelVersion":"gemini","candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true},{"functionCall":{"name":"add","args":{"a":1}},"thoughtSignature":"s"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4,"thoughtsTokenCount":6,"cachedContentTokenCount":3}}`,
			`{"id":"r","object":"chat.completion","created":5,"model":"gemini","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"` + callID("r", 0) + `","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},"logprobs":null,"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":9,"completion_tokens":10,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":3,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":6,"audio_tokens":0}}}`},
		{"a prompt that Gemini blocked", gemini, openai, `{"responseId":"r","modelVersion":"gemini","promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}`,
			`{"id":"r","object":"chat.completion","created":5,"model":"gemini","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":null},"logprobs":null,"finish_reason":"content_filter"}],"usage":{"prompt_tokens":9,"completion_tokens":0,"total_tokens":9,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}}`},
		{"an answer that names neither itself nor its model", gemini, anthropic, `{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":4}}`,
			`{"id":"own","type":"message","role":"assistant","model":"served","content":[{"type":"text","text":"hi"}],"stop_reason":"max_tokens","stop_sequence":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":4}}`},
		{"for a client of Gemini's", anthropic, gemini, `{"id":"m","type":"message","model":"claude","content":[{"type":"text","text":"hi"},{"type":"tool_use","id":"t","name":"add","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":10,"cache_read_input_tokens":20,"output_tokens":7,"output_tokens_details":{"thinking_tokens":3}}}`,
			`{"candidates":[{"content":{"parts":[{"text":"hi"},{"functionCall":{"id":"t","name":"add","args":{"a":1}}}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":30,"candidatesTokenCount":4,"totalTokenCount":37,"cachedContentTokenCount":20,"thoughtsTokenCount":3},"modelVersion":"claude","responseId":"m"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := Back{From: tt.from, To: tt.to, ID: "own", Model: "served", Created: 5}
			got, err := b.Response([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, tt.want)
		})
	}
}

func TestEveryStopReasonHasItsWord(t *testing.T) {
	for _, tt := range []struct{ from, said, openai, anthropic, gemini string }{
		{anthropic, "end_turn", "stop", "end_turn", "STOP"},
		{anthropic, "stop_sequence", "stop", "end_turn", "STOP"},
		{anthropic, "max_tokens", "length", "max_tokens", "MAX_TOKENS"},
		{anthropic, "model_context_window_exceeded", "length", "max_tokens", "MAX_TOKENS"},
		{anthropic, "refusal", "content_filter", "refusal", "SAFETY"},
		{openai, "stop", "stop", "end_turn", "STOP"},
		{openai, "length", "length", "max_tokens", "MAX_TOKENS"},
		{openai, "content_filter", "content_filter", "refusal", "SAFETY"},
		{gemini, "STOP", "stop", "end_turn", "STOP"},
		{gemini, "MAX_TOKENS", "length", "max_tokens", "MAX_TOKENS"},
		{gemini, "RECITATION", "content_filter", "refusal", "SAFETY"},
		{anthropic, "pause_turn", "", "", ""},
		{gemini, "MALFORMED_FUNCTION_CALL", "", "", ""},
		{openai, "new_reason", "", "", ""},
	} {
		t.Run(tt.from+" "+tt.said, func(t *testing.T) {
			var stop string
			var err error
			switch tt.from {
			case anthropic:
				stop, err = anthropicStop(tt.said)
			case openai:
				stop, err = openAIStop(tt.said, false, false)
			case gemini:
				stop, err = geminiStop(tt.said, false)
			}
			if (err != nil) != (tt.openai == "") || stop != tt.openai || stopWords[stop].anthropic != tt.anthropic || stopWords[stop].gemini != tt.gemini {
				t.Errorf("%q, %v", stop, err)
			}
		})
	}
}

func TestAStopSequenceThatIsToldIsPassedOn(t *testing.T) {
	o := &out{}
	o.open('{')
	o.anthropicStop(stopped, `"###"`)
	o.shut('}')
	same(t, o.b, `{"stop_reason":"stop_sequence","stop_sequence":"###"}`)
}

func TestAnAnswerThatCannotBeReadIsNotGuessedAt(t *testing.T) {
	for _, tt := range []struct{ name, from, in string }{
		{"an error behind a status of 200", openai, `{"error":{"message":"x"}}`},
		{"several choices", openai, `{"choices":[{},{}]}`},
		{"arguments that are no object", openai, `{"choices":[{"message":{"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{\"a\":"}}]},"finish_reason":"tool_calls"}]}`},
		{"a login page", anthropic, `<html>`},
		{"a tool that the provider ran", anthropic, `{"type":"message","content":[{"type":"server_tool_use","id":"x","name":"web_search","input":{}}],"stop_reason":"end_turn"}`},
		{"no reason why it ended", anthropic, `{"type":"message","content":[],"stop_reason":null}`},
		{"code that the provider ran", gemini, `{"candidates":[{"content":{"parts":[{"executableCode":{"code":"x"}}]},"finishReason":"STOP"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := Back{From: tt.from, To: anthropic}
			if tt.from == anthropic {
				b.To = openai
			}
			if got, err := b.Response([]byte(tt.in)); !errors.Is(err, ErrAnswer) {
				t.Errorf("%v: %s", err, got)
			}
		})
	}
}
