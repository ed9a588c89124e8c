package store

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

const migrationsTable = `CREATE TABLE IF NOT EXISTS gnomon.migrations (name String, digest UInt64, at DateTime64(3, 'UTC') DEFAULT now64(3))
ENGINE = ReplacingMergeTree(at) ORDER BY name`

// Migrate brings the tables to this version. Each file of schemas.DDL is one
// idempotent statement, recorded once run, so that a crash between run and
// record only repeats it; a view is made again when its text has changed. A
// store that a newer gnomon has migrated is refused.
func (s *Store) Migrate(ctx context.Context) error {
	files, err := migrations()
	if err != nil {
		return err
	}
	if err := s.conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS gnomon"); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := s.conn.Exec(ctx, migrationsTable); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	done, err := s.migrated(ctx)
	if err != nil {
		return err
	}
	for name := range done {
		if _, known := files[name]; !known {
			return fmt.Errorf("the store has migration %s, which this gnomon does not know: it was migrated by a newer one\n  run that version, or one newer", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		digest := digestOf(text)
		if done[name] == digest {
			continue
		}
		if _, again := done[name]; again && !strings.Contains(text, "CREATE OR REPLACE VIEW") {
			s.log.Debug("a table's text has changed; tables are changed by later files only", "file", name)
			continue
		}
		if err := s.conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("migrate %s: %w", name, err)
		}
		if err := s.conn.Exec(ctx, "INSERT INTO gnomon.migrations (name, digest) SELECT ?, ?", name, digest); err != nil {
			return fmt.Errorf("record migration %s: %w", name, err)
		}
	}
	return nil
}

func (s *Store) migrated(ctx context.Context) (map[string]uint64, error) {
	rows, err := s.conn.Query(ctx, "SELECT name, digest FROM gnomon.migrations FINAL")
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer rows.Close()
	done := map[string]uint64{}
	for rows.Next() {
		var name string
		var digest uint64
		if err := rows.Scan(&name, &digest); err != nil {
			return nil, fmt.Errorf("migrate: %w", err)
		}
		done[name] = digest
	}
	return done, rows.Err()
}

// migrations are the files of schemas.DDL, and the view of reject words, which
// is made from the codes so that it cannot disagree with them.
func migrations() (map[string]string, error) {
	names, err := fs.Glob(schemas.DDL, "ddl/*.sql")
	if err != nil {
		return nil, err
	}
	files := map[string]string{"0024_view_rejects.sql": rejectsView()}
	for _, path := range names {
		raw, err := fs.ReadFile(schemas.DDL, path)
		if err != nil {
			return nil, err
		}
		files[strings.TrimPrefix(path, "ddl/")] = string(raw)
	}
	return files, nil
}

// rejectsView is one row per request and candidate, with the reason as a word.
func rejectsView() string {
	codes := schemas.RejectCodes()
	var numbers, words []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		numbers = append(numbers, fmt.Sprint(uint16(code)))
		words = append(words, "'"+codes[code]+"'")
	}
	transform := func(column string) string {
		return "transform(" + column + ", [" + strings.Join(numbers, ", ") + "], [" + strings.Join(words, ", ") + "], 'unknown')"
	}
	return `CREATE OR REPLACE VIEW gnomon.rejects AS
SELECT project, workload, request_id, ts, if(baseline_provider = '', provider, baseline_provider) AS from_provider, request_model, would_route,
    c AS candidate, k AS rank, ` + transform("r") + ` AS reason
FROM (SELECT *, if(empty(candidates), [''], candidates) AS cs, if(empty(candidates), [baseline_reject], rejects) AS rs FROM gnomon.requests FINAL WHERE status != 'lost')
ARRAY JOIN cs AS c, rs AS r, arrayEnumerate(cs) AS k`
}
