package embedded_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

// outside are statements that a reader must be refused; %[1]s is a file that is
// there, %[2]s one that is not, %[3]s an address that listens.
var outside = []string{
	"INSERT INTO box.t VALUES (2)", "INSERT INTO box.t SELECT 2", "INSERT INTO FUNCTION file('%[2]s') SELECT 1", "INSERT INTO box.t FROM INFILE '%[1]s' FORMAT CSV",
	"CREATE TABLE box.u (a UInt8) ENGINE = Memory", "CREATE TEMPORARY TABLE u (a UInt8)", "CREATE FUNCTION f AS x -> x", "CREATE USER u", "CREATE DATABASE v",
	"DROP TABLE box.t", "TRUNCATE TABLE box.t", "ALTER TABLE box.t DELETE WHERE 1", "RENAME TABLE box.t TO box.z", "DETACH TABLE box.t", "ATTACH TABLE box.t", "OPTIMIZE TABLE box.t",
	"UPDATE box.t SET a = 2 WHERE 1", "DELETE FROM box.t WHERE 1", "EXCHANGE TABLES box.t AND box.t", "UNDROP TABLE box.t", "MOVE USER a TO b",
	"SYSTEM SHUTDOWN", "SYSTEM DROP MARK CACHE", "SYSTEM FLUSH LOGS", "KILL QUERY WHERE 1", "GRANT ALL ON *.* TO default", "EXECUTE AS default", "BEGIN TRANSACTION",
	"BACKUP TABLE box.t TO File('%[2]s')", "RESTORE TABLE box.t FROM File('%[1]s')", "CHECK TABLE box.t", "USE box", "SET readonly = 0", "SET max_threads = 3", "SET ROLE x",
	"SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS readonly = 2", "SELECT 1 SETTINGS max_threads = 1, readonly = 0", "SELECT 1 SETTINGS additional_table_filters = {'box.t': 'file(1)'}", "SELECT (SELECT 1 SETTINGS max_threads = 1)", "SELECT * FROM (SELECT 1 SETTINGS readonly = 0)",
	"SELECT * FROM file('%[1]s')", "SELECT * FROM FILE('%[1]s')", "SELECT file('%[1]s')", "SELECT `file`('%[1]s')", "SELECT \"file\" ('%[1]s')", "SELECT file /* x */ ('%[1]s')", "SELECT file -- x\n('%[1]s')",
	"SELECT 'x' APPLY file", "SELECT * APPLY(file) FROM (SELECT '%[1]s')", "SELECT arrayMap(file, ['%[1]s'])", "SELECT arrayMap(x -> file(x), ['%[1]s'])", "SELECT (file)('%[1]s')",
	"WITH file('%[1]s') AS x SELECT x", "SELECT * FROM `%[1]s`", "SELECT * FROM '%[1]s'", "SELECT * FROM view(SELECT * FROM file('%[1]s'))", "SELECT * FROM box.t WHERE a IN (SELECT * FROM file('%[1]s'))",
	"DESCRIBE TABLE file('%[1]s')", "DESC file('%[1]s')", "DESCRIBE (SELECT file('%[1]s'))", "DESCRIBE TABLE url('%[3]s')", "DESCRIBE TABLE `url`('%[3]s', 'CSV')", "DESCRIBE s3('%[3]s/b/x.csv')",
	"EXPLAIN SELECT file('%[1]s')", "EXPLAIN PLAN SELECT * FROM file('%[1]s')", "EXPLAIN TABLE OVERRIDE file('%[1]s') PARTITION BY a", "SHOW TABLES FROM box INTO OUTFILE '%[2]s'",
	"SELECT 1 INTO OUTFILE '%[2]s'", "SELECT 1 into /* x */ outfile '%[2]s' TRUNCATE FORMAT CSV", "SELECT 1 INTO OUTFILE '%[2]s' APPEND", "SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '%[2]s' AND STDOUT",
	"SELECT * FROM url('%[3]s', 'TSV', 'a String')", "SELECT * FROM URL('%[3]s')", "SELECT * FROM s3('%[3]s', 'CSV', 'a String')", "SELECT * FROM remote('%[3]s', box, t)", "SELECT * FROM mysql('127.0.0.1:1','a','b','c','d')",
	"SELECT * FROM executable('cat', 'TSV', 'a String')", "SELECT * FROM input('a String')", "SELECT * FROM sqlite('%[1]s', 'a')", "SELECT * FROM filesystem('%[1]s')", "SELECT * FROM dictionary('x')",
	"SELECT * FROM cluster('default', box.t)", "SELECT * FROM fileCluster('default', '%[1]s')", "SELECT * FROM postgresql('127.0.0.1:1','a','b','c','d')", "SELECT * FROM redis('127.0.0.1:1','k','k String')", "SELECT * FROM mongodb('127.0.0.1:1','a','b','c','d','x String')",
	"SELECT * FROM iceberg('%[3]s')", "SELECT * FROM deltaLake('%[3]s')", "SELECT * FROM hdfs('%[3]s')", "SELECT * FROM azureBlobStorage('%[3]s')", "SELECT * FROM jdbc('a','b','c')", "SELECT * FROM odbc('a','b','c')",
	"SELECT catboostEvaluate('%[1]s', 1)", "SELECT aiGenerate('x', 'y')", "SELECT AIGenerate('x', 'y')", "SELECT * FROM system.tables, LATERAL file('%[1]s')", "SELECT $x$file$x$", "SELECT 1; SELECT 2", "SELECT 1; INSERT INTO box.t VALUES (2)", "SELECT 1 FORMAT CSV; DROP TABLE box.t", "PARALLEL WITH SELECT 1", "1 + 1", "",
	"SELECT ‘x’", "SELECT file（'%[1]s')", "SELECT 1 # x\n, file('%[1]s')", "SELECT '\\' , file('%[1]s') --'", "SELECT 1 /* /* */ , file('%[1]s') /* */",
}

