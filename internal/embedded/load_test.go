package embedded_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/andybalholm/brotli"
	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

// memory returns a field of /proc/pid/status in MB, 0 where there is none.
func memory(pid int, field string) int {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), field+":"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(rest, "kB")))
			return n / 1024
		}
	}
	return 0
}

func TestALargeAnswerIsNotHeldInMemory(t *testing.T) {
	e, dsn := ownEngine(t, embedded.EngineConfig{})
	reader := "http://" + e.Addr()
	const query = "SELECT number, toString(cityHash64(number)), repeat('x', 200) FROM numbers(2000000)" // about 450 MB
	run(t, dsn, "SELECT 1")
	before := memory(e.Pid(), "VmRSS")
	for _, format := range []string{"Native", "JSON"} {
		resp, err := http.Get(reader + "/?" + q(query, "default_format", format, "client_protocol_version", "54460"))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if err != nil || n < 400<<20 {
			t.Fatalf("%s: %d bytes, %v", format, n, err)
		}
		// What is merged from the kernel's and the allocator's caches varies by a good
		// hundred MB; held answers would take all of theirs.
		if after := memory(e.Pid(), "VmHWM"); after > before+300 {
			t.Errorf("%s: %d MB of answer took the engine from %d to %d MB", format, n>>20, before, after)
		}
	}
	rows, err := open(t, reader).Query(context.Background(), "SELECT number FROM numbers(1000000)")
	if err != nil {
		t.Fatal(err)
	}
	var sum, n uint64
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || sum != 999999*500000 {
		t.Error(sum, err)
	}
	t.Logf("%d MB before, at most %d MB", before, memory(e.Pid(), "VmHWM"))
}

func TestAQueryEndsWhenItsClientLeaves(t *testing.T) {
	writer := embeddedtest.Engine(t)
	for _, query := range []string{
		"SELECT count() FROM system.numbers WHERE NOT ignore(SHA256(toString(number))) AND 'leave1' != ''",
		"SELECT number, 'leave2' FROM system.numbers FORMAT JSONEachRow",
		"SELECT number, 'leave3' FROM system.numbers FORMAT Native",
	} {
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, embeddedtest.ReaderEngine(t)+"/", strings.NewReader(query))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_, _ = io.CopyN(io.Discard, resp.Body, 1<<20)
				<-ctx.Done()
				_ = resp.Body.Close()
			}
		}()
		running := func() string {
			return run(t, writer, "SELECT count() FROM system.processes WHERE query LIKE '%''leave%' AND query NOT LIKE '%system.processes%'")
		}
		eventually(t, 10*time.Second, "the query runs", func() bool { return running() != "0\n" })
		cancel()
		<-done
		took := eventually(t, 10*time.Second, "the query has ended: "+query, func() bool { return running() == "0\n" })
		t.Logf("ended after %s", took.Round(time.Millisecond))
	}
	resp, body := ask(t, embeddedtest.ReaderEngine(t), http.MethodGet, q("SELECT count() FROM system.numbers WHERE NOT ignore(SHA256(toString(number)))", "max_execution_time", "1"), nil)
	if resp.Header.Get("X-ClickHouse-Exception-Code") != "159" || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a query past its time: %s %s", resp.Status, body)
	}
}

