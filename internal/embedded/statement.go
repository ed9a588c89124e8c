package embedded

import (
	"strings"
)

// statementKind says how a statement is run.
type statementKind uint8

const (
	kindOther  statementKind = iota // runs to its end, answers nothing worth streaming
	kindAnswer                      // answers rows
	kindInsert                      // INSERT whose data comes with the request
)

// statement is a query as far as the endpoint must understand it.
type statement struct {
	kind   statementKind
	text   string // without the trailing FORMAT clause and semicolon (kindAnswer), whole otherwise
	format string // named in the query, "" otherwise

	// Of an INSERT with data: what stands before the data, with a gap for
	// FROM INFILE between target and settings, and where in the query its data begin.
	target, settings string
	dataAt           int
}

var answering = map[string]bool{
	"SELECT": true, "WITH": true, "FROM": true, "SHOW": true, "DESCRIBE": true, "DESC": true, "EXISTS": true, "EXPLAIN": true, "CHECK": true, "KILL": true,
}

// parseStatement looks at the query's first word, at the place of an INSERT's
// data, and at a trailing FORMAT clause. Everything else is the engine's to read.
func parseStatement(query string) (statement, error) {
	l := &lexer{src: query}
	first := l.next()
	for first.punct("(") {
		first = l.next()
	}
	if first.kind == tokEnd {
		return statement{}, raise(codeSyntaxError, "Syntax error: the query is empty. (SYNTAX_ERROR)")
	}
	switch word := strings.ToUpper(first.text); {
	case first.kind == tokWord && word == "INSERT":
		return parseInsert(query, l)
	case first.kind == tokWord && answering[word]:
		return parseAnswer(query), nil
	}
	return statement{kind: kindOther, text: query}, nil
}

// livesInSession is true of a statement whose effect only later queries of its
// session would see. Clients send a session_id by default; none is kept, and only
// these would notice.
func livesInSession(query string) bool {
	l := &lexer{src: query}
	first := l.next()
	if !first.is("CREATE") {
		return first.is("SET") || first.is("USE")
	}
	t := l.next()
	if t.is("OR") { // REPLACE
		l.next()
		t = l.next()
	}
	return t.is("TEMPORARY")
}

// parseAnswer cuts off a trailing "FORMAT name" and semicolon.
func parseAnswer(query string) statement {
	st := statement{kind: kindAnswer}
	l := &lexer{src: query}
	var toks []token
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		toks = append(toks, t)
	}
	end := len(toks)
	for end > 0 && toks[end-1].punct(";") {
		end--
	}
	st.text = query[:toks[end-1].end]
	depth := 0
	for i := end - 1; i > 0; i-- {
		switch t := toks[i]; {
		case t.punct(")"):
			depth++
		case t.punct("("):
			depth--
		case depth == 0 && t.is("FORMAT") && i+1 < end && toks[i+1].kind == tokWord && (i+2 == end || toks[i+2].is("SETTINGS")):
			st.format = toks[i+1].text
			st.text = query[:toks[i-1].end]
			if i+2 < end { // FORMAT x SETTINGS a = b is also written SETTINGS a = b FORMAT x
				st.text += " " + query[toks[i+2].start:toks[end-1].end]
			}
			return st
		}
	}
	return st
}

// cutSettings takes a trailing SETTINGS a = 1, b = 'x' off a query: a reader may
// not change settings within it, and what it asks for is held to the bounds of
// those in the address. Anything but plain values is left where it is, to be refused.
func cutSettings(query string) (string, []setting) {
	var toks []token
	l := &lexer{src: query}
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		toks = append(toks, t)
	}
	var found []setting
	for i := len(toks); i >= 4; i -= 4 {
		name, is, value := toks[i-3], toks[i-2], toks[i-1]
		if name.kind != tokWord || !is.punct("=") || value.kind != tokWord && value.kind != tokString {
			break
		}
		found = append(found, setting{name.text, value.text})
		if before := toks[i-4]; before.is("SETTINGS") && i-5 >= 0 {
			return query[:toks[i-5].end], found
		} else if !before.punct(",") {
			break
		}
	}
	return query, nil
}

// parseInsert finds where the data begin. l stands behind INSERT.
func parseInsert(query string, l *lexer) (statement, error) {
	other := statement{kind: kindOther, text: query}
	t := l.next()
	if t.is("INTO") {
		t = l.next()
	}
	if t.is("TABLE") {
		t = l.next()
	}
	if t.is("FUNCTION") {
		return other, nil
	}
	t = skipName(l, t)
	for t.punct(".") {
		t = skipName(l, l.next())
	}
	if t.punct("(") {
		peek := *l
		if w := peek.next(); w.is("SELECT") || w.is("WITH") {
			return other, nil
		}
		t = skipParentheses(l)
	}
	st := statement{kind: kindInsert, text: query, target: query[:t.start]}
	settingsAt := t.start
	if t.is("SETTINGS") {
		for !(t.kind == tokEnd || t.is("FORMAT") || t.is("VALUES") || t.is("SELECT") || t.is("WITH") || t.is("FROM") || t.kind == tokStrange) {
			t = l.next()
		}
	}
	st.settings = strings.TrimSpace(query[settingsAt:t.start])
	switch {
	case t.is("VALUES"):
		st.format, st.dataAt = "Values", t.end
		return st, nil
	case t.is("FORMAT"):
		name := l.next()
		if name.kind != tokWord {
			return st, raise(codeSyntaxError, "Syntax error: INSERT … FORMAT names no format. (SYNTAX_ERROR)")
		}
		st.format, st.dataAt = name.text, dataStart(query, name.end)
		return st, nil
	}
	return other, nil
}

// skipName passes t, a name or an {x:Identifier}, and returns what follows.
func skipName(l *lexer, t token) token {
	if t.punct("{") {
		for t.kind != tokEnd && !t.punct("}") {
			t = l.next()
		}
	}
	return l.next()
}

// skipParentheses returns what follows the closing one; the opening one is passed.
func skipParentheses(l *lexer) token {
	for depth := 1; depth > 0; {
		switch t := l.next(); {
		case t.kind == tokEnd:
			return t
		case t.punct("("):
			depth++
		case t.punct(")"):
			depth--
		}
	}
	return l.next()
}

// dataStart skips what ClickHouse skips between the format's name and the data:
// blanks and one line end.
func dataStart(query string, at int) int {
	for at < len(query) && strings.IndexByte(" \t\r\f", query[at]) >= 0 {
		at++
	}
	if at < len(query) && query[at] == ';' {
		at++
	}
	if at < len(query) && query[at] == '\n' {
		at++
	}
	return at
}

// quote writes s as a literal.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// quoteName writes s as an identifier.
func quoteName(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}
