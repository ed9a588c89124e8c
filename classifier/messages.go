package classifier

import (
	"bytes"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// messages reads the conversation: a string, or a list of turns.
func (w *walker) messages() {
	switch w.peek() {
	case '"':
		w.turn()
		w.freshUser = true
		w.content(roleUser, 0)
	case '[':
		for c := w.enter(); w.next(&c); {
			switch w.peek() {
			case '{':
				w.message()
			case '"':
				w.freshUser = true
				w.content(roleUser, 0)
			default:
				w.skip()
			}
		}
	default:
		w.skip()
	}
}

func (w *walker) turn() {
	if w.f.Turns < 1<<16-1 {
		w.f.Turns++
	}
}

// message reads one turn. Its role may stand after its content: a text is then
// taken when the role is known, and parts are read again.
func (w *walker) message() {
	role, known, contentAt, early := roleOther, false, -1, span{}
	for c := w.enter(); w.next(&c); {
		k := w.key()
		switch string(w.b[k.from:k.to]) {
		case "role":
			role, known = w.role(), true
			w.freshUser = role == roleUser
		case "content":
			if known {
				w.content(role, 0)
				continue
			}
			if contentAt, early = -1, (span{}); w.peek() == '"' {
				early = w.text()
				continue
			}
			contentAt = w.i
			w.skip()
		case "tool_calls":
			raw := w.skip()
			w.count(raw)
			if bytes.Contains(raw, []byte(`"thought_signature"`)) {
				w.f.Gates |= schemas.GateSignedThinking
			}
		case "arguments", "reasoning_content", "reasoning", "output":
			w.content(roleTool, 0)
		case "audio":
			if w.peek() == '{' {
				w.f.Gates |= schemas.GateAudio
			}
			w.skip()
		case "encrypted_content", "thought_signature", "reasoning_details":
			w.signature(w.skip())
		case "extra_content":
			if raw := w.skip(); bytes.Contains(raw, []byte("signature")) {
				w.f.Gates |= schemas.GateSignedThinking
			}
		case "type":
			if t := w.skip(); string(t) == `"item_reference"` {
				w.f.Gates |= schemas.GateServerState
			}
		default:
			w.skip()
		}
	}
	if early.len() > 0 && !w.bad {
		w.say(role, early)
	}
	if contentAt >= 0 && !w.bad {
		end, depth := w.i, w.depth
		w.i = contentAt
		w.content(role, 0)
		w.i, w.depth = end, depth
	}
	if role == roleSystem {
		w.systems++
	} else {
		w.turn()
	}
}

func (w *walker) role() int {
	switch string(w.skip()) {
	case `"system"`, `"developer"`:
		return roleSystem
	case `"user"`:
		return roleUser
	case `"assistant"`:
		return roleAssistant
	case `"tool"`, `"function"`:
		return roleTool
	}
	return roleOther
}

// content reads a text, a part, or a list of them.
func (w *walker) content(role, depth int) {
	switch w.peek() {
	case '"':
		w.say(role, w.text())
	case '{':
		w.part(role, depth+1)
	case '[':
		for c := w.enter(); w.next(&c); {
			switch w.peek() {
			case '"':
				w.say(role, w.text())
			case '{':
				w.part(role, depth+1)
			default:
				w.skip()
			}
		}
	default:
		w.skip()
	}
}

// part reads one block of a turn.
func (w *walker) part(role, depth int) {
	if depth > maxNested {
		w.count(w.skip())
		return
	}
	for c := w.enter(); w.next(&c); {
		k := w.key()
		switch string(w.b[k.from:k.to]) {
		case "type":
			w.partType(w.skip())
		case "text":
			if w.peek() == '"' {
				w.say(role, w.text())
			} else {
				w.skip()
			}
		case "thinking", "input", "arguments":
			w.count(w.skip())
		case "content", "output":
			w.content(roleTool, depth)
		case "signature", "thought_signature", "encrypted_content":
			w.signature(w.skip())
		case "source", "file":
			w.media(w.skip())
		default:
			w.skip()
		}
	}
}

func (w *walker) partType(raw []byte) {
	switch string(raw) {
	case `"image"`, `"image_url"`, `"input_image"`:
		w.f.Gates |= schemas.GateVision
		if w.f.Images < 1<<16-1 {
			w.f.Images++
		}
	case `"document"`, `"file"`, `"input_file"`:
		w.f.Gates |= schemas.GateVision // documents are read as pages
	case `"input_audio"`, `"audio"`:
		w.f.Gates |= schemas.GateAudio
	case `"redacted_thinking"`:
		w.f.Gates |= schemas.GateSignedThinking
	case `"server_tool_use"`, `"web_search_tool_result"`, `"web_fetch_tool_result"`, `"code_execution_tool_result"`,
		`"bash_code_execution_tool_result"`, `"text_editor_code_execution_tool_result"`, `"mcp_tool_use"`, `"mcp_tool_result"`, `"container_upload"`:
		w.f.Gates |= schemas.GateWebSearch
	}
}

// media guesses the tokens of an embedded document; an image's base64 says
// nothing of its tokens, and imageTokens stands for it.
func (w *walker) media(raw []byte) {
	switch t := memberType(raw); {
	case string(t) == "text", string(t) == "content":
		w.count(raw)
	case bytes.Contains(raw[:min(len(raw), 256)], []byte("application/pdf")):
		w.extra += uint64(len(raw)) / 30
	}
}

// signature notes thinking that is bound to the model that made it.
func (w *walker) signature(raw []byte) {
	switch string(raw) {
	case "null", `""`, "[]":
	default:
		w.f.Gates |= schemas.GateSignedThinking
	}
}

// count meters what is part of the prompt but nobody's words.
func (w *walker) count(raw []byte) {
	w.heed(raw)
	w.promptSum.Write(raw)
}

// heed meters a text.
func (w *walker) heed(raw []byte) {
	w.meter.add(raw)
	if w.told != nil {
		w.told(raw)
	}
}

// say takes a text of a turn. Its bytes are hashed once: the sums are of the
// texts' hashes.
func (w *walker) say(role int, t span) {
	raw := w.b[t.from:t.to]
	if len(raw) == 0 {
		return // an empty text is none
	}
	var hash [8]byte
	binary.LittleEndian.PutUint64(hash[:], xxhash.Sum64(raw))
	w.promptSum.Write(roleMark[role][:])
	w.promptSum.Write(hash[:])
	w.heed(raw)
	switch role {
	case roleSystem:
		w.system.add(t)
		w.systemSum.Write(hash[:])
		w.f.SystemBytes += uint32(len(raw))
	case roleUser:
		if w.freshUser {
			w.freshUser = false
			w.users++
			w.user.reset()
			w.f.LastUserBytes = 0
		}
		w.user.add(t)
		w.f.LastUserBytes += uint32(len(raw))
		if w.users == 1 {
			w.userSum.Write(hash[:])
		}
	}
}

// roleMark parts the texts in the prompt's hash.
var roleMark = [...][2]byte{{0, 'o'}, {0, 's'}, {0, 'u'}, {0, 'a'}, {0, 't'}}

// tools reads the tool definitions.
func (w *walker) tools() {
	if w.peek() != '[' {
		w.skip()
		return
	}
	from := w.i
	for c := w.enter(); w.next(&c); {
		if w.f.Tools < 1<<16-1 {
			w.f.Tools++
		}
		w.f.Gates |= schemas.GateTools
		if w.peek() != '{' {
			w.skip()
			continue
		}
		w.tool()
	}
	if !w.bad {
		w.extra += uint64(w.i-from) * 2 / 9 // a guess: each provider lays schemas out in its own way
	}
}

// tool reads one definition. A tool of a type of its vendor's runs at the
// vendor, or is known to some of its models only.
func (w *walker) tool() {
	for c := w.enter(); w.next(&c); {
		k := w.key()
		switch string(w.b[k.from:k.to]) {
		case "type":
			if t := string(w.skip()); t != `"function"` && t != `"custom"` && t != "null" {
				w.f.Gates |= schemas.GateWebSearch
			}
		case "strict":
			if string(w.skip()) == "true" {
				w.f.Gates |= schemas.GateJSONSchema
			}
		case "name":
			w.toolNamed()
		case "function":
			if w.peek() != '{' {
				w.skip()
				continue
			}
			for f := w.enter(); w.next(&f); {
				k := w.key()
				if string(w.b[k.from:k.to]) == "name" {
					w.toolNamed()
				} else if raw := w.skip(); string(w.b[k.from:k.to]) == "strict" && string(raw) == "true" {
					w.f.Gates |= schemas.GateJSONSchema
				}
			}
		default:
			w.skip()
		}
	}
}

// toolNamed reads a tool's name.
func (w *walker) toolNamed() {
	if w.peek() != '"' {
		w.skip()
		return
	}
	name := w.text()
	raw := w.b[name.from:name.to]
	w.toolSum += nameHash(raw)
	if w.toolName.len() == 0 || bytes.Compare(raw, w.b[w.toolName.from:w.toolName.to]) < 0 {
		w.toolName = name
	}
}
