package translate

import (
	"slices"
	"strconv"
)

// defaultMaxOutput is asked for where neither client nor model says more; every
// model of Anthropic's gives as much.
const defaultMaxOutput = 4096

func writeAnthropic(r *request, to Target) (Said, error) {
	switch {
	case !atMost(r.temperature, 1):
		return Said{}, refuse("temperature")
	case r.seed != "" || !zero(r.presence) || !zero(r.frequency):
		return Said{}, refuse(refusedSampling)
	case r.format.kind == "json":
		return Said{}, refuse("json_mode")
	case len(r.tools) == 0 && r.uses():
		return Said{}, refuse("tools_missing") // Anthropic wants to know the tools that were used
	case slices.ContainsFunc(r.stops, blank):
		return Said{}, refuse("stop_sequences")
	}
	o := &out{make([]byte, 0, r.size+r.size/8+512)}
	o.open('{')
	o.pair("model", to.Model)
	if o.key("max_tokens"); r.maxTokens != "" {
		o.raw(r.maxTokens)
	} else {
		ceiling := uint64(to.MaxOutput)
		if ceiling == 0 {
			ceiling = defaultMaxOutput
		}
		o.raw(strconv.FormatUint(ceiling, 10))
	}
	if err := o.anthropicSystem(r.system); err != nil {
		return Said{}, err
	}
	o.key("messages").open('[')
	for i := range r.turns {
		if err := o.anthropicTurn(&r.turns[i]); err != nil {
			return Said{}, err
		}
	}
	o.shut(']')
	if err := o.anthropicTools(r); err != nil {
		return Said{}, err
	}
	if r.format.kind == "schema" {
		if r.format.schema == "" {
			return Said{}, refuse(refusedSchema)
		}
		o.key("output_config").raw(`{"format":{"type":"json_schema","schema":` + r.format.schema + `}}`)
	}
	o.optional("temperature", r.temperature)
	o.optional("top_p", r.topP)
	o.optional("top_k", r.topK)
	if len(r.stops) > 0 {
		o.key("stop_sequences").list(r.stops)
	}
	if r.stream {
		o.key("stream").raw("true")
	}
	o.shut('}')
	return Said{Path: "/v1/messages", Body: o.b}, nil
}

func (o *out) anthropicSystem(blocks []block) error {
	if len(blocks) == 0 {
		return nil
	}
	if slices.ContainsFunc(blocks, func(b block) bool { return blank(b.text) }) {
		return refuse("empty_turn")
	}
	if o.key("system"); len(blocks) == 1 {
		o.raw(blocks[0].text)
		return nil
	}
	return o.anthropicBlocks(blocks)
}

func (o *out) anthropicTurn(t *turn) error {
	o.open('{')
	if t.assistant {
		o.pair("role", "assistant")
	} else {
		o.pair("role", "user")
		if _, _, err := t.split(); err != nil {
			return err
		}
	}
	if o.key("content"); len(t.blocks) == 1 && t.blocks[0].kind == text && !blank(t.blocks[0].text) {
		o.raw(t.blocks[0].text)
	} else if err := o.anthropicBlocks(t.blocks); err != nil {
		return err
	}
	o.shut('}')
	return nil
}

func (o *out) anthropicBlocks(blocks []block) error {
	if len(blocks) == 0 {
		return refuse("empty_turn")
	}
	o.open('[')
	for i := range blocks {
		if err := o.anthropicBlock(&blocks[i]); err != nil {
			return err
		}
	}
	o.shut(']')
	return nil
}

func (o *out) anthropicBlock(b *block) error {
	o.open('{')
	switch b.kind {
	case text:
		if blank(b.text) {
			return refuse("empty_turn") // Anthropic takes no text of white space
		}
		o.pair("type", "text")
		o.key("text").raw(b.text)
	case media:
		if err := o.anthropicMedia(b); err != nil {
			return err
		}
	case call:
		if !plainID(b.id) {
			return refuse("tool_call_id")
		}
		o.pair("type", "tool_use")
		o.pair("id", b.id)
		o.pair("name", b.tool)
		o.key("input").raw(b.input)
	case result:
		if !plainID(b.id) {
			return refuse("tool_call_id")
		}
		o.pair("type", "tool_result")
		o.pair("tool_use_id", b.id)
		if err := o.anthropicResult(b); err != nil {
			return err
		}
	}
	o.shut('}')
	return nil
}

func (o *out) anthropicResult(b *block) error {
	switch {
	case len(b.content) == 0:
	case len(b.content) == 1 && b.content[0].kind == text:
		o.key("content").raw(b.content[0].text)
	default:
		o.key("content")
		if err := o.anthropicBlocks(b.content); err != nil {
			return err
		}
	}
	if b.failed {
		o.key("is_error").raw("true")
	}
	return nil
}

// plainID: Anthropic takes ids of letters, digits, _ and - only.
func plainID(id string) bool {
	for i := range len(id) {
		switch c := id[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return id != ""
}

func (o *out) anthropicMedia(b *block) error {
	switch {
	case b.mime == pdf && b.data != "":
		o.pair("type", "document")
		if b.name != "" {
			o.pair("title", b.name)
		}
	case b.mime == "" && b.url != "" || images[b.mime] && b.data != "":
		o.pair("type", "image")
	default:
		return refuse(refusedMedia)
	}
	o.key("source").open('{')
	if b.data != "" {
		o.pair("type", "base64")
		o.pair("media_type", b.mime)
		o.pair("data", b.data)
	} else {
		o.pair("type", "url")
		o.pair("url", b.url)
	}
	o.shut('}')
	return nil
}

func (o *out) anthropicTools(r *request) error {
	if len(r.tools) == 0 {
		return only(r.choice.mode == "" || r.choice.mode == "auto", refusedToolChoice)
	}
	o.key("tools").open('[')
	for i := range r.tools {
		t := &r.tools[i]
		o.open('{')
		o.pair("name", t.name)
		o.optional("description", t.description)
		if o.key("input_schema"); t.schema != "" {
			o.raw(t.schema)
		} else {
			o.raw(`{"type":"object","properties":{}}`)
		}
		if t.strict {
			o.key("strict").raw("true")
		}
		o.shut('}')
	}
	o.shut(']')
	mode := r.choice.mode
	if mode == "" {
		if !r.serial {
			return nil
		}
		mode = "auto"
	}
	o.key("tool_choice").open('{')
	o.pair("type", mode)
	if mode == "tool" {
		if len(r.choice.tools) != 1 {
			return refuse(refusedToolChoice)
		}
		o.pair("name", r.choice.tools[0])
	}
	if r.serial && mode != "none" {
		o.key("disable_parallel_tool_use").raw("true")
	}
	o.shut('}')
	return nil
}
