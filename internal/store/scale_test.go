package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/schemas"
)

// The shape of the rows that make bench-store measures on: 40 workloads of five
// baselines, sessions of some five requests, random trace, session, user and
// response ids, inputs packed as classifier packs them; of 1,000 requests 994 end
// well, 5 fail and one is lost. One of 100 is delivered twice.
const (
	scaleProject = "main"
	scaleChunk   = 500_000
	scaleMemory  = 450 << 20 // of the engine, as gnomon starts it without a setting
)

// generated is one chunk of rows, from the numbers of system.numbers.
const generated = `INSERT INTO gnomon.requests (request_id, project, ts, revision, boot_id, seq, status, workload, feature, team, user_id, session, trace_id, tags, dialect, operation,
    provider, request_model, served_model, response_model, response_id, service_tier, mode, arm, stream, http_status, error_type, finish_reason,
    input_tokens, cache_read_tokens, output_tokens, usage_source, price_version, cost, list_cost, baseline_cost, would_route, would_cost, would_output_cost, expected_cost,
    task_class, score, novelty, evidence_state, gates, candidates, rejects, inputs, classifier_version, snapshot_hash, prompt_hash, request_bytes, response_bytes,
    latency_ms, ttft_ms, overhead_us, simulated, schema_version)
WITH
    cityHash64(number) AS h0, cityHash64(number, 1) AS h1, cityHash64(number, 2) AS h2, cityHash64(number, 3) AS h3,
    (number + (h0 % 1000) / 1000) * {days:Float64} / {rows:Float64} AS x,
    fromUnixTimestamp64Milli(toInt64({start:Int64} + 86400000 * (x + 0.12 * sin(6.283185307 * x))), 'UTC') AS t,
    leftPad(trimLeft(lower(hex(toUnixTimestamp64Milli(t))), '0'), 12, '0') AS ms,
    cityHash64(intDiv(number, 5000), h0 % 1000) AS sid, /* some five requests each, near each other */
    toUInt32(40 * pow((sid % 10007) / 10007, 2)) AS w,
    concat('feature-', toString(w), '/', ['summary', 'triage', 'chat', 'extract'][1 + w % 4]) AS work,
    1 + w % 5 AS m,
    ['openai', 'anthropic', 'openai', 'anthropic', 'openai'][m] AS prov,
    ['gpt-5.2', 'claude-opus-4-8', 'gpt-5.1', 'claude-sonnet-4-8', 'o4'][m] AS big,
    ['openai/gpt-5.2-mini', 'anthropic/claude-haiku-4-8', 'openai/gpt-5.1-mini', 'anthropic/claude-haiku-4-8', 'openai/o4-mini'][m] AS small,
    h1 % 1000 = 0 AS gone, h1 % 1000 BETWEEN 1 AND 5 AS failed, h1 % 200 = 7 AS dear,
    (h2 % 1000000) / 1000000 AS u, (h3 % 1000000) / 1000000 AS v,
    toUInt32(120 * exp(3.2 * u)) AS tin, toUInt32(20 * exp(3.5 * v)) AS tout, if(sid % 3 = 0, toUInt32(tin * 0.7), 0) AS cached,
    toFloat32(round((h0 % 10000) / 10000, 4)) AS need, need < 0.5 AND NOT failed AS routes,
    toInt64(tin) * 2500 + toInt64(tout) * 10000 AS nano, intDiv(nano, 12) AS nano_small, toInt64(tout) * 833 AS nano_out,
    CAST(NULL AS Nullable(Decimal(18, 9))) AS unknown
SELECT toUUID(concat(substring(ms, 1, 8), '-', substring(ms, 9, 4), '-7', substring(leftPad(hex(h1), 16, '0'), 1, 3), '-a', substring(leftPad(hex(h2), 16, '0'), 1, 3), '-', substring(leftPad(hex(h3), 16, '0'), 1, 12))), if(h3 % 25 = 0, 'other', 'main'), t, if(gone, 0, 1), cityHash64('boot', intDiv(number, 5000000)), 1 + number % 5000000, multiIf(gone, 'lost', failed, 'provider_error', 'ok'),
    if(gone, '', work), if(gone, '', work), if(gone, '', concat('team-', toString(w % 7))), if(gone, '', concat('user-', toString(sid % 200003))), if(gone, '', lower(hex(sid))), if(gone, '', lower(concat(hex(h1), hex(h2)))),
    if(gone OR w % 4 != 0, map(), map('environment', ['production', 'staging'][1 + w % 2])), if(gone, '', ['openai.chat', 'anthropic.messages'][1 + (prov = 'anthropic')]), if(gone, '', 'chat'),
    if(gone, '', prov), if(gone, '', big), if(gone, '', big), if(gone OR failed, '', concat(big, '-2026-08-06')), if(gone OR failed, '', concat('chatcmpl-', substring(base64Encode(concat(reinterpretAsString(h2), reinterpretAsString(h3), reinterpretAsString(sid))), 1, 29))),
    if(gone, '', 'default'), 'observe', 'none', h0 % 2, multiIf(gone, 0, failed, 429, 200), multiIf(gone, 'proxy_killed', failed, 'rate_limit', ''), if(gone OR failed, '', ['stop', 'length', 'tool_calls'][1 + toUInt8(v > 0.9) + toUInt8(v > 0.97)]),
    if(gone, 0, tin), if(gone, 0, cached), if(gone OR failed, 0, tout), multiIf(gone OR failed, 'none', h0 % 100 = 3, 'estimated', 'provider'), if(gone, 0, 20261101),
    if(gone OR dear, unknown, toDecimal64(toDecimal128(nano, 9) / 1000000000, 9)), if(gone OR dear, unknown, toDecimal64(toDecimal128(nano, 9) / 1000000000, 9)), if(gone OR dear, unknown, toDecimal64(toDecimal128(nano, 9) / 1000000000, 9)),
    multiIf(gone, '', routes, small, concat(prov, '/', big)), if(gone OR dear, unknown, toDecimal64(toDecimal128(if(routes, nano_small, nano), 9) / 1000000000, 9)), if(gone OR dear, unknown, toDecimal64(toDecimal128(if(routes, nano_out, nano_out * 12), 9) / 1000000000, 9)),
    if(gone OR dear, unknown, toDecimal64(toDecimal128(toInt64(if(routes, nano_small, nano) * (0.7 + 0.6 * v)), 9) / 1000000000, 9)),
    if(gone, '', ['chat', 'summary', 'code', 'extract'][1 + w % 4]), if(gone, 0, need), if(gone, 0, toFloat32(round((h1 % 300) / 1000, 3))), if(gone, 'none', 'collecting'), if(gone, 0, 1 + 4 * (w % 3)),
    if(gone, [], [small]), if(gone, [], [if(routes, 0, 12)]),
    if(gone, '', concat(unhex('01'), char(length(work)), work, char(length(prov)), prov, char(length(big)), big, char(11), 'openai.chat', char(4), 'chat', char(4), 'none', char(0), reinterpretAsString(cityHash64('p', w)), reinterpretAsString(cityHash64('s', w)),
        reinterpretAsString(sid), reinterpretAsString(cityHash64(h3)), char(1 + 4 * (w % 3)), reinterpretAsString(toUInt16(tin)), char(128, 8), reinterpretAsString(toUInt16(tin * 4)), char(210, 3), reinterpretAsString(toUInt16(h2)), char(1 + sid % 6, w % 4, 0),
        reinterpretAsString(toUInt16(need * 10000)), char(h1 % 100), char(w % 4), char(1, 0, 0), reinterpretAsString(toUInt16(intDiv(toUnixTimestamp(t), 3600))), char(7), substring(reinterpretAsString(cityHash64(h2)), 1, 6))),
    if(gone, 0, 3), if(gone, 0, cityHash64('snapshot', intDiv(number, 2000000))), if(gone, 0, cityHash64(h3)), if(gone, 0, tin * 4 + h1 % 700), if(gone OR failed, 0, tout * 5 + h2 % 300),
    if(gone, 0, toUInt32(250 + tout * 9 + h3 % 400)), if(gone OR failed, NULL, toUInt32(180 + h3 % 900)), if(gone, 0, toUInt32(60 + h2 % 250)), true, '1.0'
FROM numbers({from:UInt64}, {n:UInt64})
SETTINGS max_block_size = 100000, max_threads = 2, max_insert_threads = 1, max_memory_usage = 2000000000, min_insert_block_size_rows = 200000, min_insert_block_size_bytes = 0, max_insert_delayed_streams_for_parallel_write = 1, insert_deduplicate = 0`

