package translate

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// writing is what the sinks share.
type writing struct{ *emitter }

func (w *writing) into(e *emitter) { w.emitter = e }

// faultIn is an error in the shape of a family.
func faultIn(f *dialect.Fault, family string) *out {
	_, body := f.Body(family)
	return &out{body}
}

type openAISink struct {
	writing
	back      *Back
	id, model string
	calls     int
}

func newOpenAISink(b *Back) sink { return &openAISink{back: b} }

// chunk sends one; body writes its delta.
func (s *openAISink) chunk(finish string, delta func(o *out)) {
	o := &out{}
	s.open(o)
	o.key("choices").open('[')
	o.open('{')
	o.key("index").raw("0")
	o.key("delta").open('{')
	if delta != nil {
		delta(o)
	}
	o.shut('}')
	o.key("logprobs").raw("null")
	if o.key("finish_reason"); finish == "" {
		o.raw("null")
	} else {
		o.str(finish)
	}
	o.shut('}')
	o.shut(']')
	if s.back.Usage {
		o.key("usage").raw("null")
	}
	o.shut('}')
	s.data("", o)
}

func (s *openAISink) open(o *out) {
	o.open('{')
	o.pair("id", s.id)
	o.pair("object", "chat.completion.chunk")
	o.key("created").raw(strconv.FormatInt(s.back.Created, 10))
	o.pair("model", s.model)
}

func (s *openAISink) start(id, model string) {
	s.id, s.model = id, model
	s.chunk("", func(o *out) {
		o.pair("role", "assistant")
		o.pair("content", "")
	})
}

func (s *openAISink) text(lit string) {
	s.chunk("", func(o *out) { o.key("content").raw(lit) })
}

func (s *openAISink) refusal(lit string) {
	s.chunk("", func(o *out) { o.key("refusal").raw(lit) })
}

func (s *openAISink) tool(rest func(o *out)) {
	s.chunk("", func(o *out) {
		o.key("tool_calls").open('[')
		o.open('{')
		o.key("index").raw(strconv.Itoa(s.calls - 1))
		rest(o)
		o.shut('}')
		o.shut(']')
	})
}

func (s *openAISink) call(id, name string) {
	s.calls++
	s.tool(func(o *out) {
		o.pair("id", id)
		o.pair("type", "function")
		o.key("function").open('{')
		o.pair("name", name)
		o.pair("arguments", "")
		o.shut('}')
	})
}

func (s *openAISink) args(lit string) {
	s.tool(func(o *out) {
		o.key("function").open('{')
		o.key("arguments").raw(lit)
		o.shut('}')
	})
}

func (s *openAISink) stop(stop, _ string) { s.chunk(stop, nil) }

func (s *openAISink) end(u *schemas.Usage) {
	if s.back.Usage {
		o := &out{}
		s.open(o)
		o.key("choices").raw("[]")
		o.key("usage").openAIUsage(u)
		o.shut('}')
		s.data("", o)
	}
	s.dst = append(s.dst, "data: [DONE]\n\n"...)
}

func (s *openAISink) fault(f *dialect.Fault) { s.data("", faultIn(f, dialect.FamilyOpenAI)) }

type anthropicSink struct {
	writing
	block    int
	open     kind // of the open block: text or call
	isOpen   bool
	why, seq string
}

func newAnthropicSink(*Back) sink { return &anthropicSink{} }

func (s *anthropicSink) start(id, model string) {
	o := &out{}
	o.open('{')
	o.pair("type", "message_start")
	o.key("message").open('{')
	o.pair("id", id)
	o.pair("type", "message")
	o.pair("role", "assistant")
	o.pair("model", model)
	o.key("content").raw("[]")
	o.key("stop_reason").raw("null")
	o.key("stop_sequence").raw("null")
	o.key("usage").raw(`{"input_tokens":0,"output_tokens":0}`) // told at the end: message_delta's counts win
	o.shut('}')
	o.shut('}')
	s.data("message_start", o)
}

