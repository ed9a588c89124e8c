package translate

import (
	"slices"

	"github.com/tidwall/gjson"
)

func readOpenAI(a Ask) (*request, error) {
	doc, err := parse(a.Body)
	if err != nil {
		return nil, err
	}
	r := &request{size: len(a.Body)}
	err = members(doc, func(k string, v gjson.Result) error { return r.openAIMember(k, v) })
	if err != nil {
		return nil, err
	}
	return r, r.begun()
}

func (r *request) openAIMember(k string, v gjson.Result) (err error) {
	switch k {
	case "model", "user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "stream_options":
		return nil
	case "messages":
		return elements(v, r.openAIMessage)
	case "tools":
		return elements(v, r.openAITool)
	case "tool_choice":
		return r.openAIChoice(v)
	case "parallel_tool_calls":
		r.serial = v.Type == gjson.False
		_, err = truth(v)
	case "max_tokens", "max_completion_tokens":
		before := r.maxTokens
		if r.maxTokens, err = number(v); err == nil && before != "" && before != r.maxTokens {
			return refuse("max_tokens")
		}
	case "temperature":
		r.temperature, err = number(v)
	case "top_p":
		r.topP, err = number(v)
	case "seed":
		r.seed, err = number(v)
	case "presence_penalty":
		r.presence, err = number(v)
	case "frequency_penalty":
		r.frequency, err = number(v)
	case "stop":
		return r.stop(v)
	case "stream":
		r.stream, err = truth(v)
	case "response_format":
		return r.openAIFormat(v)
	default:
		return openAIUnshared(k, v)
	}
	return err
}

// openAIUnshared refuses what only OpenAI has, where it is asked for.
func openAIUnshared(k string, v gjson.Result) error {
	switch k {
	case "n":
		return only(v.Raw == "1", refusedChoices)
	case "logprobs":
		return only(v.Type == gjson.False, refusedLogprobs)
	case "top_logprobs":
		return only(v.Raw == "0", refusedLogprobs)
	case "logit_bias":
		return only(v.IsObject() && len(v.Map()) == 0, refusedSampling)
	case "store":
		return only(v.Type == gjson.False, refusedServerState)
	case "service_tier":
		return only(v.Str == "auto" || v.Str == "default", refusedServiceTier)
	case "modalities":
		return only(v.IsArray() && len(v.Array()) == 1 && v.Array()[0].Str == "text", refusedModalities)
	case "reasoning_effort":
		return only(v.Str == "none", refusedReasoning)
	case "verbosity":
		return only(v.Str == "medium", "verbosity")
	case "audio":
		return refuse(refusedModalities)
	case "prediction":
		return refuse("prediction")
	case "web_search_options":
		return refuse(refusedProviderTools)
	case "functions", "function_call":
		return refuse("functions")
	}
	return refuse(refusedUnknown)
}

func (r *request) stop(v gjson.Result) error {
	add := func(v gjson.Result) error {
		s, err := literal(v)
		r.stops = append(r.stops, s)
		return err
	}
	if v.Type == gjson.String {
		return add(v)
	}
	return elements(v, add)
}

