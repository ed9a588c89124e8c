package dialect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/bits"
	"strconv"
)

// maxDepth bounds the nesting that is read with certainty. Real requests nest
// tool schemas a few dozen deep; parsers of providers give up somewhere above.
const maxDepth = 512

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stringEnd returns the index behind the string that starts at b[i] == '"', or
// -1. Escapes are checked, control characters refused, as RFC 8259 wants.
func stringEnd(b []byte, i int) int {
	for i++; ; {
		for near := false; i+8 <= len(b); {
			// Eight bytes at a time up to the first quote, backslash or control character.
			if hit := special(binary.LittleEndian.Uint64(b[i:])) & highs; hit != 0 {
				i += bits.TrailingZeros64(hit) / 8
				break
			}
			i += 8
			for !near && i+32 <= len(b) { // four steps at a time, which do not wait for each other
				p := b[i : i+32 : i+32]
				near = (special(binary.LittleEndian.Uint64(p))|special(binary.LittleEndian.Uint64(p[8:]))|
					special(binary.LittleEndian.Uint64(p[16:]))|special(binary.LittleEndian.Uint64(p[24:])))&highs != 0
				if !near {
					i += 32
				}
			}
		}
		if i >= len(b) {
			return -1
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < 0x20:
			return -1
		case c == '\\':
			n := escapeLen(b, i)
			if n == 0 {
				return -1
			}
			i += n
		default:
			i++
		}
	}
}

// special has the high bit of each byte that is a quote, a backslash or a control
// character; above the first such byte it may have others.
func special(x uint64) uint64 {
	q, s := x^(ones*'"'), x^(ones*'\\')
	return ((x - ones*0x20) & ^x) | ((q - ones) & ^q) | ((s - ones) & ^s)
}

