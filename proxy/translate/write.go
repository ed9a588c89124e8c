package translate

import (
	"bytes"
	"encoding/json"

	"github.com/tidwall/gjson"
)

// out writes JSON. Commas follow from the byte before.
type out struct{ b []byte }

func (o *out) sep() {
	if n := len(o.b); n > 0 {
		switch o.b[n-1] {
		case '{', '[', ':':
		default:
			o.b = append(o.b, ',')
		}
	}
}

// open begins an object or an array.
func (o *out) open(c byte) {
	o.sep()
	o.b = append(o.b, c)
}

// shut ends one.
func (o *out) shut(c byte) { o.b = append(o.b, c) }

// key begins a member.
func (o *out) key(name string) *out {
	o.str(name)
	o.b = append(o.b, ':')
	return o
}

// raw writes JSON as it is.
func (o *out) raw(json string) {
	o.sep()
	o.b = append(o.b, json...)
}

// str writes a string.
func (o *out) str(s string) {
	o.sep()
	o.b = gjson.AppendJSONString(o.b, s)
}

// pair writes a member with a string, optional one with JSON where there is any.
func (o *out) pair(name, value string) { o.key(name).str(value) }

func (o *out) optional(name, json string) {
	if json != "" {
		o.key(name).raw(json)
	}
}

// compact is JSON without white space, as it must be within an event's line.
func compact(raw string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(raw)) != nil {
		return raw
	}
	return b.String()
}

// quote makes a string literal of a text.
func quote(s string) string { return string(gjson.AppendJSONString(nil, s)) }
