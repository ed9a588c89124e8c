package store

import (
	"errors"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

func TestAServerThatIsTooOldIsRefusedWithWhatToDo(t *testing.T) {
	for version, old := range map[string]bool{"25.8.1.1": false, "26.5.1.1": false, "25.7.9.9": true, "24.12.3": true, "a version of its own": false} {
		if err := newEnough(version); errors.Is(err, ErrOldServer) != old || old && (!strings.Contains(err.Error(), version) || !strings.Contains(err.Error(), LeastClickHouse)) {
			t.Errorf("%s: %v", version, err)
		}
	}
	if err := newEnough(embedded.LibraryVersion); err != nil {
		t.Error(err)
	}
}

// oldStore is a store as version 1 left it, with rows of three days.
func oldStore(t *testing.T) (*Store, string) {
	t.Helper()
	s, err := Open(t.Context(), Options{DSN: embeddedtest.EngineIn(t, t.TempDir(), 0)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"DROP TABLE gnomon.requests", strings.Replace(files["0002_requests.sql"], "ORDER BY (project, ts, request_id)", "ORDER BY (project, toStartOfHour(ts), request_id)", 1),
	} {
		if err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	evs := traffic("old", 2000, 1, 61)
	if err := errors.Join(s.InsertRequests(t.Context(), "a", evs), s.InsertRequests(t.Context(), "b", evs[:500])); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"ALTER TABLE gnomon.requests DROP COLUMN p_adequate, DROP COLUMN held", "TRUNCATE TABLE gnomon.deliveries", "DELETE FROM gnomon.migrations WHERE name >= '0038'", "INSERT INTO gnomon.migrations (name, digest, version) SELECT '0002_requests.sql', 1, 1",
	} {
		if err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return s, rowsOf(t, s, "SELECT count(), sum(cityHash64(* EXCEPT (p_adequate, held))), toString(sum(cost)) FROM gnomon.requests FINAL")
}

func TestAStoreOfTheOldLayoutIsSortedAnewFromWhereverItStopped(t *testing.T) {
	s, before := oldStore(t)
	files, _ := migrations()
	for _, stopped := range []struct {
		name string
		do   []string
	}{
		{"before anything", nil},
		{"in the middle of copying", []string{strings.Replace(files["0002_requests.sql"], "gnomon.requests", "gnomon.requests_rebuilt", 1),
			"INSERT INTO gnomon.requests_rebuilt SELECT * FROM gnomon.requests LIMIT 700"}},
		{"before the old table was dropped", []string{"CREATE TABLE gnomon.requests_rebuilt AS gnomon.requests"}},
		{"with rows that an insert left in the old table", []string{"CREATE TABLE gnomon.requests_rebuilt AS gnomon.requests", "INSERT INTO gnomon.requests_rebuilt SELECT * FROM gnomon.requests",
			"DELETE FROM gnomon.requests WHERE request_id IN (SELECT request_id FROM gnomon.requests_rebuilt ORDER BY request_id LIMIT 300)"}},
	} {
		if strings.HasPrefix(stopped.name, "in the") { // back to the old layout
			stopped.do = append([]string{
				"CREATE TABLE gnomon.o AS gnomon.requests ENGINE = ReplacingMergeTree(revision) PARTITION BY toYYYYMM(ts) ORDER BY (project, toStartOfHour(ts), request_id)",
				"INSERT INTO gnomon.o SELECT * FROM gnomon.requests", "EXCHANGE TABLES gnomon.o AND gnomon.requests", "DROP TABLE gnomon.o",
			}, stopped.do...)
		}
		for _, sql := range stopped.do {
			if err := s.conn.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatalf("%s: %v", stopped.name, err)
		}
		if key, err := s.sortingKey(t.Context(), "requests"); err != nil || key != "project, ts, request_id" {
			t.Errorf("%s: sorted by %q, %v", stopped.name, key, err)
		}
		if left, _ := s.sortingKey(t.Context(), "requests_rebuilt"); left != "" {
			t.Errorf("%s: the second table is still there", stopped.name)
		}
		if after := rowsOf(t, s, "SELECT count(), sum(cityHash64(* EXCEPT (p_adequate, held))), toString(sum(cost)) FROM gnomon.requests FINAL"); after != before {
			t.Errorf("%s: %s, before %s", stopped.name, after, before)
		}
		settle(t, s)
		if n := rowsOf(t, s, "SELECT sum(requests) FROM gnomon.spend_daily"); n != "2000" {
			t.Errorf("%s: the rollup has %s requests", stopped.name, n)
		}
	}
}
