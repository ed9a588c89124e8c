package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/gnomon-llm/gnomon/schemas"
)

// column is one column of an insert: its name, and how its values are taken
// from the rows as one slice.
type column[T any] struct {
	name   string
	values func(rows []T) any
}

func col[T, V any](name string, get func(*T) V) column[T] {
	return column[T]{name, func(rows []T) any {
		vs := make([]V, len(rows))
		for i := range rows {
			vs[i] = get(&rows[i])
		}
		return vs
	}}
}

// insert sends rows as one block under a token: sent twice, it is stored once.
func insert[T any](ctx context.Context, s *Store, table, token string, columns []column[T], rows []T) (err error) {
	if len(rows) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	settings := clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 1}
	if token != "" {
		settings["insert_deduplication_token"] = token
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings))
	query := "INSERT INTO gnomon." + table + " ("
	for i := range columns {
		if i > 0 {
			query += ", "
		}
		query += columns[i].name
	}
	batch, err := s.conn.PrepareBatch(ctx, query+")", driver.WithReleaseConnection())
	if err != nil {
		return fmt.Errorf("insert %d rows into %s: %w", len(rows), table, err)
	}
	for i := range columns {
		if err := batch.Column(i).Append(columns[i].values(rows)); err != nil {
			return errors.Join(fmt.Errorf("insert into %s: column %s: %w", table, columns[i].name, err), batch.Abort())
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %d rows into %s: %w", len(rows), table, err)
	}
	return nil
}

// ErrRow marks a row that the store can never take; Index names it.
type ErrRow struct {
	Index int
	Err   error
}

func (e *ErrRow) Error() string { return fmt.Sprintf("row %d: %v", e.Index, e.Err) }

// Unwrap returns what is wrong with the row.
func (e *ErrRow) Unwrap() error { return e.Err }

// RowIndex names the row, for whoever sets it aside.
func (e *ErrRow) RowIndex() int { return e.Index }

// ids parses the ids of all rows, or names the row whose id is none.
func ids[T any](rows []T, get func(*T) string) ([]uuid.UUID, error) {
	out := make([]uuid.UUID, len(rows))
	for i := range rows {
		id, err := uuid.Parse(get(&rows[i]))
		if err != nil {
			return nil, &ErrRow{Index: i, Err: fmt.Errorf("id %q: %w", get(&rows[i]), err)}
		}
		out[i] = id
	}
	return out, nil
}

// given is a column whose values are there already.
func given[T, V any](name string, values []V) column[T] {
	return column[T]{name, func([]T) any { return values }}
}

func dollars(o schemas.OptUSD) *decimal.Decimal {
	if !o.Known {
		return nil
	}
	d := decimal.New(int64(o.Nano), -9)
	return &d
}

// digestOf identifies a migration's text.
func digestOf(text string) uint64 { return xxhash.Sum64String(text) }

func utc(t time.Time) time.Time { return t.UTC() }
