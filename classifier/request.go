package classifier

import (
	"bytes"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The roles of a turn.
const (
	roleOther = iota
	roleSystem
	roleUser
	roleAssistant
	roleTool
)

// imageTokens is what an image is taken to cost: providers count from 85 to
// several thousand, by its size, which is not looked at.
const imageTokens = 800

// maxNested is how deep parts within parts are read as a conversation.
const maxNested = 6

// walker reads one request. It keeps places in the body, never copies.
type walker struct {
	reader
	f Features

	keys  [96]uint64 // hashes of the top-level keys
	nkeys int
	model bool // a model is named

	system, user   spans // all system text; the last user turn that holds text
	freshUser      bool  // the next user text begins a turn
	users          int
	systems        int
	systemSum      xxhash.Digest
	userSum        xxhash.Digest // of the first user turn
	promptSum      xxhash.Digest
	meter          meter
	told           func(raw []byte) // of what the meter reads; nil: nobody
	extra          uint64           // tokens of tools, documents and framing
	responses      bool             // the Responses dialect keeps state unless told not to
	gemini         bool             // a generateContent request, whose model is in its path
	toolSum        uint64           // of the tools' names, whatever their order
	toolName       span             // the first of them by the alphabet
	schemaSum      uint64           // of the name of the answer's schema
	schemaName     []byte
	stored, toldNo bool // store: true, store: false
}

// walk reads the body whole; afterwards w.f holds everything but Lexical and
// SystemPrint.
func (w *walker) walk(dialect string, body []byte) {
	w.b = body
	w.f.Bytes = uint32(min(uint64(len(body)), math.MaxUint32))
	w.responses, w.gemini = dialect == "openai.responses", dialect == geminiDialect
	w.systemSum.Reset()
	w.userSum.Reset()
	w.promptSum.Reset()
	if w.peek() != '{' {
		w.fail()
	} else {
		for c := w.enter(); w.next(&c); {
			k := w.key()
			w.topKey(k)
			if w.gemini {
				w.geminiField(k)
			} else {
				w.field(k)
			}
		}
	}
	if !w.end() {
		w.f.Gates |= schemas.GateUnreadable
	}
	if !w.model {
		w.f.Gates |= schemas.GateNoModel
	}
	if w.stored || w.responses && !w.toldNo {
		w.f.Gates |= schemas.GateServerState
	}
	w.finish()
}

func (w *walker) finish() {
	if w.f.SystemBytes > 0 {
		w.f.SystemHash = w.systemSum.Sum64()
	}
	if w.users > 0 {
		w.f.FirstUserHash = w.userSum.Sum64()
	}
	w.f.PromptHash = w.promptSum.Sum64()
	w.f.PromptTokens = uint32(min(w.meter.tokens()+w.beside(), math.MaxUint32))
}

// beside is what a prompt is predicted to cost beside its texts: tools, images,
// documents and the framing of its turns.
func (w *walker) beside() uint64 {
	return w.extra + 4*uint64(w.f.Turns) + 4*uint64(w.systems) + 3 + imageTokens*uint64(w.f.Images)
}

// topKey notes a top-level key and whether it is there twice: spelled with
// escapes, or in other capitals, it is the same key to some reader.
func (w *walker) topKey(k span) {
	var h uint64
	if raw := w.b[k.from:k.to]; !k.escaped && !w.high {
		h = foldedHash(raw)
	} else {
		var buf [256]byte
		plain := raw[:min(len(raw), 200)]
		if k.escaped {
			plain = unescape(buf[:0], w.b, k.from, min(k.to, k.from+200))
			switch string(plain) {
			case "model", "messages", "stream", "system", "input", "tools", "store", "max_tokens":
				w.f.Gates |= schemas.GateUnreadable // spelled so that a plain reader misses it
			}
		}
		h = foldedHash(plain)
	}
	for _, seen := range w.keys[:w.nkeys] {
		if seen == h {
			w.f.Gates |= schemas.GateRepeatedKey
			return
		}
	}
	if w.nkeys == len(w.keys) {
		w.f.Gates |= schemas.GateUnreadable // no request has so many keys
		return
	}
	w.keys[w.nkeys] = h
	w.nkeys++
}

// foldedHash hashes a key without regard to case, as readers that match keys
// loosely do: for them the long s and the Kelvin sign are an s and a k.
func foldedHash(key []byte) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c == 0xC5 && i+1 < len(key) && key[i+1] == 0xBF:
			c = 's'
			i++
		case c == 0xE2 && i+2 < len(key) && key[i+1] == 0x84 && key[i+2] == 0xAA:
			c = 'k'
			i += 2
		}
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// field reads the value of a top-level key.
func (w *walker) field(k span) {
	switch string(w.b[k.from:k.to]) {
	case "model":
		if w.peek() != '"' {
			w.skip()
			return
		}
		w.model = w.text().len() > 0
	case "messages", "input":
		w.messages()
	case "system", "instructions":
		w.systems++
		w.content(roleSystem, 0)
	case "prompt":
		w.freshUser = true
		w.content(roleUser, 0)
	case "tools", "functions":
		w.tools()
	default:
		w.setting(k, w.skip())
	}
}