func (r *request) openAIMessage(m gjson.Result) error {
	var role, id string
	var content, calls gjson.Result
	err := members(m, func(k string, v gjson.Result) (err error) {
		switch k {
		case "role":
			role, err = word(v)
		case "content":
			content = v
		case "tool_calls":
			calls = v
		case "tool_call_id":
			id, err = word(v)
		case "annotations":
			err = only(v.IsArray() && len(v.Array()) == 0, refusedContent)
		case "refusal":
			err = refuse("refusal")
		case "name":
			err = refuse("name")
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	if err != nil {
		return err
	}
	if calls.Exists() && role != "assistant" || (id != "") != (role == "tool") {
		return refuse(refusedRole)
	}
	switch role {
	case "system", "developer":
		return r.openAISystem(content)
	case "user":
		blocks, err := openAIContent(content, true)
		r.turns = append(r.turns, turn{blocks: blocks})
		return err
	case "assistant":
		return r.openAIAssistant(content, calls)
	case "tool":
		blocks, err := openAIContent(content, false)
		r.addResult(block{kind: result, id: id, content: blocks})
		return err
	}
	return refuse(refusedRole)
}

// openAISystem takes what the other dialects keep apart from the conversation:
// only before it can it be put there.
func (r *request) openAISystem(content gjson.Result) error {
	if len(r.turns) > 0 {
		return refuse("system_in_conversation")
	}
	blocks, err := openAIContent(content, false)
	r.system = append(r.system, blocks...)
	return err
}

func (r *request) openAIAssistant(content, calls gjson.Result) error {
	var blocks []block
	if content.Exists() {
		said, err := openAIContent(content, false)
		if err != nil {
			return err
		}
		if calls.Exists() { // an empty text beside calls says nothing
			said = slices.DeleteFunc(said, func(b block) bool { return blank(b.text) })
		}
		blocks = said
	}
	if calls.Exists() {
		if err := elements(calls, func(v gjson.Result) error {
			b, err := openAICall(v)
			blocks = append(blocks, b)
			return err
		}); err != nil {
			return err
		}
	}
	r.turns = append(r.turns, turn{assistant: true, blocks: blocks})
	return only(len(blocks) > 0, "empty_turn")
}

func openAICall(v gjson.Result) (b block, err error) {
	b.kind = call
	err = members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "id":
			b.id, err = word(v)
		case "type":
			err = only(v.Str == "function", refusedProviderTools)
		case "index":
		case "function":
			err = members(v, func(k string, v gjson.Result) (err error) {
				switch k {
				case "name":
					b.tool, err = word(v)
				case "arguments":
					b.input, err = word(v)
				default:
					err = refuse(refusedUnknown)
				}
				return err
			})
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	if err != nil {
		return b, err
	}
	var ok bool
	if b.input, ok = object(b.input); !ok || b.id == "" || b.tool == "" {
		return b, refuse(refusedArguments)
	}
	return b, nil
}

// addResult puts the results of parallel calls into one turn, as the other
// dialects want them.
func (r *request) addResult(b block) {
	if n := len(r.turns); n > 0 && !r.turns[n-1].assistant {
		if t := &r.turns[n-1]; len(t.blocks) > 0 && t.blocks[len(t.blocks)-1].kind == result {
			t.blocks = append(t.blocks, b)
			return
		}
	}
	r.turns = append(r.turns, turn{blocks: []block{b}})
}

// openAIContent reads a text or a list of parts; seen says that media may be
// among them.
func openAIContent(v gjson.Result, seen bool) (blocks []block, err error) {
	if v.Type == gjson.String {
		return []block{{text: v.Raw}}, nil
	}
	err = elements(v, func(v gjson.Result) error {
		b, err := openAIPart(v)
		if err == nil && b.kind == media && !seen {
			err = refuse(refusedContent)
		}
		blocks = append(blocks, b)
		return err
	})
	if err == nil && len(blocks) == 0 {
		err = refuse("empty_turn")
	}
	return blocks, err
}

func openAIPart(v gjson.Result) (b block, err error) {
	err = members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type":
			err = only(v.Str == "text" || v.Str == "image_url" || v.Str == "file", refusedContent)
		case "text":
			b.text, err = literal(v)
		case "image_url":
			b.kind = media
			err = members(v, func(k string, v gjson.Result) (err error) {
				switch k {
				case "url":
					b.url, err = word(v)
				case "detail":
					err = only(v.Str == "auto" || v.Str == "high", "image_detail")
				default:
					err = refuse(refusedUnknown)
				}
				return err
			})
		case "file":
			b.kind = media
			err = openAIFile(v, &b)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	if err != nil || b.kind == text {
		return b, errOr(err, b.text != "", refusedContent)
	}
	if mime, data, ok := dataURL(b.url); ok {
		b.mime, b.data, b.url = mime, data, ""
	}
	return b, only(b.data != "" || b.url != "", refusedMedia)
}

func openAIFile(v gjson.Result, b *block) error {
	return members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "file_data":
			b.url, err = word(v)
			if mime, _, ok := dataURL(b.url); err == nil && (!ok || mime != pdf) {
				err = refuse(refusedMedia)
			}
		case "filename":
			b.name, err = word(v)
		default: // a file kept at the provider
			err = refuse(refusedServerState)
		}
		return err
	})
}

func errOr(err error, ok bool, what string) error {
	if err != nil {
		return err
	}
	return only(ok, what)
}

func (r *request) openAITool(v gjson.Result) error {
	var t tool
	var kind string
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type":
			kind, err = word(v)
		case "function":
			err = members(v, func(k string, v gjson.Result) (err error) {
				switch k {
				case "name":
					t.name, err = word(v)
				case "description":
					t.description, err = literal(v)
				case "parameters":
					t.schema, err = v.Raw, only(v.IsObject(), refusedSchema)
				case "strict":
					t.strict, err = truth(v)
				default:
					err = refuse(refusedUnknown)
				}
				return err
			})
		default:
			err = refuse(refusedProviderTools)
		}
		return err
	})
	r.tools = append(r.tools, t)
	return errOr(err, kind == "function" && t.name != "", refusedProviderTools)
}

func (r *request) openAIChoice(v gjson.Result) error {
	if v.Type == gjson.String {
		mode, ok := map[string]string{"auto": "auto", "none": "none", "required": "any"}[v.Str]
		r.choice.mode = mode
		return only(ok, refusedToolChoice)
	}
	f, err := sole(v, "function")
	if err != nil {
		return err
	}
	name, err := sole(f, "name")
	r.choice = choice{mode: "tool", tools: []string{name.Str}}
	return errOr(err, v.Get("type").Str == "function" && name.Str != "", refusedToolChoice)
}

func (r *request) openAIFormat(v gjson.Result) error {
	kind, err := sole(v, "type")
	if err != nil {
		return err
	}
	switch kind.Str {
	case "text":
		return nil
	case "json_object":
		r.format.kind = "json"
		return nil
	case "json_schema":
		r.format.kind = "schema"
		return members(v.Get("json_schema"), func(k string, v gjson.Result) (err error) {
			switch k {
			case "name":
				r.format.name, err = word(v)
			case "schema":
				r.format.schema, err = v.Raw, only(v.IsObject(), refusedSchema)
			case "strict":
				r.format.strict, err = truth(v)
			default:
				err = refuse(refusedSchema)
			}
			return err
		})
	}
	return refuse("response_format")
}
