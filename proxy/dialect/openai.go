package dialect

import "github.com/gnomon-llm/gnomon/schemas"

// openAIBody reads a chat completion, a completion, an embedding's answer.
func openAIBody(a *Answer, body []byte) {
	openAIMembers(a, body)
	a.Final = a.HasUsage
}

// openAIEvent reads one chunk of a stream.
func openAIEvent(a *Answer, _, data []byte) {
	if string(data) == "[DONE]" {
		a.Done = true
		a.Final = a.HasUsage
		return
	}
	openAIMembers(a, data)
	// Usage is complete once a finish reason has been said; cumulative counts on
	// earlier chunks are a state on the way.
	a.Final = a.Final || (a.HasUsage && a.FinishReason != "")
}

func openAIMembers(a *Answer, b []byte) {
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "id":
			first(&a.ID, v)
		case "model":
			first(&a.Model, v)
		case "service_tier":
			set(&a.ServiceTier, v)
		case "usage":
			a.openAIUsage(v)
		case "x_groq": // older Groq streams: {"id":…,"usage":{…}}
			if u := get(v, "usage"); !isNull(u) {
				a.openAIUsage(u)
			}
		case "error":
			a.fail(v)
		case "choices":
			for e := array(v); e.next(); {
				a.choice(e.value)
			}
		}
	}
}

func (a *Answer) choice(b []byte) {
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "finish_reason":
			set(&a.FinishReason, v)
		case "text":
			a.OutputBytes += textBytes(v)
		case "delta", "message":
			a.message(v)
		case "error": // OpenRouter
			a.fail(v)
		}
	}
}

func (a *Answer) message(b []byte) {
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "content", "refusal", "reasoning_content", "reasoning":
			a.OutputBytes += textBytes(v)
		case "tool_calls":
			for e := array(v); e.next(); {
				f := get(e.value, "function")
				a.OutputBytes += textBytes(get(f, "name")) + textBytes(get(f, "arguments"))
			}
		}
	}
}

// openAIUsage takes a usage object of chat completions, completions, embeddings
// or responses. The last one that is not null and sane wins: some hosts state it
// on every chunk (cumulative), some in the middle.
func (a *Answer) openAIUsage(b []byte) {
	if isNull(b) {
		return
	}
	if !isObject(b) {
		a.Odd = true
		return
	}
	var u schemas.Usage
	var hit uint32
	sane, said := true, false
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "prompt_tokens", "input_tokens":
			counter(&u.InputTokens, v, &sane)
			said = true
		case "completion_tokens", "output_tokens":
			counter(&u.OutputTokens, v, &sane)
			said = true
		case "prompt_tokens_details", "input_tokens_details":
			openAIDetails(&u, v, true, &sane)
		case "completion_tokens_details", "output_tokens_details":
			openAIDetails(&u, v, false, &sane)
		case "prompt_cache_hit_tokens": // DeepSeek's older way of saying cached_tokens
			counter(&hit, v, &sane)
		}
	}
	if !sane || !said {
		a.Odd = true
		return
	}
	if u.CacheReadTokens == 0 {
		u.CacheReadTokens = hit
	}
	a.Usage, a.HasUsage = u, true
	a.mend()
}

func openAIDetails(u *schemas.Usage, b []byte, input bool, sane *bool) {
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "cached_tokens":
			counter(&u.CacheReadTokens, v, sane)
		case "cache_write_tokens":
			counter(&u.CacheWriteTokens, v, sane)
		case "reasoning_tokens":
			counter(&u.ReasoningTokens, v, sane)
		case "audio_tokens":
			if input {
				counter(&u.AudioInputTokens, v, sane)
			} else {
				counter(&u.AudioOutputTokens, v, sane)
			}
		}
	}
}

// responsesBody reads a Response object.
func responsesBody(a *Answer, body []byte) {
	var status, incomplete []byte
	for m := object(body); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "id":
			first(&a.ID, v)
		case "model":
			first(&a.Model, v)
		case "service_tier":
			set(&a.ServiceTier, v)
		case "usage":
			a.openAIUsage(v)
		case "error":
			a.fail(v)
		case "status":
			status = v
		case "incomplete_details":
			incomplete = get(v, "reason")
		}
	}
	switch text(status) {
	case "completed", "incomplete", "failed", "cancelled":
		set(&a.FinishReason, status)
		set(&a.FinishReason, incomplete)
	}
	a.Final = a.HasUsage
}

// responsesEvent reads one event of a Responses stream. Usage arrives with
// response.completed, response.incomplete or response.failed.
func responsesEvent(a *Answer, _, data []byte) {
	if string(data) == "[DONE]" {
		return
	}
	var kind string
	var response, delta, whole []byte = nil, nil, data
	for m := object(data); m.next(); {
		switch string(m.key()) {
		case "type":
			kind = text(m.value())
		case "response":
			response = m.value()
		case "delta":
			delta = m.value()
		}
	}
	switch kind {
	case "response.completed", "response.incomplete", "response.failed":
		a.Done = true
		responsesBody(a, response)
	case "error":
		if e := get(whole, "error"); !isNull(e) {
			whole = e
		}
		a.fail(whole)
	default:
		a.OutputBytes += textBytes(delta)
		if response != nil {
			responsesBody(a, response)
			a.Final = false
		}
	}
}

// plainBody looks for what every JSON answer may state: an error.
func plainBody(a *Answer, body []byte) {
	for m := object(body); m.next(); {
		switch string(m.key()) {
		case "error":
			a.fail(m.value())
		case "id":
			first(&a.ID, m.value())
		case "model":
			first(&a.Model, m.value())
		}
	}
}

func plainEvent(a *Answer, event, data []byte) {
	if string(event) == "error" {
		a.fail(data)
	}
}
