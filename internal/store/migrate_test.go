package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMigratingAgainRunsNothing(t *testing.T) {
	s, _ := open(t)
	ran := func() string {
		r, err := s.Query(t.Context(), "SELECT count(), max(at) FROM gnomon.migrations FINAL")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r.Rows)
	}
	before := ran()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := ran(); after != before {
		t.Errorf("migrations were %s, and are %s", before, after)
	}
}

func TestAnInterruptedMigrationIsTakenUpWhereItStopped(t *testing.T) {
	s, _ := open(t)
	// As if the process had died after making evidence and before recording it,
	// and before everything that comes after.
	for _, sql := range []string{
		"DELETE FROM gnomon.migrations WHERE name >= '0006'",
		"DROP VIEW gnomon.completeness", "DROP VIEW gnomon.accepted_policies", "DROP TABLE gnomon.heartbeats",
	} {
		if err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	done, version, err := s.migrated(t.Context())
	if err != nil || len(done) != len(files) || version != SchemaVersion {
		t.Errorf("%d of %d files, version %d, %v", len(done), len(files), version, err)
	}
	for _, view := range views {
		if _, err := s.Query(t.Context(), "SELECT * FROM gnomon."+view+" LIMIT 1"); err != nil {
			t.Errorf("%s: %v", view, err)
		}
	}
}

func TestRowsOfBeforeThereWasAnIndexOfStatusesAreFoundByIt(t *testing.T) {
	s, project := open(t)
	for _, sql := range []string{"ALTER TABLE gnomon.requests DROP INDEX idx_status SETTINGS mutations_sync = 2", "DELETE FROM gnomon.migrations WHERE name = '0060_status_index.sql'"} {
		if err := s.conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.InsertRequests(t.Context(), project, traffic(project, 300, 1, 60)); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for rowsOf(t, s, "SELECT count() FROM system.mutations WHERE database = 'gnomon' AND table = 'requests' AND NOT is_done") != "0" {
		if t.Context().Err() != nil {
			t.Fatal("the index is not made of old rows")
		}
		time.Sleep(20 * time.Millisecond)
	}
	plan := rowsOf(t, s, "SELECT arrayStringConcat(groupArray(explain), ' ') FROM (EXPLAIN indexes = 1 SELECT ts FROM gnomon.requests WHERE project = '"+project+"' AND status = 'no_such_status')")
	if i := strings.Index(plan, "Name: idx_status"); i < 0 || !strings.Contains(plan[i:], "Granules: 0/") {
		t.Errorf("rows of another status are read: %s", plan)
	}
}

func TestAViewWhoseTextHasChangedIsMadeAgain(t *testing.T) {
	s, _ := open(t)
	if err := s.conn.Exec(t.Context(), "CREATE OR REPLACE VIEW gnomon.workloads AS SELECT 1 AS old"); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Exec(t.Context(), "INSERT INTO gnomon.migrations (name, digest, version) SELECT '0024_view_workloads.sql', 1, 1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Query(t.Context(), "SELECT workload FROM gnomon.workloads LIMIT 1"); err != nil {
		t.Error(err)
	}
}

func TestAStoreThatANewerGnomonMigratedIsRefused(t *testing.T) {
	s, _ := open(t)
	if err := s.conn.Exec(t.Context(), "INSERT INTO gnomon.migrations (name, digest, version) SELECT '9999_future.sql', 1, 9"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.conn.Exec(context.WithoutCancel(t.Context()), "DELETE FROM gnomon.migrations WHERE name = '9999_future.sql'"); err != nil {
			t.Fatal(err)
		}
	}()
	err := s.Migrate(t.Context())
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "version 9") || !strings.Contains(err.Error(), "run the newer") {
		t.Errorf("Migrate = %v", err)
	}
}

func TestAMigrationIsOneIdempotentStatement(t *testing.T) {
	s, _ := open(t)
	files, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		var statement strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "--") {
				statement.WriteString(line)
			}
		}
		if strings.Contains(statement.String(), ";") || strings.Contains(text, "/*") || !strings.HasPrefix(text, "-- ") {
			t.Errorf("%s: one statement without a semicolon, after a comment that says what it is for", name)
		}
		if err := s.conn.Exec(t.Context(), text); err != nil {
			t.Errorf("%s, run again: %v", name, err)
		}
	}
}

// schemaDigest is of all texts at SchemaVersion.
const schemaDigest = 4937113560021377780

func TestWhoChangesTheSchemaRaisesItsVersion(t *testing.T) {
	files, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	d := xxhash.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(d, "%s\n%s\n", name, files[name])
	}
	if d.Sum64() != schemaDigest {
		t.Errorf("the tables and views have changed: raise SchemaVersion once a release, and set schemaDigest to %d", d.Sum64())
	}
}

func TestEveryFileIsInTheBinary(t *testing.T) {
	names, err := fs.Glob(schemas.DDL, "ddl/*")
	if err != nil || len(names) < 15 {
		t.Fatalf("%v, %v", names, err)
	}
	numbers := map[string]string{}
	for _, n := range names {
		number := strings.TrimPrefix(n, "ddl/")[:4]
		if other := numbers[number]; other != "" {
			t.Errorf("%s and %s share a number", other, n)
		}
		numbers[number] = n
	}
}

func TestTheDatabaseNeedNotExistToConnect(t *testing.T) {
	s, err := Open(t.Context(), Options{DSN: embeddedtest.Engine(t) + "/not_there_yet"})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}
