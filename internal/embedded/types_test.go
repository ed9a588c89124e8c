package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

// reference returns a file of the shared reference data, or skips.
func reference(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("GNOMON_REFERENCE")
	if dir == "" {
		dir = "../../../shared"
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skipf("the reference data are not here (GNOMON_REFERENCE names their folder): %v", err)
	}
	return string(b)
}

func TestTheSchemaOfTheSketchIsTaken(t *testing.T) {
	writer := embeddedtest.Engine(t)
	for i := range 2 { // every statement is idempotent
		for stmt := range strings.SplitSeq(reference(t, "schema-sketch.sql"), ";\n") {
			if code, _, _ := strings.Cut(strings.TrimSpace(stmt), "\x00"); withoutComments(code) != "" {
				run(t, writer, stmt)
			}
		}
		_ = i
	}
	if n := run(t, writer, "SELECT count() FROM system.tables WHERE database = 'gnomon'"); n != "11\n" {
		t.Errorf("%s tables", n)
	}
}

func withoutComments(s string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(s, "\n") {
		code, _, _ := strings.Cut(line, "--")
		b.WriteString(strings.TrimSpace(code))
	}
	return b.String()
}

// allTypes is one column of each type of the schema, and their nestings.
const allTypes = `CREATE OR REPLACE TABLE types.t (
	lc LowCardinality(String), s String, b Bool, u8 UInt8, u16 UInt16, u32 UInt32, u64 UInt64, i8 Int8, i64 Int64, f32 Float32, f64 Float64,
	id UUID, d Date, dt DateTime('UTC'), d3 DateTime64(3, 'UTC'), d9 DateTime64(9, 'UTC'), m18 Decimal(18, 9), m38 Decimal(38, 9),
	nd Nullable(Decimal(18, 9)), nu Nullable(UInt32), nf Nullable(Float64), ns Nullable(String), lcn LowCardinality(Nullable(String)),
	au Array(UInt16), als Array(LowCardinality(String)), aa Array(Array(String)), an Array(Nullable(UInt8)),
	m Map(LowCardinality(String), String), mu Map(String, UInt64), tu Tuple(String, UInt8), tn Tuple(a UInt64, b Array(String)), e Enum8('x' = 1, 'y' = 2), fs FixedString(4)
) ENGINE = MergeTree ORDER BY u64`

func typesRow(i int) []any {
	at := time.Date(2026, 11, 21, 1, 2, 3, 456000000, time.UTC).Add(time.Duration(i) * time.Second)
	var nd *decimal.Decimal
	var nu *uint32
	var nf *float64
	var ns *string
	if i%2 == 0 {
		d, u, f, s := decimal.New(int64(i), -9), uint32(i), float64(i)/3, "n"
		nd, nu, nf, ns = &d, &u, &f, &s
	}
	an := []*uint8{nil}
	if i%3 == 0 {
		an = append(an, ptr(uint8(7)))
	}
	return []any{
		fmt.Sprint("lc", i%300), fmt.Sprint("s", i), i%2 == 0, uint8(i), uint16(i), uint32(i), uint64(i), int8(i), int64(-i), float32(i) / 4, float64(i) / 8,
		uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)), at.Truncate(24 * time.Hour), at.Truncate(time.Second), at, at, decimal.New(int64(i), -9), decimal.New(int64(-i), -9),
		nd, nu, nf, ns, ns,
		[]uint16{uint16(i), 2}[:i%3%3], []string{"a", fmt.Sprint(i)}[:i%2+1], [][]string{{"x"}, {}}, an,
		map[string]string{"k": fmt.Sprint(i)}, map[string]uint64{"a": uint64(i), "b": 2}, []any{"t", uint8(3)}, map[string]any{"a": uint64(i), "b": []string{"q"}}, "y", "abcd",
	}
}

func ptr[T any](v T) *T { return &v }

func TestEveryTypeGoesInAndComesOutUnchanged(t *testing.T) {
	writer := embeddedtest.Engine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS types")
	ctx := context.Background()
	for _, method := range []string{"none", "lz4", "zstd", "gzip", "deflate", "br"} {
		t.Run(method, func(t *testing.T) {
			run(t, writer, allTypes)
			conn := open(t, writer+"?compress="+method)
			b, err := conn.PrepareBatch(ctx, "INSERT INTO types.t")
			if err != nil {
				t.Fatal(err)
			}
			const n = 3000
			for i := range n {
				if err := b.Append(typesRow(i)...); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Send(); err != nil {
				t.Fatal(err)
			}
			rows, err := conn.Query(ctx, "SELECT * FROM types.t ORDER BY u64")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = rows.Close() }()
			seen := 0
			for ; rows.Next(); seen++ {
				want := typesRow(seen)
				dest := make([]any, len(want))
				for i, c := range rows.ColumnTypes() {
					dest[i] = reflect.New(c.ScanType()).Interface()
				}
				if err := rows.Scan(dest...); err != nil {
					t.Fatal(err)
				}
				for i := range want {
					if got := reflect.ValueOf(dest[i]).Elem().Interface(); !same(got, want[i]) {
						t.Fatalf("row %d, column %s: %v, not %v", seen, rows.Columns()[i], got, want[i])
					}
				}
			}
			if err := rows.Err(); err != nil || seen != n {
				t.Fatalf("%d rows, %v", seen, err)
			}
			var count uint64
			if err := conn.QueryRow(ctx, "SELECT count() FROM types.t WHERE 0").Scan(&count); err != nil || count != 0 {
				t.Error(count, err)
			}
		})
	}
}

