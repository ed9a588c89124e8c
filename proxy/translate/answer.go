package translate

import (
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// answer is what the dialects share of one. The words of stop are OpenAI's
// finish reasons: stop, length, tool_calls, content_filter.
type answer struct {
	id, model string
	blocks    []block // texts, refusals and calls
	stop      string
	sequence  string // literal of the stop sequence that was met, where it is told
	usage     schemas.Usage
}

const (
	stopped  = "stop"
	atLength = "length"
	forTools = "tool_calls"
	byFilter = "content_filter"
)

// nameCalls gives an id to calls of a dialect that has none.
func (a *answer) nameCalls() {
	n := 0
	for i := range a.blocks {
		if b := &a.blocks[i]; b.kind == call {
			if b.id == "" {
				b.id = callID(a.id, n)
			}
			n++
		}
	}
}

// callID is the same for the same call of the same answer, streamed or not.
func callID(answer string, n int) string {
	return "call_" + strconv.FormatUint(xxhash.Sum64String(answer+"\x00"+strconv.Itoa(n)), 36)
}

func openAIAnswer(body []byte) (*answer, error) {
	doc := gjson.ParseBytes(body)
	choices := doc.Get("choices").Array()
	if len(choices) != 1 || doc.Get("error").IsObject() {
		return nil, bad("want one choice, got %d", len(choices))
	}
	a := &answer{id: doc.Get("id").Str, model: doc.Get("model").Str}
	m := choices[0].Get("message")
	if !m.IsObject() {
		return nil, bad("no message")
	}
	if t := m.Get("content"); t.Type == gjson.String && t.Str != "" {
		a.blocks = append(a.blocks, block{text: t.Raw})
	} else if t.Exists() && t.Type != gjson.Null && t.Type != gjson.String {
		return nil, bad("content is no text")
	}
	if t := m.Get("refusal"); t.Type == gjson.String && t.Str != "" {
		a.blocks = append(a.blocks, block{kind: refusing, text: t.Raw})
	}
	for _, c := range m.Get("tool_calls").Array() {
		input, ok := object(c.Get("function.arguments").Str)
		b := block{kind: call, id: c.Get("id").Str, tool: c.Get("function.name").Str, input: input}
		if !ok || b.tool == "" {
			return nil, bad("a tool call that is none, or whose arguments are no object")
		}
		a.blocks = append(a.blocks, b)
	}
	var err error
	a.stop, err = openAIStop(choices[0].Get("finish_reason").Str, a.calls(), a.refuses())
	return a, err
}

func (a *answer) has(k kind) bool {
	for i := range a.blocks {
		if a.blocks[i].kind == k {
			return true
		}
	}
	return false
}

func (a *answer) calls() bool   { return a.has(call) }
func (a *answer) refuses() bool { return a.has(refusing) }

// openAIStop mends what OpenAI says of a forced tool: stop, beside the call.
func openAIStop(reason string, calls, refuses bool) (string, error) {
	switch {
	case refuses:
		return byFilter, nil
	case reason == atLength, reason == byFilter:
		return reason, nil
	case reason == forTools, reason == stopped, reason == "function_call":
		if calls {
			return forTools, nil
		}
		return stopped, nil
	}
	return "", bad("no finish reason that is known")
}

func sayOpenAI(a *answer, back *Back) []byte {
	o := &out{}
	o.open('{')
	o.pair("id", a.id)
	o.pair("object", "chat.completion")
	o.key("created").raw(strconv.FormatInt(back.Created, 10))
	o.pair("model", a.model)
	o.key("choices").open('[')
	o.open('{')
	o.key("index").raw("0")
	o.key("message").open('{')
	o.pair("role", "assistant")
	o.key("content").raw(joined(a.blocks, text))
	o.key("refusal").raw(joined(a.blocks, refusing))
	if a.calls() {
		o.key("tool_calls").open('[')
		for i := range a.blocks {
			if a.blocks[i].kind == call {
				o.openAICall(&a.blocks[i])
			}
		}
		o.shut(']')
	}
	o.shut('}')
	o.key("logprobs").raw("null")
	o.pair("finish_reason", a.stop)
	o.shut('}')
	o.shut(']')
	o.key("usage").openAIUsage(&a.usage)
	o.shut('}')
	return o.b
}

// joined is the literal of all texts of a kind in a row; null without one.
func joined(blocks []block, k kind) string {
	var b strings.Builder
	for i := range blocks {
		if t := blocks[i].text; blocks[i].kind == k && len(t) >= 2 {
			b.WriteString(t[1 : len(t)-1])
		} else {
			continue
		}
	}
	if b.Len() == 0 {
		return "null"
	}
	return `"` + b.String() + `"`
}

func (o *out) count(name string, n uint32) { o.key(name).raw(strconv.FormatUint(uint64(n), 10)) }

func (o *out) openAIUsage(u *schemas.Usage) {
	o.open('{')
	o.count("prompt_tokens", u.InputTokens)
	o.count("completion_tokens", u.OutputTokens)
	o.count("total_tokens", u.InputTokens+u.OutputTokens)
	o.key("prompt_tokens_details").open('{')
	o.count("cached_tokens", u.CacheReadTokens)
	if u.CacheWriteTokens > 0 {
		o.count("cache_write_tokens", u.CacheWriteTokens)
	}
	o.count("audio_tokens", u.AudioInputTokens)
	o.shut('}')
	o.key("completion_tokens_details").open('{')
	o.count("reasoning_tokens", u.ReasoningTokens)
	o.count("audio_tokens", u.AudioOutputTokens)
	o.shut('}')
	o.shut('}')
}

func anthropicAnswer(body []byte) (*answer, error) {
	doc := gjson.ParseBytes(body)
	if doc.Get("type").Str != "message" || !doc.Get("content").IsArray() {
		return nil, bad("no message")
	}
	a := &answer{id: doc.Get("id").Str, model: doc.Get("model").Str}
	for _, c := range doc.Get("content").Array() {
		switch c.Get("type").Str {
		case "text":
			if t := c.Get("text"); t.Type != gjson.String {
				return nil, bad("a text that is none")
			} else if t.Str != "" {
				a.blocks = append(a.blocks, block{text: t.Raw})
			}
		case "tool_use":
			b := block{kind: call, id: c.Get("id").Str, tool: c.Get("name").Str, input: c.Get("input").Raw}
			if b.input == "" || b.input[0] != '{' || b.tool == "" {
				return nil, bad("a tool call that is none")
			}
			a.blocks = append(a.blocks, b)
		case "thinking", "redacted_thinking": // nobody asked for it
		default:
			return nil, bad("a block of a kind that nobody asked for")
		}
	}
	if s := doc.Get("stop_sequence"); s.Type == gjson.String {
		a.sequence = s.Raw
	}
	var err error
	a.stop, err = anthropicStop(doc.Get("stop_reason").Str)
	return a, err
}

func anthropicStop(reason string) (string, error) {
	switch reason {
	case "end_turn", "stop_sequence":
		return stopped, nil
	case "max_tokens", "model_context_window_exceeded":
		return atLength, nil
	case "tool_use":
		return forTools, nil
	case "refusal":
		return byFilter, nil
	}
	return "", bad("no stop reason that is known")
}

// stopWords is how the others say why an answer ended.
var stopWords = map[string]struct{ anthropic, gemini string }{
	stopped: {"end_turn", "STOP"}, atLength: {"max_tokens", "MAX_TOKENS"}, forTools: {"tool_use", "STOP"}, byFilter: {"refusal", "SAFETY"},
}

func sayAnthropic(a *answer, _ *Back) []byte {
	o := &out{}
	o.open('{')
	o.pair("id", a.id)
	o.pair("type", "message")
	o.pair("role", "assistant")
	o.pair("model", a.model)
	o.key("content").open('[')
	for i := range a.blocks {
		b := &a.blocks[i]
		o.open('{')
		if b.kind == call {
			o.pair("type", "tool_use")
			o.pair("id", b.id)
			o.pair("name", b.tool)
			o.key("input").raw(b.input)
		} else {
			o.pair("type", "text")
			o.key("text").raw(b.text)
		}
		o.shut('}')
	}
	o.shut(']')
	o.anthropicStop(a.stop, a.sequence)
	o.key("usage").anthropicUsage(&a.usage)
	o.shut('}')
	return o.b
}

func (o *out) anthropicStop(stop, sequence string) {
	if sequence != "" && stop == stopped {
		o.pair("stop_reason", "stop_sequence")
		o.key("stop_sequence").raw(sequence)
		return
	}
	o.pair("stop_reason", stopWords[stop].anthropic)
	o.key("stop_sequence").raw("null")
}

// anthropicUsage states input without what the cache read and wrote.
func (o *out) anthropicUsage(u *schemas.Usage) {
	cached := u.CacheReadTokens + u.CacheWriteTokens
	o.open('{')
	o.count("input_tokens", u.InputTokens-min(u.InputTokens, cached))
	o.count("cache_creation_input_tokens", u.CacheWriteTokens)
	o.count("cache_read_input_tokens", u.CacheReadTokens)
	if u.CacheWriteTokens > 0 {
		o.key("cache_creation").open('{')
		o.count("ephemeral_5m_input_tokens", u.CacheWriteTokens-min(u.CacheWriteTokens, u.CacheWrite1hTokens))
		o.count("ephemeral_1h_input_tokens", u.CacheWrite1hTokens)
		o.shut('}')
	}
	o.count("output_tokens", u.OutputTokens)
	if u.ReasoningTokens > 0 {
		o.key("output_tokens_details").open('{')
		o.count("thinking_tokens", u.ReasoningTokens)
		o.shut('}')
	}
	o.shut('}')
}

func geminiAnswer(body []byte) (*answer, error) {
	doc := gjson.ParseBytes(body)
	a := &answer{id: doc.Get("responseId").Str, model: doc.Get("modelVersion").Str}
	if doc.Get("promptFeedback.blockReason").Exists() && !doc.Get("candidates.0").Exists() {
		a.stop = byFilter
		return a, nil
	}
	candidates := doc.Get("candidates").Array()
	if len(candidates) != 1 {
		return nil, bad("want one candidate, got %d", len(candidates))
	}
	for _, p := range candidates[0].Get("content.parts").Array() {
		b, ok, err := geminiSpoken(p)
		if err != nil {
			return nil, err
		}
		if ok {
			a.blocks = append(a.blocks, b)
		}
	}
	var err error
	a.stop, err = geminiStop(candidates[0].Get("finishReason").Str, a.calls())
	return a, err
}

// geminiSpoken reads a part of an answer; ok is false for thoughts, which
// nobody asked for.
func geminiSpoken(p gjson.Result) (b block, ok bool, err error) {
	if p.Get("thought").Bool() {
		return b, false, nil
	}
	if t := p.Get("text"); t.Type == gjson.String {
		return block{text: t.Raw}, t.Str != "", nil
	}
	if c := p.Get("functionCall"); c.IsObject() {
		b = block{kind: call, id: c.Get("id").Str, tool: c.Get("name").Str, input: c.Get("args").Raw}
		if b.input == "" {
			b.input = "{}"
		}
		if b.tool != "" && b.input[0] == '{' {
			return b, true, nil
		}
	}
	return b, false, bad("a part of a kind that nobody asked for")
}

func geminiStop(reason string, calls bool) (string, error) {
	switch reason {
	case "STOP":
		if calls {
			return forTools, nil
		}
		return stopped, nil
	case "MAX_TOKENS":
		return atLength, nil
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII":
		return byFilter, nil
	}
	return "", bad("no finish reason that is known")
}

func sayGemini(a *answer, _ *Back) []byte {
	o := &out{}
	o.geminiChunk(a.id, a.model, a.blocks, stopWords[a.stop].gemini, &a.usage)
	return o.b
}

// geminiChunk writes a whole answer, or one event of a stream.
func (o *out) geminiChunk(id, model string, blocks []block, stop string, u *schemas.Usage) {
	o.open('{')
	o.key("candidates").open('[')
	o.open('{')
	o.key("content").open('{')
	o.key("parts").open('[')
	for i := range blocks {
		b := &blocks[i]
		if b.kind == call {
			_ = o.geminiPart(&block{kind: call, id: b.id, tool: b.tool, input: compact(b.input)}, nil) // fails for media and results only
		} else {
			o.geminiText(b.text)
		}
	}
	o.shut(']')
	o.pair("role", "model")
	o.shut('}')
	if stop != "" {
		o.pair("finishReason", stop)
	}
	o.key("index").raw("0")
	o.shut('}')
	o.shut(']')
	if u != nil {
		o.key("usageMetadata").geminiUsage(u)
	}
	o.pair("modelVersion", model)
	o.pair("responseId", id)
	o.shut('}')
}

func (o *out) geminiUsage(u *schemas.Usage) {
	o.open('{')
	o.count("promptTokenCount", u.InputTokens)
	o.count("candidatesTokenCount", u.OutputTokens-min(u.OutputTokens, u.ReasoningTokens))
	o.count("totalTokenCount", u.InputTokens+u.OutputTokens)
	if u.CacheReadTokens > 0 {
		o.count("cachedContentTokenCount", u.CacheReadTokens)
	}
	if u.ReasoningTokens > 0 {
		o.count("thoughtsTokenCount", u.ReasoningTokens)
	}
	o.shut('}')
}

const faultyKind = "upstream_error"

// readFault is what an error of one dialect says, for another.
func readFault(v gjson.Result) dialect.Fault {
	f := dialect.Fault{Status: 502, Kind: faultyKind, Message: "gnomon: the provider reported an error in the middle of the answer"}
	kind := v.Get("type").Str
	if kind == "" {
		kind = v.Get("status").Str
	}
	switch kind {
	case "overloaded_error", "UNAVAILABLE", "server_overloaded":
		f.Status = 503
	case "rate_limit_error", "RESOURCE_EXHAUSTED", "rate_limit_exceeded":
		f.Status = 429
	case "timeout_error", "DEADLINE_EXCEEDED":
		f.Status = 504
	}
	if m := v.Get("message"); m.Type == gjson.String && m.Str != "" {
		f.Message = m.Str
	}
	return f
}
