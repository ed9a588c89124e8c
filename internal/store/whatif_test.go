package store

import (
	"fmt"
	"math"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// manyRows writes n rows of 14 days straight into the table, of 12 workloads and
// 3 models: what the figures of aggregates rest on. The words and spreads are
// made up; the columns are those that ingest fills.
func manyRows(b testing.TB, s *Store, project string, n int) (from time.Time) {
	b.Helper()
	from = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	const batch = 25_000
	for at := 0; at < n; at += batch {
		rows := min(batch, n-at)
		sql := fmt.Sprintf(`INSERT INTO gnomon.requests (project, ts, request_id, revision, boot_id, seq, status, workload, session, dialect, operation, provider, request_model, served_model,
    service_tier, mode, arm, http_status, input_tokens, cache_read_tokens, output_tokens, usage_source, cost, list_cost, baseline_cost, would_route, would_cost, score, novelty, gates, candidates, rejects)
SELECT '%s', fromUnixTimestamp64Milli(toInt64(%d + intDiv(number * 1209600000, %d))), generateUUIDv7(), 1, 7, number + 1, if(h %% 500 = 0, 'provider_error', 'ok'),
    concat('team', toString(h %% 3), '/workload', toString(h %% 12)), hex(h %% 100000), 'openai.chat', 'chat', 'openai', ['gpt-4o', 'gpt-4.1', 'gpt-4o-2024-08-06'][h %% 3 + 1] AS m, m,
    'default', 'observe', 'none', 200, toUInt32(100 + pow(h %% 1000, 2) / 80), if(h %% 4 = 0, 64, 0), toUInt32(20 + h %% 700), 'provider', toDecimal64(h %% 100000, 0) / 10000000 AS c, c, c,
    'openai/gpt-4o-mini', c / 16, (h %% 65536) / 65535, 0.1, [0, 0, 1, 16, 17, 4][h %% 6 + 1], ['openai/gpt-4o-mini'], [0]
FROM (SELECT number, cityHash64(number) AS h FROM numbers(%d, %d)) SETTINGS max_insert_threads = 1, max_block_size = 20000, min_insert_block_size_rows = 100000, max_threads = 1`, project, from.UnixMilli(), n, at, rows)
		if err := s.conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	return from
}

// BenchmarkWhatIf sums a million rows, or as many as WHATIF_ROWS says. A row takes
// some 400 ns of processor time; writing them takes far longer.
func BenchmarkWhatIf(b *testing.B) {
	s, project := open(b)
	n := 1_000_000
	if v := os.Getenv("WHATIF_ROWS"); v != "" {
		if _, err := fmt.Sscan(v, &n); err != nil {
			b.Fatal(err)
		}
	}
	from := manyRows(b, s, project, n)
	var scores []uint16
	for i := range 20 {
		scores = append(scores, uint16(i*65535/20))
	}
	cells := 0
	for b.Loop() {
		got, err := s.WhatIf(b.Context(), project, from, from.AddDate(0, 0, 14), scores, []uint32{4096, 8192, 16384, 32768, 65536, 128_000, 200_000, 272_000})
		if err != nil {
			b.Fatal(err)
		}
		rows := uint64(0)
		for i := range got {
			rows += got[i].Requests
		}
		if rows != uint64(n) {
			b.Fatalf("%d rows of %d", rows, n)
		}
		cells = len(got)
	}
	b.ReportMetric(float64(cells), "cells")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/look")
}

func TestWhatIfSumsEveryRowWhereItBelongs(t *testing.T) {
	few := []uint16{0, 13_107, 32_767, 65_534}
	var many []uint16 // more than a byte counts
	for b := uint16(0); len(many) < 400; b += 160 {
		many = append(many, b)
	}
	for _, bounds := range [][]uint16{few, many} {
		whatIfSums(t, bounds)
	}
}

func whatIfSums(t *testing.T, bounds []uint16) {
	s, project := open(t)
	evs := traffic(project, 3000, 3, 11)
	for i := range evs {
		e := &evs[i]
		fixed := uint16(i * 21)
		if i < 3*len(bounds) { // on, below and above each bound
			fixed = bounds[i/3] + uint16(i%3) - 1
			if i == 0 {
				fixed = 0
			}
		}
		e.Score = float32(fixed) / 65535
		e.Gates, e.Bypassed = schemas.Gate(i%3), i%40 == 0
		if i%7 == 0 {
			e.Held = schemas.HeldNovel
		}
		if i%100 == 0 {
			e.Status = schemas.StatusLost
		}
	}
	if err := s.InsertRequests(t.Context(), "", evs); err != nil {
		t.Fatal(err)
	}
	if err := s.InsertRequests(t.Context(), "", evs[:50]); err != nil { // sent twice
		t.Fatal(err)
	}
	sizes := []uint32{1000, 4000}
	got, err := s.WhatIf(t.Context(), project, evs[0].Ts, evs[len(evs)-1].Ts.Add(time.Millisecond), bounds, sizes)
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		workload, model string
		gates           schemas.Gate
		bucket, class   uint16
		day             time.Time
		lost, bypassed  bool
		novel, priced   bool
	}
	want, have := map[key]whatif.Cell{}, map[key]whatif.Cell{}
	for i := range evs {
		e := &evs[i]
		k := key{workload: e.Workload, model: e.RequestModel, gates: e.Gates, day: e.Ts.Truncate(24 * time.Hour), lost: e.Status == schemas.StatusLost, bypassed: e.Bypassed, novel: e.Held == schemas.HeldNovel, priced: e.BaselineCost.Known}
		for int(k.bucket) < len(bounds) && uint16(math.Round(float64(e.Score)*65535)) > bounds[k.bucket] {
			k.bucket++
		}
		for int(k.class) < len(sizes) && e.InputTokens > sizes[k.class] {
			k.class++
		}
		c := want[k]
		c.Requests++
		c.Longest = max(c.Longest, e.InputTokens)
		c.Tokens.Add(savings.Tokens{Input: uint64(e.InputTokens), Output: uint64(e.OutputTokens)})
		c.Baseline += e.BaselineCost.Nano
		want[k] = c
	}
	for _, c := range got {
		k := key{c.Workload, c.RequestModel, c.Gates, c.Bucket, c.Class, c.Day, c.Lost, c.Bypassed, c.Novel, c.Priced}
		if _, twice := have[k]; twice {
			t.Errorf("%+v twice", k)
		}
		have[k] = whatif.Cell{Requests: c.Requests, Longest: c.Longest, Tokens: c.Tokens, Baseline: c.Baseline}
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("%d cells, want %d", len(have), len(want))
		for k, c := range want {
			if have[k] != c {
				t.Errorf("%+v: %+v, want %+v", k, have[k], c)
				break
			}
		}
	}
}
