package translate

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// geminiReader reads a request; Gemini's calls may go without ids, and are then
// matched with their results by name and order.
type geminiReader struct {
	request
	calls int
	open  []block // calls whose result has not come
}

func readGemini(a Ask) (*request, error) {
	doc, err := parse(a.Body)
	if err != nil {
		return nil, err
	}
	r := &geminiReader{}
	r.size = len(a.Body)
	switch verb := a.Path[strings.LastIndexByte(a.Path, ':')+1:]; {
	case verb == "generateContent":
	case verb == "streamGenerateContent" && asksEvents(a.Query):
		r.stream = true
	default: // a stream that is one growing JSON array
		return nil, refuse("stream_form")
	}
	err = members(doc, func(k string, v gjson.Result) error { return r.member(k, v) })
	if err != nil {
		return nil, err
	}
	return &r.request, r.begun()
}

func asksEvents(query string) bool {
	for pair := range strings.SplitSeq(strings.TrimPrefix(query, "?"), "&") {
		if pair == "alt=sse" {
			return true
		}
	}
	return false
}

func (r *geminiReader) member(k string, v gjson.Result) error {
	switch k {
	case "model", "labels":
		return nil
	case "contents":
		return elements(v, r.content)
	case "systemInstruction":
		t, err := r.turn(v)
		r.system = t.blocks
		return errOr(err, texts(t.blocks), refusedContent)
	case "tools":
		return elements(v, r.tool)
	case "toolConfig":
		return r.config(v)
	case "generationConfig":
		return members(v, r.setting)
	case "cachedContent":
		return refuse(refusedServerState)
	case "safetySettings":
		return only(v.IsArray() && len(v.Array()) == 0, "safety_settings")
	}
	return refuse(refusedUnknown)
}

func (r *geminiReader) setting(k string, v gjson.Result) (err error) {
	switch k {
	case "maxOutputTokens":
		r.maxTokens, err = number(v)
	case "temperature":
		r.temperature, err = number(v)
	case "topP":
		r.topP, err = number(v)
	case "topK":
		r.topK, err = number(v)
	case "seed":
		r.seed, err = number(v)
	case "presencePenalty":
		r.presence, err = number(v)
	case "frequencyPenalty":
		r.frequency, err = number(v)
	case "stopSequences":
		return r.stop(v)
	case "candidateCount":
		return only(v.Raw == "1", refusedChoices)
	case "responseLogprobs":
		return only(v.Type == gjson.False, refusedLogprobs)
	case "responseModalities":
		return only(v.IsArray() && len(v.Array()) == 1 && strings.EqualFold(v.Array()[0].Str, "text"), refusedModalities)
	case "thinkingConfig":
		budget, err := sole(v, "thinkingBudget")
		return errOr(err, budget.Raw == "0", refusedReasoning)
	case "responseMimeType":
		switch {
		case v.Str == "application/json" && r.format.kind == "":
			r.format.kind = "json"
		case v.Str != "application/json":
			return only(v.Str == "text/plain", "response_format")
		}
	case "responseJsonSchema":
		r.format = format{kind: "schema", schema: v.Raw}
	case "responseSchema":
		var o out
		if err = o.plainSchema(v, 0); err == nil {
			r.format = format{kind: "schema", schema: string(o.b)}
		}
	default:
		return refuse(refusedUnknown)
	}
	return err
}

func (r *geminiReader) content(v gjson.Result) error {
	t, err := r.turn(v)
	r.turns = append(r.turns, t)
	return errOr(err, len(t.blocks) > 0, "empty_turn")
}

func (r *geminiReader) turn(v gjson.Result) (t turn, err error) {
	err = members(v, func(k string, v gjson.Result) error {
		switch k {
		case "role":
			t.assistant = v.Str == "model"
			return only(t.assistant || v.Str == "user" || v.Str == "function" || v.Str == "system", refusedRole)
		case "parts":
			return elements(v, func(v gjson.Result) error {
				b, err := r.part(v)
				t.blocks = append(t.blocks, b)
				return err
			})
		}
		return refuse(refusedUnknown)
	})
	for _, b := range t.blocks {
		if err == nil && (b.kind == call) != t.assistant && b.kind != text {
			err = refuse(refusedRole)
		}
	}
	return t, err
}

func (r *geminiReader) part(v gjson.Result) (b block, err error) {
	known := false
	err = members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "text":
			b.text, err = literal(v)
		case "inlineData":
			b.kind, b.mime, b.data = media, v.Get("mimeType").Str, v.Get("data").Str
			err = only(b.mime != "" && b.data != "" && len(v.Map()) == 2, refusedMedia)
		case "functionCall":
			err = r.call(v, &b)
		case "functionResponse":
			err = r.result(v, &b)
		case "thought":
			err = only(v.Type == gjson.False, refusedReasoning)
			return err
		case "thoughtSignature":
			err = refuse(refusedReasoning)
		case "fileData":
			err = refuse(refusedMedia)
		default:
			err = refuse(refusedContent)
		}
		if known {
			err = errOr(err, false, refusedContent)
		}
		known = true
		return err
	})
	return b, errOr(err, known, refusedContent)
}

