package simulator

import (
	"strconv"
)

// conversation writes the request bodies of one session: each turn's body holds
// all turns before it, and the baseline's answers to them.
type conversation struct {
	w        *World
	workload int
	day      int64
	head     []byte // up to and including the opening of the messages
	messages []byte
	tail     []byte // from the closing of the messages, but for streaming
	last     answer // the baseline's, to the turn before
	turn     int
}

// begin starts a session's conversation.
func (w *World) begin(workload int, day int64) *conversation {
	c := &conversation{w: w, workload: workload, day: day}
	wl := &w.Workloads[workload]
	h := append(c.head, `{"model":"`...)
	h = append(h, wl.Model...)
	if wl.Provider == anthropic {
		h = append(h, `","max_tokens":`...)
		h = strconv.AppendInt(h, int64(wl.maxTokens), 10)
		h = append(h, `,"temperature":`...)
		h = strconv.AppendFloat(h, wl.temperature, 'g', -1, 64)
		h = append(h, `,"system":[{"type":"text","text":`...)
		h = append(h, w.systems[workload]...)
		if wl.cached {
			h = append(h, `,"cache_control":{"type":"ephemeral"}`...)
		}
		h = append(h, `}]`...)
		if wl.shape == tools {
			h = append(h, `,"tools":`...)
			h = append(h, anthropicTools...)
		}
		c.head = append(h, `,"messages":[`...)
		c.tail = []byte(`]`)
		return c
	}
	h = append(h, `","messages":[{"role":"system","content":`...)
	h = append(h, w.systems[workload]...)
	c.head = append(h, `}`...)
	t := append(c.tail, `],"temperature":`...)
	t = strconv.AppendFloat(t, wl.temperature, 'g', -1, 64)
	t = append(t, `,"max_tokens":`...)
	t = strconv.AppendInt(t, int64(wl.maxTokens), 10)
	if wl.shape == extraction {
		t = append(t, `,"response_format":{"type":"json_object"}`...)
	}
	c.tail = t
	return c
}

// ask adds the turn of i and returns the request's body.
func (c *conversation) ask(i item, streaming bool) []byte {
	wl := &c.w.Workloads[c.workload]
	c.remember()
	if len(c.messages) > 0 || wl.Provider == openAI {
		c.messages = append(c.messages, ',')
	}
	c.messages = append(c.messages, `{"role":"user","content":`...)
	switch {
	case wl.Provider == anthropic && c.turn > 0 && len(c.last.calls) > 0:
		c.messages = append(c.messages, `[{"type":"tool_result","tool_use_id":"toolu_`+strconv.Itoa(c.turn)+`","content":`...)
		c.messages = appendText(c.messages, c.w.question(i))
		c.messages = append(c.messages, `}]}`...)
	case wl.cached:
		c.messages = append(c.messages, `[{"type":"text","text":`...)
		c.messages = appendText(c.messages, c.w.question(i))
		c.messages = append(c.messages, `}]}`...)
	default:
		c.messages = appendText(c.messages, c.w.question(i))
		c.messages = append(c.messages, '}')
	}
	messages := c.messages
	if wl.cached {
		// Only the last message is marked: the mark moves on with the conversation.
		messages = markLast(messages)
	}
	body := make([]byte, 0, len(c.head)+len(messages)+len(c.tail)+64)
	body = append(body, c.head...)
	body = append(body, messages...)
	body = append(body, c.tail...)
	if streaming {
		body = append(body, `,"stream":true`...)
		if wl.askUsage && wl.Provider == openAI {
			body = append(body, `,"stream_options":{"include_usage":true}`...)
		}
	}
	c.last = c.w.answer(i, wl.Model, 0, c.day, wl.maxTokens)
	c.turn++
	return append(body, '}')
}

// markLast returns the messages with the last block's prefix marked for the cache.
func markLast(messages []byte) []byte {
	marked := make([]byte, 0, len(messages)+40)
	marked = append(marked, messages[:len(messages)-3]...)
	return append(marked, `,"cache_control":{"type":"ephemeral"}}]}`...)
}

// remember adds the baseline's answer to the turn before.
func (c *conversation) remember() {
	if c.turn == 0 {
		return
	}
	if c.w.Workloads[c.workload].Provider == anthropic && len(c.last.calls) > 0 {
		call := c.last.calls[0]
		c.messages = append(c.messages, `,{"role":"assistant","content":[{"type":"tool_use","id":"toolu_`+strconv.Itoa(c.turn)+`","name":"`+call.name+`","input":`+call.args+`}]}`...)
		return
	}
	c.messages = append(c.messages, `,{"role":"assistant","content":`...)
	c.messages = appendText(c.messages, c.last.text)
	c.messages = append(c.messages, '}')
}
