package dialect

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Said is what a client said about something it may leave open.
type Said uint8

// Unsaid leaves the choice to others; Yes and No are respected.
const (
	Unsaid Said = iota
	Yes
	No
)

// Peek is what must be known of a request's body before it is forwarded.
type Peek struct {
	// Gates holds GateUnreadable, GateRepeatedKey and GateNoModel. With any of
	// them the body is forwarded as it came and never routed.
	Gates        schemas.Gate
	Model        string
	Stream       bool
	IncludeUsage Said // stream_options.include_usage

	modelAt, modelStop int // of the model's value, quotes included; equal when it is not in the body
	insertAt           int // where usage can be asked for; 0: nowhere
	insertStop         int // up to where the insertion replaces
	insert             string
}

// maxKeys bounds the top-level keys that are compared with each other.
const maxKeys = 128

// decisive are the top-level keys that a decision reads. A key that differs
// from one of them only by case or escapes is read by some parsers and not by
// others.
var decisive = []string{
	"model", "stream", "stream_options", "messages", "system", "input", "instructions", "contents", "prompt",
	"tools", "tool_choice", "functions", "parallel_tool_calls", "response_format", "max_tokens", "max_completion_tokens",
	"max_output_tokens", "n", "logprobs", "store", "previous_response_id", "conversation", "background", "thinking", "reasoning",
	"reasoning_effort", "modalities", "prediction", "service_tier",
}

// unreadable are the gates of a body that two readers could read differently.
const unreadable = schemas.GateUnreadable | schemas.GateRepeatedKey

// Readable reports whether gnomon and the provider surely read the same.
func (p *Peek) Readable() bool { return p.Gates&unreadable == 0 }

// Peek reads a request's body. It is total: whatever the bytes, the answer says
// what is certain.
func (d *Dialect) Peek(path string, body []byte) Peek {
	var p Peek
	if !d.Readable {
		return p
	}
	var seen [maxKeys][]byte
	n, ask := 0, true
	m := object(body)
	for m.next() {
		key := m.key()
		if bytes.IndexByte(key, '\\') >= 0 {
			if key = []byte(text(body[m.keyAt-1 : m.keyStop+1])); foldsToDecisive(key, true) {
				p.Gates |= schemas.GateUnreadable
			}
		} else if foldsToDecisive(key, false) {
			p.Gates |= schemas.GateUnreadable
		}
		for _, k := range seen[:n] {
			if bytes.Equal(k, key) {
				p.Gates |= schemas.GateRepeatedKey
			}
		}
		if n == maxKeys {
			p.Gates |= schemas.GateUnreadable
			break
		}
		seen[n] = key
		n++
		if string(key) == "stream_options" {
			ask = p.options(&m)
		} else {
			p.member(string(key), &m)
		}
	}
	if m.bad || (m.end > 0 && blank(body, m.end) != len(body)) || !utf8.Valid(body) {
		p.Gates |= schemas.GateUnreadable
	}
	if d.model != nil {
		var stream bool
		p.Model, stream = d.model(path)
		p.Stream = stream || p.Stream && d.Family == FamilyOpenAI // Azure: the body says
		p.modelAt, p.modelStop = 0, 0
	}
	if p.Model == "" {
		p.Gates |= schemas.GateNoModel
	}
	if p.insert == "" && ask && p.Readable() && n > 0 {
		p.insertAt, p.insertStop, p.insert = m.valStop, m.valStop, `,"stream_options":{"include_usage":true}`
	}
	return p
}

func (p *Peek) member(key string, m *members) {
	v := m.value()
	switch key {
	case "model":
		p.modelAt, p.modelStop = m.valAt, m.valStop
		if p.Model = text(v); p.Model == "" && !isNull(v) {
			p.Gates |= schemas.GateUnreadable
		}
	case "stream":
		p.Stream = string(v) == "true"
		if !p.Stream && string(v) != "false" && !isNull(v) {
			p.Gates |= schemas.GateUnreadable
		}
	}
}

// options reads stream_options and finds where to ask for usage inside it. It
// returns false where nothing may be asked.
func (p *Peek) options(m *members) bool {
	v := m.value()
	if isNull(v) {
		p.insertAt, p.insertStop, p.insert = m.valAt, m.valStop, `{"include_usage":true}`
		return true
	}
	o := object(v)
	times := 0
	for o.next() {
		if string(o.key()) == "include_usage" {
			times++
			switch string(o.value()) {
			case "true":
				p.IncludeUsage = Yes
			default:
				p.IncludeUsage = No // false, or what the provider will complain of
			}
		} else if bytes.IndexByte(o.key(), '\\') >= 0 || strings.EqualFold(string(o.key()), "include_usage") {
			p.Gates |= schemas.GateUnreadable
		}
	}
	if o.bad || times > 1 {
		p.Gates |= schemas.GateUnreadable
	}
	if times > 0 || o.bad {
		return false
	}
	at := m.valAt + o.end - 1
	p.insertAt, p.insertStop, p.insert = at, at, `"include_usage":true`
	if o.started {
		p.insert = "," + p.insert
	}
	return true
}

// foldsToDecisive reports whether a key is one that decisions read when case
// (or, for a decoded key, the escapes) is ignored, and is not written so.
func foldsToDecisive(key []byte, escaped bool) bool {
	for _, k := range decisive {
		if len(key) >= len(k) && len(key) <= 3*len(k) && (escaped || string(key) != k) && strings.EqualFold(string(key), k) {
			return true
		}
	}
	return false
}

// CanAskUsage reports whether usage can be asked for: a readable stream whose
// client did not say.
func (p *Peek) CanAskUsage() bool {
	return p.Stream && p.IncludeUsage == Unsaid && p.insert != "" && p.Readable()
}

// Edit returns the body with another model (unless model is "") and, when
// askUsage, with the wish for stream usage. All other bytes stay as they are.
// Only a readable body may be edited.
func (p *Peek) Edit(body []byte, model string, askUsage bool) []byte {
	type cut struct {
		at, stop int
		with     []byte
	}
	var cuts []cut
	if model != "" && p.modelStop > p.modelAt {
		quoted, err := json.Marshal(model)
		if err == nil {
			cuts = append(cuts, cut{p.modelAt, p.modelStop, quoted})
		}
	}
	if askUsage && p.CanAskUsage() {
		cuts = append(cuts, cut{p.insertAt, p.insertStop, []byte(p.insert)})
	}
	if len(cuts) == 2 && cuts[0].at > cuts[1].at {
		cuts[0], cuts[1] = cuts[1], cuts[0]
	}
	size := len(body)
	for _, c := range cuts {
		size += len(c.with)
	}
	out, from := make([]byte, 0, size), 0
	for _, c := range cuts {
		out = append(append(out, body[from:c.at]...), c.with...)
		from = c.stop
	}
	return append(out, body[from:]...)
}
