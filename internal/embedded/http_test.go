package embedded_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

// ask sends one request as curl would and returns the answer's head and body.
func ask(t testing.TB, dsn, method, query string, body io.Reader, more ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.RawQuery = "/", query
	req, err := http.NewRequest(method, u.String(), body)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range more {
		f(req)
	}
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// run asks and wants success.
func run(t testing.TB, dsn, query string) string {
	t.Helper()
	resp, body := ask(t, dsn, http.MethodPost, "", strings.NewReader(query))
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s", query, resp.Status, body)
	}
	return body
}

func q(query string, more ...string) string {
	v := url.Values{"query": {query}}
	for i := 0; i+1 < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return v.Encode()
}

func TestWhatCurlSends(t *testing.T) {
	writer, reader := embeddedtest.Engine(t), embeddedtest.ReaderEngine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS curl")
	run(t, writer, "CREATE OR REPLACE TABLE curl.t (a UInt32, s String DEFAULT 'none', d Nullable(Decimal(18,9))) ENGINE = MergeTree ORDER BY a")
	for _, c := range []struct{ name, query, body string }{
		{"values in the body", "", "INSERT INTO curl.t VALUES (1, 'one', 1.5), (2, concat('t','wo'), NULL)"},
		{"JSON lines after the query in the body", "", "INSERT INTO curl.t FORMAT JSONEachRow\n{\"a\":3,\"d\":\"0.123456789\"}\n{\"a\":4,\"s\":\"four\"}"},
		{"query in the address, data in the body", q("INSERT INTO curl.t (a, s) FORMAT CSV"), "5,five\n6,\"s\"\"ix\"\n"},
		{"query in the address and values in the body", q("INSERT INTO curl.t VALUES"), "(7,'seven',7)"},
		{"settings in the query", q("INSERT INTO curl.t (a) SETTINGS max_threads = 1 FORMAT TSV"), "8\n"},
		{"database as a parameter", q("INSERT INTO t (a) FORMAT TSV", "database", "curl"), "9\n"},
		{"quoted names and comments", q("/* x */ INSERT INTO `curl`.\"t\" (`a`, s) -- y\n FORMAT TSV"), "10\tten\n"},
		{"INSERT SELECT", "", "INSERT INTO curl.t (a) SELECT 11"},
		{"INSERT SELECT in parentheses", "", "INSERT INTO curl.t (a) (SELECT 12)"},
		{"INSERT SELECT of all columns", "", "INSERT INTO curl.t SELECT 13, 'x', 1"},
		{"no data at all", q("INSERT INTO curl.t FORMAT JSONEachRow"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if resp, body := ask(t, writer, http.MethodPost, c.query, strings.NewReader(c.body)); resp.StatusCode != 200 {
				t.Fatal(resp.Status, body)
			}
		})
	}
	if got := run(t, reader, "SELECT groupArray(a) FROM (SELECT a FROM curl.t ORDER BY a)"); got != "[1,2,3,4,5,6,7,8,9,10,11,12,13]\n" {
		t.Errorf("stored %s", got)
	}
	if got := run(t, reader, "SELECT a, s, d FROM curl.t WHERE a IN (2,3,6) ORDER BY a FORMAT CSV"); got != "2,\"two\",\\N\n3,\"none\",0.123456789\n6,\"s\"\"ix\",\\N\n" {
		t.Errorf("stored %q", got)
	}
}

func TestAnswersInEveryFormatAreWhole(t *testing.T) {
	reader := embeddedtest.ReaderEngine(t)
	const rows = "SELECT number AS n, toString(number) AS s FROM numbers(150000)"
	for _, c := range []struct{ format, head, tail string }{
		{"JSON", "{\n\t\"meta\"", "}\n}\n"},
		{"JSONCompact", "{\n\t\"meta\"", "}\n}\n"},
		{"JSONEachRow", "{\"n\":0,\"s\":\"0\"}\n", "{\"n\":149999,\"s\":\"149999\"}\n"},
		{"CSVWithNames", "\"n\",\"s\"\n0,\"0\"\n", "149999,\"149999\"\n"},
		{"TabSeparatedWithNamesAndTypes", "n\ts\nUInt64\tString\n0\t0\n", "149999\t149999\n"},
		{"Parquet", "PAR1", "PAR1"},
		{"XML", "<?xml", "</result>\n"},
		{"Vertical", "Row 1:", "\n"},
	} {
		t.Run(c.format, func(t *testing.T) {
			for _, query := range []string{q(rows + " FORMAT " + c.format), q(rows, "default_format", c.format)} {
				resp, body := ask(t, reader, http.MethodGet, query, nil)
				if resp.StatusCode != 200 || !strings.HasPrefix(body, c.head) || !strings.HasSuffix(body, c.tail) {
					t.Fatalf("%s, %d bytes, %.60q … %.60q", resp.Status, len(body), body, body[max(0, len(body)-60):])
				}
				if strings.Count(body, c.head) != 1 && c.format != "Parquet" {
					t.Errorf("the head stands %d times in it", strings.Count(body, c.head))
				}
				if f := resp.Header.Get("X-ClickHouse-Format"); f != c.format {
					t.Errorf("the head says %s", f)
				}
			}
		})
	}
}

