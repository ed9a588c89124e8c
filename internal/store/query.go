package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"
)

// Rows is a result as rows of plain values: strings, numbers, bools, lists and
// maps of them, and nil. Decimals, UUIDs and times are text, exactly.
type Rows struct {
	Columns []string
	Rows    [][]any
}

// maxRows bounds what Query holds in memory; Each has no bound.
const maxRows = 1_000_000

// Query reads a whole result. It changes nothing: a server is told that the
// query may only read.
func (s *Store) Query(ctx context.Context, sql string) (*Rows, error) {
	r := &Rows{}
	err := s.Each(ctx, sql, nil, func(columns []string, row []any) error {
		r.Columns = columns
		if row == nil {
			return nil
		}
		if len(r.Rows) == maxRows {
			return fmt.Errorf("more than %d rows: add a LIMIT, or sum them in the query", maxRows)
		}
		r.Rows = append(r.Rows, row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Each calls row for every row of a result as it comes, or once with a nil row
// when there is none. params fill {name:Type} places of the query. An error of
// row ends the query and is returned.
func (s *Store) Each(ctx context.Context, sql string, params map[string]string, row func(columns []string, row []any) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, err := s.readOnly(ctx)
	if err != nil {
		return err
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithParameters(params))
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return told(err)
	}
	defer func() {
		cancel() // else Close reads a result that is not wanted to its end
		_ = rows.Close()
	}()
	columns, types := rows.Columns(), rows.ColumnTypes()
	n := 0
	for ; rows.Next(); n++ {
		values, err := plainRow(rows, types)
		if err != nil {
			return err
		}
		if err := row(columns, values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return told(err)
	}
	if n > 0 {
		return nil
	}
	if len(columns) == 0 { // an empty answer does not say what its columns were
		columns = s.describe(ctx, sql)
	}
	return row(columns, nil)
}

// describe names the columns that a query would have; none where it cannot be told.
func (s *Store) describe(ctx context.Context, sql string) []string {
	rows, err := s.conn.Query(ctx, "DESCRIBE TABLE (\n"+sql+"\n)")
	if err != nil {
		return nil
	}
	defer rows.Close()
	var names []string
	types := rows.ColumnTypes()
	for rows.Next() {
		if values, err := plainRow(rows, types); err == nil {
			names = append(names, fmt.Sprint(values[0]))
		}
	}
	return names
}

// queryError is an exception as a person should read it.
type queryError struct {
	text string
	err  error
}

func (e *queryError) Error() string { return e.text }
func (e *queryError) Unwrap() error { return e.err }

// exceptionName ends the text of an exception.
var exceptionName = regexp.MustCompile(`\([A-Z_]+\)$`)

// told cuts what makes an exception unreadable: the list of all words that could
// have stood in a place, and the text of the views it came through.
func told(err error) error {
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		return err
	}
	text := e.Message
	for _, tail := range []string{" Expected one of: ", ": In scope "} {
		before, after, found := strings.Cut(text, tail)
		if !found {
			continue
		}
		text = before
		if name := exceptionName.FindString(after); name != "" {
			text += " " + name
		}
	}
	return &queryError{text: fmt.Sprintf("ClickHouse refuses the query (code %d): %s", e.Code, strings.TrimSpace(text)), err: err}
}

// readOnly has the server refuse everything but reading, where the user could do
// more. A user who may not even say so is read-only already.
func (s *Store) readOnly(ctx context.Context) (context.Context, error) {
	s.mu.Lock()
	asked, free := s.asked, s.free
	s.mu.Unlock()
	if !asked {
		var readonly string
		if err := s.conn.QueryRow(ctx, "SELECT toString(getSetting('readonly'))").Scan(&readonly); err != nil {
			return nil, err
		}
		free = readonly == "0"
		s.mu.Lock()
		s.asked, s.free = true, free
		s.mu.Unlock()
	}
	if !free {
		return ctx, nil
	}
	return clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"readonly": 1})), nil
}

func plainRow(rows driver.Rows, types []driver.ColumnType) ([]any, error) {
	line := make([]any, len(types))
	for i, t := range types {
		line[i] = reflect.New(t.ScanType()).Interface()
	}
	if err := rows.Scan(line...); err != nil {
		return nil, err
	}
	for i, t := range types {
		line[i] = plain(reflect.ValueOf(line[i]).Elem(), t.DatabaseTypeName())
	}
	return line, nil
}

// plain is a value as JSON and tables should show it. typ is ClickHouse's name
// of its type.
func plain(v reflect.Value, typ string) any {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case decimal.Decimal:
		return x.String()
	case uuid.UUID:
		return x.String()
	case time.Time:
		if strings.Contains(typ, "Date") && !strings.Contains(typ, "DateTime") {
			return x.Format(time.DateOnly)
		}
		return x.UTC().Format(time.RFC3339Nano)
	case float64:
		return number(x)
	case float32:
		return number(float64(x))
	case big.Int:
		return x.String()
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i), typ)
		}
		return list
	case reflect.Map:
		m := make(map[string]any, v.Len())
		for _, k := range v.MapKeys() {
			m[fmt.Sprint(plain(k, typ))] = plain(v.MapIndex(k), typ)
		}
		return m
	}
	return v.Interface()
}

// number is a float, or its name where JSON has no number for it.
func number(f float64) any {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return f
}
