package classifier

import (
	"bytes"

	"github.com/gnomon-llm/gnomon/schemas"
)

// geminiDialect is whose bodies are read by the rules of this file: nothing here
// touches a body of another.
const geminiDialect = "gemini.generate"

// geminiField reads the value of a top-level key of a generateContent request. A
// provider takes the keys in both spellings.
func (w *walker) geminiField(k span) {
	switch string(w.b[k.from:k.to]) {
	case "contents":
		w.geminiContents()
	case "systemInstruction", "system_instruction":
		w.systems++
		w.geminiContent(roleSystem)
	case "tools":
		w.geminiTools()
	case "generationConfig", "generation_config":
		w.geminiConfig()
	case "cachedContent", "cached_content":
		if raw := w.skip(); len(raw) > 2 && raw[0] == '"' {
			w.f.Gates |= schemas.GateServerState
		}
	default:
		w.skip()
	}
}

// geminiContents reads the conversation: a list of turns, or one.
func (w *walker) geminiContents() {
	switch w.peek() {
	case '{':
		w.freshUser = true
		w.geminiContent(roleUser)
		w.turn()
	case '[':
		for c := w.enter(); w.next(&c); {
			if w.peek() != '{' {
				w.skip()
				continue
			}
			w.freshUser = true
			w.geminiContent(roleUser)
			w.turn()
		}
	default:
		w.skip()
	}
}

// geminiContent reads a turn, whose role may stand behind its parts: they are
// read when it is known. Without one it is the given one's.
func (w *walker) geminiContent(role int) {
	if w.peek() != '{' {
		w.content(role, 0) // a text alone: some readers take it
		return
	}
	partsAt := -1
	for c := w.enter(); w.next(&c); {
		k := w.key()
		switch string(w.b[k.from:k.to]) {
		case "role":
			switch string(w.skip()) {
			case `"model"`:
				role = roleAssistant
			case `"function"`, `"tool"`:
				role = roleTool
			case `"system"`:
				role = roleSystem
			}
		case "parts":
			partsAt = w.i
			w.skip()
		default:
			w.skip()
		}
	}
	if partsAt < 0 || w.bad {
		return
	}
	end, depth := w.i, w.depth
	w.i = partsAt
	w.geminiParts(role)
	w.i, w.depth = end, depth
}

func (w *walker) geminiParts(role int) {
	switch w.peek() {
	case '{':
		w.geminiPart(role)
	case '[':
		for c := w.enter(); w.next(&c); {
			if w.peek() == '{' {
				w.geminiPart(role)
			} else {
				w.skip()
			}
		}
	default:
		w.skip()
	}
}

// geminiPart reads one part of a turn.
func (w *walker) geminiPart(role int) {
	for c := w.enter(); w.next(&c); {
		k := w.key()
		switch string(w.b[k.from:k.to]) {
		case "text":
			if w.peek() == '"' {
				w.say(role, w.text())
			} else {
				w.skip()
			}
		case "functionCall", "function_call", "functionResponse", "function_response":
			w.count(w.skip())
		case "executableCode", "executable_code", "codeExecutionResult", "code_execution_result":
			w.f.Gates |= schemas.GateWebSearch // the provider's own tool
			w.count(w.skip())
		case "thoughtSignature", "thought_signature":
			w.signature(w.skip())
		case "inlineData", "inline_data", "fileData", "file_data":
			w.geminiMedia(w.skip())
		default:
			w.skip()
		}
	}
}

// geminiMedia notes what is no text, by its type.
func (w *walker) geminiMedia(raw []byte) {
	kind := member(raw, "mimeType")
	if kind == nil {
		kind = member(raw, "mime_type")
	}
	switch {
	case bytes.HasPrefix(kind, []byte("audio/")):
		w.f.Gates |= schemas.GateAudio
	case bytes.HasPrefix(kind, []byte("image/")):
		w.f.Gates |= schemas.GateVision
		if w.f.Images < 1<<16-1 {
			w.f.Images++
		}
	case bytes.Equal(kind, []byte("application/pdf")):
		w.f.Gates |= schemas.GateVision
		w.extra += uint64(len(raw)) / 30
	default:
		w.f.Gates |= schemas.GateVision // video, and what is not known
	}
}

// geminiTools reads lists of functions, and the provider's own tools.
func (w *walker) geminiTools() {
	if w.peek() != '[' {
		w.skip()
		return
	}
	for c := w.enter(); w.next(&c); {
		if w.peek() != '{' {
			w.skip()
			continue
		}
		for c := w.enter(); w.next(&c); {
			k := w.key()
			switch string(w.b[k.from:k.to]) {
			case "functionDeclarations", "function_declarations":
				w.tools()
			default: // search, code execution
				w.f.Gates |= schemas.GateWebSearch
				w.skip()
			}
		}
	}
}

// geminiConfig reads the settings of the answer.
func (w *walker) geminiConfig() {
	if w.peek() != '{' {
		w.skip()
		return
	}
	for c := w.enter(); w.next(&c); {
		k := w.key()
		name := string(w.b[k.from:k.to])
		raw := w.skip()
		set := len(raw) > 0 && raw[0] != 'n' && string(raw) != "false"
		switch name {
		case "maxOutputTokens", "max_output_tokens":
			w.f.MaxOutput = max(w.f.MaxOutput, integer(raw))
		case "candidateCount", "candidate_count":
			if integer(raw) > 1 {
				w.f.Gates |= schemas.GateMultipleChoices
			}
		case "responseMimeType", "response_mime_type":
			if string(raw) == `"application/json"` {
				w.f.Gates |= schemas.GateJSONMode
			}
		case "responseSchema", "response_schema", "responseJsonSchema", "response_json_schema":
			if set {
				w.f.Gates |= schemas.GateJSONSchema
			}
		case "responseLogprobs", "response_logprobs":
			if set {
				w.f.Gates |= schemas.GateLogprobs
			}
		case "thinkingConfig", "thinking_config":
			if set {
				w.f.Gates |= schemas.GateReasoning
			}
		case "responseModalities", "response_modalities":
			if bytes.Contains(raw, []byte(`"AUDIO"`)) {
				w.f.Gates |= schemas.GateAudio
			}
		}
	}
}
