package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
	"github.com/gnomon-llm/gnomon/schemas"
)

// column is one column of an insert: its name, how its values are taken from
// the rows as one slice, and what makes a row one that can never be stored.
type column[T any] struct {
	name   string
	values func(rows []T) any
	check  func(row *T) error // nil: every value can be stored
}

func col[T, V any](name string, get func(*T) V) column[T] {
	return column[T]{name: name, values: func(rows []T) any {
		vs := make([]V, len(rows))
		for i := range rows {
			vs[i] = get(&rows[i])
		}
		return vs
	}}
}

// The store's times are counted in 64 bits of nanoseconds on their way.
var (
	earliest = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC)
)

// at is a column of times.
func at[T any](name string, get func(*T) time.Time) column[T] {
	c := col(name, func(row *T) time.Time { return get(row).UTC() })
	c.check = func(row *T) error {
		if t := get(row); t.Before(earliest) || t.After(latest) {
			return fmt.Errorf("%s %s is outside of %d to %d", name, t.Format(time.RFC3339), earliest.Year(), latest.Year()-1)
		}
		return nil
	}
	return c
}

// id is a column of UUIDs.
func id[T any](name string, get func(*T) string) column[T] {
	c := col(name, func(row *T) uuid.UUID {
		u, _ := uuid.Parse(get(row)) // checked before
		return u
	})
	c.check = func(row *T) error {
		if _, err := uuid.Parse(get(row)); err != nil {
			return fmt.Errorf("%s %.60q is not a UUID: %w", name, get(row), err)
		}
		return nil
	}
	return c
}

// usd is a column of amounts; NULL where the amount is unknown.
func usd[T any](name string, get func(*T) schemas.OptUSD) column[T] {
	return col(name, func(row *T) *decimal.Decimal { return dollars(get(row)) })
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

// insert sends rows as one block under a token: sent twice, it is stored once.
func insert[T any](ctx context.Context, s *Store, table, token string, columns []column[T], rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	for i := range rows {
		for c := range columns {
			if check := columns[c].check; check != nil {
				if err := check(&rows[i]); err != nil {
					return fmt.Errorf("insert into %s: %w", table, &ErrRow{Index: i, Err: err})
				}
			}
		}
	}
	return insertParts(ctx, s, table, token, columns, rows)
}

// smallestPart is how few rows are not halved any more for the memory's sake.
const smallestPart = 250

// insertParts sends rows whole, and in halves where a smaller block may pass:
// else one batch of unlike rows could never be stored. A row that is refused
// alone is an ErrRow. Should the whole have been stored after all, its rows are
// told by their keys.
func insertParts[T any](ctx context.Context, s *Store, table, token string, columns []column[T], rows []T) error {
	err := send(ctx, s, table, token, columns, rows)
	smallest := divisible(err)
	if smallest == 0 {
		return err
	}
	if len(rows) < 2*smallest {
		if smallest == 1 && len(rows) == 1 {
			return &ErrRow{Index: 0, Err: err}
		}
		return err
	}
	s.log.Warn("a batch is refused whole and sent in halves", "table", table, "rows", len(rows), "err", err)
	half := func(n int) string {
		if token == "" {
			return ""
		}
		return fmt.Sprintf("%s/%d", token, n)
	}
	middle := len(rows) / 2
	if err := insertParts(ctx, s, table, half(1), columns, rows[:middle]); err != nil {
		return err
	}
	err = insertParts(ctx, s, table, half(2), columns, rows[middle:])
	var row *ErrRow
	if errors.As(err, &row) {
		return &ErrRow{Index: middle + row.Index, Err: row.Err}
	}
	return err
}

// ClickHouse's error codes after which a smaller block may pass.
const (
	codeMemoryLimit  = 241
	codeTooManyParts = 252
)

// refusals are ClickHouse's error codes that speak of a value, so that the same
// row can never pass: INCORRECT_DATA, TOO_LARGE_ARRAY_SIZE,
// TOO_LARGE_STRING_SIZE, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE, DECIMAL_OVERFLOW,
// VIOLATED_CONSTRAINT. Whatever speaks of a table or of the server is none: it
// would send every row to the dead letters.
var refusals = []int32{117, 128, 131, 321, 407, 469}

// divisible says down to how many rows a refused block is worth halving; 0: it
// is not. "Too many parts" is the server's plea for time, but the same code says
// that one block reaches over more than 100 months, which no waiting mends.
func divisible(err error) (smallest int) {
	var e *clickhouse.Exception
	switch {
	case !errors.As(err, &e):
		return 0
	case e.Code == codeMemoryLimit:
		return smallestPart
	case e.Code == codeTooManyParts && strings.Contains(e.Message, "partitions"), slices.Contains(refusals, e.Code):
		return 1
	}
	return 0
}

// send inserts rows as one block.
func send[T any](ctx context.Context, s *Store, table, token string, columns []column[T], rows []T) (err error) {
	defer func() {
		if err != nil {
			s.forget(table)
			err = fmt.Errorf("insert %d rows into %s: %w", len(rows), table, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].name
	}
	types, err := s.columnTypes(ctx, table, names)
	if err != nil {
		return err
	}
	settings := clickhouse.Settings{"async_insert": 0, "insert_deduplicate": 1}
	switch {
	case sabotage.Of(sabotage.DedupToken):
		settings["deduplicate_insert"] = "disable" // it goes before insert_deduplicate; else equal blocks are known by their checksum, without a token
	case token != "":
		settings["insert_deduplication_token"] = token
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(settings), clickhouse.WithColumnNamesAndTypes(types))
	query := "INSERT INTO gnomon." + table + " (" + strings.Join(names, ", ") + ")"
	batch, err := s.conn.PrepareBatch(ctx, query, driver.WithReleaseConnection())
	if err != nil {
		return err
	}
	for i := range columns {
		if err := batch.Column(i).Append(columns[i].values(rows)); err != nil {
			return errors.Join(fmt.Errorf("column %s: %w", names[i], err), batch.Abort())
		}
	}
	return batch.Send()
}

// columnTypes says as what the columns of a table are sent. Over HTTP the client
// would ask for them at every insert; they are asked for once. Words are sent as
// plain strings: the client takes long to make a dictionary of them, the engine
// makes its own anyway.
func (s *Store) columnTypes(ctx context.Context, table string, names []string) ([]clickhouse.ColumnNameAndType, error) {
	s.mu.Lock()
	known := s.types[table]
	s.mu.Unlock()
	if known == nil {
		rows, err := query(ctx, s, "the columns of "+table, "SELECT name, type FROM system.columns WHERE database = 'gnomon' AND table = ?", func(row scanner) (nt [2]string, err error) {
			return nt, row.Scan(&nt[0], &nt[1])
		}, table)
		if err != nil {
			return nil, err
		}
		known = map[string]string{}
		for _, nt := range rows {
			known[nt[0]] = strings.ReplaceAll(nt[1], "LowCardinality(String)", "String")
		}
		s.mu.Lock()
		s.types[table] = known
		s.mu.Unlock()
	}
	types := make([]clickhouse.ColumnNameAndType, len(names))
	for i, name := range names {
		typ, there := known[name]
		if !there {
			return nil, fmt.Errorf("gnomon.%s has no column %s (it has %d columns): run gnomon migrate", table, name, len(slices.Collect(maps.Keys(known))))
		}
		types[i] = clickhouse.ColumnNameAndType{Name: name, Type: typ}
	}
	return types, nil
}

// forget has the next insert ask for the columns again: after an error the table
// may be another.
func (s *Store) forget(table string) {
	s.mu.Lock()
	delete(s.types, table)
	s.mu.Unlock()
}
