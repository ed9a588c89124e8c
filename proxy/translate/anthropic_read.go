package translate

import "github.com/tidwall/gjson"

func readAnthropic(a Ask) (*request, error) {
	doc, err := parse(a.Body)
	if err != nil {
		return nil, err
	}
	r := &request{size: len(a.Body)}
	err = members(doc, func(k string, v gjson.Result) error { return r.anthropicMember(k, v) })
	if err != nil {
		return nil, err
	}
	return r, r.begun()
}

func (r *request) anthropicMember(k string, v gjson.Result) (err error) {
	switch k {
	case "model", "metadata", "cache_control":
		return nil
	case "messages":
		return elements(v, r.anthropicMessage)
	case "system":
		r.system, err = anthropicContent(v, nil)
		return errOr(err, texts(r.system), refusedContent)
	case "tools":
		return elements(v, r.anthropicTool)
	case "tool_choice":
		return r.anthropicChoice(v)
	case "max_tokens":
		r.maxTokens, err = number(v)
	case "temperature":
		r.temperature, err = number(v)
	case "top_p":
		r.topP, err = number(v)
	case "top_k":
		r.topK, err = number(v)
	case "stop_sequences":
		return r.stop(v)
	case "stream":
		r.stream, err = truth(v)
	case "output_config":
		return members(v, func(k string, v gjson.Result) error {
			if k != "format" {
				return refuse(refusedReasoning)
			}
			return r.anthropicFormat(v)
		})
	case "output_format":
		return r.anthropicFormat(v)
	default:
		return anthropicUnshared(k, v)
	}
	return err
}

func anthropicUnshared(k string, v gjson.Result) error {
	switch k {
	case "thinking":
		kind, err := sole(v, "type")
		return errOr(err, kind.Str == "disabled", refusedReasoning)
	case "service_tier":
		return only(v.Str == "auto" || v.Str == "standard_only", refusedServiceTier)
	case "speed":
		return only(v.Str == "standard", refusedServiceTier)
	case "inference_geo":
		return refuse("residency")
	case "container", "mcp_servers":
		return only(v.Raw == "[]", refusedProviderTools)
	case "context_management":
		return refuse(refusedServerState)
	}
	return refuse(refusedUnknown)
}

func (r *request) anthropicFormat(v gjson.Result) error {
	r.format = format{kind: "schema", strict: true}
	return members(v, func(k string, v gjson.Result) error {
		switch k {
		case "type":
			return only(v.Str == "json_schema", "response_format")
		case "schema":
			r.format.schema = v.Raw
			return only(v.IsObject(), refusedSchema)
		}
		return refuse(refusedUnknown)
	})
}

