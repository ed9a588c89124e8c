package translate

import (
	"strconv"

	"github.com/tidwall/gjson"
)

// request is what the dialects share of a request. Texts are JSON string
// literals and numbers JSON numbers, as they came; "" is not said.
type request struct {
	system []block // texts
	turns  []turn
	tools  []tool
	choice choice
	format format

	maxTokens, temperature, topP, topK, seed, presence, frequency string
	stops                                                         []string // literals
	serial                                                        bool     // at most one tool call a turn
	stream                                                        bool
	size                                                          int // of the body it was read from
}

type turn struct {
	assistant bool
	blocks    []block
}

type kind uint8

const (
	text     kind = iota
	media         // an image or a document
	call          // of a tool, by the assistant
	result        // of a tool, for the assistant
	refusing      // an answer's refusal, as a text
)

type block struct {
	kind kind
	text string // literal

	mime, data, url, name string // media: a type with base64, or an address; a file's name

	id    string // call, result
	tool  string // call: the tool's name
	input string // call: a JSON object

	content []block // result: texts and media
	failed  bool    // result
}

// tool is a function that the client runs.
type tool struct {
	name, description string // description: literal
	schema            string // JSON schema; "" when the tool takes nothing
	strict            bool
}

// choice of a tool: "" is the dialect's default, which is auto in all.
type choice struct {
	mode  string // auto, none, any, tool
	tools []string
}

// format of the answer.
type format struct {
	kind   string // "", json, schema
	name   string
	schema string
	strict bool
}

// texts reports whether all blocks are texts.
func texts(blocks []block) bool {
	for i := range blocks {
		if blocks[i].kind != text {
			return false
		}
	}
	return true
}

// split parts a user's turn into the results that open it and the rest; a
// result behind anything else has an order that other dialects cannot keep.
func (t *turn) split() (results, rest []block, err error) {
	n := 0
	for n < len(t.blocks) && t.blocks[n].kind == result {
		n++
	}
	for _, b := range t.blocks[n:] {
		if b.kind == result {
			return nil, nil, refuse(refusedOrder)
		}
	}
	return t.blocks[:n], t.blocks[n:], nil
}

// spoken parts an assistant's turn into its texts and the calls behind them.
func (t *turn) spoken() (said, calls []block, err error) {
	n := 0
	for n < len(t.blocks) && t.blocks[n].kind == text {
		n++
	}
	for _, b := range t.blocks[n:] {
		if b.kind != call {
			return nil, nil, refuse(refusedOrder)
		}
	}
	return t.blocks[:n], t.blocks[n:], nil
}

// begun refuses a request that ends in the assistant's words, or begins with
// them: what the dialects make of either differs.
func (r *request) begun() error {
	if len(r.turns) == 0 || r.turns[0].assistant {
		return refuse("first_turn")
	}
	if r.turns[len(r.turns)-1].assistant {
		return refuse("prefill")
	}
	return nil
}

// names maps the calls of the conversation to their tools.
func (r *request) names() map[string]string {
	m := map[string]string{}
	for _, t := range r.turns {
		for _, b := range t.blocks {
			if b.kind == call {
				m[b.id] = b.tool
			}
		}
	}
	return m
}

// uses reports whether the conversation holds tool calls or results.
func (r *request) uses() bool {
	for _, t := range r.turns {
		for _, b := range t.blocks {
			if b.kind == call || b.kind == result {
				return true
			}
		}
	}
	return false
}

// atMost reports whether a number is not above a bound; "" is.
func atMost(number string, bound float64) bool {
	if number == "" {
		return true
	}
	f, err := strconv.ParseFloat(number, 64)
	return err == nil && f <= bound
}

func zero(number string) bool {
	if number == "" {
		return true
	}
	f, err := strconv.ParseFloat(number, 64)
	return err == nil && f == 0
}

// object is the text of a JSON object that a string holds; "" is the empty one.
func object(s string) (string, bool) {
	if s == "" {
		return "{}", true
	}
	return s, valid([]byte(s)) && gjson.Parse(s).IsObject()
}

// dataURL parts data:image/png;base64,….
func dataURL(s string) (mime, data string, ok bool) {
	const scheme, marker = "data:", ";base64,"
	if len(s) < len(scheme) || s[:len(scheme)] != scheme {
		return "", "", false
	}
	for i := len(scheme); i+len(marker) <= len(s) && i < 128; i++ {
		if s[i:i+len(marker)] == marker {
			return s[len(scheme):i], s[i+len(marker):], true
		}
	}
	return "", "", false
}

const pdf = "application/pdf"

// images are the types of image that OpenAI and Anthropic both read.
var images = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// closed reports whether a schema is within what OpenAI enforces: each object
// is closed and requires all of its properties.
func closed(schema gjson.Result, depth int) bool {
	if depth > 32 {
		return false
	}
	if schema.IsArray() {
		ok := true
		schema.ForEach(func(_, v gjson.Result) bool {
			ok = closed(v, depth+1)
			return ok
		})
		return ok
	}
	if !schema.IsObject() {
		return true
	}
	if props := schema.Get("properties"); props.IsObject() || schema.Get("type").Str == "object" {
		if schema.Get("additionalProperties").Type != gjson.False {
			return false
		}
		required := map[string]bool{}
		for _, v := range schema.Get("required").Array() {
			required[v.Str] = true
		}
		ok := true
		props.ForEach(func(k, v gjson.Result) bool {
			ok = required[k.Str] && closed(v, depth+1)
			return ok
		})
		if !ok {
			return false
		}
	}
	for _, k := range []string{"items", "anyOf", "prefixItems"} {
		if v := schema.Get(k); v.Exists() && !closed(v, depth+1) {
			return false
		}
	}
	ok := true
	schema.Get("$defs").ForEach(func(_, v gjson.Result) bool {
		ok = closed(v, depth+1)
		return ok
	})
	return ok
}
