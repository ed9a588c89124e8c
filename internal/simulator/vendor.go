package simulator

import (
	"fmt"
	"strconv"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The dialects' names, as events carry them.
const (
	dialectOpenAI     = "openai.chat"
	dialectAnthropic  = "anthropic.messages"
	dialectEmbeddings = "openai.embeddings"

	pathOpenAI     = "/v1/chat/completions"
	pathAnthropic  = "/v1/messages"
	pathEmbeddings = "/v1/embeddings"
	pathModels     = "/v1/models"
)

// model is what the simulated providers know of a model they serve.
type model struct {
	provider string
	snapshot string // the name it answers with
	minCache int    // tokens below which a prefix is not cached
}

var models = map[string]model{
	gpt4o:       {openAI, "gpt-4o-2024-08-06", 1024},
	gpt4oMini:   {openAI, "gpt-4o-mini-2024-07-18", 1024},
	gpt41:       {openAI, "gpt-4.1-2025-04-14", 1024},
	gpt41Mini:   {openAI, "gpt-4.1-mini-2025-04-14", 1024},
	gpt41Nano:   {openAI, "gpt-4.1-nano-2025-04-14", 1024},
	claudeOpus:  {anthropic, "claude-opus-4-5-20251101", 4096},
	claudeSonn:  {anthropic, "claude-sonnet-4-5-20250929", 1024},
	claudeHaiku: {anthropic, "claude-haiku-4-5-20251001", 4096},
}

func snapshotOf(name string) string {
	if m, ok := models[name]; ok {
		return m.snapshot
	}
	return name
}

// said is an answer with all that its body needs.
type said struct {
	answer
	id    string // the provider's, without its prefix
	model string // as asked for
	usage schemas.Usage
	at    time.Time
}

// plain writes the answer as one JSON body.
func (s *said) plain(dialect string) []byte {
	if dialect == dialectAnthropic {
		return s.plainAnthropic()
	}
	return s.plainOpenAI()
}

func (s *said) plainOpenAI() []byte {
	b := make([]byte, 0, 700+len(s.text)*9/8)
	b = append(b, `{"id":"chatcmpl-`...)
	b = append(b, s.id...)
	b = append(b, `","object":"chat.completion","created":`...)
	b = strconv.AppendInt(b, s.at.Unix(), 10)
	b = append(b, `,"model":"`...)
	b = append(b, snapshotOf(s.model)...)
	b = append(b, `","choices":[{"index":0,"message":{"role":"assistant","content":`...)
	if len(s.calls) > 0 {
		b = append(b, `null,"tool_calls":[`...)
		for n, c := range s.calls {
			b = append(b, sep(n, ",")...)
			b = append(b, `{"id":"call_`+s.id[:12]+strconv.Itoa(n)+`","type":"function","function":{"name":"`+c.name+`","arguments":`...)
			b = appendText(b, c.args)
			b = append(b, `}}`...)
		}
		b = append(b, ']')
	} else {
		b = appendText(b, s.text)
	}
	b = append(b, `,"refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"`+s.finish+`"}],"usage":`...)
	b = appendOpenAIUsage(b, s.usage)
	return append(b, `,"service_tier":"default","system_fingerprint":"fp_simulated"}`...)
}

func appendOpenAIUsage(b []byte, u schemas.Usage) []byte {
	return fmt.Appendf(b, `{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`,
		u.InputTokens, u.OutputTokens, u.InputTokens+u.OutputTokens, u.CacheReadTokens)
}

// anthropicFinish names what the shared answer calls finish.
var anthropicFinish = map[string]string{"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}

func (s *said) plainAnthropic() []byte {
	b := make([]byte, 0, 700+len(s.text)*9/8)
	b = append(b, `{"id":"msg_`+s.id+`","type":"message","role":"assistant","model":"`+snapshotOf(s.model)+`","content":[`...)
	if s.text != "" || len(s.calls) == 0 {
		b = append(b, `{"type":"text","text":`...)
		b = appendText(b, s.text)
		b = append(b, '}')
		b = append(b, sep(len(s.calls), ",")...)
	}
	for n, c := range s.calls {
		b = append(b, sep(n, ",")...)
		b = append(b, `{"type":"tool_use","id":"toolu_`+s.id[:20]+strconv.Itoa(n)+`","name":"`+c.name+`","input":`+c.args+`}`...)
	}
	b = append(b, `],"stop_reason":"`+anthropicFinish[s.finish]+`","stop_sequence":null,"usage":`...)
	b = appendAnthropicUsage(b, s.usage, s.usage.OutputTokens)
	return append(b, '}')
}

func appendAnthropicUsage(b []byte, u schemas.Usage, output uint32) []byte {
	return fmt.Appendf(b, `{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_read_input_tokens":%d,"cache_creation":{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":0},"output_tokens":%d,"service_tier":"standard"}`,
		u.InputTokens-u.CacheReadTokens-u.CacheWriteTokens, u.CacheWriteTokens, u.CacheReadTokens, u.CacheWriteTokens, output)
}

// streamPiece is how many bytes of text a streamed event carries.
const streamPiece = 36

// events writes the answer as the events of a stream, one element each with its
// closing blank line. usage says whether an OpenAI stream ends with its usage.
func (s *said) events(dialect string, usage bool) [][]byte {
	if dialect == dialectAnthropic {
		return s.eventsAnthropic()
	}
	return s.eventsOpenAI(usage)
}

func (s *said) eventsOpenAI(usage bool) [][]byte {
	head := `data: {"id":"chatcmpl-` + s.id + `","object":"chat.completion.chunk","created":` + strconv.FormatInt(s.at.Unix(), 10) +
		`,"model":"` + snapshotOf(s.model) + `","service_tier":"default","system_fingerprint":"fp_simulated","choices":[`
	tail := "]}\n\n"
	if usage {
		tail = "],\"usage\":null}\n\n"
	}
	chunk := func(delta, finish string) []byte {
		return []byte(head + `{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}` + tail)
	}
	out := [][]byte{chunk(`{"role":"assistant","content":"","refusal":null}`, "null")}
	for text := s.text; text != ""; {
		n := min(streamPiece, len(text))
		out = append(out, chunk(`{"content":`+string(appendText(nil, text[:n]))+`}`, "null"))
		text = text[n:]
	}
	for n, c := range s.calls {
		out = append(out,
			chunk(`{"tool_calls":[{"index":`+strconv.Itoa(n)+`,"id":"call_`+s.id[:12]+strconv.Itoa(n)+`","type":"function","function":{"name":"`+c.name+`","arguments":""}}]}`, "null"),
			chunk(`{"tool_calls":[{"index":`+strconv.Itoa(n)+`,"function":{"arguments":`+string(appendText(nil, c.args))+`}}]}`, "null"))
	}
	out = append(out, chunk(`{}`, `"`+s.finish+`"`))
	if usage {
		last := append([]byte(head), `],"usage":`...)
		out = append(out, append(appendOpenAIUsage(last, s.usage), "}\n\n"...))
	}
	return append(out, []byte("data: [DONE]\n\n"))
}

func (s *said) eventsAnthropic() [][]byte {
	event := func(kind, data string) []byte { return []byte("event: " + kind + "\ndata: " + data + "\n\n") }
	start := `{"type":"message_start","message":{"id":"msg_` + s.id + `","type":"message","role":"assistant","model":"` + snapshotOf(s.model) +
		`","content":[],"stop_reason":null,"stop_sequence":null,"usage":` + string(appendAnthropicUsage(nil, s.usage, min(1, s.usage.OutputTokens))) + `}}`
	out := [][]byte{event("message_start", start)}
	index := 0
	if s.text != "" || len(s.calls) == 0 {
		out = append(out, event("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`), event("ping", `{"type":"ping"}`))
		for text := s.text; text != ""; {
			n := min(streamPiece, len(text))
			out = append(out, event("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`+string(appendText(nil, text[:n]))+`}}`))
			text = text[n:]
		}
		out = append(out, event("content_block_stop", `{"type":"content_block_stop","index":0}`))
		index++
	}
	for n, c := range s.calls {
		at := strconv.Itoa(index + n)
		out = append(out,
			event("content_block_start", `{"type":"content_block_start","index":`+at+`,"content_block":{"type":"tool_use","id":"toolu_`+s.id[:20]+strconv.Itoa(n)+`","name":"`+c.name+`","input":{}}}`),
			event("content_block_delta", `{"type":"content_block_delta","index":`+at+`,"delta":{"type":"input_json_delta","partial_json":""}}`),
			event("content_block_delta", `{"type":"content_block_delta","index":`+at+`,"delta":{"type":"input_json_delta","partial_json":`+string(appendText(nil, c.args))+`}}`),
			event("content_block_stop", `{"type":"content_block_stop","index":`+at+`}`))
	}
	return append(out,
		event("message_delta", fmt.Sprintf(`{"type":"message_delta","delta":{"stop_reason":"%s","stop_sequence":null},"usage":{"output_tokens":%d}}`, anthropicFinish[s.finish], s.usage.OutputTokens)),
		event("message_stop", `{"type":"message_stop"}`))
}

// fault is a way in which a provider fails.
type fault uint8

const (
	noFault fault = iota
	faultRate
	faultServer
	faultOverloaded
	faultMidStream // an answer that begins and does not end well
)

// status is the HTTP status of a fault.
func (f fault) status() int {
	switch f {
	case faultRate:
		return 429
	case faultServer:
		return 500
	case faultOverloaded:
		return 529
	}
	return 200
}

// word is the vendor's error type.
func (f fault) word(dialect string) string {
	if dialect == dialectAnthropic {
		return map[fault]string{faultRate: "rate_limit_error", faultServer: "api_error", faultOverloaded: "overloaded_error", faultMidStream: "overloaded_error"}[f]
	}
	return map[fault]string{faultRate: "requests", faultServer: "server_error", faultOverloaded: "server_error", faultMidStream: "server_error"}[f]
}

// body is the vendor's error body.
func (f fault) body(dialect string) []byte { return errorBody(dialect, f.word(dialect), faultText[f]) }

var faultText = map[fault]string{
	faultRate:       "Rate limit reached (simulated). Please try again shortly.",
	faultServer:     "The server had an error while processing the request (simulated).",
	faultOverloaded: "Overloaded (simulated).",
	faultMidStream:  "Overloaded while answering (simulated).",
}

func errorBody(dialect, kind, text string) []byte {
	if dialect == dialectAnthropic {
		return fmt.Appendf(nil, `{"type":"error","error":{"type":%q,"message":%q},"request_id":"req_simulated"}`, kind, text)
	}
	return fmt.Appendf(nil, `{"error":{"message":%q,"type":%q,"param":null,"code":null}}`, text, kind)
}

// event is the fault as an event inside a stream.
func (f fault) event(dialect string) []byte {
	if dialect == dialectAnthropic {
		return append(append([]byte("event: error\ndata: "), f.body(dialect)...), "\n\n"...)
	}
	return append(append([]byte("data: "), f.body(dialect)...), "\n\n"...)
}
