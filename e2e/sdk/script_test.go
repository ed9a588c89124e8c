package sdk

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a stand-in for OpenAI and Anthropic whose answer depends on nothing
// but the request and how often its flow has called: the same program gets the
// same from two of them. What follows the vendor in a flow's name says what goes
// wrong. Each request is kept as it came.
type script struct {
	*httptest.Server
	answer string // what it says, where it is free to

	mu    sync.Mutex
	calls map[string][]string // by flow
	left  map[string]int      // requests that their client left
}

func newScript(t *testing.T, answer string) *script {
	s := &script{answer: answer, calls: map[string][]string{}, left: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

// total is how many requests came.
func (s *script) total() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		n += len(c)
	}
	return n
}

// abroad are the headers that concern one connection, or one run.
var abroad = map[string]bool{"Connection": true, "Accept-Encoding": true, "Content-Length": true, "Host": true}

var boundary = regexp.MustCompile(`boundary=("?)([^";]+)`)

// keep notes a request as its sender made it.
func (s *script) keep(r *http.Request, body []byte) (attempt int) {
	text := string(body)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.RequestURI)
	for _, name := range sorted(r.Header) {
		value := strings.Join(r.Header[name], ", ")
		switch {
		case abroad[name]:
			continue
		case name == "Idempotency-Key":
			value = "(random)"
		case name == "Content-Type":
			if m := boundary.FindStringSubmatch(value); m != nil {
				text, value = strings.ReplaceAll(text, m[2], "(random)"), strings.ReplaceAll(value, m[2], "(random)")
			}
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	flow := r.Header.Get("X-Flow")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[flow] = append(s.calls[flow], b.String()+"\n"+text)
	return len(s.calls[flow])
}

// asked is what an answer depends on.
type asked struct {
	Model          string          `json:"model"`
	Stream         bool            `json:"stream"`
	Tools          []any           `json:"tools"`
	ResponseFormat json.RawMessage `json:"response_format"`
	Thinking       json.RawMessage `json:"thinking"`
	Text           struct {
		Format struct {
			Type string `json:"type"`
		} `json:"format"`
	} `json:"text"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	EncodingFormat string `json:"encoding_format"`
}

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	attempt := s.keep(r, body)
	var a asked
	_ = json.Unmarshal(body, &a)
	_, does, _ := strings.Cut(r.Header.Get("X-Flow"), "/")
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Request-Id", "req_1")
	h.Set("Request-Id", "req_1")
	h.Set("X-Ratelimit-Remaining-Requests", "41")
	claude := strings.HasPrefix(r.URL.Path, "/v1/messages") || r.Header.Get("Anthropic-Version") != ""
	if status := faulty(does, attempt); status != 0 {
		if status == 429 || status == 529 {
			h.Set("Retry-After-Ms", "5")
			h.Set("Retry-After", "1")
		}
		w.WriteHeader(status)
		kind := map[bool]string{true: "rate_limit_error", false: "invalid_request_error"}[status == 429]
		if claude {
			fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":"status %d, said é"},"request_id":"req_1"}`, kind, status)
			return
		}
		fmt.Fprintf(w, `{"error":{"message":"status %d, said é","type":%q,"param":"model","code":"code_%d"}}`, status, kind, status)
		return
	}
	switch {
	case does == "timeout" || does == "abort-before":
		<-r.Context().Done()
		s.mu.Lock()
		s.left[r.Header.Get("X-Flow")]++
		s.mu.Unlock()
		return
	case does == "dies-in-body":
		h.Set("Content-Length", "1000")
		fmt.Fprint(w, `{"id":"x","choices":`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case does == "not-json":
		fmt.Fprint(w, `<html>busy</html>`)
		return
	}
	s.plain(w, r, a, body, does, claude)
}

// faulty is the status that a flow is to get; 0 for a proper answer.
func faulty(does string, attempt int) int {
	if strings.HasPrefix(does, "retry") && attempt == 1 {
		return 429
	}
	if rest, ok := strings.CutPrefix(does, "error-"); ok {
		status, _ := strconv.Atoi(rest[:min(3, len(rest))])
		return status
	}
	return 0
}