// setting notes what a top-level setting asks for.
func (w *walker) setting(k span, raw []byte) {
	set := len(raw) > 0 && raw[0] != 'n' && string(raw) != "false" // neither null nor false
	gate := func(on bool, g schemas.Gate) {
		if on {
			w.f.Gates |= g
		}
	}
	switch string(w.b[k.from:k.to]) {
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		w.f.MaxOutput = max(w.f.MaxOutput, integer(raw))
	case "n":
		gate(integer(raw) > 1, schemas.GateMultipleChoices)
	case "logprobs":
		gate(set, schemas.GateLogprobs)
	case "top_logprobs":
		gate(integer(raw) > 0, schemas.GateLogprobs)
	case "response_format", "output_format", "text", "output_config":
		w.format(raw)
	case "reasoning_effort":
		gate(set && string(raw) != `"none"`, schemas.GateReasoning)
	case "reasoning":
		gate(set, schemas.GateReasoning)
	case "thinking":
		gate(set && !bytes.Equal(memberType(raw), []byte("disabled")), schemas.GateReasoning)
	case "modalities":
		gate(bytes.Contains(raw, []byte(`"audio"`)), schemas.GateAudio)
	case "audio":
		gate(set, schemas.GateAudio)
	case "prediction":
		gate(set, schemas.GatePrediction)
	case "web_search_options", "mcp_servers", "container":
		gate(set && string(raw) != "[]", schemas.GateWebSearch)
	case "parallel_tool_calls":
		gate(string(raw) == "true", schemas.GateParallelTools)
	case "store":
		w.stored, w.toldNo = string(raw) == "true", string(raw) == "false"
	case "previous_response_id", "conversation", "background":
		gate(set, schemas.GateServerState)
	}
}

// format notes the answer's format. The member that decides is called type, at
// one depth or another; a schema's own text may hold the same words, so members
// are read, not searched.
func (w *walker) format(raw []byte) {
	if len(raw) == 0 || raw[0] != '{' {
		return
	}
	r := reader{b: raw}
	for c := r.enter(); r.next(&c); {
		switch k := r.key(); string(raw[k.from:k.to]) {
		case "type":
			w.formatType(r.skip())
		case "format":
			raw := r.skip()
			switch t := member(raw, "type"); string(t) {
			case "json_object":
				w.f.Gates |= schemas.GateJSONMode
			case "json_schema":
				w.f.Gates |= schemas.GateJSONSchema
			}
			w.schema(member(raw, "name"))
		case "json_schema":
			w.schema(member(r.skip(), "name"))
		case "effort":
			w.f.Gates |= schemas.GateReasoning
			r.skip()
		default:
			r.skip()
		}
	}
}

func (w *walker) formatType(raw []byte) {
	switch string(raw) {
	case `"json_object"`:
		w.f.Gates |= schemas.GateJSONMode
	case `"json_schema"`, `"grammar"`:
		w.f.Gates |= schemas.GateJSONSchema
	}
}

func (w *walker) schema(name []byte) {
	if len(name) > 0 {
		w.schemaSum, w.schemaName = nameHash(name), name
	}
}

// memberType returns the type member of an object, without its quotes.
func memberType(raw []byte) []byte { return member(raw, "type") }

// member returns an object's text of that name, without its quotes.
func member(raw []byte, name string) []byte {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	r := reader{b: raw}
	for c := r.enter(); r.next(&c); {
		k := r.key()
		if string(raw[k.from:k.to]) == name && r.peek() == '"' {
			t := r.text()
			return raw[t.from:t.to]
		}
		r.skip()
	}
	return nil
}

// integer reads a whole number of at most nine digits; 0 otherwise, and the
// largest such number for longer ones.
func integer(raw []byte) uint32 {
	var n uint32
	for i, c := range raw {
		if c < '0' || c > '9' {
			return 0
		}
		if i >= 9 {
			return 999_999_999
		}
		n = n*10 + uint32(c-'0')
	}
	return n
}