// scale is a store of GNOMON_BENCH_ROWS rows over GNOMON_BENCH_DAYS days in
// GNOMON_BENCH_DIR; the test is skipped without that. memory bounds the engine.
func scale(t testing.TB, memory int64) (s *Store, rows uint64) {
	t.Helper()
	rows, err := strconv.ParseUint(os.Getenv("GNOMON_BENCH_ROWS"), 10, 64)
	if err != nil {
		t.Skip("make bench-store measures on many rows: GNOMON_BENCH_ROWS says how many")
	}
	dir := os.Getenv("GNOMON_BENCH_DIR")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "gnomon-bench")
	}
	if s, err = Open(t.Context(), Options{DSN: embeddedtest.EngineIn(t, filepath.Join(dir, fmt.Sprint(rows)), memory)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, rows
}

// TestBenchFill makes the rows, with more memory than gnomon would give, so that
// they are there sooner.
func TestBenchFill(t *testing.T) {
	s, rows := scale(t, 3<<30)
	generate(t, s, rows)
}

// generate makes the rows that are still missing, and says how far it is.
func generate(t testing.TB, s *Store, rows uint64) {
	t.Helper()
	days := 90.
	if d, err := strconv.ParseFloat(os.Getenv("GNOMON_BENCH_DAYS"), 64); err == nil {
		days = d
	}
	first := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -int(days)).UnixMilli()
	if err := s.conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS gnomon.bench (upto UInt64, start Int64) ENGINE = MergeTree ORDER BY upto"); err != nil {
		t.Fatal(err)
	}
	var done uint64
	var start int64
	if err := s.conn.QueryRow(t.Context(), "SELECT max(upto), max(start) FROM gnomon.bench").Scan(&done, &start); err != nil {
		t.Fatal(err)
	}
	if start == 0 {
		start = first
	}
	began, before := time.Now(), done
	for ; done < rows; done += min(scaleChunk, rows-done) {
		n := min(scaleChunk, rows-done)
		params := clickhouse.WithParameters(map[string]string{"from": fmt.Sprint(done), "n": fmt.Sprint(n), "rows": fmt.Sprint(rows), "days": fmt.Sprint(days), "start": fmt.Sprint(start)})
		ctx := clickhouse.Context(context.Background(), params)
		for _, sql := range []string{
			generated,
			"INSERT INTO gnomon.requests SELECT * FROM gnomon.requests WHERE boot_id = cityHash64('boot', intDiv({from:UInt64}, 5000000)) AND seq > {from:UInt64} % 5000000 AND seq % 100 = 7" +
				" AND ts >= fromUnixTimestamp64Milli(toInt64({start:Int64} + 86400000 * (({from:UInt64} * {days:Float64} / {rows:Float64}) - 0.3)))",
			"INSERT INTO gnomon.bench SELECT {from:UInt64} + {n:UInt64}, {start:Int64}",
		} {
			if err := s.conn.Exec(ctx, sql); err != nil {
				t.Fatalf("%.60s …: %v", sql, err)
			}
		}
		if now := done + n; now%(4*scaleChunk) == 0 || now == rows {
			rate := float64(now-before) / time.Since(began).Seconds()
			fmt.Printf("%d of %d rows made, %.0f a second, %s to go\n", now, rows, rate, time.Duration(float64(rows-now)/rate*float64(time.Second)).Round(time.Second))
		}
	}
}

