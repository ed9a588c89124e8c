package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// span is what a reader asks of a project: the hours of [from, to) that have to be
// read from their rows, for the rollup is behind or the span cuts them, the days
// that are summed, and the other hours. It is asked first, and once: an hour is
// read from one side then, whatever is computed meanwhile.
type span struct {
	project  string
	from, to time.Time
	rows     []uint32 // hours, in seconds
	days     []uint32 // that are summed: their starts, in seconds
	hourly   []uint32 // those that are not
}

func (s *Store) span(ctx context.Context, project string, from, to time.Time) (span, error) {
	rows, err := query(ctx, s, "the hours to sum", `SELECT toUnixTimestamp(hour) FROM gnomon.hours_behind WHERE project = ? AND hour >= toStartOfHour(fromUnixTimestamp64Milli(?)) AND hour < fromUnixTimestamp64Milli(?)
UNION DISTINCT
SELECT toUnixTimestamp(hour) FROM gnomon.requests_1h FINAL
WHERE project = ? AND requests > 0 AND hour IN (toStartOfHour(fromUnixTimestamp64Milli(?)), toStartOfHour(fromUnixTimestamp64Milli(?))) AND (first_ts < fromUnixTimestamp64Milli(?) AND last_ts >= fromUnixTimestamp64Milli(?) OR first_ts < fromUnixTimestamp64Milli(?) AND last_ts >= fromUnixTimestamp64Milli(?))`,
		func(row scanner) (sec uint32, err error) { return sec, row.Scan(&sec) },
		project, from.UnixMilli(), to.UnixMilli(), project, from.UnixMilli(), to.UnixMilli(), from.UnixMilli(), from.UnixMilli(), to.UnixMilli(), to.UnixMilli())
	if err != nil {
		return span{}, err
	}
	// Asked after the hours: a day of which none is read from its rows is what its hours are.
	sp := span{project: project, from: from, to: to, rows: seconds(rows)}
	_, err = query(ctx, s, "the days that are summed", `SELECT toUnixTimestamp(day), hours_summed = summed AND day >= fromUnixTimestamp64Milli(?) AND day + INTERVAL 1 DAY <= fromUnixTimestamp64Milli(?)
    AND day NOT IN (SELECT toStartOfDay(toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC')))
FROM gnomon.days WHERE project = ? AND day >= toStartOfDay(fromUnixTimestamp64Milli(?)) AND day < fromUnixTimestamp64Milli(?)`,
		func(row scanner) (sec uint32, err error) {
			var summed bool
			err = row.Scan(&sec, &summed)
			if summed {
				sp.days = append(sp.days, sec)
			} else {
				sp.hourly = append(sp.hourly, sec)
			}
			return sec, err
		}, from.UnixMilli(), to.UnixMilli(), sp.rows, project, from.UnixMilli(), to.UnixMilli())
	return sp, err
}

// seconds is a list that the client can write out: it knows no empty one that is nil.
func seconds(list []uint32) []uint32 {
	if list == nil {
		return []uint32{}
	}
	return list
}

// namedSpan is a span and what workloads are called in it.
func (s *Store) namedSpan(ctx context.Context, project string, from, to time.Time) (sp span, g given, err error) {
	if sp, err = s.span(ctx, project, from, to); err == nil {
		g, err = s.named(ctx, project)
	}
	return sp, g, err
}

// whole and cut are the conditions of the two sides, for tables of hours and for rows.
const (
	whole = "project = ? AND hour >= toStartOfHour(fromUnixTimestamp64Milli(?)) AND hour < fromUnixTimestamp64Milli(?) AND first_ts >= fromUnixTimestamp64Milli(?) AND last_ts < fromUnixTimestamp64Milli(?) AND NOT has(CAST(?, 'Array(UInt32)'), toUnixTimestamp(hour))"
	cut   = "project = ? AND toStartOfHour(ts) IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC')) AND ts >= fromUnixTimestamp64Milli(?) AND ts < fromUnixTimestamp64Milli(?)"
)

// of joins the two sides of a span: one over the rollup, where {whole} is the
// condition, and one over rows, where {cut} is.
func (sp span) of(rollup, rows string) (sql string, args []any) {
	from, to := sp.from.UnixMilli(), sp.to.UnixMilli()
	sql, args = strings.Replace(rollup, "{whole}", whole, 1), []any{sp.project, from, to, from, to, sp.rows}
	if len(sp.rows) > 0 {
		sql += " UNION ALL " + strings.Replace(rows, "{cut}", cut, 1)
		args = append(args, sp.project, sp.rows, from, to)
	}
	return sql, args
}

// cells are the columns named, of days, of the hours of other days, and of rows.
func (sp span) cells(columns ...string) (sql string, args []any) {
	of := each(columns, "c.% AS %")
	sql, args = sp.of("SELECT hour, "+of+" FROM gnomon.requests_1h FINAL ARRAY JOIN cells AS c WHERE {whole} AND toStartOfDay(hour) IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC'))",
		"SELECT hour, "+each(columns, "%")+" FROM gnomon.request_measures WHERE {cut}")
	args = slices.Insert(args, hoursArgs, any(seconds(sp.hourly)))
	if len(sp.days) > 0 {
		sql = "SELECT day AS hour, " + of + " FROM gnomon.requests_1d FINAL ARRAY JOIN cells AS c WHERE project = ? AND day IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC')) UNION ALL " + sql
		args = slices.Insert(args, 0, any(sp.project), any(sp.days))
	}
	return sql, args
}

// hoursArgs is how many arguments whole has.
const hoursArgs = 6

