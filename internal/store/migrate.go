package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// SchemaVersion counts the changes of the tables and views. A test holds it
// against their texts: who changes one raises it.
const SchemaVersion = 4

const migrationsTable = `CREATE TABLE IF NOT EXISTS gnomon.migrations (name String, digest UInt64, version UInt32, at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = ReplacingMergeTree(at) ORDER BY name`

// ErrNewer says that a newer gnomon has migrated the store.
var ErrNewer = errors.New("the store was migrated by a newer gnomon")

// Migrate brings the tables to this version. Each file of schemas.DDL is one
// idempotent statement, recorded once run, so that a crash between the two only
// repeats it; a view is made again when its text has changed, a table is changed
// by a later file, or rebuilt where its sorting key is another. A store that a newer gnomon has migrated is refused with
// ErrNewer, a cluster whose tables are others with ErrCluster, and nothing is touched.
func (s *Store) Migrate(ctx context.Context) error {
	files, err := migrations()
	if err != nil {
		return err
	}
	if err := s.checkVersion(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	cluster, err := s.onCluster(ctx)
	if err == nil && !cluster {
		err = s.prepareMigrations(ctx)
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	done, version, err := s.migrated(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if version > SchemaVersion {
		return fmt.Errorf("%w: its tables are at version %d, this gnomon knows %d\n  run the newer version, or give this one a store of its own", ErrNewer, version, SchemaVersion)
	}
	if cluster {
		return s.checkCluster(done, files)
	}
	if err := s.rebuild(ctx, "requests", files["0002_requests.sql"]); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		digest := xxhash.Sum64String(text)
		before, known := done[name]
		switch {
		case known && before == digest:
			continue
		case known && !strings.Contains(text, "CREATE OR REPLACE VIEW"):
			s.log.Debug("a table's text has changed; tables are changed by later files, or rebuilt", "file", name)
			continue
		}
		if err := s.conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("migrate %s: %w", name, err)
		}
		if err := s.conn.Exec(ctx, "INSERT INTO gnomon.migrations (name, digest, version) SELECT ?, ?, ?", name, digest, uint32(SchemaVersion)); err != nil {
			return fmt.Errorf("record migration %s: %w", name, err)
		}
	}
	return nil
}

const codeAccessDenied = 497

// prepareMigrations makes the database and the record of migrations. A user who
// may not make databases can use one that is there.
func (s *Store) prepareMigrations(ctx context.Context) error {
	err := s.conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS gnomon")
	var e *clickhouse.Exception
	if err != nil && errors.As(err, &e) && e.Code == codeAccessDenied {
		var there uint64
		if s.conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = 'gnomon'").Scan(&there) == nil && there > 0 {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return s.conn.Exec(ctx, migrationsTable)
}

// migrated returns the digests of what was run, and the highest version that ran
// anything.
func (s *Store) migrated(ctx context.Context) (done map[string]uint64, version uint32, err error) {
	type ran struct {
		name    string
		digest  uint64
		version uint32
	}
	rows, err := query(ctx, s, "migrations", "SELECT name, digest, version FROM gnomon.migrations FINAL", func(row scanner) (r ran, err error) {
		return r, row.Scan(&r.name, &r.digest, &r.version)
	})
	done = map[string]uint64{}
	for _, r := range rows {
		done[r.name] = r.digest
		version = max(version, r.version)
	}
	return done, version, err
}

// migrations are the texts of schemas.DDL by file name.
func migrations() (map[string]string, error) {
	names, err := fs.Glob(schemas.DDL, "ddl/*.sql")
	if err != nil {
		return nil, err
	}
	codes, words := rejectLists()
	fill := strings.NewReplacer(append([]string{"/*codes*/", codes, "/*words*/", words, "/*called*/", calledInViews}, cellLists()...)...)
	files := map[string]string{}
	for _, path := range names {
		raw, err := fs.ReadFile(schemas.DDL, path)
		if err != nil {
			return nil, err
		}
		files[strings.TrimPrefix(path, "ddl/")] = fill.Replace(string(raw))
	}
	return files, nil
}

// rejectLists are the codes of reject reasons and their words, as SQL.
func rejectLists() (codes, words string) {
	all := schemas.RejectCodes()
	var cs, ws []string
	for _, code := range slices.Sorted(maps.Keys(all)) {
		cs = append(cs, fmt.Sprint(uint16(code)))
		ws = append(ws, "'"+all[code]+"'")
	}
	return strings.Join(cs, ", "), strings.Join(ws, ", ")
}