func TestManyWriteAndReadAtOnce(t *testing.T) {
	writer, reader := embeddedtest.Engine(t), embeddedtest.ReaderEngine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS many")
	run(t, writer, "CREATE OR REPLACE TABLE many.t (w UInt8, a UInt64, s String) ENGINE = MergeTree ORDER BY (w, a)")
	var wg sync.WaitGroup
	const workers, batches, rows = 6, 8, 500
	for w := range workers {
		in, out := open(t, writer), open(t, reader)
		wg.Go(func() {
			ctx := context.Background()
			for i := range batches {
				b, err := in.PrepareBatch(ctx, "INSERT INTO many.t")
				if err != nil {
					t.Error(err)
					return
				}
				for r := range rows {
					if err := b.Append(uint8(w), uint64(i*rows+r), "x"); err != nil {
						t.Error(err)
					}
				}
				if err := b.Send(); err != nil {
					t.Error(err)
				}
				var n uint64
				if err := out.QueryRow(ctx, "SELECT count() FROM many.t WHERE w = ?", uint8(w)).Scan(&n); err != nil || n != uint64((i+1)*rows) {
					t.Errorf("worker %d sees %d of %d rows, %v", w, n, (i+1)*rows, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestBodiesAreUnpackedAndAnswersPackedAsAsked(t *testing.T) {
	writer, reader := embeddedtest.Engine(t), embeddedtest.ReaderEngine(t)
	run(t, writer, "CREATE DATABASE IF NOT EXISTS pack")
	run(t, writer, "CREATE OR REPLACE TABLE pack.t (a String) ENGINE = MergeTree ORDER BY a")
	const line = "{\"a\":\"hello\"}\n"
	pack := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"br":   func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
		"lz4":  func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	unpack := map[string]func(io.Reader) io.Reader{
		"gzip": func(r io.Reader) io.Reader { z, _ := gzip.NewReader(r); return z },
		"br":   func(r io.Reader) io.Reader { return brotli.NewReader(r) },
		"lz4":  func(r io.Reader) io.Reader { return lz4.NewReader(r) },
		"zstd": func(r io.Reader) io.Reader { z, _ := zstd.NewReader(r); return z },
	}
	for name := range pack {
		t.Run(name, func(t *testing.T) {
			var body bytes.Buffer
			w := pack[name](&body)
			_, _ = io.WriteString(w, strings.Repeat(line, 1000))
			_ = w.Close()
			encoded := func(r *http.Request) { r.Header.Set("Content-Encoding", name) }
			run(t, writer, "TRUNCATE TABLE pack.t")
			if resp, b := ask(t, writer, http.MethodPost, q("INSERT INTO pack.t FORMAT JSONEachRow"), bytes.NewReader(body.Bytes()), encoded); resp.StatusCode != 200 {
				t.Fatal(b)
			}
			packed := bytes.Buffer{} // the statement packed with its data, as clickhouse-connect sends it
			pw := pack[name](&packed)
			_, _ = io.WriteString(pw, "INSERT INTO pack.t FORMAT JSONEachRow\n"+strings.Repeat(line, 10))
			_ = pw.Close()
			if resp, b := ask(t, writer, http.MethodPost, "", &packed, encoded); resp.StatusCode != 200 {
				t.Error(b)
			}
			if resp, b := ask(t, writer, http.MethodPost, q("INSERT INTO pack.t FORMAT JSONEachRow"), bytes.NewReader(body.Bytes()[:body.Len()-4]), encoded); resp.StatusCode != 400 {
				t.Errorf("half a body: %s %s", resp.Status, b)
			}
			if n := run(t, writer, "SELECT count() FROM pack.t"); n != "1010\n" {
				t.Errorf("%s rows", n)
			}
			accepts := func(r *http.Request) { r.Header.Set("Accept-Encoding", "identity;q=0.1, "+name) }
			resp, b := ask(t, reader, http.MethodGet, q("SELECT a FROM pack.t FORMAT JSONEachRow", "enable_http_compression", "1"), nil, accepts)
			if resp.Header.Get("Content-Encoding") != name {
				t.Fatalf("encoded as %q", resp.Header.Get("Content-Encoding"))
			}
			if got, err := io.ReadAll(unpack[name](strings.NewReader(b))); err != nil || string(got) != strings.Repeat(line, 1010) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if resp, b = ask(t, reader, http.MethodGet, q("SELECT a FROM pack.t LIMIT 1 FORMAT JSONEachRow"), nil, accepts); b != line || resp.Header.Get("Content-Encoding") != "" {
				t.Errorf("without enable_http_compression: %q", b)
			}
			if resp, b = ask(t, reader, http.MethodGet, q("SELECT nothing", "enable_http_compression", "1"), nil, accepts); !strings.HasPrefix(b, "Code: 47.") || resp.Header.Get("Content-Encoding") != "" {
				t.Errorf("an exception: %q", b)
			}
		})
	}
	if resp, b := ask(t, writer, http.MethodPost, q("INSERT INTO pack.t FORMAT CSV"), strings.NewReader("x"), func(r *http.Request) { r.Header.Set("Content-Encoding", "snappy") }); resp.StatusCode != 415 {
		t.Errorf("an unknown encoding: %s %s", resp.Status, b)
	}
}

// The promise is 600 MB after the demo's quarter of a million requests.
func TestTheEngineStaysSmallUnderTheDemosLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	e, dsn := ownEngine(t, embedded.EngineConfig{})
	for stmt := range strings.SplitSeq(reference(t, "schema-sketch.sql"), ";\n") {
		if withoutComments(stmt) != "" {
			run(t, dsn, stmt)
		}
	}
	conn := open(t, dsn)
	begun := time.Now()
	const rows, batch = 250_000, 5_000
	start := time.Date(2026, 11, 7, 0, 0, 0, 0, time.UTC)
	for from := 0; from < rows; from += batch {
		ctx := clickhouse.Context(context.Background(), clickhouse.WithSettings(clickhouse.Settings{"insert_deduplication_token": fmt.Sprint(from)}))
		b, err := conn.PrepareBatch(ctx, "INSERT INTO gnomon.requests (project, ts, request_id, revision, boot_id, seq, status, workload, session, tags, provider, request_model, input_tokens, output_tokens, cost, latency_ms, rejects, features, response_id)")
		if err != nil {
			t.Fatal(err)
		}
		for i := from; i < from+batch; i++ {
			id := uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i))
			err = b.Append("demo", start.Add(time.Duration(i)*4800*time.Millisecond), id, uint8(1), uint64(7), uint64(i), "ok", fmt.Sprint("w", i%9), fmt.Sprint("s", i/5),
				map[string]string{"env": "prod"}, "openai", "gpt", uint32(i%5000), uint32(i%900), "0.001234567", uint32(i%3000), []uint16{1, 2, 3}, string(id[:]), fmt.Sprint("resp_", id))
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Send(); err != nil {
			t.Fatal(err)
		}
	}
	inserted := time.Since(begun)
	for range 5 {
		for _, query := range []string{
			"SELECT workload, toDate(ts) AS d, count(), sum(cost), quantiles(0.5, 0.9, 0.99)(latency_ms) FROM gnomon.requests FINAL GROUP BY workload, d ORDER BY workload, d FORMAT JSON",
			"SELECT uniqExact(session) FROM gnomon.requests FINAL", "SELECT * FROM gnomon.requests FINAL ORDER BY ts DESC LIMIT 100 FORMAT JSON",
			"SELECT workload, sum(input_tokens) FROM gnomon.requests FINAL WHERE session LIKE 's1%' GROUP BY workload",
		} {
			run(t, "http://"+e.Addr(), query)
		}
	}
	if n := run(t, dsn, "SELECT count() FROM gnomon.requests FINAL"); n != "250000\n" {
		t.Errorf("%s rows", n)
	}
	peak, now := memory(e.Pid(), "VmHWM"), memory(e.Pid(), "VmRSS")
	t.Logf("%d rows in %s; %d MB now, %d MB at most", rows, inserted.Round(time.Millisecond), now, peak)
	if peak > 600 {
		t.Errorf("the engine took %d MB", peak)
	}
}