// begin opens a block, which ends the one before.
func (s *anthropicSink) begin(k kind, content func(o *out)) {
	s.shut()
	o := &out{}
	o.open('{')
	o.pair("type", "content_block_start")
	o.key("index").raw(strconv.Itoa(s.block))
	o.key("content_block").open('{')
	content(o)
	o.shut('}')
	o.shut('}')
	s.data("content_block_start", o)
	s.open, s.isOpen = k, true
}

func (s *anthropicSink) shut() {
	if !s.isOpen {
		return
	}
	o := &out{}
	o.open('{')
	o.pair("type", "content_block_stop")
	o.key("index").raw(strconv.Itoa(s.block))
	o.shut('}')
	s.data("content_block_stop", o)
	s.isOpen = false
	s.block++
}

func (s *anthropicSink) delta(kind, member, lit string) {
	o := &out{}
	o.open('{')
	o.pair("type", "content_block_delta")
	o.key("index").raw(strconv.Itoa(s.block))
	o.key("delta").open('{')
	o.pair("type", kind)
	o.key(member).raw(lit)
	o.shut('}')
	o.shut('}')
	s.data("content_block_delta", o)
}

func (s *anthropicSink) text(lit string) {
	if !s.isOpen || s.open != text {
		s.begin(text, func(o *out) {
			o.pair("type", "text")
			o.pair("text", "")
		})
	}
	s.delta("text_delta", "text", lit)
}

func (s *anthropicSink) refusal(lit string) { s.text(lit) }

func (s *anthropicSink) call(id, name string) {
	s.begin(call, func(o *out) {
		o.pair("type", "tool_use")
		o.pair("id", id)
		o.pair("name", name)
		o.key("input").raw("{}")
	})
}

func (s *anthropicSink) args(lit string) { s.delta("input_json_delta", "partial_json", lit) }

func (s *anthropicSink) stop(stop, seq string) {
	s.shut()
	s.why, s.seq = stop, seq // said with the usage, which is yet to come
}

func (s *anthropicSink) end(u *schemas.Usage) {
	o := &out{}
	o.open('{')
	o.pair("type", "message_delta")
	o.key("delta").open('{')
	o.anthropicStop(s.why, s.seq)
	o.shut('}')
	o.key("usage").anthropicUsage(u)
	o.shut('}')
	s.data("message_delta", o)
	s.data("message_stop", &out{[]byte(`{"type":"message_stop"}`)})
}

func (s *anthropicSink) fault(f *dialect.Fault) { s.data("error", faultIn(f, dialect.FamilyAnthropic)) }

// geminiSink sends a tool call once it is whole.
type geminiSink struct {
	writing
	id, model string
	pending   *block
	pieces    strings.Builder // of its arguments: the insides of literals
	why       string
}

func newGeminiSink(*Back) sink { return &geminiSink{} }

func (s *geminiSink) start(id, model string) { s.id, s.model = id, model }

func (s *geminiSink) chunk(blocks []block, stop string, u *schemas.Usage) {
	o := &out{}
	o.geminiChunk(s.id, s.model, blocks, stop, u)
	s.data("", o)
}

// settle sends the call that is pending.
func (s *geminiSink) settle() {
	if s.pending == nil {
		return
	}
	var ok bool
	b := *s.pending
	s.pending = nil
	if b.input, ok = object(gjson.Parse(`"` + s.pieces.String() + `"`).Str); !ok {
		s.err = bad("a tool call whose arguments are no object")
		return
	}
	s.chunk([]block{b}, "", nil)
}

func (s *geminiSink) text(lit string) {
	s.settle()
	s.chunk([]block{{text: lit}}, "", nil)
}

func (s *geminiSink) refusal(lit string) { s.text(lit) }

func (s *geminiSink) call(id, name string) {
	s.settle()
	s.pieces.Reset()
	s.pending = &block{kind: call, id: id, tool: name}
}

func (s *geminiSink) args(lit string) { s.pieces.WriteString(lit[1 : len(lit)-1]) }

func (s *geminiSink) stop(stop, _ string) {
	s.settle()
	s.why = stopWords[stop].gemini
}

func (s *geminiSink) end(u *schemas.Usage) { s.chunk(nil, s.why, u) }

func (s *geminiSink) fault(f *dialect.Fault) { s.data("", faultIn(f, dialect.FamilyGemini)) }
