package rehearsal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// ErrAnswer says that a body is no answer of its dialect.
var ErrAnswer = errors.New("not an answer that can be read")

// ToolCall is one call that an answer asks for.
type ToolCall struct {
	Name string
	Args string // JSON as the model wrote it
}

// Answer is what graders look at.
type Answer struct {
	Text      string
	Calls     []ToolCall
	Choices   int // answers given; graders look at single ones only
	Finish    string
	Refused   bool
	Truncated bool // the model ran into a ceiling, or the stream broke off
	Model     string
	Usage     schemas.Usage
	HasUsage  bool
}

// ReadAnswer reads the body of an answer: a JSON object, or the bytes of an
// event stream. An error stated in it makes it fail. What was used and why it
// ended is read by the dialect; here is what was said.
func ReadAnswer(name string, body []byte) (Answer, error) {
	read := dialect.Named(name).Read(body)
	if read.Failed {
		return Answer{}, fmt.Errorf("%w: it is an error: %s", ErrAnswer, read.ErrorType)
	}
	a := Answer{Model: read.Model, Usage: read.Usage, HasUsage: read.HasUsage, Finish: read.FinishReason}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	stream := len(trimmed) > 0 && trimmed[0] != '{'
	var pieces pieces
	switch {
	case !stream && !gjson.ValidBytes(trimmed):
		return Answer{}, fmt.Errorf("%w: no JSON", ErrAnswer)
	case name == dialect.OpenAIChat && stream:
		eachEvent(trimmed, pieces.openAI)
		a.Truncated = a.Finish == ""
	case name == dialect.OpenAIChat:
		pieces.openAIBody(gjson.ParseBytes(trimmed))
	case name == dialect.AnthropicMessages && stream:
		eachEvent(trimmed, pieces.anthropic)
		a.Truncated = !read.Done
	case name == dialect.AnthropicMessages:
		pieces.anthropicBody(gjson.ParseBytes(trimmed))
	default:
		return Answer{}, fmt.Errorf("%w: dialect %q", ErrAnswer, name)
	}
	if pieces.choices == 0 {
		return Answer{}, fmt.Errorf("%w: it says nothing", ErrAnswer)
	}
	a.Text, a.Calls, a.Choices = pieces.text.String(), pieces.whole(), pieces.choices
	switch a.Finish {
	case "length", "max_tokens", "model_context_window_exceeded":
		a.Truncated = true
	case "content_filter", "refusal":
		a.Refused = true
	}
	a.Refused = a.Refused || pieces.refused
	return a, nil
}

// pieces gathers what an answer says.
type pieces struct {
	text    strings.Builder
	calls   []streamedCall
	choices int
	refused bool
}

type streamedCall struct {
	index int64
	call  ToolCall
}

func (p *pieces) openAIBody(doc gjson.Result) {
	choices := doc.Get("choices").Array()
	p.choices = len(choices)
	if len(choices) > 0 {
		p.message(choices[0].Get("message"))
	}
}

func (p *pieces) openAI(doc gjson.Result) {
	for _, c := range doc.Get("choices").Array() {
		p.choices = max(p.choices, int(c.Get("index").Int())+1)
		if c.Get("index").Int() == 0 {
			p.message(c.Get("delta"))
		}
	}
}

// message reads a message, or a delta of one: its calls come in pieces by index.
func (p *pieces) message(m gjson.Result) {
	p.text.WriteString(m.Get("content").String())
	p.refused = p.refused || m.Get("refusal").String() != ""
	for n, t := range m.Get("tool_calls").Array() {
		index := int64(n)
		if i := t.Get("index"); i.Exists() {
			index = i.Int()
		}
		p.add(index, t.Get("function.name").String(), t.Get("function.arguments").String())
	}
}

func (p *pieces) anthropicBody(doc gjson.Result) {
	if doc.Get("type").String() != "message" {
		return
	}
	p.choices = 1
	for n, block := range doc.Get("content").Array() {
		switch block.Get("type").String() {
		case "text":
			p.text.WriteString(block.Get("text").String())
		case "tool_use":
			p.add(int64(n), block.Get("name").String(), block.Get("input").Raw)
		}
	}
}

func (p *pieces) anthropic(doc gjson.Result) {
	switch doc.Get("type").String() {
	case "message_start":
		p.choices = 1
	case "content_block_start":
		if doc.Get("content_block.type").String() == "tool_use" {
			p.add(doc.Get("index").Int(), doc.Get("content_block.name").String(), "")
		}
	case "content_block_delta":
		p.text.WriteString(doc.Get("delta.text").String())
		if args := doc.Get("delta.partial_json"); args.Exists() {
			p.add(doc.Get("index").Int(), "", args.String())
		}
	}
}

func (p *pieces) add(index int64, name, args string) {
	for i := range p.calls {
		if p.calls[i].index == index {
			p.calls[i].call.Name += name
			p.calls[i].call.Args += args
			return
		}
	}
	p.calls = append(p.calls, streamedCall{index, ToolCall{name, args}})
}

func (p *pieces) whole() []ToolCall {
	var out []ToolCall
	for _, c := range p.calls {
		if c.call.Args == "" {
			c.call.Args = "{}" // a call without arguments streams none
		}
		out = append(out, c.call)
	}
	return out
}

// eachEvent calls fn with the data of every event that is a JSON object.
func eachEvent(body []byte, fn func(gjson.Result)) {
	s := dialect.Scanner{Max: len(body), Emit: func(_, data []byte) {
		if len(data) > 0 && data[0] == '{' && gjson.ValidBytes(data) {
			fn(gjson.ParseBytes(data))
		}
	}}
	_, _ = s.Write(body)
	s.Close()
}
