package embedded_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

// grafana opens what Grafana's ClickHouse data source opens when its protocol is
// HTTP: a database/sql pool of clickhouse-go with gzip, its product names, a row
// limit as the setting "limit", and a location of the dashboard's. (Options as in
// pkg/plugin/driver.go of grafana/clickhouse-datasource, 4.x.)
func grafana(t *testing.T, address string) *sql.DB {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	db := clickhouse.OpenDB(&clickhouse.Options{
		Addr: []string{u.Host}, Protocol: clickhouse.HTTP, Auth: clickhouse.Auth{Database: "grafana", Username: "default"},
		ClientInfo:  clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{"grafana", "12.0.0"}, {"clickhouse-datasource", "4.11.0"}}},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionGZIP},
		Settings:    clickhouse.Settings{"limit": 10_000},
		DialTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second,
		HttpHeaders: map[string]string{"X-Dashboard-Uid": "abc", "X-Panel-Id": "2"},
	})
	db.SetMaxOpenConns(50)
	db.SetMaxIdleConns(25)
	db.SetConnMaxLifetime(5 * time.Minute)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// recorded passes requests on and keeps their heads, so that the test can say
// what the data source sends.
func recorded(t *testing.T, target string) (string, func() []*http.Request) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []*http.Request
	proxy := httputil.NewSingleHostReverseProxy(u)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Clone(context.Background()))
		mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL, func() []*http.Request { mu.Lock(); defer mu.Unlock(); return seen }
}

func TestWhatGrafanasDataSourceSends(t *testing.T) {
	writer := embeddedtest.Engine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS grafana")
	run(t, writer, "CREATE OR REPLACE TABLE grafana.logs (ts DateTime64(3, 'UTC'), level LowCardinality(String), body String, attributes Map(LowCardinality(String), String), cost Nullable(Decimal(18, 9)), n UInt64) ENGINE = MergeTree ORDER BY ts")
	run(t, writer, "INSERT INTO grafana.logs SELECT toDateTime64('2026-11-20 00:00:00', 3, 'UTC') + number, ['info', 'error'][1 + number % 2], concat('line ', toString(number)), map('service', 'a'), if(number % 3 = 0, NULL, 0.5), number FROM numbers(20000)")
	address, seen := recorded(t, embeddedtest.ReaderEngine(t))
	db := grafana(t, address)
	ctx := clickhouse.Context(t.Context(), clickhouse.WithUserLocation(time.UTC), clickhouse.WithClientInfo(clickhouse.ClientInfo{Comment: []string{"grafana_user:admin", "grafana_dashboard:abc", "grafana_panel:2"}}))
	if err := db.PingContext(ctx); err != nil {
		t.Fatal(err)
	}
	const from, to = "fromUnixTimestamp64Milli(1795132800000)", "fromUnixTimestamp64Milli(1795219200000)"
	for _, c := range []struct {
		name, query string
		rows        int
	}{
		{"the health check", "SELECT 1", 1},
		{"the version, for ad-hoc filters", "SELECT version()", 1},
		{"the current database", "SELECT currentDatabase()", 1},
		{"databases", "SHOW DATABASES", -1},
		{"tables", `SHOW TABLES FROM "grafana"`, 1},
		{"columns", `DESC TABLE "grafana"."logs"`, 6},
		{"a table's columns by DESCRIBE", `DESCRIBE TABLE "grafana"."logs"`, 6},
		{"all columns, for tags", "SELECT name, type, table FROM system.columns WHERE database IN ('grafana')", 6},
		{"all tables", "SELECT database, name FROM system.tables ORDER BY database, name", -1},
		{"columns of tables", "SELECT database, table, name, type, comment FROM system.columns WHERE (database, table) IN (('grafana', 'logs')) ORDER BY database, table, position", 6},
		{"functions, for completion", "SELECT name, is_aggregate, case_insensitive FROM system.functions ORDER BY name", -1},
		{"values of a tag", "select distinct level from grafana.logs limit 1000", 2},
		{"values of a column, with its time", "SELECT DISTINCT level FROM grafana.logs SETTINGS max_execution_time=10", 2},
		{"keys of a map", `SELECT DISTINCT arrayJoin(attributes.keys) as keys FROM "grafana"."logs" LIMIT 1000`, 1},
		{"a time series", `SELECT toStartOfInterval(toDateTime(ts), INTERVAL 3600 second) as "time", level, count(*) FROM "grafana"."logs" WHERE ( ts >= ` + from + " AND ts <= " + to + ` ) GROUP BY level, time ORDER BY time ASC LIMIT 100000`, 12},
		{"logs", `SELECT ts as "timestamp", body as "body", level as "level", attributes as "labels" FROM "grafana"."logs" WHERE ( timestamp >= ` + from + " AND timestamp <= " + to + ` ) ORDER BY timestamp DESC LIMIT 1000`, 1000},
		{"a table of amounts, some unknown", `SELECT n, cost FROM "grafana"."logs" ORDER BY n LIMIT 4`, 4},
		{"a table past the row limit", "SELECT n FROM grafana.logs", 10_000},
		{"timezone", "SELECT timezone()", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 60*time.Second) // which becomes max_execution_time
			defer cancel()
			n, err := scanAll(ctx, db, c.query)
			if err != nil || c.rows >= 0 && n != c.rows || c.rows < 0 && n == 0 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
	var ex *clickhouse.Exception
	for query, code := range map[string]int32{"SELECT nothing FROM grafana.logs": 47, "INSERT INTO grafana.logs (n) SELECT 1": 164, "SELECT 1 settings additional_table_filters={'grafana.logs' : ' level = \\'error\\' '}": 164} {
		if _, err := scanAll(ctx, db, query); !errors.As(err, &ex) || ex.Code != code {
			t.Errorf("%s: %v", query, err)
		}
	}
	sends := map[string]bool{}
	for _, r := range seen() {
		for name := range r.URL.Query() {
			sends[name] = true
		}
		if agent := r.Header.Get("User-Agent"); !strings.Contains(agent, "grafana/12.0.0") {
			t.Errorf("User-Agent %q", agent)
		}
	}
	for _, name := range []string{"default_format", "limit", "max_execution_time", "client_protocol_version", "database"} {
		if !sends[name] {
			t.Errorf("%s was not sent: this is no longer what the data source does; it sent %v", name, sends)
		}
	}
}

// scanAll reads every row as a frame would be made of it.
func scanAll(ctx context.Context, db *sql.DB, query string) (n int, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	types, err := rows.ColumnTypes()
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		values := make([]any, len(types))
		for i, t := range types {
			if t.ScanType() == nil {
				return n, fmt.Errorf("column %s has no type", t.Name())
			}
			values[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(values...); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}