func TestParametersAndSettings(t *testing.T) {
	reader, writer := embeddedtest.ReaderEngine(t), embeddedtest.Engine(t)
	for _, c := range []struct {
		name, dsn, query, want string
		status                 int
	}{
		{"a typed parameter", reader, q("SELECT {n:UInt8} + 1, {s:String}", "param_n", "41", "param_s", "it's"), "42\tit\\'s\n", 200},
		{"an array as parameter", reader, q("SELECT arraySum({a:Array(UInt8)})", "param_a", "[1,2,3]"), "6\n", 200},
		{"a parameter that is not of its type", reader, q("SELECT {n:UInt8}", "param_n", "x"), "Code: 457. ", 500},
		{"a missing parameter", reader, q("SELECT {n:UInt8}"), "Code: 456. ", 500},
		{"a setting that a reader may send", reader, q("SELECT getSetting('max_block_size')", "max_block_size", "1000"), "1000\n", 200},
		{"a reader's time limit by default", reader, q("SELECT getSetting('max_execution_time')"), "60\n", 200},
		{"a reader's wish for no limit", reader, q("SELECT getSetting('max_execution_time')", "max_execution_time", "0"), "600\n", 200},
		{"a reader's wish for more threads", reader, q("SELECT getSetting('max_threads')", "max_threads", "64"), "2\n", 200},
		{"readonly=0 in the address changes nothing", reader, q("SELECT getSetting('readonly')", "readonly", "0"), "1\n", 200},
		{"settings within a reader's query, within the bounds", reader, q("SELECT getSetting('max_threads'), getSetting('max_block_size'), getSetting('max_execution_time') SETTINGS max_threads = 64, max_block_size = 1000, max_execution_time = 10 FORMAT CSV"), "2,1000,10\n", 200},
		{"a setting that a reader may not send", reader, q("SELECT 1", "allow_ddl", "1"), "Code: 115. ", 404},
		{"a setting that is none", reader, q("SELECT 1", "no_such_thing", "1"), "Code: 115. DB::Exception: Setting no_such_thing ", 404},
		{"a setting with SQL in its value", reader, q("SELECT getSetting('log_comment') != ''", "max_result_rows", "1', readonly = '0"), "Code: ", 400},
		{"a writer's setting", writer, q("SELECT getSetting('insert_deduplication_token')", "insert_deduplication_token", "a'b"), "a\\'b\n", 200},
		{"a writer's unknown setting", writer, q("SELECT 1", "no_such_thing", "1"), "Code: 115. ", 404},
		{"a database that is not there", reader, q("SELECT 1", "database", "nowhere"), "Code: 81. ", 404},
		{"a format that is none", reader, q("SELECT 1 FORMAT Nonsense"), "Code: 73. ", 404},
		{"a format with more in it", reader, q("SELECT 1", "default_format", "CSV SETTINGS readonly=0"), "Code: 73. ", 404},
		{"a session, as clients name one by default", reader, q("SELECT 1", "session_id", "x", "session_timeout", "60"), "1\n", 200},
		{"a session that should be there already", reader, q("SELECT 1", "session_id", "x", "session_check", "1"), "Code: 372. ", 500},
		{"a table that would live in a session", writer, q("CREATE OR REPLACE TEMPORARY TABLE x (a UInt8)", "session_id", "x"), "Code: 48. ", 501},
		{"a setting that would live in a session", writer, q("SET max_threads = 1", "session_id", "x"), "Code: 48. ", 501},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := ask(t, c.dsn, http.MethodGet, c.query, nil)
			if resp.StatusCode != c.status || !strings.HasPrefix(body, c.want) {
				t.Errorf("%s: %s", resp.Status, body)
			}
			if code := resp.Header.Get("X-ClickHouse-Exception-Code"); (c.status == 200) != (code == "") || code != "" && !strings.HasPrefix(body, "Code: "+code+". DB::Exception: ") {
				t.Errorf("exception code %q with %q", code, body)
			}
		})
	}
}