// What the columns of a cell tell: whether its would-be route is another model,
// and whether a candidate served it.
const (
	cellWould  = "would_route NOT IN ('', concat(from_provider, '/', request_model))"
	cellRouted = "(served_model != request_model OR from_provider != provider)"
)

// Cells implements analyzer.Log: one row per workload, provider, requested
// model, would-be route and UTC day. A lost row knows neither model nor route.
func (s *Store) Cells(ctx context.Context, project string, from, to time.Time) ([]analyzer.Cell, error) {
	sp, g, err := s.namedSpan(ctx, project, from, to)
	if err != nil {
		return nil, err
	}
	sql, args := sp.cells("workload", "provider", "from_provider", "request_model", "served_model", "would_route", "simulated", "requests", "lost", "uncompared", "compared_estimated",
		"compared_baseline_cost", "compared_would_cost", "compared_would_output_cost", "cost", "output_tokens")
	sql = `SELECT ` + g.of("workload") + ` AS workload, from_provider, request_model, would_route, toStartOfDay(hour) AS day, sum(requests), sum(lost), sum(uncompared), sum(compared_estimated), sumIf(requests, ` + cellRouted + `),
    sum(compared_baseline_cost), sum(compared_would_cost), sum(compared_would_output_cost), sum(cost), sum(output_tokens), max(simulated)
FROM (` + sql + `) GROUP BY workload, from_provider, request_model, would_route, day ORDER BY workload, from_provider, request_model, would_route, day`
	return query(ctx, s, "cells", sql, func(row scanner) (c analyzer.Cell, err error) {
		err = row.Scan(&c.Workload, &c.Provider, &c.RequestModel, &c.WouldRoute, &c.Day, &c.Requests, &c.Lost, &c.Unpriced, &c.Estimated, &c.Routed,
			(*sum)(&c.Baseline), (*sum)(&c.Would), (*sum)(&c.WouldOutput), (*sum)(&c.Cost), &c.OutputTokens, &c.Simulated)
		c.Day = day(c.Day)
		return c, err
	}, args...)
}

// Traffic implements dashboards.Data.
func (s *Store) Traffic(ctx context.Context, project string, from, to time.Time) ([]dashboards.Traffic, error) {
	sp, g, err := s.namedSpan(ctx, project, from, to)
	if err != nil {
		return nil, err
	}
	sql, args := sp.cells("workload", "provider", "from_provider", "request_model", "served_model", "would_route", "requests", "failed", "lost", "unpriced", "estimated", "fallbacks",
		"cost", "baseline_cost", "would_cost")
	sql = `SELECT ` + g.of("workload") + ` AS workload, toStartOfDay(hour) AS day, sum(requests), sum(failed), sum(lost), sum(unpriced), sum(estimated), sumIf(requests, ` + cellWould + `), sumIf(requests, ` + cellRouted + `), sum(fallbacks),
    sum(cost), sum(baseline_cost), sum(would_cost), sumIf(baseline_cost, ` + cellRouted + `), sumIf(cost, ` + cellRouted + `)
FROM (` + sql + `) GROUP BY workload, day ORDER BY workload, day`
	return query(ctx, s, "traffic", sql, func(row scanner) (t dashboards.Traffic, err error) {
		err = row.Scan(&t.Workload, &t.Day, &t.Requests, &t.Failed, &t.Lost, &t.Unpriced, &t.Estimated, &t.WouldRoute, &t.Routed, &t.Fallbacks,
			(*sum)(&t.Cost), (*sum)(&t.Baseline), (*sum)(&t.Would), (*sum)(&t.RoutedBaseline), (*sum)(&t.RoutedCost))
		t.Day = day(t.Day)
		return t, err
	}, args...)
}

// Rejects implements analyzer.Log.
func (s *Store) Rejects(ctx context.Context, project string, from, to time.Time) ([]analyzer.RejectCount, error) {
	sp, g, err := s.namedSpan(ctx, project, from, to)
	if err != nil {
		return nil, err
	}
	sql, args := sp.of("SELECT "+each(rejectColumns, "c.% AS %")+" FROM gnomon.rejects_1h FINAL ARRAY JOIN cells AS c WHERE (project, hour) IN (SELECT project, hour FROM gnomon.requests_1h FINAL WHERE {whole})",
		"SELECT "+each(rejectDims, "%")+", toUInt64(1) AS requests FROM ("+rejectRows+" AND {cut}) WHERE reject != 0")
	dims := each(rejectDims, "%")
	sql = "SELECT " + strings.Replace(dims, "workload", g.of("workload")+" AS workload", 1) + ", sum(requests) FROM (" + sql + ") GROUP BY " + dims + " ORDER BY " + dims
	return query(ctx, s, "reject reasons", sql, func(row scanner) (r analyzer.RejectCount, err error) {
		var rank, reject uint16
		err = row.Scan(&r.Workload, &r.Provider, &r.RequestModel, &r.Candidate, &rank, &r.Routed, &reject, &r.Requests)
		r.Rank, r.Reject = int(rank), schemas.Reject(reject)
		return r, err
	}, args...)
}

// Routed counts requests that a candidate served under a version of the policy.
func (s *Store) Routed(ctx context.Context, project, workload string, version uint32) (n uint64, err error) {
	row := s.conn.QueryRow(ctx, "SELECT sum(c.requests) FROM gnomon.cells AS c WHERE project = ? AND workload = ? AND policy_version = ? AND "+cellRouted, project, workload, version)
	if err = row.Scan(&n); err != nil {
		err = fmt.Errorf("count routed requests: %w", err)
	}
	return n, err
}