func (s *script) plain(w http.ResponseWriter, r *http.Request, a asked, body []byte, does string, claude bool) {
	tools := len(a.Tools) > 0 && !bytes.Contains(body, []byte(`"tool_call_id"`)) && !bytes.Contains(body, []byte(`"tool_result"`)) && !bytes.Contains(body, []byte(`"function_call_output"`))
	words := []string{s.answer[:2], s.answer[2:], " Grüße 🌞"}
	if bytes.Contains(a.ResponseFormat, []byte("json_schema")) || a.Text.Format.Type == "json_schema" {
		words = []string{`{"name":`, `"Ada","age"`, `:36}`}
	}
	var events []string
	switch path := strings.TrimPrefix(r.URL.Path, "/v1"); {
	case path == "/chat/completions":
		if !a.Stream {
			writeChat(w, words, tools)
			return
		}
		events = chatEvents(words, tools, a.StreamOptions.IncludeUsage)
	case path == "/responses":
		if !a.Stream {
			fmt.Fprint(w, response(words, tools, "completed"))
			return
		}
		events = responseEvents(words, tools)
	case path == "/messages":
		if !a.Stream {
			fmt.Fprint(w, messageBody(words, tools, len(a.Thinking) > 0))
			return
		}
		events = messageEvents(words, tools, len(a.Thinking) > 0)
	case path == "/messages/count_tokens":
		fmt.Fprint(w, `{"input_tokens":12}`)
		return
	case path == "/embeddings":
		fmt.Fprintf(w, `{"object":"list","model":"text-embedding-3-small","data":[{"object":"embedding","index":0,"embedding":%s}],"usage":{"prompt_tokens":4,"total_tokens":4}}`, vector(a.EncodingFormat))
		return
	case path == "/models" && claude:
		fmt.Fprint(w, `{"data":[{"type":"model","id":"claude-sonnet-4-20250514","display_name":"Sonnet","created_at":"2025-05-14T00:00:00Z"}],"has_more":false,"first_id":"a","last_id":"a"}`)
		return
	case path == "/models":
		fmt.Fprint(w, `{"object":"list","data":[{"id":"gpt-4o","object":"model","created":1,"owned_by":"openai"},{"id":"o9","object":"model","created":2,"owned_by":"openai"}]}`)
		return
	case path == "/files":
		fmt.Fprintf(w, `{"id":"file-1","object":"file","bytes":%d,"created_at":1,"filename":"a.jsonl","purpose":"batch","status":"processed"}`, len(body)%7)
		return
	default:
		http.Error(w, `{"error":{"message":"no such thing"}}`, http.StatusNotFound)
		return
	}
	s.stream(w, r, events, does, claude)
}

// stream sends events, in the way that its flow says.
func (s *script) stream(w http.ResponseWriter, r *http.Request, events []string, does string, claude bool) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	flush := w.(http.Flusher).Flush
	for i, e := range events {
		fmt.Fprint(w, e, "\n\n")
		flush()
		if i != 3 {
			continue
		}
		switch {
		case strings.HasPrefix(does, "abort"), strings.HasPrefix(does, "timeout-in"):
			for r.Context().Err() == nil {
				again := e
				if claude || strings.Contains(e, "chat.completion.chunk") {
					fmt.Fprint(w, again, "\n\n")
				} else {
					fmt.Fprint(w, ": waiting\n\n")
				}
				flush()
				time.Sleep(5 * time.Millisecond)
			}
			s.mu.Lock()
			s.left[r.Header.Get("X-Flow")]++
			s.mu.Unlock()
			return
		case does == "error-in-stream" && claude:
			fmt.Fprint(w, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n")
			return
		case does == "error-in-stream":
			fmt.Fprint(w, "data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\",\"param\":null,\"code\":\"oops\"}}\n\n")
			return
		case does == "dies-in-stream":
			panic(http.ErrAbortHandler)
		}
	}
}

const chatUsage = `{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":0}}`

func quoted(s string) string {
	raw, _ := json.Marshal(s)
	return string(raw)
}

func writeChat(w io.Writer, words []string, tools bool) {
	message, finish := `{"role":"assistant","refusal":null,"content":`+quoted(strings.Join(words, ""))+`}`, "stop"
	if tools {
		message, finish = `{"role":"assistant","refusal":null,"content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\": \"Oslo\"}"}}]}`, "tool_calls"
	}
	fmt.Fprintf(w, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-2024-08-06","system_fingerprint":"fp_1","choices":[{"index":0,"message":%s,"logprobs":null,"finish_reason":%q}],"usage":%s}`, message, finish, chatUsage)
}

func chatEvents(words []string, tools, usage bool) []string {
	null := ""
	if usage {
		null = `,"usage":null`
	}
	chunk := func(delta, finish string) string {
		return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}]` + null + `}`
	}
	events := []string{chunk(`{"role":"assistant","content":"","refusal":null}`, "null")}
	finish := `"stop"`
	if tools {
		finish = `"tool_calls"`
		events = append(events, chunk(`{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`, "null"))
		for _, piece := range []string{`{"ci`, `ty": "Oslo"}`} {
			events = append(events, chunk(`{"tool_calls":[{"index":0,"function":{"arguments":`+quoted(piece)+`}}]}`, "null"))
		}
	} else {
		for _, word := range words {
			events = append(events, chunk(`{"content":`+quoted(word)+`}`, "null"))
		}
	}
	events = append(events, chunk(`{}`, finish))
	if usage {
		events = append(events, `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-2024-08-06","choices":[],"usage":`+chatUsage+`}`)
	}
	return append(events, "data: [DONE]")
}

func outputItem(words []string, tools bool, status string) string {
	if tools {
		return `{"type":"function_call","id":"fc_1","call_id":"call_1","name":"weather","arguments":"{\"city\": \"Oslo\"}","status":"` + status + `"}`
	}
	return `{"type":"message","id":"msg_1","role":"assistant","status":"` + status + `","content":[{"type":"output_text","annotations":[],"text":` + quoted(strings.Join(words, "")) + `}]}`
}

