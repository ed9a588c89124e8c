package embedded

import (
	"slices"
	"strings"
)

// The engine's readonly=1 is a good sandbox for tables, and a leaky one for what
// is outside of them: in the library the scalar function file() reads any file,
// INTO OUTFILE writes one, DESCRIBE of a table function opens files and
// addresses, and KILL QUERY works. So a read-only statement passes this gate
// before it gets to the engine (and, on Linux, the process cannot open other
// files anyway: see confine).

// readerWords may begin a reader's statement.
var readerWords = []string{"SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN"}

// forbiddenWords reach outside of the tables wherever they stand unquoted.
var forbiddenWords = []string{"OUTFILE", "INFILE", "OVERRIDE"}

// forbiddenNames are functions that reach outside, under whatever quoting and
// also where a function's bare name is enough (APPLY, higher-order functions).
var forbiddenNames = []string{"file", "catboostevaluate", "evalmlmethod", "aiclassify", "aiextract", "aigenerate", "aitranslate"}

// harmlessTableFunctions make rows from nothing or from tables.
var harmlessTableFunctions = []string{
	"numbers", "numbers_mt", "zeros", "zeros_mt", "generate_series", "generateseries", "generaterandom", "values", "view", "viewifpermitted",
	"merge", "null", "viewexplain", "primes", "format", "loop", "fuzzquery", "fuzzjson",
}

// gate refuses what a read-only user may not ask. tableFunctions are the names,
// in lower case, of all that the engine has.
func gate(query string, tableFunctions map[string]bool) error {
	l := &lexer{src: query}
	first := l.next()
	for first.punct("(") {
		first = l.next()
	}
	word := strings.ToUpper(first.text)
	if first.kind != tokWord || !slices.Contains(readerWords, word) {
		return raise(codeReadonly, "default: Cannot execute query in readonly mode: a user without a password may begin a query with %s. (READONLY)", strings.Join(readerWords, ", "))
	}
	before, previous := token{}, first
	for t := l.next(); t.kind != tokEnd; t = l.next() {
		if err := gateToken(previous, t, tableFunctions); err != nil {
			return err
		}
		if before.is("SETTINGS") && previous.identifier() && t.punct("=") {
			return raise(codeReadonly, "Cannot modify '%s' setting in readonly mode: send settings in the address (?%s=…). (READONLY)", previous.text, previous.text)
		}
		if previous.punct(";") {
			return raise(codeSyntaxError, "Syntax error (Multi-statements are not allowed): failed at position %d. (SYNTAX_ERROR)", t.start+1)
		}
		before, previous = previous, t
	}
	return nil
}

func gateToken(previous, t token, tableFunctions map[string]bool) error {
	switch {
	case t.kind == tokStrange:
		return raise(codeSyntaxError, "Syntax error: failed at position %d: a read-only query may hold %q only within quotes. (SYNTAX_ERROR)", t.start+1, firstRune(t.text))
	case t.kind == tokWord && slices.Contains(forbiddenWords, strings.ToUpper(t.text)):
		return raise(codeReadonly, "default: Cannot execute query in readonly mode: %s reaches outside of the tables. (READONLY)", strings.ToUpper(t.text))
	case t.identifier() && slices.Contains(forbiddenNames, strings.ToLower(t.text)):
		return raise(codeReadonly, "default: Cannot execute query in readonly mode: the name %s is that of a function which reaches outside of the tables. (READONLY)", t.text)
	case t.punct("(") && previous.identifier() && tableFunctions[strings.ToLower(previous.text)]:
		return raise(codeReadonly, "default: Cannot execute query in readonly mode: the table function %s reaches outside of the tables. (READONLY)", previous.text)
	}
	return nil
}

// gateParams refuses values that would put a forbidden name into the query.
func gateParams(ps []param) error {
	for _, p := range ps {
		if slices.Contains(forbiddenNames, strings.ToLower(strings.TrimSpace(p.value))) {
			return raise(codeReadonly, "default: Cannot execute query in readonly mode: parameter %s names a function which reaches outside of the tables. (READONLY)", p.name)
		}
	}
	return nil
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return s
}

// reachingFunctions picks from the engine's table functions those that readers
// may not call; a newer library's new ones are among them until known harmless.
func reachingFunctions(all []string) map[string]bool {
	m := map[string]bool{}
	for _, name := range all {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" && !slices.Contains(harmlessTableFunctions, name) {
			m[name] = true
		}
	}
	return m
}
