package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

func reader(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{DSN: embeddedtest.ReaderEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAResultIsPlainValues(t *testing.T) {
	s := reader(t)
	for _, tt := range []struct {
		name, sql string
		want      any
	}{
		{"a decimal is exact text", "toDecimal64('0.000000001', 9)", "0.000000001"},
		{"a large sum too", "toDecimal128('12345678901234567890.123456789', 9)", "12345678901234567890.123456789"},
		{"NULL is nil", "NULL", nil},
		{"a NULL of a type is nil", "CAST(NULL, 'Nullable(Decimal(18, 9))')", nil},
		{"a date has no time of day", "toDate('2026-02-03')", "2026-02-03"},
		{"a time is UTC", "toDateTime64('2026-02-03 04:05:06.789', 3, 'UTC')", "2026-02-03T04:05:06.789Z"},
		{"a zone's time is told in UTC", "toDateTime('2026-07-01 02:00:00', 'Europe/Berlin')", "2026-07-01T00:00:00Z"},
		{"an id is text", "toUUID('0190a5c5-7d4e-7000-8000-000000000001')", "0190a5c5-7d4e-7000-8000-000000000001"},
		{"64 bits stay whole", "toUInt64(18446744073709551615)", uint64(18446744073709551615)},
		{"128 bits are text", "toInt128('170141183460469231731687303715884105727')", "170141183460469231731687303715884105727"},
		{"no number is no number", "nan", "nan"},
		{"infinity has a name", "-inf", "-inf"},
		{"bytes are a list of numbers", "[toUInt8(1), 2]", []any{uint8(1), uint8(2)}},
		{"lists hold plain values", "[[toDecimal32('1.5', 1)]]", []any{[]any{"1.5"}}},
		{"a map has text keys", "map('k', toDate('2026-01-02'))", map[string]any{"k": "2026-01-02"}},
		{"a word is text", "toLowCardinality('ok')", "ok"},
		{"a bool is a bool", "true", true},
		{"a question mark is no parameter", "'? $1 {x}'", "? $1 {x}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := s.Query(t.Context(), "SELECT "+tt.sql+" AS v")
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Columns) != 1 || r.Columns[0] != "v" || len(r.Rows) != 1 || !reflect.DeepEqual(r.Rows[0][0], tt.want) {
				t.Errorf("%v: %#v", r.Columns, r.Rows)
			}
			if _, err := json.Marshal(r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnEmptyResultHasItsColumns(t *testing.T) {
	r, err := reader(t).Query(t.Context(), "SELECT 1 AS a, 'x' AS b WHERE 0 -- nothing")
	if err != nil || !reflect.DeepEqual(r.Columns, []string{"a", "b"}) || len(r.Rows) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParametersAreValuesNotText(t *testing.T) {
	var got []any
	err := reader(t).Each(t.Context(), "SELECT {w:String}, {n:UInt32}", map[string]string{"w": "it's ?'; DROP", "n": "7"}, func(_ []string, row []any) error {
		got = row
		return nil
	})
	if err != nil || fmt.Sprint(got) != "[it's ?'; DROP 7]" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestAResultIsReadAsFarAsItIsWanted(t *testing.T) {
	enough, n := errors.New("enough"), 0
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// To its end it is read in minutes.
	err := reader(t).Each(ctx, "SELECT number FROM numbers(10000000000)", nil, func([]string, []any) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 3 || ctx.Err() != nil {
		t.Errorf("%d rows, %v, %v", n, err, ctx.Err())
	}
}

func TestTooLargeAResultIsAnErrorNotAFullMemory(t *testing.T) {
	if _, err := reader(t).Query(t.Context(), fmt.Sprintf("SELECT number FROM numbers(%d)", maxRows+1)); err == nil || !strings.Contains(err.Error(), "LIMIT") {
		t.Errorf("%v", err)
	}
}

func TestARefusedQueryIsToldInAFewWords(t *testing.T) {
	open(t)
	for sql, word := range map[string]string{"SELECT 1 FROM (SELECT 2": "SYNTAX_ERROR", "SELECT boot FROM gnomon.completeness": "UNKNOWN_IDENTIFIER", "SELECT 1 FROM gnomon.nothing": "UNKNOWN_TABLE"} {
		_, err := reader(t).Query(t.Context(), sql)
		var e *clickhouse.Exception
		if err == nil || !errors.As(err, &e) || len(err.Error()) > 400 || !strings.Contains(err.Error(), word) {
			t.Errorf("%v", err)
		}
	}
}

func TestAQueryOnlyReads(t *testing.T) {
	for name, s := range map[string]*Store{"the user without a password": reader(t)} {
		for _, sql := range []string{
			"INSERT INTO gnomon.requests (project) SELECT 'x'", "DROP TABLE gnomon.requests", "ALTER TABLE gnomon.requests DELETE WHERE 1",
			"SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
		} {
			if _, err := s.Query(t.Context(), sql); err == nil {
				t.Errorf("%s could: %s", name, sql)
			}
		}
	}
}