// same compares as printed: pointers by what they point to, times by instant.
func same(a, b any) bool { return plain(a) == plain(b) }

func plain(v any) string {
	switch x := v.(type) {
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	case decimal.Decimal:
		return x.String()
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Pointer:
		if r.IsNil() {
			return "nil"
		}
		return plain(r.Elem().Interface())
	case reflect.Slice:
		parts := make([]string, r.Len())
		for i := range parts {
			parts[i] = plain(r.Index(i).Interface())
		}
		return fmt.Sprint(parts)
	case reflect.Map:
		m := map[string]string{}
		for _, k := range r.MapKeys() {
			m[fmt.Sprint(k)] = plain(r.MapIndex(k).Interface())
		}
		return fmt.Sprint(m)
	}
	return fmt.Sprint(v)
}

func TestATokenSentTwiceLeavesOneCopy(t *testing.T) {
	writer := embeddedtest.Engine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS dedup")
	run(t, writer, "CREATE OR REPLACE TABLE dedup.t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000")
	conn := open(t, writer)
	send := func(token string) {
		ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": token, "async_insert": 0}))
		b, err := conn.PrepareBatch(ctx, "INSERT INTO dedup.t (a)")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 500 {
			if err := b.Append(uint64(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Send(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ token, want string }{{"one", "500\n"}, {"one", "500\n"}, {"two", "1000\n"}, {"one", "1000\n"}} {
		send(c.token)
		if n := run(t, writer, "SELECT count() FROM dedup.t"); n != c.want {
			t.Fatalf("after token %s: %s", c.token, n)
		}
	}
	for range 2 { // and as curl would
		if resp, body := ask(t, writer, "POST", q("INSERT INTO dedup.t FORMAT TSV", "insert_deduplication_token", "three"), strings.NewReader("1\n2\n")); resp.StatusCode != 200 {
			t.Fatal(body)
		}
	}
	if n := run(t, writer, "SELECT count() FROM dedup.t"); n != "1002\n" {
		t.Errorf("after token three: %s", n)
	}
}

func TestTheClientSeesExceptionsAsSuch(t *testing.T) {
	for _, method := range []string{"none", "lz4", "gzip"} {
		t.Run(method, func(t *testing.T) {
			conn := open(t, embeddedtest.Engine(t)+"?compress="+method)
			ctx := context.Background()
			var ex *clickhouse.Exception
			var he *clickhouse.HTTPError
			if err := conn.Exec(ctx, "SELECT * FROM nowhere.at_all"); !errors.As(err, &ex) || ex.Code != 81 || !errors.As(err, &he) || he.StatusCode != 404 {
				t.Errorf("%v (%+v)", err, ex)
			}
			if _, err := conn.Query(ctx, "SELEC 1"); !errors.As(err, &ex) || ex.Code != 62 {
				t.Errorf("%v", err)
			}
			// Much is sent before it fails, so there is no status any more.
			rows, err := conn.Query(ctx, "SELECT number, throwIf(number = 2900000) FROM numbers(3000000) SETTINGS max_block_size = 65536")
			n := 0
			if err == nil {
				for rows.Next() {
					n++
				}
				err = errors.Join(rows.Err(), rows.Close())
			}
			if !errors.As(err, &ex) || ex.Code != 395 {
				t.Errorf("after %d rows: %v", n, err)
			}
			// A failed insert is an error, and leaves nothing behind.
			run(t, embeddedtest.Engine(t), "CREATE DATABASE IF NOT EXISTS ex")
			run(t, embeddedtest.Engine(t), "CREATE OR REPLACE TABLE ex.t (a UInt8, CONSTRAINT c CHECK a < 5) ENGINE = MergeTree ORDER BY a")
			b, err := conn.PrepareBatch(ctx, "INSERT INTO ex.t")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Append(uint8(9)); err != nil {
				t.Fatal(err)
			}
			if err := b.Send(); !errors.As(err, &ex) || ex.Code != 469 {
				t.Errorf("%v", err)
			}
		})
	}
}
