package embedded_test

import (
	"context"
	"testing"

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

func TestAClickHouseClientWritesAndReads(t *testing.T) {
	conn := open(t, embeddedtest.Engine(t))
	ctx := context.Background()
	for _, q := range []string{"CREATE DATABASE IF NOT EXISTS a", "CREATE TABLE a.t (n UInt64, s LowCardinality(String)) ENGINE = MergeTree ORDER BY n"} {
		if err := conn.Exec(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	b, err := conn.PrepareBatch(ctx, "INSERT INTO a.t (n, s)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := b.Append(uint64(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	var n, sum uint64
	if err := open(t, embeddedtest.ReaderEngine(t)).QueryRow(ctx, "SELECT count(), sum(n) FROM a.t WHERE s = ?", "x").Scan(&n, &sum); err != nil {
		t.Fatal(err)
	}
	if n != 1000 || sum != 499500 {
		t.Errorf("%d rows with sum %d", n, sum)
	}
}
