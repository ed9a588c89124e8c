package translate

import (
	"strings"

	"github.com/tidwall/gjson"
)

// The bounds of OpenAI's that a request of another dialect may exceed.
const (
	openAIStops  = 4
	openAICallID = 40 // characters
)

func writeOpenAI(r *request, to Target) (Said, error) {
	switch {
	case r.topK != "":
		return Said{}, refuse(refusedSampling)
	case len(r.stops) > openAIStops:
		return Said{}, refuse("stop_sequences")
	}
	o := &out{make([]byte, 0, r.size+r.size/8+512)}
	o.open('{')
	o.pair("model", to.Model)
	o.key("messages").open('[')
	if len(r.system) > 0 {
		o.open('{')
		o.pair("role", "system")
		o.key("content").openAIContent(r.system)
		o.shut('}')
	}
	for i := range r.turns {
		if err := o.openAITurn(&r.turns[i]); err != nil {
			return Said{}, err
		}
	}
	o.shut(']')
	if err := o.openAITools(r); err != nil {
		return Said{}, err
	}
	if err := o.openAIFormat(&r.format); err != nil {
		return Said{}, err
	}
	if countsThoughts(to.Model) {
		o.optional("max_completion_tokens", r.maxTokens)
	} else {
		o.optional("max_tokens", r.maxTokens) // the word that every compatible host knows
	}
	o.optional("temperature", r.temperature)
	o.optional("top_p", r.topP)
	o.optional("seed", r.seed)
	o.optional("presence_penalty", r.presence)
	o.optional("frequency_penalty", r.frequency)
	if len(r.stops) > 0 {
		o.key("stop").list(r.stops)
	}
	if r.stream {
		o.key("stream").raw("true")
		if to.AskUsage {
			o.key("stream_options").raw(`{"include_usage":true}`)
		}
	}
	o.shut('}')
	return Said{Path: "/v1/chat/completions", Body: o.b}, nil
}

// countsThoughts tells OpenAI's models that take max_completion_tokens only.
func countsThoughts(model string) bool {
	return strings.HasPrefix(model, "gpt-5") || len(model) > 1 && model[0] == 'o' && model[1] >= '1' && model[1] <= '9'
}

func (o *out) list(literals []string) {
	o.open('[')
	for _, l := range literals {
		o.raw(l)
	}
	o.shut(']')
}

func (o *out) openAITurn(t *turn) error {
	if t.assistant {
		return o.openAISpoken(t)
	}
	results, rest, err := t.split()
	if err != nil {
		return err
	}
	for i := range results {
		b := &results[i]
		switch {
		case b.failed:
			return refuse("tool_error")
		case !texts(b.content):
			return refuse("tool_media")
		case len(b.id) > openAICallID:
			return refuse("tool_call_id")
		}
		o.open('{')
		o.pair("role", "tool")
		o.pair("tool_call_id", b.id)
		o.key("content").openAIContent(b.content)
		o.shut('}')
	}
	if len(rest) == 0 {
		return only(len(results) > 0, "empty_turn")
	}
	for i := range rest {
		if b := &rest[i]; b.kind == media && !openAIReads(b) {
			return refuse(refusedMedia)
		}
	}
	o.open('{')
	o.pair("role", "user")
	o.key("content").openAIContent(rest)
	o.shut('}')
	return nil
}

func openAIReads(b *block) bool {
	return b.url != "" && b.mime == "" || b.data != "" && (images[b.mime] || b.mime == pdf)
}

func (o *out) openAISpoken(t *turn) error {
	said, calls, err := t.spoken()
	if err != nil {
		return err
	}
	o.open('{')
	o.pair("role", "assistant")
	if o.key("content"); len(said) > 0 {
		o.openAIContent(said)
	} else {
		o.raw("null")
	}
	if len(calls) > 0 {
		o.key("tool_calls").open('[')
		for i := range calls {
			if len(calls[i].id) > openAICallID {
				return refuse("tool_call_id")
			}
			o.openAICall(&calls[i])
		}
		o.shut(']')
	}
	o.shut('}')
	return nil
}

func (o *out) openAICall(b *block) {
	o.open('{')
	o.pair("id", b.id)
	o.pair("type", "function")
	o.key("function").open('{')
	o.pair("name", b.tool)
	o.pair("arguments", compact(b.input))
	o.shut('}')
	o.shut('}')
}

// openAIContent writes one text as a string, anything else as parts.
func (o *out) openAIContent(blocks []block) {
	switch {
	case len(blocks) == 0:
		o.raw(`""`)
		return
	case len(blocks) == 1 && blocks[0].kind == text:
		o.raw(blocks[0].text)
		return
	}
	o.open('[')
	for i := range blocks {
		o.openAIPart(&blocks[i])
	}
	o.shut(']')
}

func (o *out) openAIPart(b *block) {
	o.open('{')
	switch {
	case b.kind == text:
		o.pair("type", "text")
		o.key("text").raw(b.text)
	case b.mime == pdf:
		o.pair("type", "file")
		o.key("file").open('{')
		name := b.name
		if name == "" {
			name = "document.pdf" // one is required
		}
		o.pair("filename", name)
		o.pair("file_data", "data:"+b.mime+";base64,"+b.data)
		o.shut('}')
	default:
		o.pair("type", "image_url")
		url := b.url
		if b.data != "" {
			url = "data:" + b.mime + ";base64," + b.data
		}
		o.key("image_url").open('{')
		o.pair("url", url)
		o.shut('}')
	}
	o.shut('}')
}

func (o *out) openAITools(r *request) error {
	if len(r.tools) == 0 {
		return only(r.choice.mode == "" || r.choice.mode == "auto", refusedToolChoice)
	}
	o.key("tools").open('[')
	for i := range r.tools {
		t := &r.tools[i]
		if t.strict && !closed(gjson.Parse(t.schema), 0) {
			return refuse(refusedSchema)
		}
		o.open('{')
		o.pair("type", "function")
		o.key("function").open('{')
		o.pair("name", t.name)
		o.optional("description", t.description)
		o.optional("parameters", t.schema)
		if t.strict {
			o.key("strict").raw("true")
		}
		o.shut('}')
		o.shut('}')
	}
	o.shut(']')
	if r.serial {
		o.key("parallel_tool_calls").raw("false")
	}
	switch r.choice.mode {
	case "auto", "none":
		o.pair("tool_choice", r.choice.mode)
	case "any":
		o.pair("tool_choice", "required")
	case "tool":
		if len(r.choice.tools) != 1 {
			return refuse(refusedToolChoice)
		}
		o.key("tool_choice").open('{')
		o.pair("type", "function")
		o.key("function").open('{')
		o.pair("name", r.choice.tools[0])
		o.shut('}')
		o.shut('}')
	}
	return nil
}

func (o *out) openAIFormat(f *format) error {
	switch f.kind {
	case "json":
		o.key("response_format").raw(`{"type":"json_object"}`)
	case "schema":
		if f.strict && !closed(gjson.Parse(f.schema), 0) {
			return refuse(refusedSchema)
		}
		o.key("response_format").open('{')
		o.pair("type", "json_schema")
		o.key("json_schema").open('{')
		name := f.name
		if name == "" {
			name = "answer"
		}
		o.pair("name", name)
		o.optional("schema", f.schema)
		if f.strict {
			o.key("strict").raw("true")
		}
		o.shut('}')
		o.shut('}')
	}
	return nil
}
