package embedded

import "strings"

// tokenKind says what a token of ClickHouse's SQL is.
type tokenKind uint8

const (
	tokEnd     tokenKind = iota
	tokWord              // keyword, identifier or number, as written
	tokQuoted            // quoted identifier, unescaped
	tokString            // literal
	tokPunct             // one character
	tokStrange           // something whose reading is the engine's affair: unclosed quotes, here-documents, other scripts
)

// token is a piece of a statement. Text of a word is as written.
type token struct {
	kind       tokenKind
	text       string
	start, end int
}

func (t token) is(word string) bool { return t.kind == tokWord && strings.EqualFold(t.text, word) }
func (t token) punct(c string) bool { return t.kind == tokPunct && t.text == c }
func (t token) identifier() bool    { return t.kind == tokWord || t.kind == tokQuoted }

// lexer reads tokens one by one, so that an INSERT's data is never looked at.
type lexer struct {
	src string
	pos int
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// next returns the next token, comments and white space skipped.
func (l *lexer) next() token {
	l.skip()
	start := l.pos
	if start >= len(l.src) {
		return token{tokEnd, "", start, start}
	}
	c := l.src[start]
	switch {
	case isWordByte(c):
		for l.pos < len(l.src) && (isWordByte(l.src[l.pos]) || l.src[l.pos] == '$') {
			l.pos++
		}
		return token{tokWord, l.src[start:l.pos], start, l.pos}
	case c == '\'' || c == '"' || c == '`':
		text, ok := l.quoted(c)
		kind := tokString
		if c != '\'' {
			kind = tokQuoted
		}
		if !ok {
			kind = tokStrange
		}
		return token{kind, text, start, l.pos}
	case c >= 0x80 || c == '$' || c == '#' || c < ' ' || c == 0x7f:
		l.pos++
		return token{tokStrange, l.src[start:l.pos], start, l.pos}
	}
	l.pos++
	return token{tokPunct, l.src[start:l.pos], start, l.pos}
}

// skip passes white space and comments.
func (l *lexer) skip() {
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "--"):
			l.pos += lineEnd(rest)
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				l.pos = len(l.src)
				return
			}
			l.pos += 2 + end + 2
		default:
			return
		}
	}
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}

// quoted reads a literal or identifier in quotes: a backslash takes the next
// byte, a doubled quote is one. ok is false when it never ends.
func (l *lexer) quoted(q byte) (text string, ok bool) {
	var b strings.Builder
	for l.pos++; l.pos < len(l.src); l.pos++ {
		switch c := l.src[l.pos]; {
		case c == '\\' && l.pos+1 < len(l.src):
			l.pos++
			b.WriteByte(l.src[l.pos])
		case c == q && l.pos+1 < len(l.src) && l.src[l.pos+1] == q:
			l.pos++
			b.WriteByte(q)
		case c == q:
			l.pos++
			return b.String(), true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), false
}