// countDeliveries lets ingest's count of deliveries say what the generated rows are, so that
// their hours are summed.
func countDeliveries(t testing.TB, s *Store) {
	t.Helper()
	const sql = `INSERT INTO gnomon.deliveries (project, hour, delivered) SELECT project, toStartOfHour(ts) AS h, count() FROM gnomon.requests
WHERE (project, toStartOfHour(ts)) NOT IN (SELECT project, hour FROM gnomon.deliveries) GROUP BY project, h`
	if err := s.conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestBenchBytesARow says what a row takes on disk, and by which columns.
func TestBenchBytesARow(t *testing.T) {
	s, _ := scale(t, scaleMemory)
	r, err := s.Query(t.Context(), `SELECT name, round(sum(column_data_compressed_bytes) / sum(rows), 2) AS bytes FROM (
    SELECT column AS name, column_data_compressed_bytes, rows FROM system.parts_columns WHERE database = 'gnomon' AND table = 'requests' AND active)
GROUP BY name ORDER BY bytes DESC LIMIT 30`)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%v %v, ", row...)
	}
	fmt.Println(b.String())
	fmt.Println("bytes a row in all, indices among them, rows, parts:", rowsOf2(t, s, "SELECT round(sum(bytes_on_disk) / sum(rows), 1), round(sum(secondary_indices_compressed_bytes) / sum(rows), 1), sum(rows), count() FROM system.parts WHERE database = 'gnomon' AND table = 'requests' AND active"))
}

