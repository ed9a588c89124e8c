package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

type kept = schemas.SnapshotRecord

var snapshotColumns = []column[kept]{
	col("kind", func(s *kept) string { return s.Kind }),
	col("hash", func(s *kept) uint64 { return s.Hash }),
	col("project", func(s *kept) string { return s.Project }),
	at("at", func(s *kept) time.Time { return s.At }),
	col("classifier_version", func(s *kept) uint32 { return s.ClassifierVer }),
	col("model_hash", func(s *kept) uint64 { return s.ModelHash }),
	col("rules_hash", func(s *kept) uint64 { return s.RulesHash }),
	col("prices_hash", func(s *kept) uint64 { return s.PricesHash }),
	col("policies_hash", func(s *kept) uint64 { return s.PoliciesHash }),
	col("schema_version", func(s *kept) string { return s.Version }),
	col("record", func(s *kept) string { return string(s.Record) }),
}

// InsertSnapshots stores what decisions were taken by. What is stored already
// under the same hash is the same.
func (s *Store) InsertSnapshots(ctx context.Context, token string, ss []schemas.SnapshotRecord) error {
	return insert(ctx, s, "snapshots", token, snapshotColumns, ss)
}

// Kept returns what was kept under a hash (see schemas.KindSnapshot), or false.
func (s *Store) Kept(ctx context.Context, kind string, hash uint64) (schemas.SnapshotRecord, bool, error) {
	const sql = `SELECT kind, hash, project, at, classifier_version, model_hash, rules_hash, prices_hash, policies_hash, schema_version, record
FROM gnomon.snapshots WHERE kind = ? AND hash = ? ORDER BY at LIMIT 1`
	rows, err := query(ctx, s, "a kept "+kind, sql, func(row scanner) (k kept, err error) {
		var record string
		err = row.Scan(&k.Kind, &k.Hash, &k.Project, &k.At, &k.ClassifierVer, &k.ModelHash, &k.RulesHash, &k.PricesHash, &k.PoliciesHash, &k.Version, &record)
		k.At, k.Record = k.At.UTC(), json.RawMessage(record)
		return k, err
	}, kind, hash)
	if err != nil || len(rows) == 0 {
		return kept{}, false, err
	}
	return rows[0], true, nil
}
