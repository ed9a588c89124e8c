package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/internal/replay"
	"github.com/gnomon-llm/gnomon/schemas"
)

var _ replay.Log = (*Store)(nil)

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

// said are the expressions of replay.Fields, in their order.
var said = [len(replay.Fields)]string{
	"would_route", "arrayStringConcat(candidates, ' ')", "arrayStringConcat(arrayMap(x -> toString(x), rejects), ' ')", "baseline_reject",
	"ifNull(toString(toInt128(expected_cost * toDecimal128(1000000000, 0))), '" + replay.Unpriced + "')", "evidence_state",
	"if(isNull(p_adequate), '', toString(reinterpretAsUInt32(assumeNotNull(p_adequate))))", "held", "mode", "policy_version",
	"workload", "request_model", "dialect", "operation", "arm", "toUInt8(bypassed)", "gates", "task_class", "reinterpretAsUInt32(score)", "reinterpretAsUInt32(novelty)",
	"classifier_version", "prompt_hash",
}

// windowRows is about how many rows one query reads: few enough to be done
// within a reader's time limit, many enough for the queries not to matter.
const windowRows = 1_000_000

// Decisions implements replay.Log. It reads some hours at a time, so that
// neither side holds more than a few blocks.
func (s *Store) Decisions(ctx context.Context, project string, from, to time.Time, fn func(*replay.Recorded) error) error {
	windows, err := s.windows(ctx, project, from, to)
	if err != nil {
		return err
	}
	sql := "SELECT request_id, ts, snapshot_hash, inputs, concat(" + strings.Join(said[:], `, '\0', `) + `, '\0') AS said,
    if(served_model != '' AND NOT fallback AND (served_model != request_model OR ` + baseProvider + ` != provider), concat(provider, '/', served_model), '') AS served
FROM gnomon.requests FINAL WHERE ` + between + " AND status != 'lost'"
	for _, w := range windows {
		if err := s.decisions(ctx, sql, fn, project, w[0].UnixMilli(), w[1].UnixMilli()); err != nil {
			return fmt.Errorf("read decisions of %s to %s: %w", w[0].Format(time.RFC3339), w[1].Format(time.RFC3339), err)
		}
	}
	return nil
}

// windows cuts a period into runs of hours that hold about windowRows.
func (s *Store) windows(ctx context.Context, project string, from, to time.Time) ([][2]time.Time, error) {
	type hour struct {
		at time.Time
		n  uint64
	}
	hours, err := query(ctx, s, "the hours of the log", "SELECT toStartOfHour(ts) AS hour, count() FROM gnomon.requests WHERE "+between+" GROUP BY hour ORDER BY hour", func(row scanner) (h hour, err error) {
		return h, row.Scan(&h.at, &h.n)
	}, project, from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return nil, err
	}
	var all [][2]time.Time
	rows := uint64(windowRows)
	for _, h := range hours {
		lo, hi := h.at.UTC(), h.at.UTC().Add(time.Hour)
		if lo.Before(from) {
			lo = from
		}
		if hi.After(to) {
			hi = to
		}
		if rows+h.n > windowRows {
			all, rows = append(all, [2]time.Time{lo, hi}), 0
		}
		all[len(all)-1][1] = hi
		rows += h.n
	}
	return all, nil
}

func (s *Store) decisions(ctx context.Context, sql string, fn func(*replay.Recorded) error, args ...any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a query that is not read to its end goes on otherwise
	rows, err := s.conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var r replay.Recorded
	for rows.Next() {
		if err := rows.Scan(&r.RequestID, &r.Ts, &r.Snapshot, &r.Inputs, &r.Said, &r.Served); err != nil {
			return err
		}
		if err := fn(&r); err != nil {
			return err
		}
	}
	return rows.Err()
}