func rowsOf2(t testing.TB, s *Store, sql string) string {
	t.Helper()
	r, err := s.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(r.Rows)
}

// TestBenchQueries measures what screens and the report wait for, beside the same
// over every row.
func TestBenchQueries(t *testing.T) {
	s, _ := scale(t, scaleMemory)
	ctx := context.Background()
	countDeliveries(t, s)
	began := time.Now()
	for {
		n, err := s.Rollup(ctx)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("summed %d hours in %s\n", n, time.Since(began).Round(time.Millisecond))
		if behind, err := s.HoursBehind(ctx); err != nil || len(behind) == 0 {
			break
		}
	}
	fmt.Println("rollup: hours, cells, bytes", rowsOf2(t, s, "SELECT count(), sum(length(cells.cost)), (SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'gnomon' AND table IN ('requests_1h', 'rejects_1h', 'sequences_1h')) FROM gnomon.requests_1h FINAL"))
	newest, err := s.lastEvent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	from, to, project := newest.AddDate(0, 0, -90), newest.Add(time.Minute), scaleProject
	some, err := s.Requests(ctx, dashboards.RequestFilter{Project: project, To: newest.AddDate(0, 0, -20), Limit: 1})
	if err != nil || len(some.Requests) == 0 {
		t.Fatal(err)
	}
	one := some.Requests[0]
	page := func(f dashboards.RequestFilter) func() error {
		f.Project, f.Limit, f.Listed = project, 50, true // as the console asks
		return func() error { _, err := s.Requests(ctx, f); return err }
	}
	rows := func(sql string) func() error {
		return func() error { _, err := s.Query(ctx, sql); return err }
	}
	for _, c := range []struct {
		name       string
		read, scan func() error
	}{
		{"cells, 90 days", func() error { _, err := s.Cells(ctx, project, from, to); return err }, func() error { _, err := scannedCells(ctx, s, project, from, to); return err }},
		{"rejects, 90 days", func() error { _, err := s.Rejects(ctx, project, from, to); return err }, func() error { _, err := scannedRejects(ctx, s, project, from, to); return err }},
		{"period", func() error { _, err := s.Period(ctx, project); return err }, rows("SELECT count(), min(ts), max(ts), max(simulated) FROM gnomon.requests FINAL WHERE project = 'main'")},
		{"completeness", func() error { _, err := s.Completeness(ctx, project); return err }, rows("SELECT boot_id, groupBitmap(seq) FROM gnomon.requests GROUP BY boot_id")},
		{"traffic, 14 days", func() error { _, err := s.Traffic(ctx, project, to.AddDate(0, 0, -14), to); return err }, func() error { _, err := scannedTraffic(ctx, s, project, to.AddDate(0, 0, -14), to); return err }},
		{"page: newest", page(dashboards.RequestFilter{}), nil},
		{"page: failed of a workload", page(dashboards.RequestFilter{Workload: one.Workload, Status: schemas.StatusProviderError}), nil},
		{"page: a rare workload", page(dashboards.RequestFilter{Workload: "feature-39/extract", Status: schemas.StatusProviderError}), nil},
		{"page: a status of none", page(dashboards.RequestFilter{Status: schemas.StatusTimeout}), nil},
		{"page: of a model and team", page(dashboards.RequestFilter{RequestModel: "o4", Team: "team-3", Status: schemas.StatusProviderError}), nil},
		{"page: as the API gives it", func() error {
			_, err := s.Requests(ctx, dashboards.RequestFilter{Project: project, Limit: 50, RequestModel: "o4", Team: "team-3", Status: schemas.StatusProviderError})
			return err
		}, nil},
		{"page: before a time", page(dashboards.RequestFilter{To: newest.AddDate(0, 0, -20)}), nil},
		{"page: a session", page(dashboards.RequestFilter{Session: one.Session}), nil},
		{"page: a trace", page(dashboards.RequestFilter{Trace: one.TraceID}), nil},
		{"page: a user", page(dashboards.RequestFilter{User: one.UserID}), nil},
		{"one request", func() error { _, err := s.Request(ctx, project, one.RequestID); return err }, nil},
		{"spend_daily, all", rows("SELECT day, sum(cost) FROM gnomon.spend_daily WHERE project = 'main' GROUP BY day"), rows("SELECT toDate(ts) AS day, sum(cost) FROM gnomon.requests FINAL WHERE project = 'main' GROUP BY day")},
		{"differences, 2 days", rows("SELECT * FROM gnomon.rollup_differences WHERE hour > toDateTime(" + fmt.Sprint(newest.Unix()-2*86400) + ")"), nil},
	} {
		best, cpu := time.Hour, time.Hour
		for range 3 {
			began, used := time.Now(), embeddedtest.ProcessorTime(t)
			if err := c.read(); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			best, cpu = min(best, time.Since(began)), min(cpu, embeddedtest.ProcessorTime(t)-used)
		}
		if c.scan == nil {
			fmt.Printf("%-28s %8.0f ms, %5d ms of processor time\n", c.name, best.Seconds()*1e3, cpu.Milliseconds())
			continue
		}
		began := time.Now()
		if err := c.scan(); err != nil {
			fmt.Printf("%s over every row: %.200v\n", c.name, err)
			continue
		}
		all := time.Since(began)
		fmt.Printf("%-28s %8.0f ms, %5d ms of processor time, over every row %8.0f ms: %.0f times\n", c.name, best.Seconds()*1e3, cpu.Milliseconds(), all.Seconds()*1e3, all.Seconds()/best.Seconds())
	}
}

