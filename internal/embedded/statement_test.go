package embedded

import (
	"testing"

	"pgregory.net/rapid"
)

func TestAStatementIsReadAsFarAsNeeded(t *testing.T) {
	for _, c := range []struct {
		name, query      string
		kind             statementKind
		text, format     string
		target, settings string
		data             string
	}{
		{name: "a plain SELECT", query: "SELECT 1", kind: kindAnswer, text: "SELECT 1"},
		{name: "with a format", query: "select 1 format JSON ;", kind: kindAnswer, text: "select 1", format: "JSON"},
		{name: "with settings after the format", query: "SELECT 1 FORMAT CSV SETTINGS a = 1, b = 'x'", kind: kindAnswer, text: "SELECT 1 SETTINGS a = 1, b = 'x'", format: "CSV"},
		{name: "with settings before the format", query: "SELECT 1 SETTINGS a = 1 FORMAT CSV -- end", kind: kindAnswer, text: "SELECT 1 SETTINGS a = 1", format: "CSV"},
		{name: "a column named format", query: "SELECT format FROM t", kind: kindAnswer, text: "SELECT format FROM t"},
		{name: "a function named format", query: "SELECT format('{}', x) FROM t", kind: kindAnswer, text: "SELECT format('{}', x) FROM t"},
		{name: "the word in a literal", query: "SELECT ' FORMAT CSV'", kind: kindAnswer, text: "SELECT ' FORMAT CSV'"},
		{name: "the word in a comment", query: "SELECT 1 -- FORMAT CSV", kind: kindAnswer, text: "SELECT 1"},
		{name: "SHOW", query: "SHOW TABLES", kind: kindAnswer, text: "SHOW TABLES"},
		{name: "DDL", query: "CREATE TABLE t (a UInt8) ENGINE = Memory", kind: kindOther, text: "CREATE TABLE t (a UInt8) ENGINE = Memory"},
		{name: "an insert of the client", query: "INSERT INTO `db`.t (`a`, `b`) FORMAT Native\n\x02\x03", kind: kindInsert, format: "Native", target: "INSERT INTO `db`.t (`a`, `b`) ", data: "\x02\x03"},
		{name: "without INTO", query: "insert t format TSV\r\n1\n", kind: kindInsert, format: "TSV", target: "insert t ", data: "1\n"},
		{name: "with TABLE and settings", query: "INSERT INTO TABLE t SETTINGS async_insert=1, x='FORMAT' FORMAT JSONEachRow {}", kind: kindInsert, format: "JSONEachRow", target: "INSERT INTO TABLE t ", settings: "SETTINGS async_insert=1, x='FORMAT'", data: "{}"},
		{name: "values", query: "INSERT INTO a.b VALUES(1),(2)", kind: kindInsert, format: "Values", target: "INSERT INTO a.b ", data: "(1),(2)"},
		{name: "values after columns with a function", query: "INSERT INTO t (* EXCEPT(a)) VALUES (1)", kind: kindInsert, format: "Values", target: "INSERT INTO t (* EXCEPT(a)) ", data: " (1)"},
		{name: "a parameter as table", query: "INSERT INTO {db:Identifier}.{t:Identifier} VALUES (1)", kind: kindInsert, format: "Values", target: "INSERT INTO {db:Identifier}.{t:Identifier} ", data: " (1)"},
		{name: "INSERT SELECT", query: "INSERT INTO t SELECT 1", kind: kindOther, text: "INSERT INTO t SELECT 1"},
		{name: "INSERT WITH", query: "INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x", kind: kindOther, text: "INSERT INTO t (a) WITH x AS (SELECT 1) SELECT * FROM x"},
		{name: "INSERT FUNCTION", query: "INSERT INTO FUNCTION file('x') VALUES (1)", kind: kindOther, text: "INSERT INTO FUNCTION file('x') VALUES (1)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStatement(c.query)
			if err != nil {
				t.Fatal(err)
			}
			if got.kind != c.kind || got.format != c.format || got.kind != kindInsert && got.text != c.text {
				t.Errorf("%+v", got)
			}
			if c.kind == kindInsert && (got.target != c.target || got.settings != c.settings || c.query[got.dataAt:] != c.data) {
				t.Errorf("%+v, data %q", got, c.query[got.dataAt:])
			}
		})
	}
	if _, err := parseStatement(" -- nothing"); err == nil {
		t.Error("an empty query was taken")
	}
}

// Whatever a reader sends, the gate ends, and never lets an unquoted OUTFILE by.
func TestTheGateHoldsForAnything(t *testing.T) {
	functions := reachingFunctions([]string{"url", "numbers"})
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"SELECT ", "'", "\"", "`", "\\", "(", ")", " url", " file", "/*", "*/", "--", "\n", ";", " x", ",", "$", "é", "{", "}", " numbers", "FORMAT CSV", " SETTINGS a=1"})
		query := ""
		for _, p := range rapid.SliceOf(piece).Draw(t, "pieces") {
			query += p
		}
		st, err := parseStatement(query)
		if err != nil {
			return
		}
		if st.kind == kindAnswer && gate(st.text, functions) == nil {
			// It was let through: then what follows it is read as a clause, not as part of a literal or comment.
			if gate(st.text+"\nINTO OUTFILE 'x'", functions) == nil {
				t.Fatalf("%q swallows what follows", st.text)
			}
		}
	})
}

func TestAnExceptionIsUnwrapped(t *testing.T) {
	e := parseException("Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify 'x' setting in readonly mode. (READONLY) (version 26.5.1.1). (READONLY)")
	if e.code != 164 || e.text != "Code: 164. DB::Exception: Cannot modify 'x' setting in readonly mode. (READONLY)" {
		t.Errorf("%+v", e)
	}
	if e = parseException("something else"); e.code != codeStdException || e.text != "Code: 1001. DB::Exception: something else" {
		t.Errorf("%+v", e)
	}
}
