package store

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

var update = flag.Bool("update", false, "write testdata anew")

func TestTheClustersStatementsAreWhatTheGoldenFileSaysAndParse(t *testing.T) {
	statements, err := ClusterDDL("main")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(statements, ";\n\n") + ";\n"
	if *update {
		if err := os.WriteFile("testdata/cluster.sql", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if golden, err := os.ReadFile("testdata/cluster.sql"); err != nil || string(golden) != text {
		t.Errorf("testdata/cluster.sql is another (%v): look at the difference, and run with -update", err)
	}
	s, _ := open(t)
	for _, sql := range statements {
		for strings.HasPrefix(sql, "--") { // EXPLAIN takes no comment before what it explains
			sql = sql[strings.Index(sql, "\n")+1:]
		}
		if _, err := s.Query(t.Context(), "EXPLAIN AST "+sql); err != nil {
			t.Errorf("%v\n%s", err, sql)
		}
		if !strings.HasPrefix(sql, "INSERT") && !strings.Contains(sql, "ON CLUSTER 'main'") {
			t.Errorf("made on one server alone: %.100s", sql)
		}
		if strings.Contains(sql, "MergeTree") && (strings.Count(sql, "Replicated") != 1 || strings.Contains(sql, "non_replicated")) {
			t.Errorf("not replicated: %.100s", sql)
		}
	}
	for _, name := range []string{"", "a'b", "a\\"} {
		if _, err := ClusterDDL(name); err == nil {
			t.Errorf("%q is taken for a cluster's name", name)
		}
	}
}

func TestTablesOfAClusterAreCheckedAndNotChanged(t *testing.T) {
	dsn := embeddedtest.EngineIn(t, t.TempDir(), 0)
	s, err := Open(t.Context(), Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A table that stands for the cluster's: the engine alone tells.
	for _, sql := range []string{"RENAME TABLE gnomon.requests TO gnomon.requests_shard", "CREATE TABLE gnomon.requests AS gnomon.requests_shard ENGINE = Distributed('default', 'gnomon', 'requests_shard', cityHash64(request_id))"} {
		if err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Skipf("the engine makes no distributed table: %v", err)
		}
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("tables as this version has them: %v", err)
	}
	setting := func(address string) string {
		t.Helper()
		again, err := Open(t.Context(), Options{DSN: address})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		return rowsOf(t, again, "SELECT toString(getSetting('select_sequential_consistency')), toString(getSetting('insert_quorum'))")
	}
	if got := setting(dsn); got != "1\tauto" {
		t.Errorf("who opens a cluster's store asks with %q", got)
	}
	if got := setting(dsn + "?insert_quorum=2"); got != "1\t2" {
		t.Errorf("what the address says is %q", got)
	}
	for _, sql := range []string{"ALTER TABLE gnomon.migrations DELETE WHERE name = '0049_view_cells.sql' SETTINGS mutations_sync = 1", "DROP VIEW gnomon.cells"} {
		if err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Migrate(t.Context()); !errors.Is(err, ErrCluster) || !strings.Contains(err.Error(), "0049_view_cells") || strings.Contains(err.Error(), "0002") {
		t.Errorf("a view is missing: %v", err)
	}
	if n := rowsOf(t, s, "SELECT count() FROM system.tables WHERE database = 'gnomon' AND name = 'cells'"); n != "0" {
		t.Error("the view was made")
	}
	if err := s.checkCluster(map[string]uint64{"a.sql": 1}, map[string]string{"a.sql": "CREATE TABLE IF NOT EXISTS gnomon.a"}); err != nil {
		t.Errorf("a table's new text: %v", err)
	}
	if err := s.checkCluster(map[string]uint64{"a.sql": xxhash.Sum64String("x")}, map[string]string{"a.sql": "CREATE OR REPLACE VIEW gnomon.a AS SELECT 1"}); !errors.Is(err, ErrCluster) {
		t.Errorf("a view's new text: %v", err)
	}
}
