package dialect

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

var chat = Named(OpenAIChat)

func TestPeek(t *testing.T) {
	const un, rep, none = schemas.GateUnreadable, schemas.GateRepeatedKey, schemas.GateNoModel
	for _, tt := range []struct {
		name, body string
		want       Peek
	}{
		{"a plain call", `{"model":"gpt-4o","messages":[]}`, Peek{Model: "gpt-4o"}},
		{"a stream that does not say", `{"stream":true,"model":"m"}`, Peek{Model: "m", Stream: true}},
		{"a stream that says yes", `{"stream":true,"model":"m","stream_options":{"include_usage":true}}`, Peek{Model: "m", Stream: true, IncludeUsage: Yes}},
		{"a stream that says no", `{"stream":true,"model":"m","stream_options":{"include_usage":false}}`, Peek{Model: "m", Stream: true, IncludeUsage: No}},
		{"include_usage null is the provider's to judge", `{"stream":true,"model":"m","stream_options":{"include_usage":null}}`, Peek{Model: "m", Stream: true, IncludeUsage: No}},
		{"stream null is no stream", `{"stream":null,"model":"m"}`, Peek{Model: "m"}},
		{"a repeated model", `{"model":"a","model":"z"}`, Peek{Model: "z", Gates: rep}},
		{"a repeated key that nobody knows", `{"model":"a","x":1,"x":2}`, Peek{Model: "a", Gates: rep}},
		{"a repeated stream", `{"model":"a","stream":true,"stream":false}`, Peek{Model: "a", Gates: rep}},
		{"an escaped key", `{"mod\u0065l":"a"}`, Peek{Model: "a", Gates: un}},
		{"an escaped key beside the plain one", `{"model":"a","mod\u0065l":"z"}`, Peek{Model: "z", Gates: un | rep}},
		{"another case of a key is read by some", `{"Model":"a"}`, Peek{Gates: un | none}},
		{"a letter that folds to s", "{\"model\":\"m\",\"\u017ftream\":true}", Peek{Model: "m", Gates: un}},
		{"an escaped key that nobody reads", `{"model":"m","\u0078":1}`, Peek{Model: "m"}},
		{"stream as text", `{"model":"m","stream":"true"}`, Peek{Model: "m", Gates: un}},
		{"model as a number", `{"model":4}`, Peek{Gates: un | none}},
		{"model null", `{"model":null}`, Peek{Gates: none}},
		{"model in escapes", `{"model":"gpt\u002d4o"}`, Peek{Model: "gpt-4o"}},
		{"no model", `{}`, Peek{Gates: none}},
		{"nothing", ``, Peek{Gates: un | none}},
		{"an array", `[{"model":"m"}]`, Peek{Gates: un | none}},
		{"text", `hello`, Peek{Gates: un | none}},
		{"a byte order mark", "\xef\xbb\xbf" + `{"model":"m"}`, Peek{Gates: un | none}},
		{"broken off", `{"model":"m","messages":[`, Peek{Model: "m", Gates: un}},
		{"something behind the object", `{"model":"m"} {}`, Peek{Model: "m", Gates: un}},
		{"white space all around", " \r\n{ \"model\" :\t\"m\" } \n", Peek{Model: "m"}},
		{"a trailing comma", `{"model":"m",}`, Peek{Model: "m", Gates: un}},
		{"a leading zero", `{"model":"m","n":01}`, Peek{Model: "m", Gates: un}},
		{"NaN", `{"model":"m","temperature":NaN}`, Peek{Model: "m", Gates: un}},
		{"a huge number", `{"model":"m","n":1e999}`, Peek{Model: "m"}},
		{"a line break in a string", "{\"model\":\"m\",\"user\":\"a\nb\"}", Peek{Model: "m", Gates: un}},
		{"broken UTF-8", "{\"model\":\"m\",\"user\":\"\xff\"}", Peek{Model: "m", Gates: un}},
		{"ten thousand brackets", `{"model":"m","x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, Peek{Model: "m", Gates: un}},
		{"depth that is still read", `{"model":"m","x":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`, Peek{Model: "m"}},
		{"too many keys to compare", `{"model":"m"` + manyKeys(200) + `}`, Peek{Model: "m", Gates: un}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := chat.Peek("/v1/chat/completions", []byte(tt.body))
			if got.Gates != tt.want.Gates || got.Model != tt.want.Model || got.Stream != tt.want.Stream || got.IncludeUsage != tt.want.IncludeUsage {
				t.Errorf("peek %+v, want %+v", got, tt.want)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"k` + strings.Repeat("x", i+1) + `":1`)
	}
	return b.String()
}

func TestOnlyWhatMustChangeIsChanged(t *testing.T) {
	for _, tt := range []struct{ name, body, model, want string }{
		{"usage is asked for at the end", `{"model": "m",  "stream":true }`, "", `{"model": "m",  "stream":true,"stream_options":{"include_usage":true} }`},
		{"inside options that speak of something else", `{"model":"m","stream":true,"stream_options":{"include_obfuscation":false},"n":1}`, "", `{"model":"m","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true},"n":1}`},
		{"inside empty options", `{"stream":true,"stream_options":{ },"model":"m"}`, "", `{"stream":true,"stream_options":{ "include_usage":true},"model":"m"}`},
		{"in place of null", `{"stream":true,"stream_options":null,"model":"m"}`, "", `{"stream":true,"stream_options":{"include_usage":true},"model":"m"}`},
		{"a no is respected", `{"model":"m","stream":true,"stream_options":{"include_usage":false}}`, "", `{"model":"m","stream":true,"stream_options":{"include_usage":false}}`},
		{"no stream, no question", `{"model":"m"}`, "", `{"model":"m"}`},
		{"a repeated key is left alone", `{"model":"m","stream":true,"stream":true}`, "", `{"model":"m","stream":true,"stream":true}`},
		{"another model", `{"messages":[1.50,1e400,"\u00e9"],"model":"gpt\u002d4o" ,"n":1}`, `small"x`, `{"messages":[1.50,1e400,"\u00e9"],"model":"small\"x" ,"n":1}`},
		{"both, the options first", `{"stream_options":{},"stream":true,"model":"m"}`, "s", `{"stream_options":{"include_usage":true},"stream":true,"model":"s"}`},
		{"both, the options last", `{"stream":true,"model":"m"}`, "s", `{"stream":true,"model":"s","stream_options":{"include_usage":true}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(tt.body)
			p := chat.Peek("", body)
			if got := string(p.Edit(body, tt.model, true)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if string(body) != tt.body {
				t.Error("the client's own bytes were written to")
			}
		})
	}
}

func TestGeminiNamesItsModelInThePath(t *testing.T) {
	d := Of("POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent")
	p := d.Peek("/v1beta/models/gemini-2.5-flash:streamGenerateContent", []byte(`{"contents":[]}`))
	if d.Name != GeminiGenerate || p.Model != "gemini-2.5-flash" || !p.Stream || p.Gates != 0 {
		t.Errorf("%s %+v", d.Name, p)
	}
}

func TestDialectsAreFoundByPath(t *testing.T) {
	for _, tt := range []struct{ method, path, want string }{
		{"POST", "/v1/chat/completions", OpenAIChat},
		{"POST", "/openai/v1/chat/completions", OpenAIChat},
		{"POST", "/openai/deployments/x/chat/completions", AzureChat},
		{"POST", "/openai/deployments/x/completions", AzureCompletions},
		{"POST", "/openai/deployments/x/embeddings", AzureEmbeddings},
		{"POST", "/openai/deployments/x/audio/transcriptions", Other},
		{"POST", "/anthropic/v1/messages", AnthropicMessages},
		{"POST", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4@20250514:streamRawPredict", VertexAnthropic},
		{"POST", "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict", Other},
		{"POST", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:streamGenerateContent", GeminiGenerate},
		{"POST", "/model/eu.anthropic.claude-sonnet-4-20250514-v1%3A0/invoke", BedrockAnthropic},
		{"POST", "/model/amazon.nova-lite-v1%3A0/invoke", Other},
		{"POST", "/model/amazon.nova-lite-v1%3A0/converse-stream", BedrockConverse},
		{"POST", "/v1beta/models/g:countTokens", Other},
		{"GET", "/v1/chat/completions", Other},
		{"POST", "/v1/chat/completions/abc", Other},
		{"POST", "/v1/completions", OpenAICompletions},
		{"POST", "/v1/responses", OpenAIResponses},
		{"POST", "/v1/responses/abc/cancel", Other},
		{"POST", "/v1/embeddings", OpenAIEmbeddings},
		{"POST", "/v1/messages", AnthropicMessages},
		{"POST", "/v1/messages/count_tokens", Other},
		{"POST", "/v1/messages/batches", Other},
		{"POST", "/v1/threads/t/messages", Other},
		{"POST", "/v1beta/models/g:generateContent", GeminiGenerate},
		{"POST", "/v1/audio/transcriptions", Other},
	} {
		if got := Of(tt.method, tt.path).Name; got != tt.want {
			t.Errorf("%s %s is %s, want %s", tt.method, tt.path, got, tt.want)
		}
	}
}

func TestThePathThatNamesAModelNamesAnother(t *testing.T) {
	for _, tt := range []struct{ path, model, other, want string }{
		{"/openai/deployments/my%20gpt/chat/completions", "my gpt", "small", "/openai/deployments/small/chat/completions"},
		{"/model/arn%3Aaws%3Abedrock%3A%3Ax%2Fanthropic.claude/invoke", "arn:aws:bedrock::x/anthropic.claude", "anthropic.haiku-v1:0", "/model/anthropic.haiku-v1:0/invoke"},
		{"/model/amazon.nova-pro-v1:0/converse", "amazon.nova-pro-v1:0", "a/b", "/model/a%2Fb/converse"},
		{"/v1/publishers/anthropic/models/claude@1:rawPredict", "claude@1", "haiku@2", "/v1/publishers/anthropic/models/haiku@2:rawPredict"},
		{"/v1beta/models/gemini-2.5-pro:generateContent", "gemini-2.5-pro", "gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"},
		{"/v1/chat/completions", "", "small", "/v1/chat/completions"},
	} {
		d := Of("POST", tt.path)
		if got := d.Peek(tt.path, []byte(`{"messages":[]}`)).Model; got != tt.model {
			t.Errorf("%s names %q, want %q", tt.path, got, tt.model)
		}
		if got := d.Path(tt.path, tt.other); got != tt.want {
			t.Errorf("%s for %s is %s, want %s", tt.path, tt.other, got, tt.want)
		}
	}
}

// FuzzPeek holds the skimmer against encoding/json: what is called readable
// must be read the same by both, and an edit must change what it names only.
func FuzzPeek(f *testing.F) {
	for _, s := range []string{
		`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}`, `{"model":"a","model":"z"}`, `{"mod\u0065l":"a"}`, `{}`, ``, `{"model":"m","stream":true,"stream_options":{}}`,
		`{"model":"m","x":[[[{}]]],"y":-1.5e+3,"z":"\ud83d\ude00"}`, "{\"model\":\"\xff\"}", `{"MODEL":"m"}`, ` {"model":"m"} `, `{"stream_options":null,"stream":true,"model":"q"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := chat.Peek("", body)
		if !p.Readable() {
			return
		}
		var std map[string]json.RawMessage
		if err := json.Unmarshal(body, &std); err != nil {
			t.Fatalf("readable, but encoding/json says %v", err)
		}
		var model string
		_ = json.Unmarshal(std["model"], &model)
		if model != p.Model {
			t.Fatalf("model %q, encoding/json reads %q", p.Model, model)
		}
		if (string(std["stream"]) == "true") != p.Stream {
			t.Fatalf("stream %v of %s", p.Stream, std["stream"])
		}
		edited := p.Edit(body, "other", p.CanAskUsage())
		if p.Gates&schemas.GateNoModel != 0 {
			return
		}
		var after map[string]json.RawMessage
		if err := json.Unmarshal(edited, &after); err != nil {
			t.Fatalf("edited to %s: %v", edited, err)
		}
		if string(after["model"]) != `"other"` {
			t.Fatalf("edited to %s", edited)
		}
		for k, v := range std {
			if k != "model" && k != "stream_options" && !bytes.Equal(v, after[k]) {
				t.Fatalf("%s changed from %s to %s", k, v, after[k])
			}
		}
		if again := chat.Peek("", edited); p.CanAskUsage() && again.IncludeUsage != Yes {
			t.Fatalf("usage is not asked for in %s", edited)
		}
	})
}
