package store

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// The readers as they would be without a rollup: over every row. Tests hold the
// readers against them, and the benchmark takes them as the full scan.
const (
	scanCells = `SELECT workload, ` + baseProvider + ` AS p, request_model, would_route, toStartOfDay(ts) AS day,
    count(), countIf(status = 'lost'), countIf(status != 'lost' AND NOT priced), countIf(priced AND usage_source IN ('estimated', 'tokenizer')), countIf(` + routed + `),
    sumIf(assumeNotNull(baseline_cost), priced), sumIf(assumeNotNull(would_cost), priced), sumIf(ifNull(would_output_cost, 0), priced), sum(ifNull(cost, 0)), sum(output_tokens), max(simulated)
FROM (SELECT *, baseline_cost IS NOT NULL AND would_cost IS NOT NULL AS priced FROM gnomon.requests FINAL WHERE ` + between + `)
GROUP BY workload, p, request_model, would_route, day ORDER BY workload, p, request_model, would_route, day`

	scanTraffic = `SELECT workload, toStartOfDay(ts) AS day, count(), countIf(status NOT IN ('ok', 'lost')), countIf(status = 'lost'), countIf(status != 'lost' AND cost IS NULL),
    countIf(usage_source IN ('estimated', 'tokenizer')), countIf(` + notBaseline + `), countIf(` + routed + `), countIf(fallback),
    sum(ifNull(cost, 0)), sum(ifNull(baseline_cost, 0)), sum(ifNull(would_cost, 0)), sumIf(ifNull(baseline_cost, 0), ` + routed + `), sumIf(ifNull(cost, 0), ` + routed + `)
FROM gnomon.requests FINAL WHERE ` + between + ` GROUP BY workload, day ORDER BY workload, day`

	scanRejects = `SELECT workload, from_provider, request_model, candidate, rank, would, reject, count() FROM (` + rejectRows + ` AND ` + between + `) WHERE reject != 0
GROUP BY workload, from_provider, request_model, candidate, rank, would, reject ORDER BY workload, from_provider, request_model, candidate, rank, would, reject`
)

func scannedCells(ctx context.Context, s *Store, project string, from, to time.Time) ([]analyzer.Cell, error) {
	return query(ctx, s, "cells", scanCells, func(row scanner) (c analyzer.Cell, err error) {
		err = row.Scan(&c.Workload, &c.Provider, &c.RequestModel, &c.WouldRoute, &c.Day, &c.Requests, &c.Lost, &c.Unpriced, &c.Estimated, &c.Routed,
			(*sum)(&c.Baseline), (*sum)(&c.Would), (*sum)(&c.WouldOutput), (*sum)(&c.Cost), &c.OutputTokens, &c.Simulated)
		c.Day = day(c.Day)
		return c, err
	}, project, from.UnixMilli(), to.UnixMilli())
}

func scannedTraffic(ctx context.Context, s *Store, project string, from, to time.Time) ([]dashboards.Traffic, error) {
	return query(ctx, s, "traffic", scanTraffic, func(row scanner) (t dashboards.Traffic, err error) {
		err = row.Scan(&t.Workload, &t.Day, &t.Requests, &t.Failed, &t.Lost, &t.Unpriced, &t.Estimated, &t.WouldRoute, &t.Routed, &t.Fallbacks,
			(*sum)(&t.Cost), (*sum)(&t.Baseline), (*sum)(&t.Would), (*sum)(&t.RoutedBaseline), (*sum)(&t.RoutedCost))
		t.Day = day(t.Day)
		return t, err
	}, project, from.UnixMilli(), to.UnixMilli())
}

func scannedRejects(ctx context.Context, s *Store, project string, from, to time.Time) ([]analyzer.RejectCount, error) {
	return query(ctx, s, "rejects", scanRejects, func(row scanner) (r analyzer.RejectCount, err error) {
		var rank, reject uint16
		err = row.Scan(&r.Workload, &r.Provider, &r.RequestModel, &r.Candidate, &rank, &r.Routed, &reject, &r.Requests)
		r.Rank, r.Reject = int(rank), schemas.Reject(reject)
		return r, err
	}, project, from.UnixMilli(), to.UnixMilli())
}

// differ says in which reader rollup and rows are not the same; "" when in none.
func differ(t testing.TB, s *Store, project string, from, to time.Time) string {
	t.Helper()
	ctx := t.Context()
	for _, c := range []struct {
		name       string
		read, scan func() (any, error)
	}{
		{"cells", func() (any, error) { return s.Cells(ctx, project, from, to) }, func() (any, error) { return scannedCells(ctx, s, project, from, to) }},
		{"traffic", func() (any, error) { return s.Traffic(ctx, project, from, to) }, func() (any, error) { return scannedTraffic(ctx, s, project, from, to) }},
		{"rejects", func() (any, error) { return s.Rejects(ctx, project, from, to) }, func() (any, error) { return scannedRejects(ctx, s, project, from, to) }},
	} {
		got, err := c.read()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		want, err := c.scan()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !reflect.DeepEqual(got, want) {
			g, w := reflect.ValueOf(got), reflect.ValueOf(want)
			for i := range min(g.Len(), w.Len()) {
				if !reflect.DeepEqual(g.Index(i).Interface(), w.Index(i).Interface()) {
					return fmt.Sprintf("%s: %d rows, not %d; row %d is\n%+v, not\n%+v", c.name, g.Len(), w.Len(), i, g.Index(i), w.Index(i))
				}
			}
			return fmt.Sprintf("%s: %d rows, not %d", c.name, g.Len(), w.Len())
		}
	}
	return ""
}
