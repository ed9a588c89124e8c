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
			a.say(v)
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
			a.say(v)
		case "tool_calls":
			for e := array(v); e.next(); {
				f := get(e.value, "function")
				a.say(get(f, "name"))
				a.say(get(f, "arguments"))
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
	var hit, total uint32
	var price statedCost
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
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek's and Kimi's older ways of saying it
			counter(&hit, v, &sane)
		case "total_tokens":
			counter(&total, v, &sane)
		default:
			price.member(string(m.key()), v)
		}
	}
	if !sane || !said {
		a.Odd = true
		return
	}
	if u.CacheReadTokens == 0 {
		u.CacheReadTokens = hit
	}
	a.Usage, a.HasUsage, a.Cost = u, true, price.sum()
	if price.tools > 0 {
		a.ServerTools = price.tools
	}
	a.mend()
	a.addUp(total)
}

// addUp: what a total holds beyond prompt and completion is thought (xAI and
// Gemini's compatible surface leave it out of completion_tokens), and thought is
// output.
func (a *Answer) addUp(total uint32) {
	u := &a.Usage
	rest := int64(total) - int64(u.InputTokens) - int64(u.OutputTokens)
	if rest <= 0 || a.Odd {
		return
	}
	u.OutputTokens += uint32(rest)
	u.ReasoningTokens = max(u.ReasoningTokens, uint32(rest))
	a.Odd = true
}

// statedCost gathers what hosts say of what a request cost. OpenRouter: cost in
// USD is what it charged; under the customer's own key (is_byok) that is its fee
// alone, and the spend at the provider comes on top. xAI: ticks, 10^10 to the
// dollar (its page on cost tracking).
type statedCost struct {
	cost, upstream schemas.OptUSD
	byok           bool
	tools          uint32
}

func (s *statedCost) member(key string, v []byte) {
	switch key {
	case "cost":
		s.cost = stated(v, 1)
	case "cost_in_usd_ticks":
		s.cost = stated(v, 1e10)
	case "is_byok":
		s.byok = string(v) == "true"
	case "cost_details":
		s.upstream = stated(get(v, "upstream_inference_cost"), 1)
	case "num_server_side_tools_used":
		if n, ok := count(v); ok {
			s.tools = n
		}
	}
}

func (s *statedCost) sum() schemas.OptUSD {
	if !s.byok || !s.cost.Known {
		return s.cost
	}
	if !s.upstream.Known {
		return schemas.OptUSD{} // the fee alone is not what it cost
	}
	return schemas.KnownUSD(s.cost.Nano + s.upstream.Nano)
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
	case "queued", "in_progress":
		a.Pending = true
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
		a.say(delta)
		if response != nil {
			responsesBody(a, response)
			a.Final, a.Pending = false, false
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
