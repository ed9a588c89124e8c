package rehearsal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The dialects whose answers can be read, as classifier.Inputs names them.
const (
	dialectOpenAI    = "openai.chat"
	dialectAnthropic = "anthropic.messages"
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
// event stream. An error inside a stream makes it fail.
func ReadAnswer(dialect string, body []byte) (Answer, error) {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	stream := len(trimmed) > 0 && trimmed[0] != '{'
	if !stream && !gjson.ValidBytes(trimmed) {
		return Answer{}, fmt.Errorf("%w: no JSON", ErrAnswer)
	}
	switch dialect {
	case dialectOpenAI:
		if stream {
			return readOpenAIStream(trimmed)
		}
		return readOpenAI(gjson.ParseBytes(trimmed))
	case dialectAnthropic:
		if stream {
			return readAnthropicStream(trimmed)
		}
		return readAnthropic(gjson.ParseBytes(trimmed))
	}
	return Answer{}, fmt.Errorf("%w: dialect %q", ErrAnswer, dialect)
}

func readOpenAI(doc gjson.Result) (Answer, error) {
	choices := doc.Get("choices").Array()
	if len(choices) == 0 {
		return Answer{}, fmt.Errorf("%w: no choices", ErrAnswer)
	}
	a := Answer{Choices: len(choices), Model: doc.Get("model").String()}
	c := choices[0]
	a.Text = c.Get("message.content").String()
	for _, t := range c.Get("message.tool_calls").Array() {
		a.Calls = append(a.Calls, ToolCall{t.Get("function.name").String(), t.Get("function.arguments").String()})
	}
	a.finishOpenAI(c.Get("finish_reason").String(), c.Get("message.refusal").String())
	a.usageOpenAI(doc.Get("usage"))
	return a, nil
}

func (a *Answer) finishOpenAI(finish, refusal string) {
	a.Finish = finish
	a.Truncated = finish == "length"
	a.Refused = finish == "content_filter" || refusal != ""
}

func (a *Answer) usageOpenAI(u gjson.Result) {
	if !u.IsObject() {
		return
	}
	a.HasUsage = true
	a.Usage = schemas.Usage{
		InputTokens:       count(u, "prompt_tokens"),
		CacheReadTokens:   count(u, "prompt_tokens_details.cached_tokens"),
		CacheWriteTokens:  count(u, "prompt_tokens_details.cache_write_tokens"),
		AudioInputTokens:  count(u, "prompt_tokens_details.audio_tokens"),
		OutputTokens:      count(u, "completion_tokens"),
		ReasoningTokens:   count(u, "completion_tokens_details.reasoning_tokens"),
		AudioOutputTokens: count(u, "completion_tokens_details.audio_tokens"),
	}
}

// readOpenAIStream puts the pieces of a stream together. A stream without a
// finish reason was broken off.
func readOpenAIStream(body []byte) (Answer, error) {
	var a Answer
	var text, refusal strings.Builder
	var calls []streamedCall
	finish, seen := "", false
	err := eachData(body, func(data gjson.Result) error {
		if e := data.Get("error"); e.Exists() && e.Type != gjson.Null {
			return fmt.Errorf("%w: error in the stream: %s", ErrAnswer, e.Get("type").String())
		}
		seen = true
		if m := data.Get("model").String(); m != "" {
			a.Model = m
		}
		a.usageOpenAI(data.Get("usage"))
		for _, c := range data.Get("choices").Array() {
			a.Choices = max(a.Choices, int(c.Get("index").Int())+1)
			if c.Get("index").Int() != 0 {
				continue
			}
			text.WriteString(c.Get("delta.content").String())
			refusal.WriteString(c.Get("delta.refusal").String())
			for _, t := range c.Get("delta.tool_calls").Array() {
				calls = addPiece(calls, t.Get("index").Int(), t.Get("function.name").String(), t.Get("function.arguments").String())
			}
			if f := c.Get("finish_reason").String(); f != "" {
				finish = f
			}
		}
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	if !seen {
		return Answer{}, fmt.Errorf("%w: no events", ErrAnswer)
	}
	a.Text = text.String()
	a.Calls = whole(calls)
	a.finishOpenAI(finish, refusal.String())
	a.Truncated = a.Truncated || finish == ""
	return a, nil
}

func readAnthropic(doc gjson.Result) (Answer, error) {
	if doc.Get("type").String() != "message" {
		return Answer{}, fmt.Errorf("%w: type %q", ErrAnswer, doc.Get("type").String())
	}
	a := Answer{Choices: 1, Model: doc.Get("model").String()}
	for _, block := range doc.Get("content").Array() {
		switch block.Get("type").String() {
		case "text":
			a.Text += block.Get("text").String()
		case "tool_use":
			a.Calls = append(a.Calls, ToolCall{block.Get("name").String(), block.Get("input").Raw})
		}
	}
	a.finishAnthropic(doc.Get("stop_reason").String())
	a.usageAnthropic(doc.Get("usage"))
	return a, nil
}

func (a *Answer) finishAnthropic(finish string) {
	a.Finish = finish
	a.Truncated = finish == "max_tokens" || finish == "model_context_window_exceeded"
	a.Refused = finish == "refusal"
}

// usageAnthropic replaces what it finds: counts in a stream are cumulative, and
// later ones win. Input is normalised to include what the cache read and wrote.
func (a *Answer) usageAnthropic(u gjson.Result) {
	if !u.IsObject() {
		return
	}
	a.HasUsage = true
	if u.Get("input_tokens").Exists() {
		read, write := count(u, "cache_read_input_tokens"), count(u, "cache_creation_input_tokens")
		a.Usage.CacheReadTokens, a.Usage.CacheWriteTokens = read, write
		a.Usage.CacheWrite1hTokens = count(u, "cache_creation.ephemeral_1h_input_tokens")
		a.Usage.InputTokens = count(u, "input_tokens") + read + write
	}
	if u.Get("output_tokens").Exists() {
		a.Usage.OutputTokens = count(u, "output_tokens")
	}
}

func readAnthropicStream(body []byte) (Answer, error) {
	a := Answer{Choices: 1}
	var text strings.Builder
	var calls []streamedCall
	finish, ended := "", false
	err := eachData(body, func(data gjson.Result) error {
		switch data.Get("type").String() {
		case "error":
			return fmt.Errorf("%w: error in the stream: %s", ErrAnswer, data.Get("error.type").String())
		case "message_start":
			a.Model = data.Get("message.model").String()
			a.usageAnthropic(data.Get("message.usage"))
		case "content_block_start":
			if data.Get("content_block.type").String() == "tool_use" {
				calls = addPiece(calls, data.Get("index").Int(), data.Get("content_block.name").String(), "")
			}
		case "content_block_delta":
			text.WriteString(data.Get("delta.text").String())
			if p := data.Get("delta.partial_json"); p.Exists() {
				calls = addPiece(calls, data.Get("index").Int(), "", p.String())
			}
		case "message_delta":
			if f := data.Get("delta.stop_reason").String(); f != "" {
				finish = f
			}
			a.usageAnthropic(data.Get("usage"))
		case "message_stop":
			ended = true
		}
		return nil
	})
	if err != nil {
		return Answer{}, err
	}
	if a.Model == "" {
		return Answer{}, fmt.Errorf("%w: no message_start", ErrAnswer)
	}
	a.Text = text.String()
	a.Calls = whole(calls)
	a.finishAnthropic(finish)
	a.Truncated = a.Truncated || !ended
	return a, nil
}

// eachData calls fn with every JSON data line of an event stream.
func eachData(body []byte, fn func(gjson.Result) error) error {
	for line := range bytes.Lines(body) {
		data, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), []byte("data:"))
		data = bytes.TrimSpace(data)
		if !ok || len(data) == 0 || data[0] != '{' || !gjson.ValidBytes(data) {
			continue
		}
		if err := fn(gjson.ParseBytes(data)); err != nil {
			return err
		}
	}
	return nil
}

type streamedCall struct {
	index int64
	call  ToolCall
}

func addPiece(calls []streamedCall, index int64, name, args string) []streamedCall {
	for i := range calls {
		if calls[i].index == index {
			calls[i].call.Name += name
			calls[i].call.Args += args
			return calls
		}
	}
	return append(calls, streamedCall{index, ToolCall{name, args}})
}

func whole(calls []streamedCall) []ToolCall {
	var out []ToolCall
	for _, c := range calls {
		if c.call.Args == "" {
			c.call.Args = "{}" // a call without arguments streams none
		}
		out = append(out, c.call)
	}
	return out
}

func count(u gjson.Result, path string) uint32 {
	n := u.Get(path).Int()
	if n < 0 || n > 1<<31 {
		return 0
	}
	return uint32(n)
}