func (r *geminiReader) call(v gjson.Result, b *block) error {
	if _, err := sole(v, "name"); err != nil {
		return err
	}
	*b = block{kind: call, id: v.Get("id").Str, tool: v.Get("name").Str, input: v.Get("args").Raw}
	if b.input == "" {
		b.input = "{}"
	}
	if b.id == "" {
		b.id = "call_" + strconv.Itoa(r.calls)
	}
	r.calls++
	r.open = append(r.open, *b)
	return only(b.tool != "" && b.input[0] == '{', refusedArguments)
}

func (r *geminiReader) result(v gjson.Result, b *block) error {
	if _, err := sole(v, "name"); err != nil {
		return err
	}
	name, id := v.Get("name").Str, v.Get("id").Str
	for i, c := range r.open {
		if c.id == id || id == "" && c.tool == name {
			response := v.Get("response")
			*b = block{kind: result, id: c.id}
			b.content, b.failed = geminiResult(response)
			r.open = append(r.open[:i:i], r.open[i+1:]...)
			return only(response.IsObject(), refusedArguments)
		}
	}
	return refuse(refusedArguments)
}

// geminiResult is a result's text: the documented members output and error, or
// else the object as it is.
func geminiResult(response gjson.Result) (content []block, failed bool) {
	if m := response.Map(); len(m) == 1 {
		for k, v := range m {
			if (k == "output" || k == "error") && v.Type == gjson.String {
				return []block{{text: v.Raw}}, k == "error"
			}
		}
	}
	return []block{{text: quote(compact(response.Raw))}}, false
}

func (r *geminiReader) tool(v gjson.Result) error {
	return members(v, func(k string, v gjson.Result) error {
		if k != "functionDeclarations" {
			return refuse(refusedProviderTools)
		}
		return elements(v, r.function)
	})
}

func (r *geminiReader) function(v gjson.Result) error {
	var t tool
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "name":
			t.name, err = word(v)
		case "description":
			t.description, err = literal(v)
		case "parametersJsonSchema":
			t.schema, err = v.Raw, only(v.IsObject(), refusedSchema)
		case "parameters":
			var o out
			err = o.plainSchema(v, 0)
			t.schema = string(o.b)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	r.tools = append(r.tools, t)
	return errOr(err, t.name != "", refusedProviderTools)
}

func (r *geminiReader) config(v gjson.Result) error {
	return members(v, func(k string, v gjson.Result) error {
		if k != "functionCallingConfig" {
			return refuse(refusedToolChoice)
		}
		return members(v, func(k string, v gjson.Result) error {
			switch k {
			case "mode":
				mode, ok := map[string]string{"AUTO": "auto", "NONE": "none", "ANY": "any"}[v.Str]
				if r.choice.mode != "tool" || mode != "any" {
					r.choice.mode = mode
				}
				return only(ok, refusedToolChoice)
			case "allowedFunctionNames":
				names := v.Array()
				if len(names) != 1 { // a list of some has no word elsewhere
					return only(len(names) == 0, refusedToolChoice)
				}
				r.choice = choice{mode: "tool", tools: []string{names[0].Str}}
				return nil
			}
			return refuse(refusedToolChoice)
		})
	})
}

// plainSchema writes one of Gemini's own schemas, whose types are in capitals,
// as JSON schema.
func (o *out) plainSchema(v gjson.Result, depth int) error {
	if depth > 32 {
		return refuse(refusedSchema)
	}
	o.open('{')
	nullable := v.Get("nullable").Type == gjson.True
	err := members(v, func(k string, v gjson.Result) error {
		switch k {
		case "type":
			t := strings.ToLower(v.Str)
			if o.key("type"); nullable {
				o.raw(`["` + t + `","null"]`)
			} else {
				o.str(t)
			}
			return only(strings.Trim(t, "abcdefghijklmnopqrstuvwxyz") == "" && t != "", refusedSchema)
		case "nullable", "propertyOrdering":
			return nil
		case "items":
			return o.key(k).plainSchema(v, depth+1)
		case "properties":
			o.key(k).open('{')
			var err error
			v.ForEach(func(k, v gjson.Result) bool {
				err = o.key(k.Str).plainSchema(v, depth+1)
				return err == nil
			})
			o.shut('}')
			return err
		case "anyOf":
			o.key(k).open('[')
			err := elements(v, func(v gjson.Result) error { return o.plainSchema(v, depth+1) })
			o.shut(']')
			return err
		case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			if v.Type == gjson.String { // 64-bit counts are texts there
				o.key(k).raw(v.Str)
				return only(v.Str != "" && strings.Trim(v.Str, "0123456789") == "", refusedSchema)
			}
		case "title", "description", "format", "enum", "required", "minimum", "maximum", "pattern", "default", "example":
		default:
			return refuse(refusedSchema)
		}
		o.key(k).raw(v.Raw)
		return nil
	})
	o.shut('}')
	return err
}
