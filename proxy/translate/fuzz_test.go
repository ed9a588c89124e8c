package translate

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

var dialects = []string{openai, anthropic, gemini}

// FuzzRequest: whatever the body, what is said is JSON that its own dialect's
// reader takes, and the check agrees with the translation.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","max_tokens":5,"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"é"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]},{"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"2"}],"tools":[` + function + `],"tool_choice":"auto","response_format":{"type":"json_object"}}`,
		`{"model":"m","max_tokens":5,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"add","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"y"}]}]}],"tools":[` + addTool + `]}`,
		`{"contents":[{"role":"user","parts":[{"text":"x"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}}}]},{"parts":[{"functionResponse":{"name":"f","response":{"output":"1"}}}],"role":"user"}],"generationConfig":{"temperature":0.5,"responseSchema":{"type":"OBJECT","properties":{"a":{"type":"STRING"}}}}}`,
	} {
		for i := range dialects {
			f.Add([]byte(seed), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, from uint8) {
		a := asked(dialects[int(from)%len(dialects)], string(body))
		for _, to := range dialects {
			said, err := Request(a, Target{Dialect: to, Model: "m"})
			gate, checked := Check(a, to)
			if (err == nil) != (gate != 0) || (err == nil) != (checked == nil) || (err != nil && IsRefusal(err) == "") {
				t.Fatalf("to %s: %v, but the check says %b, %v", to, err, gate, checked)
			}
			if err != nil {
				continue
			}
			if !json.Valid(said.Body) {
				t.Fatalf("to %s: no JSON: %s", to, said.Body)
			}
			if _, err := vendors[to].read(Ask{to, said.Path, said.Query, said.Body}); err != nil {
				t.Fatalf("to %s: its own reader refuses it: %v\n%s", to, err, said.Body)
			}
		}
	})
}

// FuzzResponse: whatever the answer, what the client gets is JSON that reads as
// an answer of its dialect.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		`{"id":"msg_1","type":"message","model":"c","content":[{"type":"text","text":"a"},{"type":"tool_use","id":"t1","name":"add","input":{"a":1.5}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}`,
		`{"id":"c","model":"g","choices":[{"index":0,"message":{"role":"assistant","content":"x","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
		`{"responseId":"r","candidates":[{"content":{"parts":[{"text":"x"},{"functionCall":{"name":"f","args":{}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9}}`,
	} {
		for i := range dialects {
			f.Add([]byte(seed), uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, from uint8) {
		for _, to := range dialects {
			got, err := (&Back{From: dialects[int(from)%len(dialects)], To: to, ID: "i", Model: "m"}).Response(body)
			if err != nil {
				continue
			}
			if !json.Valid(got) {
				t.Fatalf("no JSON: %s", got)
			}
			if _, err := vendors[to].answer(got); err != nil {
				t.Fatalf("to %s: %v\n%s", to, err, got)
			}
		}
	})
}

// FuzzStream: whatever the bytes and wherever they are cut, the client gets the
// same whole events, and a clean end only of a stream that was complete.
func FuzzStream(f *testing.F) {
	for i, name := range dialects {
		f.Add([]byte(sources[name]), uint8(i), uint16(700))
	}
	f.Fuzz(func(t *testing.T, raw []byte, from uint8, cut uint16) {
		at := min(int(cut), len(raw))
		for _, to := range dialects {
			b := &Back{From: dialects[int(from)%len(dialects)], To: to, ID: "i", Model: "m", Usage: true}
			run := func(pieces ...[]byte) ([]byte, error) {
				s, err := b.Stream(1 << 16)
				if err != nil {
					t.Fatal(err)
				}
				var dst []byte
				for _, p := range pieces {
					if dst, err = s.Append(dst, p); err != nil {
						return dst, err
					}
				}
				return s.Close(dst)
			}
			whole, err := run(raw)
			parts, perr := run(raw[:at], raw[at:])
			if (err == nil) != (perr == nil) || !bytes.Equal(whole, parts) {
				t.Fatalf("to %s, cut at %d: %v, %v\n%s\n----\n%s", to, at, err, perr, whole, parts)
			}
			if n := len(whole); n > 0 && !bytes.HasSuffix(whole, []byte("\n\n")) {
				t.Fatalf("half an event: %s", whole)
			}
			for line := range strings.SplitSeq(string(whole), "\n") {
				if data, ok := strings.CutPrefix(line, "data: "); ok && data != "[DONE]" && !json.Valid([]byte(data)) {
					t.Fatalf("no JSON: %s", data)
				}
			}
			if h := heardIn(t, to, string(whole)); h.ended != (err == nil) {
				t.Fatalf("to %s: %v, but heard as %+v\n%s", to, err, h, whole)
			}
		}
	})
}
