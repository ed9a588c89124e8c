package classifier

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deep a body may be nested. Readers differ beyond it: some
// parsers of common languages stop near a thousand.
const maxDepth = 960

// reader walks JSON by its strict grammar without decoding it or allocating.
// Whatever is not JSON, or two readers could read differently, makes it bad;
// from then on it yields nothing.
type reader struct {
	b     []byte
	i     int
	bad   bool
	high  bool // bytes above ASCII were seen: UTF-8 is to be checked
	depth int  // of containers entered by enter
}

// span is a string's content between its quotes, as it stands in the body.
type span struct {
	from, to int
	escaped  bool // holds a backslash
}

func (s span) len() int { return s.to - s.from }

// container is the state of walking one object or array.
type container struct {
	end   byte
	begun bool
}

func (r *reader) fail() { r.bad, r.i = true, len(r.b) }

func (r *reader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\n', '\t', '\r':
			r.i++
		default:
			return
		}
	}
}

// peek returns the first byte of the next token, or 0.
func (r *reader) peek() byte {
	r.space()
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

// enter opens the object or array that stands next; the caller has peeked.
func (r *reader) enter() container {
	end := byte('}')
	if r.b[r.i] == '[' {
		end = ']'
	}
	r.i++
	if r.depth++; r.depth > maxDepth {
		r.fail()
	}
	return container{end: end}
}

// next moves to the next element; false at the container's end.
func (r *reader) next(c *container) bool {
	switch ch := r.peek(); {
	case r.bad:
		return false
	case ch == c.end:
		r.i++
		r.depth--
		return false
	case !c.begun:
		c.begun = true
		return true
	case ch == ',':
		r.i++
		if r.peek() == c.end { // a trailing comma is no JSON
			r.fail()
			return false
		}
		return true
	}
	r.fail()
	return false
}

// key reads an object's key and its colon.
func (r *reader) key() span {
	if r.peek() != '"' {
		r.fail()
		return span{}
	}
	k := r.text()
	if r.peek() != ':' {
		r.fail()
		return span{}
	}
	r.i++
	return k
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// marked has the highest bit of a byte of x set that ends a run of plain text, a
// quote, a backslash or a control character, and of one above ASCII perhaps; of
// bytes behind the first such one, too. A quote is the control characters'
// neighbour once the second bit is turned.
func marked(x uint64) uint64 {
	return ((x ^ ones*2) - ones*0x21) | ((x ^ ones*'\\') - ones)
}

// stops is marked without the bytes above ASCII: its lowest bit is the first byte
// that ends the run.
func stops(x uint64) uint64 { return marked(x) &^ x & highs }

// gathered moves the highest bits of the eight bytes of x to its lowest byte.
func gathered(x uint64) uint64 { return x & highs >> 7 * 0x0102040810204080 >> 56 }

// plainRun returns where the run of plain text and of escapes of two bytes that
// begins at i ends, or is too near the end to be looked at 32 bytes at once. Most
// of a body is text: 32 plain bytes of ASCII are told by one branch, and which of
// them is not plain by none.
func (r *reader) plainRun(i int) (end int, escaped bool) {
	b := r.b
	for len(b)-i >= 32 {
		t := b[i : i+32 : i+32]
		v, w := binary.LittleEndian.Uint64(t), binary.LittleEndian.Uint64(t[8:])
		x, y := binary.LittleEndian.Uint64(t[16:]), binary.LittleEndian.Uint64(t[24:])
		above := (v | w | x | y) & highs
		if (marked(v)|marked(w)|marked(x)|marked(y))&highs|above == 0 {
			i += 32
			continue
		}
		if stops(v)|stops(w)|stops(x)|stops(y) == 0 {
			r.high = true
			i += 32
			continue
		}
		stop := gathered(stops(v)) | gathered(stops(w))<<8 | gathered(stops(x))<<16 | gathered(stops(y))<<24
		if above != 0 {
			above = gathered(v) | gathered(w)<<8 | gathered(x)<<16 | gathered(y)<<24
			r.high = r.high || above&(stop&-stop-1) != 0 // before the stop
		}
		i += bits.TrailingZeros64(stop)
		from := i
		for i+1 < len(b) && b[i] == '\\' && short[b[i+1]] { // escapes often stand together
			i += 2
		}
		if i == from {
			return i, escaped
		}
		escaped = true
	}
	return i, escaped
}

// short are the second bytes of escapes of two.
var short = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// text reads the string that stands next and returns its content.
func (r *reader) text() span {
	r.i++ // the quote
	s := span{from: r.i}
	b := r.b
	for {
		end, escaped := r.plainRun(r.i)
		r.i, s.escaped = end, s.escaped || escaped
		if r.i >= len(b) {
			r.fail()
			return span{}
		}
		switch c := b[r.i]; {
		case c == '"':
			s.to = r.i
			r.i++
			return s
		case c == '\\':
			s.escaped = true
			if !r.escape() {
				r.fail()
				return span{}
			}
		case c < 0x20:
			r.fail()
			return span{}
		default:
			r.high = r.high || c >= utf8.RuneSelf
			r.i++
		}
	}
}

// escape steps over the escape that stands next. A lone surrogate is refused:
// some readers replace it, some keep it, some fail.
func (r *reader) escape() bool {
	if r.i+1 >= len(r.b) {
		return false
	}
	switch c := r.b[r.i+1]; {
	case short[c]:
		r.i += 2
		return true
	case c == 'u':
		u, ok := hex4(r.b, r.i+2)
		if !ok || u >= 0xDC00 && u < 0xE000 {
			return false
		}
		r.i += 6
		if u < 0xD800 || u >= 0xE000 {
			return true
		}
		if r.i+1 >= len(r.b) || r.b[r.i] != '\\' || r.b[r.i+1] != 'u' {
			return false
		}
		low, ok := hex4(r.b, r.i+2)
		r.i += 6
		return ok && low >= 0xDC00 && low < 0xE000
	}
	return false
}

func hex4(b []byte, at int) (rune, bool) {
	if at+4 > len(b) {
		return 0, false
	}
	var v rune
	for _, c := range b[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// skip steps over any value and returns its bytes. It does not recurse: the
// kinds of the open containers are bits.
func (r *reader) skip() []byte {
	var object [(maxDepth + 64) / 64]uint64
	r.space()
	from, depth := r.i, 0
	for {
		switch c := r.peek(); c {
		case '{', '[':
			if depth++; r.depth+depth > maxDepth {
				r.fail()
				return nil
			}
			if r.i++; c == '{' {
				object[depth/64] |= 1 << (depth % 64)
			} else {
				object[depth/64] &^= 1 << (depth % 64)
			}
			if ch := r.peek(); ch == '}' || ch == ']' {
				break // closed below
			}
			if c == '{' {
				r.key()
			}
			continue
		case '"':
			r.text()
		default:
			r.scalar()
		}
		if depth = r.closeAll(&object, depth); depth < 0 {
			return nil
		}
		if depth == 0 {
			return r.b[from:r.i]
		}
	}
}

// closeAll steps over what ends after a value and over the comma to the next
// one; it returns the depth left, negative when the body is bad.
func (r *reader) closeAll(object *[(maxDepth + 64) / 64]uint64, depth int) int {
	for depth > 0 {
		isObject := object[depth/64]&(1<<(depth%64)) != 0
		switch c := r.peek(); {
		case r.bad:
			return -1
		case c == '}' && isObject, c == ']' && !isObject:
			r.i++
			depth--
		case c == ',':
			r.i++
			if isObject {
				r.key()
			}
			return depth
		default:
			r.fail()
			return -1
		}
	}
	if r.bad {
		return -1
	}
	return 0
}

// scalar steps over a number or literal.
func (r *reader) scalar() {
	from := r.i
	for r.i < len(r.b) {
		if c := r.b[r.i]; c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'E' {
			r.i++
			continue
		}
		break
	}
	switch token := r.b[from:r.i]; string(token) {
	case "true", "false", "null":
	default:
		if !isNumber(token) {
			r.fail()
		}
	}
}

// isNumber holds a token against JSON's grammar of numbers.
func isNumber(t []byte) bool {
	digits := func(i int) int {
		for i < len(t) && t[i] >= '0' && t[i] <= '9' {
			i++
		}
		return i
	}
	i := 0
	if i < len(t) && t[i] == '-' {
		i++
	}
	whole := digits(i)
	if whole == i || t[i] == '0' && whole > i+1 {
		return false
	}
	i = whole
	if i < len(t) && t[i] == '.' {
		frac := digits(i + 1)
		if frac == i+1 {
			return false
		}
		i = frac
	}
	if i < len(t) && t[i]|0x20 == 'e' {
		i++
		if i < len(t) && (t[i] == '+' || t[i] == '-') {
			i++
		}
		exp := digits(i)
		if exp == i {
			return false
		}
		i = exp
	}
	return i == len(t)
}

// end says whether nothing but space is left, and the text is UTF-8.
func (r *reader) end() bool {
	r.space()
	return !r.bad && r.i == len(r.b) && (!r.high || utf8.Valid(r.b))
}