// escapeLen is the length of the escape at b[i] == '\\'; 0 when it is none.
func escapeLen(b []byte, i int) int {
	if i+1 >= len(b) {
		return 0
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if i+6 > len(b) {
			return 0
		}
		for _, c := range b[i+2 : i+6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// scalarEnd returns the index behind the number or literal at b[i], or -1.
func scalarEnd(b []byte, i int) int {
	for _, lit := range []string{"true", "false", "null"} {
		if b[i] == lit[0] {
			if len(b)-i >= len(lit) && string(b[i:i+len(lit)]) == lit {
				return i + len(lit)
			}
			return -1
		}
	}
	if b[i] == '-' {
		i++
	}
	start := i
	i = digits(b, i)
	if i == start || (b[start] == '0' && i > start+1) {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if start = i + 1; digits(b, start) == start {
			return -1
		}
		i = digits(b, start)
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if start = i; digits(b, start) == start {
			return -1
		}
		i = digits(b, start)
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

// nesting remembers for each open container whether it is an object. A bit set
// instead of recursion: a body of ten thousand brackets costs no stack.
type nesting struct {
	object [maxDepth / 64]uint64
	depth  int
}

func (n *nesting) push(object bool) bool {
	if n.depth == maxDepth {
		return false
	}
	bit := uint64(1) << (n.depth % 64)
	if n.object[n.depth/64] &^= bit; object {
		n.object[n.depth/64] |= bit
	}
	n.depth++
	return true
}

func (n *nesting) inObject() bool {
	return n.object[(n.depth-1)/64]&(1<<((n.depth-1)%64)) != 0
}

// valueEnd returns the index behind the JSON value that starts at or after b[i],
// or -1 when there is none that is whole, valid and nested at most maxDepth deep.
func valueEnd(b []byte, i int) int {
	var n nesting
	for {
		if i = blank(b, i); i >= len(b) {
			return -1
		}
		open := false
		switch b[i] {
		case '{', '[':
			object := b[i] == '{'
			if !n.push(object) {
				return -1
			}
			if i = blank(b, i+1); i >= len(b) {
				return -1
			}
			if empty := b[i] == ']' && !object || b[i] == '}' && object; !empty {
				if open = true; object {
					i = keyEnd(b, i)
				}
			}
		case '"':
			i = stringEnd(b, i)
		default:
			i = scalarEnd(b, i)
		}
		if i < 0 {
			return -1
		}
		if open {
			continue
		}
		if i = closeAll(b, i, &n); i < 0 || n.depth == 0 {
			return i
		}
	}
}

// closeAll goes on behind a value: closes the containers that end here and stops
// before the next value, or outside of all.
func closeAll(b []byte, i int, n *nesting) int {
	for n.depth > 0 {
		if i = blank(b, i); i >= len(b) {
			return -1
		}
		object := n.inObject()
		switch {
		case b[i] == ',' && object:
			return keyEnd(b, blank(b, i+1))
		case b[i] == ',':
			return i + 1
		case b[i] == '}' && object, b[i] == ']' && !object:
			n.depth--
			i++
		default:
			return -1
		}
	}
	return i
}

// keyEnd reads a key and its colon.
func keyEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	if i = stringEnd(b, i); i < 0 {
		return -1
	}
	if i = blank(b, i); i >= len(b) || b[i] != ':' {
		return -1
	}
	return i + 1
}

// members walks the members of one JSON object. After the last one bad says
// whether the object was broken, and end is the index behind it.
type members struct {
	b              []byte
	i              int
	keyAt, keyStop int // of the key, quotes excluded
	valAt, valStop int // of the value
	bad, started   bool
	end            int
}

func object(b []byte) members {
	m := members{b: b, i: blank(b, 0)}
	if m.i >= len(b) || b[m.i] != '{' {
		m.bad = true
		return m
	}
	m.i = blank(b, m.i+1)
	return m
}

func (m *members) next() bool {
	if m.bad || m.end > 0 {
		return false
	}
	b := m.b
	if m.i < len(b) && b[m.i] == '}' {
		m.end = m.i + 1
		return false
	}
	if m.started {
		if m.i >= len(b) || b[m.i] != ',' {
			m.bad = true
			return false
		}
		m.i = blank(b, m.i+1)
	}
	m.started = true
	colon := keyEnd(b, m.i)
	if colon < 0 {
		m.bad = true
		return false
	}
	m.keyAt = m.i + 1
	m.keyStop = m.keyAt + bytes.LastIndexByte(b[m.keyAt:colon], '"')
	m.valAt = blank(b, colon)
	if m.valStop = valueEnd(b, m.valAt); m.valStop < 0 {
		m.bad = true
		return false
	}
	if m.i = blank(b, m.valStop); m.i >= len(b) {
		m.bad = true
		return false
	}
	return true
}

func (m *members) key() []byte   { return m.b[m.keyAt:m.keyStop] }
func (m *members) value() []byte { return m.b[m.valAt:m.valStop] }

// get returns the raw value of a member, nil when there is none; of repeated
// keys the last, as most readers do.
func get(b []byte, key string) []byte {
	var v []byte
	for m := object(b); m.next(); {
		if string(m.key()) == key {
			v = m.value()
		}
	}
	return v
}

// elements walks the values of a JSON array.
type elements struct {
	b     []byte
	i     int
	value []byte
}

func array(b []byte) elements {
	i := blank(b, 0)
	if i >= len(b) || b[i] != '[' {
		return elements{b: b, i: len(b)}
	}
	return elements{b: b, i: i + 1}
}

func (e *elements) next() bool {
	i := blank(e.b, e.i)
	if i >= len(e.b) || e.b[i] == ']' {
		return false
	}
	end := valueEnd(e.b, i)
	if end < 0 {
		return false
	}
	e.value = e.b[i:end]
	if e.i = blank(e.b, end); e.i < len(e.b) && e.b[e.i] == ',' {
		e.i++
	}
	return true
}

func isNull(v []byte) bool   { return len(v) == 0 || string(v) == "null" }
func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }
func isString(v []byte) bool { return len(v) > 1 && v[0] == '"' }

// text decodes a JSON string; anything else is "".
func text(v []byte) string {
	if !isString(v) {
		return ""
	}
	if raw := v[1 : len(v)-1]; bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// textBytes is about how many bytes of text a JSON string holds.
func textBytes(v []byte) int {
	if !isString(v) {
		return 0
	}
	n := len(v) - 2
	for i := 1; ; {
		at := bytes.IndexByte(v[i:], '\\')
		if at < 0 {
			return n
		}
		if i += at + 1; v[i] == 'u' {
			n -= 3 // six characters stand for about three bytes
		} else {
			n--
		}
		i++
	}
}

// count reads a token count. ok is false for what no provider can mean: a
// negative or fractional number, text, or more than a thousand million.
func count(v []byte) (n uint32, ok bool) {
	const most = 1_000_000_000
	if u, err := strconv.ParseUint(string(v), 10, 32); err == nil {
		return uint32(u), u <= most
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f < 0 || f > most || f != math.Trunc(f) {
		return 0, false
	}
	return uint32(f), true
}
