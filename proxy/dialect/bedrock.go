package dialect

import "encoding/base64"

// Bedrock's two surfaces. invoke carries a model's own payload (Anthropic's is
// read here; in a stream each event wraps it in base64), converse one shape for
// all models. Both count like Anthropic: input excludes what the cache held.
// Sources: the API references of InvokeModel and Converse.

// invokeEvent reads one event of invoke-with-response-stream. An exception comes
// as an event of that name behind a status of 200.
func invokeEvent(a *Answer, event, data []byte) {
	if string(event) != "chunk" && string(event) != "" {
		a.exception(event)
		return
	}
	wrapped := get(data, "bytes")
	if !isString(wrapped) {
		anthropicEvent(a, event, data)
		return
	}
	if inner, err := base64.StdEncoding.DecodeString(text(wrapped)); err == nil {
		anthropicEvent(a, nil, inner)
	}
}

// exception notes a failure by the name of its event.
func (a *Answer) exception(name []byte) {
	a.Failed = true
	if a.ErrorType == "" {
		a.ErrorType = string(name[:min(len(name), maxWord)])
	}
}

func converseBody(a *Answer, body []byte) {
	for m := object(body); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "stopReason":
			set(&a.FinishReason, v)
		case "usage":
			a.converseUsage(v)
		case "output":
			for e := array(get(get(v, "message"), "content")); e.next(); {
				a.converseBlock(e.value)
			}
		case "serviceTier":
			set(&a.ServiceTier, get(v, "type"))
		case "message": // an error's body
			if isString(v) && get(body, "output") == nil {
				a.fail(v)
			}
		}
	}
	a.Final = a.HasUsage
}

// converseEvent reads one event of converse-stream; metadata, the last, has the
// usage of the whole.
func converseEvent(a *Answer, event, data []byte) {
	switch string(event) {
	case "contentBlockDelta":
		a.converseBlock(get(data, "delta"))
	case "messageStop":
		set(&a.FinishReason, get(data, "stopReason"))
	case "metadata":
		converseBody(a, data)
		a.Done = true
	case "messageStart", "contentBlockStart", "contentBlockStop", "":
	default:
		if len(event) > 9 && string(event[len(event)-9:]) == "Exception" {
			a.exception(event)
		}
	}
}

func (a *Answer) converseBlock(b []byte) {
	for m := object(b); m.next(); {
		switch v := m.value(); string(m.key()) {
		case "text":
			a.say(v)
		case "toolUse":
			if input := get(v, "input"); isString(input) {
				a.say(input)
			} else {
				a.sayRaw(input)
			}
		case "reasoningContent":
			a.say(get(v, "text"))
			a.say(get(get(v, "reasoningText"), "text"))
		}
	}
}

func (a *Answer) converseUsage(b []byte) {
	next, sane := a.raw, true
	for m := object(b); m.next(); {
		v := m.value()
		switch string(m.key()) {
		case "inputTokens":
			next.input.take(v, &sane)
		case "outputTokens":
			next.output.take(v, &sane)
		case "cacheReadInputTokens":
			next.read.take(v, &sane)
		case "cacheWriteInputTokens":
			next.write.take(v, &sane)
		case "cacheDetails": // the split by lifetime
			for e := array(v); e.next(); {
				if text(get(e.value, "ttl")) == "1h" {
					next.w1h.take(get(e.value, "inputTokens"), &sane)
				}
			}
		}
	}
	if !sane || (!next.input.set && !next.output.set) {
		a.Odd = true
		return
	}
	a.raw, a.HasUsage = next, true
}
