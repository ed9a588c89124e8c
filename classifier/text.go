package classifier

import (
	"bytes"
	"unicode/utf8"
)

// The bounded look at a prompt: so many raw bytes of its head and of its tail.
const (
	headBytes = 2048
	tailBytes = 2048
	maxLook   = headBytes + tailBytes
)

// spans is a turn's text: its parts in order. Of more parts than fit, the last
// place holds the last part.
type spans struct {
	at [16]span
	n  int
	// gap is where look left something out, as a place in what it wrote; 0: nowhere.
	gap int
}

func (s *spans) reset() { s.n = 0 }

func (s *spans) add(t span) {
	if s.n == len(s.at) {
		s.at[s.n-1] = t
		return
	}
	s.at[s.n] = t
	s.n++
}

// look writes the head and the tail of a turn into buf, unescaped, parts
// separated by newlines, and returns what it wrote. What lies between them is
// left out. The text is whole when it fits.
func (s *spans) look(b []byte, buf *[maxLook + 64]byte) []byte {
	total := 0
	for _, t := range s.at[:s.n] {
		total += t.len()
	}
	out := buf[:0]
	seen := 0
	s.gap = 0
	for _, t := range s.at[:s.n] {
		from, to := t.from, t.to
		first, last := seen, seen+t.len()
		seen = last
		if total <= maxLook || last <= headBytes || first >= total-tailBytes {
			out = piece(out, b, t, from, to)
			continue
		}
		if first < headBytes {
			out = piece(out, b, t, from, from+headBytes-first)
		}
		if last > total-tailBytes {
			if s.gap == 0 {
				s.gap = len(out)
			}
			out = piece(out, b, t, max(from, to-(last-(total-tailBytes))), to)
		}
	}
	return out
}

// piece appends a part of a string, unescaped, and a newline; it never grows
// beyond out's capacity.
func piece(out, b []byte, t span, from, to int) []byte {
	if room := cap(out) - len(out) - 2; to-from > room {
		to = from + max(room, 0)
	}
	if from >= to {
		return out
	}
	if t.escaped {
		out = unescape(out, b, whole(b, t, from), to)
	} else {
		out = append(out, b[from:to]...)
	}
	return append(out, '\n')
}

// whole moves a cut that fell inside an escape to the escape's end.
func whole(b []byte, t span, at int) int {
	// Look back for the backslash that begins an escape over this place. An odd
	// run of backslashes ends in one that begins an escape.
	for back := 1; back <= 11 && at-back >= t.from; back++ {
		if b[at-back] != '\\' {
			continue
		}
		run := 1
		for at-back-run >= t.from && b[at-back-run] == '\\' {
			run++
		}
		if run%2 == 0 {
			return at
		}
		size := 2
		if at-back+1 < t.to && b[at-back+1] == 'u' {
			size = 6
		}
		return max(at, at-back+size)
	}
	return at
}

// Unescape appends the content of a JSON string, as written between its quotes,
// with its escapes resolved. It ends at an escape that is cut short.
func Unescape(out, raw []byte) []byte { return unescape(out, raw, 0, len(raw)) }

// unescape appends a valid string's content with its escapes resolved.
func unescape(out, b []byte, from, to int) []byte {
	for i := from; i < to; {
		run := bytes.IndexByte(b[i:to], '\\')
		if run < 0 {
			return append(out, b[i:to]...)
		}
		out = append(out, b[i:i+run]...)
		if i += run; i+1 >= to {
			return out
		}
		switch e := b[i+1]; e {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case 'b', 'f':
			out = append(out, ' ')
		case 'u':
			r, ok := hex4(b, i+2)
			if !ok || i+6 > to {
				return out
			}
			if low, ok := hex4(b, i+8); r >= 0xD800 && r < 0xDC00 && ok && i+12 <= to {
				r = 0x10000 + (r-0xD800)<<10 + (low - 0xDC00)
				i += 6
			}
			out = utf8.AppendRune(out, r)
			i += 4
		default:
			out = append(out, e)
		}
		i += 2
	}
	return out
}
