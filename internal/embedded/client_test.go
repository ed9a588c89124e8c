package embedded_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

func open(t testing.TB, dsn string) driver.Conn {
	t.Helper()
	opt, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// clientRig is ClickHouse's client for Go at the endpoint, and an empty table of
// its own.
type clientRig struct {
	*testing.T
	driver.Conn
	table string
}

func (r *clientRig) batch(ctx context.Context) driver.Batch {
	r.Helper()
	b, err := r.PrepareBatch(ctx, "INSERT INTO "+r.table+" (n, s)")
	if err != nil {
		r.Fatal(err)
	}
	return b
}

// holds fails unless the table has so many rows.
func (r *clientRig) holds(want uint64) {
	r.Helper()
	var n uint64
	if err := r.QueryRow(context.Background(), "SELECT count() FROM "+r.table).Scan(&n); err != nil || n != want {
		r.Errorf("the table has %d rows, %v; want %d", n, err, want)
	}
}

func (r *clientRig) no(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// What the client's own tests over HTTP go through, beside types
// (TestEveryTypeGoesInAndComesOutUnchanged) and exceptions
// (TestTheClientSeesExceptionsAsSuch).
var clientCases = []struct {
	name string
	try  func(ctx context.Context, r *clientRig)
}{
	{"it pings and is told a version", func(ctx context.Context, r *clientRig) {
		r.no(r.Ping(ctx))
		if v, err := r.ServerVersion(); err != nil || v.Version.Major < 24 || v.Timezone.String() != "UTC" {
			r.Errorf("%v, %v", v, err)
		}
	}},
	{"a batch is rows, columns and structs", func(ctx context.Context, r *clientRig) {
		b := r.batch(ctx)
		r.no(b.Append(uint64(1), "row"))
		r.no(b.AppendStruct(&struct {
			N uint64 `ch:"n"`
			S string `ch:"s"`
		}{2, "struct"}))
		r.no(b.Send())
		b = r.batch(ctx)
		r.no(b.Column(0).Append([]uint64{3, 4}))
		r.no(b.Column(1).Append([]string{"column", "column"}))
		r.no(b.Send())
		var got []struct {
			N uint64 `ch:"n"`
			S string `ch:"s"`
		}
		r.no(r.Select(ctx, &got, "SELECT n, s FROM "+r.table+" ORDER BY n"))
		if fmt.Sprint(got) != "[{1 row} {2 struct} {3 column} {4 column}]" {
			r.Errorf("%v", got)
		}
	}},
	{"a batch that is aborted, or never sent, leaves nothing", func(ctx context.Context, r *clientRig) {
		b := r.batch(ctx)
		r.no(b.Append(uint64(1), "x"))
		r.no(b.Abort())
		if !errors.Is(b.Append(uint64(1), "x"), clickhouse.ErrBatchAlreadySent) {
			r.Error("a batch takes rows after it was aborted")
		}
		r.no(r.batch(ctx).Append(uint64(2), "x"))
		r.holds(0)
	}},
	{"a batch of many blocks", func(ctx context.Context, r *clientRig) {
		const n = 300_000
		b := r.batch(ctx)
		for i := range uint64(n) {
			r.no(b.Append(i, "some text that takes room"))
		}
		r.no(b.Send())
		r.holds(n)
	}},
	{"an insert that is asynchronous and waits is there when it returns", func(ctx context.Context, r *clientRig) {
		r.no(r.Exec(clickhouse.Context(ctx, clickhouse.WithAsync(true)), "INSERT INTO "+r.table+" VALUES (1, 'a'), (2, 'b')"))
		r.holds(2)
	}},
	{"an insert that is asynchronous and does not wait comes", func(ctx context.Context, r *clientRig) {
		r.no(r.Exec(clickhouse.Context(ctx, clickhouse.WithAsync(false)), "INSERT INTO "+r.table+" VALUES (1, 'a')"))
		eventually(r.T, 10*time.Second, "the row", func() bool {
			var n uint64
			return r.QueryRow(ctx, "SELECT count() FROM "+r.table).Scan(&n) == nil && n == 1
		})
	}},
	{"a wrong asynchronous insert that waits is an error", func(ctx context.Context, r *clientRig) {
		var ex *clickhouse.Exception
		if err := r.Exec(clickhouse.Context(ctx, clickhouse.WithAsync(true)), "INSERT INTO "+r.table+" VALUES ('no number', 1)"); !errors.As(err, &ex) {
			r.Errorf("%v", err)
		}
		r.holds(0)
	}},
	{"a query is cancelled before its first row", func(ctx context.Context, r *clientRig) {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		rows, err := r.Query(ctx, "SELECT count() FROM system.numbers WHERE NOT ignore(SHA256(toString(number)))")
		if err == nil {
			for rows.Next() {
			}
			err = errors.Join(rows.Err(), rows.Close())
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			r.Errorf("after %v: %v", time.Since(began), err)
		}
		r.no(r.Ping(context.Background()))
	}},
	{"a result is left in the middle, and the client goes on", func(ctx context.Context, r *clientRig) {
		for range 5 {
			ctx, cancel := context.WithCancel(ctx)
			rows, err := r.Query(ctx, "SELECT number, repeat('x', 100) FROM numbers(5000000)")
			r.no(err)
			if !rows.Next() {
				r.Errorf("no row: %v", rows.Err())
			}
			cancel()
			_ = rows.Close()
			var one uint8
			r.no(r.QueryRow(context.Background(), "SELECT 1").Scan(&one))
		}
	}},
	{"an insert is cancelled before it is sent", func(ctx context.Context, r *clientRig) {
		ctx, cancel := context.WithCancel(ctx)
		b := r.batch(ctx)
		r.no(b.Append(uint64(1), "x"))
		cancel()
		if err := b.Send(); !errors.Is(err, context.Canceled) {
			r.Errorf("%v", err)
		}
		r.holds(0)
	}},
	{"a large result is read whole", func(ctx context.Context, r *clientRig) {
		rows, err := r.Query(ctx, "SELECT number, toString(number) FROM numbers(1000000)")
		r.no(err)
		defer func() { _ = rows.Close() }()
		var n, sum, v uint64
		var s string
		for ; rows.Next(); n++ {
			r.no(rows.Scan(&v, &s))
			sum += v
		}
		if rows.Err() != nil || n != 1_000_000 || sum != 499_999_500_000 {
			r.Errorf("%d rows with sum %d, %v", n, sum, rows.Err())
		}
	}},
	{"an empty result is no row and no error", func(ctx context.Context, r *clientRig) {
		rows, err := r.Query(ctx, "SELECT n, s FROM "+r.table)
		r.no(err)
		defer func() { _ = rows.Close() }()
		if rows.Next() || rows.Err() != nil {
			r.Errorf("%v", rows.Err())
		}
		if err := r.QueryRow(ctx, "SELECT n FROM "+r.table).Scan(new(uint64)); !errors.Is(err, sql.ErrNoRows) {
			r.Errorf("%v", err)
		}
	}},
	{"parameters by place, by name, and by the server", func(ctx context.Context, r *clientRig) {
		r.no(r.Exec(ctx, "INSERT INTO "+r.table+" VALUES (1, ?), (2, ?)", "it's", "back\\slash"))
		for query, args := range map[string][]any{
			"SELECT n FROM " + r.table + " WHERE s = ?":          {"it's"},
			"SELECT n FROM " + r.table + " WHERE s = $1":         {"it's"},
			"SELECT n FROM " + r.table + " WHERE s = @s":         {clickhouse.Named("s", "it's")},
			"SELECT n FROM " + r.table + " WHERE s = {s:String}": {clickhouse.Named("s", "it's")},
			"SELECT n FROM " + r.table + " WHERE n IN (?)":       {[]uint64{1, 7}},
		} {
			var n uint64
			if err := r.QueryRow(ctx, query, args...).Scan(&n); err != nil || n != 1 {
				r.Errorf("%s: %d, %v", query, n, err)
			}
		}
	}},
	{"settings go with the context", func(ctx context.Context, r *clientRig) {
		ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_block_size": 1234}))
		var size string
		if err := r.QueryRow(ctx, "SELECT toString(getSetting('max_block_size'))").Scan(&size); err != nil || size != "1234" {
			r.Errorf("%s, %v", size, err)
		}
	}},
}

func TestClickHousesOwnClientIsServed(t *testing.T) {
	dsn := embeddedtest.Engine(t)
	run(t, dsn, "CREATE DATABASE IF NOT EXISTS client")
	for i, c := range clientCases {
		t.Run(c.name, func(t *testing.T) {
			r := &clientRig{T: t, Conn: open(t, dsn+"?compress=lz4"), table: fmt.Sprintf("client.t%d", i)}
			run(t, dsn, "CREATE OR REPLACE TABLE "+r.table+" (n UInt64, s LowCardinality(String)) ENGINE = MergeTree ORDER BY n")
			c.try(t.Context(), r)
		})
	}
}

func TestTheStandardLibrarysDatabaseIsServed(t *testing.T) {
	opt, err := clickhouse.ParseDSN(embeddedtest.ReaderEngine(t))
	if err != nil {
		t.Fatal(err)
	}
	db := clickhouse.OpenDB(opt)
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(t.Context(), "SELECT number, if(number = 1, NULL, 'x') FROM numbers(?)", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var got []string
	for rows.Next() {
		var n uint64
		var s sql.NullString
		if err := rows.Scan(&n, &s); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(n, s))
	}
	if fmt.Sprint(got) != "[0 {x true} 1 { false}]" || rows.Err() != nil {
		t.Errorf("%v, %v", got, rows.Err())
	}
}
