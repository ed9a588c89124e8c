package translate

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

const (
	openai    = dialect.OpenAIChat
	anthropic = dialect.AnthropicMessages
	gemini    = dialect.GeminiGenerate
)

func asked(name, body string) Ask {
	a := Ask{Dialect: name, Body: []byte(body)}
	if name == gemini {
		a.Path = "/v1beta/models/m:generateContent"
	}
	return a
}

func same(t *testing.T, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("the wanted is no JSON: %v\n%s", err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

const (
	hi       = `"messages":[{"role":"user","content":"hi"}]`
	function = `{"type":"function","function":{"name":"add","description":"sum","parameters":{"type":"object","properties":{"a":{"type":"number"}}}}}`
	addTool  = `{"name":"add","description":"sum","input_schema":{"type":"object","properties":{"a":{"type":"number"}}}}`
)

func TestARequestIsSaidInTheOtherDialect(t *testing.T) {
	for _, tt := range []struct{ name, from, to, in, want string }{
		{"a plain question, with the output bound that Anthropic requires", openai, anthropic, `{"model":"gpt-4o",` + hi + `}`,
			`{"model":"m","max_tokens":8000,` + hi + `}`},
		{"a bound of the client's own", openai, anthropic, `{"model":"gpt-4o","max_completion_tokens":7,` + hi + `}`, `{"model":"m","max_tokens":7,` + hi + `}`},
		{"system and developer go before the conversation", openai, anthropic, `{"messages":[{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"}]},{"role":"user","content":"hi"}]}`,
			`{"model":"m","max_tokens":8000,"system":[{"type":"text","text":"a"},{"type":"text","text":"b"}],` + hi + `}`},
		{"and back again", anthropic, openai, `{"max_tokens":9,"system":"a",` + hi + `}`, `{"model":"m","max_tokens":9,"messages":[{"role":"system","content":"a"},{"role":"user","content":"hi"}]}`},
		{"sampling and stop sequences", openai, anthropic, `{"temperature":0.50,"top_p":1.0,"stop":["a","b"],"max_tokens":5,` + hi + `}`,
			`{"model":"m","max_tokens":5,"temperature":0.50,"top_p":1.0,"stop_sequences":["a","b"],` + hi + `}`},
		{"one stop sequence as a text", openai, gemini, `{"stop":"a",` + hi + `}`, `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"stopSequences":["a"]}}`},
		{"a stream asks OpenAI for its usage", anthropic, openai, `{"max_tokens":9,"stream":true,` + hi + `}`,
			`{"model":"m","max_tokens":9,"stream":true,"stream_options":{"include_usage":true},` + hi + `}`},
		{"tools, and that one must be used, and only one", openai, anthropic, `{"max_tokens":5,"tools":[` + function + `],"tool_choice":"required","parallel_tool_calls":false,` + hi + `}`,
			`{"model":"m","max_tokens":5,"tools":[` + addTool + `],"tool_choice":{"type":"any","disable_parallel_tool_use":true},` + hi + `}`},
		{"a named tool", anthropic, openai, `{"max_tokens":5,"tools":[` + addTool + `],"tool_choice":{"type":"tool","name":"add"},` + hi + `}`,
			`{"model":"m","max_tokens":5,"tools":[` + function + `],"tool_choice":{"type":"function","function":{"name":"add"}},` + hi + `}`},
		{"a named tool of Gemini's", openai, gemini, `{"tools":[` + function + `],"tool_choice":{"type":"function","function":{"name":"add"}},` + hi + `}`,
			`{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"add","description":"sum","parametersJsonSchema":{"type":"object","properties":{"a":{"type":"number"}}}}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["add"]}}}`},
		{"a tool without parameters", openai, anthropic, `{"max_tokens":5,"tools":[{"type":"function","function":{"name":"now"}}],` + hi + `}`,
			`{"model":"m","max_tokens":5,"tools":[{"name":"now","input_schema":{"type":"object","properties":{}}}],` + hi + `}`},
		{"parallel calls and their results, in one turn", openai, anthropic, `{"max_tokens":5,"tools":[` + function + `],"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1.50}"}},{"id":"c2","type":"function","function":{"name":"now","arguments":""}}]},{"role":"tool","tool_call_id":"c1","content":"2"},{"role":"tool","tool_call_id":"c2","content":"noon"}]}`,
			`{"model":"m","max_tokens":5,"tools":[` + addTool + `],"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"add","input":{"a":1.50}},{"type":"tool_use","id":"c2","name":"now","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"2"},{"type":"tool_result","tool_use_id":"c2","content":"noon"}]}]}`},
		{"results and words of one turn part", anthropic, openai, `{"max_tokens":5,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"let me see"},{"type":"tool_use","id":"c1","name":"add","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"2"}]},{"type":"text","text":"go on"}]}]}`,
			`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"let me see","tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"2"},{"role":"user","content":"go on"}]}`},
		{"a failed call is told to Gemini", anthropic, gemini, `{"max_tokens":5,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"add","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","is_error":true,"content":"no"}]}]}`,
			`{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"id":"c1","name":"add","args":{"a":1}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"add","response":{"error":"no"}}}]}],"generationConfig":{"maxOutputTokens":5}}`},
		{"calls of Gemini's that go without ids", gemini, openai, `{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"name":"add","args":{"a":1}}},{"functionCall":{"name":"add","args":{"a":2}}}]},{"role":"user","parts":[{"functionResponse":{"name":"add","response":{"output":"1"}}},{"functionResponse":{"name":"add","response":{"sum":2}}}]}]}`,
			`{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_0","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}},{"id":"call_1","type":"function","function":{"name":"add","arguments":"{\"a\":2}"}}]},{"role":"tool","tool_call_id":"call_0","content":"1"},{"role":"tool","tool_call_id":"call_1","content":"{\"sum\":2}"}]}`},
		{"Gemini's results with ids, in another order, one of them failed", gemini, anthropic, `{"tools":[{"functionDeclarations":[{"name":"add","description":"sum","parametersJsonSchema":{"type":"object","properties":{"a":{"type":"number"}}}}]}],"generationConfig":{"maxOutputTokens":5},"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"id":"x","name":"add"}},{"functionCall":{"id":"y","name":"add"}}]},{"role":"user","parts":[{"functionResponse":{"id":"y","name":"add","response":{"error":"no"}}},{"functionResponse":{"id":"x","name":"add","response":{"output":"1"}}}]}]}`,
			`{"model":"m","max_tokens":5,"tools":[` + addTool + `],"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"x","name":"add","input":{}},{"type":"tool_use","id":"y","name":"add","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"y","is_error":true,"content":"no"},{"type":"tool_result","tool_use_id":"x","content":"1"}]}]}`},
		{"Gemini's own schemas become JSON schema", gemini, openai, `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"a":{"type":"STRING","nullable":true}},"propertyOrdering":["a"]}}}`,
			`{"model":"m",` + hi + `,"response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object","properties":{"a":{"type":["string","null"]}}}}}}`},
		{"an embedded image", openai, anthropic, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD","detail":"auto"}}]}]}`,
			`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"look"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]}]}`},
		{"an image's address", anthropic, openai, `{"max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x.test/a.png"}}]}]}`,
			`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.test/a.png"}}]}]}`},
		{"a document", openai, gemini, `{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}}]}]}`,
			`{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"application/pdf","data":"QUJD"}}]}]}`},
		{"a schema for the answer", openai, anthropic, `{"max_tokens":5,"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":true,"schema":{"type":"object","properties":{},"required":[],"additionalProperties":false}}},` + hi + `}`,
			`{"model":"m","max_tokens":5,"output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{},"required":[],"additionalProperties":false}}},` + hi + `}`},
		{"JSON mode", openai, gemini, `{"response_format":{"type":"json_object"},` + hi + `}`, `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"responseMimeType":"application/json"}}`},
		{"what says nothing is left out", openai, anthropic, `{"n":1,"logprobs":false,"user":"u","store":false,"metadata":{"a":"b"},"presence_penalty":0,"service_tier":"auto","seed":null,"max_tokens":5,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes","refusal":null,"annotations":[],"audio":null},{"role":"user","content":"go on"}]}`,
			`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"yes"},{"role":"user","content":"go on"}]}`},
		{"how long a prompt is cached is the provider's matter", anthropic, openai, `{"max_tokens":5,"metadata":{"user_id":"u"},"thinking":{"type":"disabled"},"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}],` + hi + `}`,
			`{"model":"m","max_tokens":5,"messages":[{"role":"system","content":"a"},{"role":"user","content":"hi"}]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, err := Request(asked(tt.from, tt.in), Target{Dialect: tt.to, Model: "m", MaxOutput: 8000, AskUsage: true})
			if err != nil {
				t.Fatal(err)
			}
			same(t, said.Body, tt.want)
		})
	}
}

func TestTextsAndNumbersMoveAsTheyCame(t *testing.T) {
	body := `{"temperature":0.10,"max_tokens":5,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","maximum":12345678901234567890.50}}}],"messages":[{"role":"user","content":"\u00e9\ud83d <&> \/ é"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"n\":1e400}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}]}`
	said, err := Request(asked(openai, body), Target{Dialect: anthropic, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"temperature":0.10`, `12345678901234567890.50`, `"\u00e9\ud83d <&> \/ é"`, `{"n":1e400}`} {
		if !strings.Contains(string(said.Body), want) {
			t.Errorf("%s is gone from\n%s", want, said.Body)
		}
	}
}

func TestThePathNamesModelAndStreamWhereTheDialectDoes(t *testing.T) {
	for _, tt := range []struct{ name, from, to, in, path, query string }{
		{"to OpenAI", anthropic, openai, `{"max_tokens":5,` + hi + `}`, "/v1/chat/completions", ""},
		{"to Anthropic", openai, anthropic, `{` + hi + `}`, "/v1/messages", ""},
		{"to Gemini", openai, gemini, `{` + hi + `}`, "/v1beta/models/m:generateContent", ""},
		{"to Gemini, streamed", openai, gemini, `{"stream":true,` + hi + `}`, "/v1beta/models/m:streamGenerateContent", "?alt=sse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			said, err := Request(asked(tt.from, tt.in), Target{Dialect: tt.to, Model: "m"})
			if err != nil || said.Path != tt.path || said.Query != tt.query {
				t.Errorf("%v: %s%s", err, said.Path, said.Query)
			}
		})
	}
}

func TestWhatTheOtherDialectCannotSayIsRefused(t *testing.T) {
	const strict = `{"type":"object","properties":{"a":{"type":"string"}},"required":[],"additionalProperties":false}`
	turn := func(block string) string {
		return `{"max_tokens":5,"messages":[{"role":"user","content":[` + block + `]}]}`
	}
	for _, tt := range []struct{ what, name, from, to, in string }{
		{"multiple_choices", "several choices", openai, anthropic, `{"n":2,` + hi + `}`},
		{"logprobs", "log probabilities", openai, anthropic, `{"logprobs":true,` + hi + `}`},
		{"sampling", "a bias of tokens", openai, anthropic, `{"logit_bias":{"1":5},` + hi + `}`},
		{"sampling", "a seed for Anthropic", openai, anthropic, `{"seed":1,` + hi + `}`},
		{"sampling", "a penalty for Anthropic", openai, anthropic, `{"presence_penalty":0.1,` + hi + `}`},
		{"sampling", "top_k for OpenAI", anthropic, openai, `{"top_k":5,"max_tokens":5,` + hi + `}`},
		{"temperature", "hotter than Anthropic goes", openai, anthropic, `{"temperature":1.01,` + hi + `}`},
		{"prediction", "a predicted output", openai, anthropic, `{"prediction":{"type":"content","content":"x"},` + hi + `}`},
		{"provider_tools", "a search at the provider", openai, gemini, `{"web_search_options":{},` + hi + `}`},
		{"provider_tools", "a tool that Anthropic runs", anthropic, openai, `{"max_tokens":5,"tools":[{"type":"web_search_20250305","name":"web_search"}],` + hi + `}`},
		{"provider_tools", "a tool with a grammar", openai, anthropic, `{"tools":[{"type":"custom","custom":{"name":"x"}}],` + hi + `}`},
		{"modalities", "a spoken answer", openai, anthropic, `{"modalities":["text","audio"],` + hi + `}`},
		{"content_type", "spoken input", openai, gemini, `{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"x","format":"wav"}}]}]}`},
		{"reasoning", "effort", openai, anthropic, `{"reasoning_effort":"high",` + hi + `}`},
		{"reasoning", "thinking", anthropic, openai, `{"thinking":{"type":"enabled","budget_tokens":1024},"max_tokens":5,` + hi + `}`},
		{"reasoning", "signed thinking in the history", anthropic, openai, turn(`{"type":"thinking","thinking":"x","signature":"s"}`)},
		{"reasoning", "a thought signature in the history", gemini, openai, `{"contents":[{"role":"user","parts":[{"text":"x","thoughtSignature":"s"}]}]}`},
		{"server_state", "a stored answer", openai, anthropic, `{"store":true,` + hi + `}`},
		{"server_state", "a file at the provider", openai, anthropic, `{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]}`},
		{"server_state", "a cache at the provider", gemini, openai, `{"cachedContent":"c","contents":[{"role":"user","parts":[{"text":"x"}]}]}`},
		{"service_tier", "a tier that was paid for", openai, anthropic, `{"service_tier":"priority",` + hi + `}`},
		{"residency", "where it may be computed", anthropic, openai, `{"inference_geo":"us","max_tokens":5,` + hi + `}`},
		{"json_mode", "JSON mode at Anthropic", openai, anthropic, `{"response_format":{"type":"json_object"},` + hi + `}`},
		{"json_schema", "a schema that OpenAI does not enforce", anthropic, openai, `{"max_tokens":5,"output_config":{"format":{"type":"json_schema","schema":` + strict + `}},` + hi + `}`},
		{"json_schema", "a strict tool at Gemini", openai, gemini, `{"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object"}}}],` + hi + `}`},
		{"parallel_tools", "one call at a time at Gemini", openai, gemini, `{"parallel_tool_calls":false,"tools":[` + function + `],` + hi + `}`},
		{"media", "an image's address for Gemini", openai, gemini, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.test/a.png"}}]}]}`},
		{"media", "an image of a type that Anthropic does not read", openai, anthropic, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/heic;base64,QUJD"}}]}]}`},
		{"image_detail", "an image to be looked at cheaply", openai, anthropic, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.test/a.png","detail":"low"}}]}]}`},
		{"tool_error", "a failed call for OpenAI", anthropic, openai, turn(`{"type":"tool_result","tool_use_id":"c","is_error":true,"content":"x"}`)},
		{"tool_media", "an image as a tool's result for OpenAI", anthropic, openai, turn(`{"type":"tool_result","tool_use_id":"c","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]}`)},
		{"order", "words before a result", anthropic, openai, turn(`{"type":"text","text":"x"},{"type":"tool_result","tool_use_id":"c","content":"x"}`)},
		{"order", "words behind a call", anthropic, openai, `{"max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{}},{"type":"text","text":"x"}]},{"role":"user","content":"x"}]}`},
		{"prefill", "an answer begun by the client", anthropic, openai, `{"max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]}`},
		{"system_in_conversation", "a system prompt in the middle", openai, anthropic, `{"messages":[{"role":"user","content":"x"},{"role":"system","content":"y"},{"role":"user","content":"z"}]}`},
		{"name", "a speaker's name", openai, anthropic, `{"messages":[{"role":"user","content":"x","name":"bob"}]}`},
		{"empty_turn", "an empty text for Anthropic", openai, anthropic, `{"messages":[{"role":"user","content":" "}]}`},
		{"arguments", "a call whose arguments are no object", openai, anthropic, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"[1"}}]},{"role":"tool","tool_call_id":"c","content":"x"}]}`},
		{"tool_call_id", "an id that Anthropic does not take", openai, anthropic, `{"tools":[` + function + `],"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c.1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c.1","content":"x"}]}`},
		{"stop_sequences", "more stop sequences than OpenAI takes", anthropic, openai, `{"max_tokens":5,"stop_sequences":["a","b","c","d","e"],` + hi + `}`},
		{"safety_settings", "safety settings", gemini, openai, `{"safetySettings":[{"category":"x","threshold":"y"}],"contents":[{"role":"user","parts":[{"text":"x"}]}]}`},
		{"citations", "cited documents", anthropic, openai, turn(`{"type":"document","citations":{"enabled":true},"source":{"type":"base64","media_type":"application/pdf","data":"QUJD"}}`)},
		{"unknown_member", "a setting that nobody knows yet", openai, anthropic, `{"new_thing":1,` + hi + `}`},
		{"unknown_member", "a member of a part that nobody knows yet", openai, anthropic, `{"messages":[{"role":"user","content":[{"type":"text","text":"x","new":1}]}]}`},
		{"repeated_member", "a message with two contents", openai, anthropic, `{"messages":[{"role":"user","content":"x","content":"y"}]}`},
		{"repeated_member", "a choice of tool with two types", openai, anthropic, `{"tools":[` + function + `],"tool_choice":{"type":"function","type":"x","function":{"name":"add"}},` + hi + `}`},
		{"repeated_member", "thinking that is on and off", anthropic, openai, `{"max_tokens":5,"thinking":{"type":"disabled","type":"enabled"},` + hi + `}`},
		{"unreadable", "JSON that nests without end", openai, anthropic, `{"metadata":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `,` + hi + `}`},
		{"arguments", "arguments that nest without end", openai, anthropic, `{"tools":[` + function + `],"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"` + strings.Repeat("[", 1<<20) + `"}}]},{"role":"tool","tool_call_id":"c","content":"x"}]}`},
		{"tools_missing", "calls of tools that are not named, for Anthropic", openai, anthropic, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"x"}]}`},
		{"unreadable", "no JSON", openai, anthropic, `{"messages":`},
	} {
		t.Run(tt.what+", "+tt.name, func(t *testing.T) {
			said, err := Request(asked(tt.from, tt.in), Target{Dialect: tt.to, Model: "m"})
			if got := IsRefusal(err); got != tt.what {
				t.Errorf("refused as %q (%v), said %s", got, err, said.Body)
			}
			if gates, _ := Check(asked(tt.from, tt.in), tt.to); gates != 0 {
				t.Errorf("the check lets it pass: %b", gates)
			}
		})
	}
}

func TestTheCheckTellsTheDialectsApart(t *testing.T) {
	for to, want := range map[string]schemas.Gate{anthropic: 0, gemini: schemas.GateInGemini, openai: schemas.GateInOpenAI, dialect.OpenAIResponses: 0} {
		if gate, err := Check(asked(openai, `{"seed":1,`+hi+`}`), to); gate != want || (err == nil) != (want != 0) {
			t.Errorf("%s: gate %b, want %b; %v", to, gate, want, err)
		}
	}
}
