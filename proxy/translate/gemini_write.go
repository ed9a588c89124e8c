package translate

import (
	"net/url"
)

const geminiStops = 5

func writeGemini(r *request, to Target) (Said, error) {
	switch {
	case r.serial:
		return Said{}, refuse("parallel_tools")
	case len(r.stops) > geminiStops:
		return Said{}, refuse("stop_sequences")
	}
	o := &out{make([]byte, 0, r.size+r.size/8+512)}
	names := r.names()
	o.open('{')
	if len(r.system) > 0 {
		o.key("systemInstruction").open('{')
		o.key("parts").open('[')
		for _, b := range r.system {
			o.geminiText(b.text)
		}
		o.shut(']')
		o.shut('}')
	}
	o.key("contents").open('[')
	for i := range r.turns {
		if err := o.geminiTurn(&r.turns[i], names); err != nil {
			return Said{}, err
		}
	}
	o.shut(']')
	if err := o.geminiTools(r); err != nil {
		return Said{}, err
	}
	o.geminiSettings(r)
	o.shut('}')
	said := Said{Path: "/v1beta/models/" + url.PathEscape(to.Model) + ":generateContent", Body: o.b}
	if r.stream {
		said.Path, said.Query = "/v1beta/models/"+url.PathEscape(to.Model)+":streamGenerateContent", "?alt=sse"
	}
	return said, nil
}

func (o *out) geminiText(lit string) {
	o.open('{')
	o.key("text").raw(lit)
	o.shut('}')
}

func (o *out) geminiTurn(t *turn, names map[string]string) error {
	if len(t.blocks) == 0 {
		return refuse("empty_turn")
	}
	o.open('{')
	if t.assistant {
		o.pair("role", "model")
	} else {
		o.pair("role", "user")
		if _, _, err := t.split(); err != nil {
			return err
		}
	}
	o.key("parts").open('[')
	for i := range t.blocks {
		if err := o.geminiPart(&t.blocks[i], names); err != nil {
			return err
		}
	}
	o.shut(']')
	o.shut('}')
	return nil
}

func (o *out) geminiPart(b *block, names map[string]string) error {
	switch b.kind {
	case media:
		if b.data == "" || !images[b.mime] && b.mime != pdf || b.mime == "image/gif" {
			return refuse(refusedMedia) // an address is not fetched there
		}
		o.open('{')
		o.key("inlineData").open('{')
		o.pair("mimeType", b.mime)
		o.pair("data", b.data)
		o.shut('}')
		o.shut('}')
	case call:
		o.open('{')
		o.key("functionCall").open('{')
		o.pair("id", b.id)
		o.pair("name", b.tool)
		o.key("args").raw(b.input)
		o.shut('}')
		o.shut('}')
	case result:
		return o.geminiResult(b, names[b.id])
	default:
		o.geminiText(b.text)
	}
	return nil
}

func (o *out) geminiResult(b *block, name string) error {
	if name == "" {
		return refuse(refusedArguments) // of a call that the conversation does not hold
	}
	lit := `""`
	switch {
	case len(b.content) > 1:
		return refuse("tool_parts")
	case !texts(b.content):
		return refuse("tool_media")
	case len(b.content) == 1:
		lit = b.content[0].text
	}
	o.open('{')
	o.key("functionResponse").open('{')
	o.pair("id", b.id)
	o.pair("name", name)
	o.key("response").open('{')
	if b.failed {
		o.key("error").raw(lit)
	} else {
		o.key("output").raw(lit)
	}
	o.shut('}')
	o.shut('}')
	o.shut('}')
	return nil
}

func (o *out) geminiTools(r *request) error {
	if len(r.tools) == 0 {
		return only(r.choice.mode == "" || r.choice.mode == "auto", refusedToolChoice)
	}
	o.key("tools").open('[')
	o.open('{')
	o.key("functionDeclarations").open('[')
	for i := range r.tools {
		t := &r.tools[i]
		if t.strict {
			return refuse(refusedSchema)
		}
		o.open('{')
		o.pair("name", t.name)
		o.optional("description", t.description)
		o.optional("parametersJsonSchema", t.schema)
		o.shut('}')
	}
	o.shut(']')
	o.shut('}')
	o.shut(']')
	mode, ok := map[string]string{"": "", "auto": "AUTO", "none": "NONE", "any": "ANY", "tool": "ANY"}[r.choice.mode]
	if mode == "" {
		return only(ok, refusedToolChoice)
	}
	o.key("toolConfig").open('{')
	o.key("functionCallingConfig").open('{')
	o.pair("mode", mode)
	if r.choice.mode == "tool" {
		o.key("allowedFunctionNames").open('[')
		for _, n := range r.choice.tools {
			o.str(n)
		}
		o.shut(']')
	}
	o.shut('}')
	o.shut('}')
	return nil
}

func (o *out) geminiSettings(r *request) {
	before := len(o.b)
	o.key("generationConfig").open('{')
	empty := len(o.b)
	o.optional("maxOutputTokens", r.maxTokens)
	o.optional("temperature", r.temperature)
	o.optional("topP", r.topP)
	o.optional("topK", r.topK)
	o.optional("seed", r.seed)
	o.optional("presencePenalty", r.presence)
	o.optional("frequencyPenalty", r.frequency)
	if len(r.stops) > 0 {
		o.key("stopSequences").list(r.stops)
	}
	if r.format.kind != "" {
		o.pair("responseMimeType", "application/json")
		o.optional("responseJsonSchema", r.format.schema)
	}
	if len(o.b) == empty {
		o.b = o.b[:before]
		return
	}
	o.shut('}')
}