// TestBenchOpening kills the engine while it inserts and says how long it is until
// all the rows can be asked again: a second for the supervisor, and the opening.
func TestBenchOpening(t *testing.T) {
	s, _ := scale(t, scaleMemory)
	before := count(t, s, "SELECT count() FROM gnomon.requests")
	children := embeddedtest.Children(t)
	if len(children) != 1 {
		t.Fatalf("the engine among %d?", children)
	}
	cut := make(chan error, 1)
	go func() { cut <- s.InsertRequests(context.Background(), "", traffic("crash", 50_000, 1, 5)) }()
	time.Sleep(100 * time.Millisecond) // into the insert
	if err := syscall.Kill(children[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	began, n := time.Now(), uint64(0)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := s.conn.QueryRow(ctx, "SELECT count() FROM gnomon.requests").Scan(&n)
		cancel()
		if err == nil {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Printf("killed in the middle of an insert (%.80v); %d rows are there again after %.1f s\n", <-cut, n, time.Since(began).Seconds())
	if n < before-before/50 { // repetitions may have been merged away
		t.Errorf("%d rows before, %d after", before, n)
	}
	if err := s.conn.Exec(context.Background(), "DELETE FROM gnomon.requests WHERE project = 'crash'"); err != nil {
		t.Error(err)
	}
}