func (r *request) anthropicMessage(m gjson.Result) error {
	var role string
	var t turn
	err := members(m, func(k string, v gjson.Result) (err error) {
		switch k {
		case "role":
			role, err = word(v)
		case "content":
			t.blocks, err = anthropicContent(v, nil)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	if err != nil {
		return err
	}
	t.assistant = role == "assistant"
	for _, b := range t.blocks {
		if (b.kind == call) != t.assistant && b.kind != text {
			return refuse(refusedRole)
		}
	}
	r.turns = append(r.turns, t)
	return only((t.assistant || role == "user") && len(t.blocks) > 0, refusedRole)
}

// anthropicContent reads a text or a list of blocks, within a result if that is
// given.
func anthropicContent(v gjson.Result, within *block) (blocks []block, err error) {
	if v.Type == gjson.String {
		return []block{{text: v.Raw}}, nil
	}
	err = elements(v, func(v gjson.Result) error {
		b, err := anthropicBlock(v)
		if err == nil && within != nil && b.kind != text && b.kind != media {
			err = refuse(refusedContent)
		}
		blocks = append(blocks, b)
		return err
	})
	return blocks, err
}

func anthropicBlock(v gjson.Result) (block, error) {
	var b block
	var err error
	switch v.Get("type").Str {
	case "text":
		err = members(v, func(k string, v gjson.Result) (err error) {
			switch k {
			case "type", "cache_control":
			case "text":
				b.text, err = literal(v)
			case "citations":
				err = only(v.IsArray() && len(v.Array()) == 0, "citations")
			default:
				err = refuse(refusedUnknown)
			}
			return err
		})
		err = errOr(err, b.text != "", refusedContent)
	case "image", "document":
		err = b.anthropicMedia(v)
	case "tool_use":
		err = b.anthropicCall(v)
	case "tool_result":
		err = b.anthropicResult(v)
	case "thinking", "redacted_thinking":
		err = refuse(refusedReasoning)
	default:
		err = refuse(refusedContent)
	}
	return b, err
}

func (b *block) anthropicMedia(v gjson.Result) error {
	b.kind = media
	document := v.Get("type").Str == "document"
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type", "cache_control":
		case "title":
			b.name, err = word(v)
		case "citations":
			err = only(v.Get("enabled").Type == gjson.False, "citations")
		case "source":
			err = b.anthropicSource(v)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	return errOr(err, document == (b.mime == pdf), refusedMedia)
}

func (b *block) anthropicSource(v gjson.Result) error {
	var kind string
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type":
			kind, err = word(v)
		case "media_type":
			b.mime, err = word(v)
		case "data":
			b.data, err = word(v)
		case "url":
			b.url, err = word(v)
		default:
			err = refuse(refusedMedia)
		}
		return err
	})
	return errOr(err, kind == "base64" && b.data != "" && b.mime != "" || kind == "url" && b.url != "", refusedMedia)
}

func (b *block) anthropicCall(v gjson.Result) error {
	b.kind = call
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type", "cache_control":
		case "id":
			b.id, err = word(v)
		case "name":
			b.tool, err = word(v)
		case "input":
			b.input, err = v.Raw, only(v.IsObject(), refusedArguments)
		case "caller":
			err = only(v.Get("type").Str == "direct", refusedProviderTools)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	return errOr(err, b.id != "" && b.tool != "" && b.input != "", refusedArguments)
}

func (b *block) anthropicResult(v gjson.Result) error {
	b.kind = result
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type", "cache_control":
		case "tool_use_id":
			b.id, err = word(v)
		case "is_error":
			b.failed, err = truth(v)
		case "content":
			b.content, err = anthropicContent(v, b)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	return errOr(err, b.id != "", refusedArguments)
}

func (r *request) anthropicTool(v gjson.Result) error {
	var t tool
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type":
			err = only(v.Str == "custom", refusedProviderTools)
		case "cache_control", "eager_input_streaming":
		case "name":
			t.name, err = word(v)
		case "description":
			t.description, err = literal(v)
		case "input_schema":
			t.schema, err = v.Raw, only(v.IsObject(), refusedSchema)
		case "strict":
			t.strict, err = truth(v)
		case "defer_loading":
			err = only(v.Type == gjson.False, refusedProviderTools)
		case "allowed_callers":
			err = only(v.IsArray() && len(v.Array()) == 1 && v.Array()[0].Str == "direct", refusedProviderTools)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	r.tools = append(r.tools, t)
	return errOr(err, t.name != "", refusedProviderTools)
}

func (r *request) anthropicChoice(v gjson.Result) error {
	err := members(v, func(k string, v gjson.Result) (err error) {
		switch k {
		case "type":
			r.choice.mode, err = word(v)
		case "name":
			r.choice.tools = []string{v.Str}
		case "disable_parallel_tool_use":
			r.serial, err = truth(v)
		default:
			err = refuse(refusedUnknown)
		}
		return err
	})
	switch r.choice.mode {
	case "auto", "none", "any":
		return errOr(err, r.choice.tools == nil, refusedToolChoice)
	case "tool":
		return errOr(err, len(r.choice.tools) == 1, refusedToolChoice)
	}
	return errOr(err, false, refusedToolChoice)
}