func TestAReaderCannotReachOutsideOfTheTables(t *testing.T) {
	writer, reader := embeddedtest.Engine(t), embeddedtest.ReaderEngine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS box")
	run(t, writer, "CREATE OR REPLACE TABLE box.t (a UInt8) ENGINE = MergeTree ORDER BY a")
	run(t, writer, "INSERT INTO box.t VALUES (1)")
	dir := t.TempDir()
	secret, out := filepath.Join(dir, "secret.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(secret, []byte("a,b\n1,gnomonsecret\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	called := make(chan struct{}, 100)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			called <- struct{}{}
			_ = c.Close()
		}
	}()
	address := "http://" + ln.Addr().String() + "/x"
	for _, query := range outside {
		query = fmt.Sprintf(strings.ReplaceAll(query, "%%", "%"), secret, out, address)
		query, _, _ = strings.Cut(query, "%!(EXTRA")
		resp, body := ask(t, reader, http.MethodPost, "", strings.NewReader(query))
		if strings.Contains(body, "gnomonsecret") {
			t.Errorf("%s told the secret: %s", query, body)
		}
		if query != "" && resp.StatusCode == http.StatusOK && !harmless(query) {
			t.Errorf("%s was let through: %s", query, body)
		}
		if resp, body = ask(t, reader, http.MethodGet, q(query), nil); query != "" && resp.StatusCode == http.StatusOK && !harmless(query) {
			t.Errorf("%s was let through by GET: %s", query, body)
		}
		if len(called) > 0 {
			<-called
			t.Errorf("%s called another address", query)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s wrote a file", query)
			_ = os.Remove(out)
		}
	}
	if got := run(t, writer, "SELECT groupArray(a) FROM box.t"); got != "[1]\n" {
		t.Errorf("the table holds %s", got)
	}
}

// harmless statements of the list are there for what they must not tell.
func harmless(query string) bool { return strings.HasPrefix(query, "SELECT '\\'") }

func TestAParameterCannotNameAFunctionThatReachesOutside(t *testing.T) {
	resp, body := ask(t, embeddedtest.ReaderEngine(t), http.MethodGet, q("SELECT * APPLY({f:Identifier}) FROM (SELECT '/etc/hostname')", "param_f", "file"), nil)
	if resp.StatusCode == http.StatusOK {
		t.Error(body)
	}
}

func TestAReaderMayReadInAllWays(t *testing.T) {
	writer, reader := embeddedtest.Engine(t), embeddedtest.ReaderEngine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS reads")
	run(t, writer, "CREATE OR REPLACE TABLE reads.t (a UInt8, s String) ENGINE = ReplacingMergeTree ORDER BY a")
	run(t, writer, "INSERT INTO reads.t VALUES (1, 'x')")
	for _, query := range []string{
		"SELECT * FROM reads.t FINAL", "select count() from reads.t format JSON", "WITH x AS (SELECT 1 AS a) SELECT * FROM x", "(SELECT 1) UNION ALL (SELECT 2)", "FROM reads.t SELECT a",
		"SHOW TABLES FROM reads", "SHOW DATABASES", "SHOW CREATE TABLE reads.t", "DESCRIBE TABLE reads.t", "DESC reads.t", "DESCRIBE (SELECT 1 AS a)", "EXISTS TABLE reads.t", "EXPLAIN SELECT * FROM reads.t",
		"SELECT name FROM system.tables WHERE database = 'reads'", "SELECT name, type FROM system.columns WHERE database = 'reads'", "SELECT number FROM numbers(3)", "SELECT 'file()' AS a, 'INTO OUTFILE' AS b;",
		"SELECT 1 -- file('x')\n", "/* INTO OUTFILE */ SELECT 1", "SELECT a FROM reads.t ORDER BY a LIMIT 1 BY a", "SELECT 'ünïcode — ‘x’'",
	} {
		if resp, body := ask(t, reader, http.MethodPost, "", strings.NewReader(query)); resp.StatusCode != http.StatusOK || body == "" {
			t.Errorf("%s: %s %s", query, resp.Status, body)
		}
	}
}