func TestTheHeadSaysWhatClickHouseSays(t *testing.T) {
	resp, body := ask(t, embeddedtest.ReaderEngine(t), http.MethodGet, q("SELECT count() FROM numbers(1000)", "query_id", "abc"), nil)
	if body != "1000\n" {
		t.Fatal(body)
	}
	for name, want := range map[string]string{"X-ClickHouse-Query-Id": "abc", "X-ClickHouse-Format": "TabSeparated", "Content-Type": "text/tab-separated-values", "X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Summary": `{"read_rows":"`, "X-ClickHouse-Server-Display-Name": ""} {
		if got := resp.Header.Get(name); !strings.Contains(got, want) || got == "" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestWhoMayAsk(t *testing.T) {
	writer, reader := embeddedtest.Engine(t), embeddedtest.ReaderEngine(t)
	u, _ := url.Parse(writer)
	password, _ := u.User.Password()
	header := func(kv ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == "Host" {
					r.Host = kv[i+1]
				} else {
					r.Header.Set(kv[i], kv[i+1])
				}
			}
		}
	}
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	for _, c := range []struct {
		name   string
		query  string
		with   func(*http.Request)
		status int
		want   string
	}{
		{"nobody is a reader", q("SELECT getSetting('readonly')"), header(), 200, "1\n"},
		{"default without a password is a reader", q("SELECT getSetting('readonly')"), basic("default", ""), 200, "1\n"},
		{"the writer by Basic", q("SELECT getSetting('readonly')"), basic("gnomon", password), 200, "0\n"},
		{"the writer by headers", q("SELECT getSetting('readonly')"), header("X-ClickHouse-User", "gnomon", "X-ClickHouse-Key", password), 200, "0\n"},
		{"the writer by parameters", q("SELECT getSetting('readonly')", "user", "gnomon", "password", password), header(), 200, "0\n"},
		{"the writer without a password", q("SELECT 1"), basic("gnomon", ""), 403, "Code: 516."},
		{"the writer with a wrong password", q("SELECT 1"), basic("gnomon", password+"x"), 403, "Code: 516."},
		{"default with a password", q("SELECT 1"), basic("default", "x"), 403, "Code: 516."},
		{"another user", q("SELECT 1"), basic("admin", ""), 403, "Code: 516."},
		{"a bearer token", q("SELECT 1"), header("Authorization", "Bearer x"), 403, "Code: 516."},
		{"a foreign host", q("SELECT 1"), header("Host", "evil.example"), 403, "the host"},
		{"a foreign host that looks like ours", q("SELECT 1"), header("Host", "127.0.0.1.evil.example:18123"), 403, "the host"},
		{"localhost", q("SELECT 1"), header("Host", "localhost:18123"), 200, "1\n"},
		{"an IPv6 literal", q("SELECT 1"), header("Host", "[::1]:18123"), 200, "1\n"},
		{"a foreign origin", q("SELECT 1"), header("Origin", "https://evil.example"), 403, "the origin"},
		{"a null origin", q("SELECT 1"), header("Origin", "null"), 403, "the origin"},
		{"our own origin", q("SELECT 1"), header("Host", "localhost:1", "Origin", "http://localhost:1"), 200, "1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := ask(t, reader, http.MethodGet, c.query, nil, c.with)
			if resp.StatusCode != c.status || !strings.HasPrefix(body, c.want) {
				t.Errorf("%s: %s", resp.Status, body)
			}
		})
	}
	for path, want := range map[string]int{"/ping": 200, "/": 200, "/play": 404} {
		req, _ := http.NewRequest(http.MethodGet, reader+path, nil)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want || want == 200 && !bytes.Equal(b, []byte("Ok.\n")) {
			t.Errorf("%s: %s %q", path, resp.Status, b)
		}
	}
}

func TestAnAnswerMayBeAskedForWhole(t *testing.T) {
	reader := embeddedtest.ReaderEngine(t)
	for _, format := range []string{"CSV", "Native"} {
		// It fails after much was told: only whole answers can still say so in their status.
		resp, body := ask(t, reader, http.MethodGet, q("SELECT number, throwIf(number = 900000) FROM numbers(1000000)", "wait_end_of_query", "1", "default_format", format), nil)
		if resp.StatusCode != http.StatusInternalServerError || !strings.HasPrefix(body, "Code: 395.") {
			t.Errorf("%s: %s %.100q", format, resp.Status, body)
		}
		resp, body = ask(t, reader, http.MethodGet, q("SELECT number FROM numbers(1000000)", "wait_end_of_query", "1", "default_format", format), nil)
		// The library adds rows up as its threads hand them on: on a busy machine half may be missing.
		var told struct {
			Rows string `json:"read_rows"`
		}
		err := json.Unmarshal([]byte(resp.Header.Get("X-ClickHouse-Summary")), &told)
		rows, _ := strconv.Atoi(told.Rows)
		if err != nil || resp.StatusCode != http.StatusOK || len(body) < 6_000_000 || rows < 1 || rows > 1_000_000 {
			t.Errorf("%s: %s, %d bytes, %s", format, resp.Status, len(body), resp.Header.Get("X-ClickHouse-Summary"))
		}
	}
}

func TestABrokenAnswerEndsBroken(t *testing.T) {
	resp, err := http.Get(embeddedtest.ReaderEngine(t) + "/?" + q("SELECT number, throwIf(number = 2900000) FROM numbers(3000000) FORMAT CSV"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	tag := resp.Header.Get("X-ClickHouse-Exception-Tag")
	if err == nil || resp.StatusCode != http.StatusOK || len(tag) != 16 {
		t.Errorf("%s, %v, tag %q", resp.Status, err, tag)
	}
	if tail := string(body[max(0, len(body)-400):]); !strings.Contains(tail, "\r\n__exception__\r\n"+tag+"\r\nCode: 395. DB::Exception: ") || !strings.HasSuffix(tail, " "+tag+"\r\n__exception__\r\n") {
		t.Errorf("it ends %q", tail)
	}
}