func response(words []string, tools bool, status string) string {
	output, usage := "", "null"
	if status == "completed" {
		output, usage = outputItem(words, tools, "completed"), `{"input_tokens":11,"input_tokens_details":{"cached_tokens":3},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":18}`
	}
	return `{"id":"resp_1","object":"response","created_at":1,"status":"` + status + `","error":null,"incomplete_details":null,"instructions":null,"metadata":{},"model":"gpt-4o-2024-08-06","parallel_tool_calls":true,"temperature":1,"top_p":1,"tool_choice":"auto","tools":[],"output":[` + output + `],"usage":` + usage + `}`
}

func responseEvents(words []string, tools bool) []string {
	n := -1
	event := func(kind, more string) string {
		n++
		return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\",\"sequence_number\":" + strconv.Itoa(n) + "," + more + "}"
	}
	events := []string{event("response.created", `"response":`+response(words, tools, "in_progress"))}
	if tools {
		events = append(events, event("response.output_item.added", `"output_index":0,"item":{"type":"function_call","id":"fc_1","call_id":"call_1","name":"weather","arguments":"","status":"in_progress"}`),
			event("response.function_call_arguments.delta", `"item_id":"fc_1","output_index":0,"delta":"{\"city\": \"Oslo\"}"`),
			event("response.function_call_arguments.done", `"item_id":"fc_1","output_index":0,"name":"weather","arguments":"{\"city\": \"Oslo\"}"`))
	} else {
		events = append(events, event("response.output_item.added", `"output_index":0,"item":{"type":"message","id":"msg_1","role":"assistant","status":"in_progress","content":[]}`),
			event("response.content_part.added", `"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"text":""}`))
		for _, word := range words {
			events = append(events, event("response.output_text.delta", `"item_id":"msg_1","output_index":0,"content_index":0,"logprobs":[],"delta":`+quoted(word)))
		}
		events = append(events, event("response.output_text.done", `"item_id":"msg_1","output_index":0,"content_index":0,"logprobs":[],"text":`+quoted(strings.Join(words, ""))),
			event("response.content_part.done", `"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"text":`+quoted(strings.Join(words, ""))+`}`))
	}
	return append(events, event("response.output_item.done", `"output_index":0,"item":`+outputItem(words, tools, "completed")), event("response.completed", `"response":`+response(words, tools, "completed")))
}

const messageUsage = `"usage":{"input_tokens":8,"cache_creation_input_tokens":0,"cache_read_input_tokens":3,"output_tokens":7,"service_tier":"standard"}`

func messageBody(words []string, tools, thinks bool) string {
	content, stop := `{"type":"text","text":`+quoted(strings.Join(words, ""))+`}`, "end_turn"
	if tools {
		content, stop = `{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}}`, "tool_use"
	}
	if thinks {
		content = `{"type":"thinking","thinking":"hm","signature":"c2ln"},` + content
	}
	return `{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-20250514","content":[` + content + `],"stop_reason":"` + stop + `","stop_sequence":null,` + messageUsage + `}`
}

func messageEvents(words []string, tools, thinks bool) []string {
	event := func(kind, more string) string {
		return "event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + more + "}"
	}
	events := []string{event("message_start", `,"message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4-20250514","content":[],"stop_reason":null,"stop_sequence":null,`+messageUsage+`}`), event("ping", "")}
	at := 0
	block := func(start string, deltas ...string) {
		i := `,"index":` + strconv.Itoa(at)
		events = append(events, event("content_block_start", i+`,"content_block":`+start))
		for _, d := range deltas {
			events = append(events, event("content_block_delta", i+`,"delta":`+d))
		}
		events = append(events, event("content_block_stop", i))
		at++
	}
	if thinks {
		block(`{"type":"thinking","thinking":"","signature":""}`, `{"type":"thinking_delta","thinking":"hm"}`, `{"type":"signature_delta","signature":"c2ln"}`)
	}
	stop := "end_turn"
	if tools {
		stop = "tool_use"
		block(`{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}`, `{"type":"input_json_delta","partial_json":"{\"ci"}`, `{"type":"input_json_delta","partial_json":"ty\": \"Oslo\"}"}`)
	} else {
		var deltas []string
		for _, word := range words {
			deltas = append(deltas, `{"type":"text_delta","text":`+quoted(word)+`}`)
		}
		block(`{"type":"text","text":""}`, deltas...)
	}
	return append(events, event("message_delta", `,"delta":{"stop_reason":"`+stop+`","stop_sequence":null},"usage":{"output_tokens":7}`), event("message_stop", ""))
}

// vector is an embedding, as numbers or as base64 of them.
func vector(format string) string {
	sum := sha256.Sum256([]byte("vector"))
	var raw []byte
	var numbers []string
	for _, b := range sum {
		v := float32(b)/256 - 0.5
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		numbers = append(numbers, strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	if format == "base64" {
		return quoted(base64.StdEncoding.EncodeToString(raw))
	}
	return "[" + strings.Join(numbers, ",") + "]"
}
