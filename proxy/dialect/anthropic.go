package dialect

// anthropicUsage holds Anthropic's counters as stated: input excludes what was
// read from and written to the cache.
type anthropicUsage struct {
	input, read, write, w5m, w1h, output, thinking optCount
	startedWithoutCache                            bool // message_start named no cache counter
	deltaInput, deltaCache                         bool // message_delta named input, named cache counters
}

type optCount struct {
	n   uint32
	set bool
}

func (c *optCount) take(v []byte, sane *bool) {
	if isNull(v) {
		return
	}
	n, ok := count(v)
	if !ok {
		*sane = false
		return
	}
	*c = optCount{n, true}
}

// take lays the counters of one usage object over those seen before. Counts of
// message_delta are cumulative: they replace, they are never added.
func (a *Answer) takeAnthropic(b []byte, delta bool) {
	if isNull(b) {
		return
	}
	next, sane := a.raw, true
	fast, tools := false, uint32(0)
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "input_tokens":
			next.input.take(v, &sane)
			next.deltaInput = next.deltaInput || (delta && !isNull(v))
		case "cache_read_input_tokens":
			next.read.take(v, &sane)
			next.deltaCache = next.deltaCache || delta
		case "cache_creation_input_tokens":
			next.write.take(v, &sane)
			next.deltaCache = next.deltaCache || delta
		case "cache_creation":
			next.w5m.take(get(v, "ephemeral_5m_input_tokens"), &sane)
			next.w1h.take(get(v, "ephemeral_1h_input_tokens"), &sane)
		case "output_tokens":
			next.output.take(v, &sane)
		case "output_tokens_details":
			next.thinking.take(get(v, "thinking_tokens"), &sane)
			next.thinking.take(get(v, "reasoning_tokens"), &sane)
		case "service_tier":
			set(&a.ServiceTier, v)
		case "speed": // a tier by another name, and priced as one
			if text(v) == "fast" {
				fast = true
			}
		case "server_tool_use":
			for t := object(v); t.next(); {
				if n, ok := count(t.value()); ok {
					tools += n
				}
			}
		}
	}
	if fast {
		a.ServiceTier = "fast"
	}
	if tools > 0 {
		a.ServerTools = tools // cumulative, too
	}
	if !sane || (!next.input.set && !next.output.set) {
		a.Odd = true
		return
	}
	if !delta {
		next.startedWithoutCache = !next.read.set && !next.write.set
	}
	a.raw, a.HasUsage = next, true
}

func anthropicBody(a *Answer, body []byte) {
	for m := object(body); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "id":
			first(&a.ID, v)
		case "model":
			first(&a.Model, v)
		case "stop_reason":
			set(&a.FinishReason, v)
		case "usage":
			a.takeAnthropic(v, false)
		case "error":
			a.fail(v)
		case "content":
			for e := array(v); e.next(); {
				a.block(e.value)
			}
		}
	}
	a.Final = a.HasUsage
}

func (a *Answer) block(b []byte) {
	for m := object(b); m.next(); {
		switch string(m.key()) {
		case "text", "partial_json", "thinking":
			a.say(m.value())
		case "input":
			if isObject(m.value()) {
				a.sayRaw(m.value())
			}
		}
	}
}

// anthropicEvent reads one event. The name in the data rules, not the one of
// the event line, which look-alikes leave out.
func anthropicEvent(a *Answer, _, data []byte) {
	var kind string
	var message, delta, usage, fault []byte
	for m := object(data); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "type":
			kind = text(v)
		case "message":
			message = v
		case "delta":
			delta = v
		case "usage":
			usage = v
		case "error":
			fault = v
		}
	}
	switch kind {
	case "message_start":
		anthropicBody(a, message)
		a.Final, a.Early = false, true
	case "content_block_delta":
		a.block(delta)
	case "message_delta":
		set(&a.FinishReason, get(delta, "stop_reason"))
		before := a.raw.output
		a.raw.output = optCount{}
		a.takeAnthropic(usage, true)
		if a.raw.output.set {
			a.Final, a.Early = a.FinishReason != "", false
		} else {
			a.raw.output = before
		}
	case "message_stop":
		a.Done = true
	case "error":
		a.fail(fault)
	}
}

// anthropicSettle normalises: input includes cache reads and writes.
func anthropicSettle(a *Answer) {
	r := &a.raw
	if !a.HasUsage {
		return
	}
	input, u := r.input.n, &a.Usage
	u.CacheReadTokens, u.CacheWriteTokens, u.CacheWrite1hTokens = r.read.n, r.write.n, r.w1h.n
	if split := r.w5m.n + r.w1h.n; !r.write.set {
		u.CacheWriteTokens = split
	} else if r.w5m.set && r.w1h.set && split != r.write.n {
		a.Odd = true // server tools: the final total exceeds the split of message_start; the rest counts as 5 minutes
	}
	if parts := u.CacheReadTokens + u.CacheWriteTokens; r.startedWithoutCache && r.deltaCache && !r.deltaInput && parts <= input {
		// A look-alike that states the whole input first and only then what of
		// it came from the cache.
		input -= parts
		a.Odd = true
	}
	u.InputTokens = input + u.CacheReadTokens + u.CacheWriteTokens
	u.OutputTokens, u.ReasoningTokens = r.output.n, min(r.thinking.n, r.output.n)
	a.mend()
}
