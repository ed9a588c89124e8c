package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// span is what a reader asks of a project: the hours of [from, to) that have to be
// read from their rows, for the rollup is behind or the span cuts them, the days
// that are summed, and the other days, whose hours are read. It is asked first, and once: an hour is
// read from one side then, whatever is computed meanwhile.
type span struct {
	project  string
	from, to time.Time
	rows     []uint32 // hours, in seconds
	days     []uint32 // that are summed: their starts, in seconds
	hourly   []uint32 // those that are not
}

// hourOf is how far the rollup of an hour is.
type hourOf struct {
	sec  uint32
	rows bool   // its rows have to be read
	seen uint64 // the count that it was summed at
}

const daySeconds = 86400

// span asks for the hours and the days at the same time. Whether a day is what its
// hours are is told from the same reading of the hours that tells which are behind:
// one that is summed between two readings would be neither behind nor in its day.
func (s *Store) span(ctx context.Context, project string, from, to time.Time) (span, error) {
	sp := span{project: project, from: from, to: to}
	var hours, days []hourOf
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		const inSpan = "project = ? AND hour >= toStartOfDay(fromUnixTimestamp64Milli(?)) AND hour < fromUnixTimestamp64Milli(?)"
		hours, err = query(ctx, s, "how far the hours are summed", `SELECT toUnixTimestamp(hour), sum(u.sent) AS delivered, max(u.seen) AS summed,
    delivered != summed AND delivered > 0 AND hour > now('UTC') - INTERVAL 399 DAY OR argMax(u.cut, u.seen)
FROM (
    SELECT hour, d.delivered AS sent, toUInt64(0) AS seen, false AS cut FROM gnomon.deliveries AS d WHERE `+inSpan+`
    UNION ALL
    SELECT hour, 0, c.delivered, requests > 0 AND (first_ts < fromUnixTimestamp64Milli(?) AND last_ts >= fromUnixTimestamp64Milli(?) OR first_ts < fromUnixTimestamp64Milli(?) AND last_ts >= fromUnixTimestamp64Milli(?))
    FROM gnomon.requests_1h AS c WHERE `+inSpan+`
) AS u GROUP BY hour ORDER BY hour`, func(row scanner) (h hourOf, err error) {
			var delivered uint64
			return h, row.Scan(&h.sec, &delivered, &h.seen, &h.rows)
		}, project, from.UnixMilli(), to.UnixMilli(), from.UnixMilli(), from.UnixMilli(), to.UnixMilli(), to.UnixMilli(), project, from.UnixMilli(), to.UnixMilli())
		return err
	})
	g.Go(func() (err error) {
		days, err = query(ctx, s, "how far the days are summed", `SELECT toUnixTimestamp(day), max(summed) FROM gnomon.requests_1d
WHERE project = ? AND day >= toStartOfDay(fromUnixTimestamp64Milli(?)) AND day < fromUnixTimestamp64Milli(?) GROUP BY day`,
			func(row scanner) (d hourOf, err error) { return d, row.Scan(&d.sec, &d.seen) }, project, from.UnixMilli(), to.UnixMilli())
		return err
	})
	if err := g.Wait(); err != nil {
		return sp, err
	}
	summed := map[uint32]uint64{}
	for _, d := range days {
		summed[d.sec] = d.seen
	}
	for len(hours) > 0 {
		day := hours[0].sec - hours[0].sec%daySeconds
		whole, seen := int64(day)*1000 >= from.UnixMilli() && int64(day+daySeconds)*1000 <= to.UnixMilli(), uint64(0)
		for len(hours) > 0 && hours[0].sec-hours[0].sec%daySeconds == day {
			h := hours[0]
			hours = hours[1:]
			seen += h.seen
			if h.rows && int64(h.sec+3600)*1000 > from.UnixMilli() {
				sp.rows = append(sp.rows, h.sec)
				whole = false
			}
		}
		if whole && summed[day] == seen {
			sp.days = append(sp.days, day)
		} else {
			sp.hourly = append(sp.hourly, day)
		}
	}
	return sp, nil
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
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) { sp, err = s.span(ctx, project, from, to); return err })
	both.Go(func() (err error) { g, err = s.named(ctx, project); return err })
	return sp, g, both.Wait()
}

// whole and cut are the conditions of the two sides, for tables of hours and for rows.
const (
	whole = "project = ? AND hour >= toStartOfHour(fromUnixTimestamp64Milli(?)) AND hour < fromUnixTimestamp64Milli(?) AND first_ts >= fromUnixTimestamp64Milli(?) AND last_ts < fromUnixTimestamp64Milli(?) AND NOT has(CAST(?, 'Array(UInt32)'), toUnixTimestamp(hour))"
	cut   = "project = ? AND toStartOfHour(ts) IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC')) AND ts >= fromUnixTimestamp64Milli(?) AND ts < fromUnixTimestamp64Milli(?)"
)

// of joins the two sides of a span: one over the rollup, where {whole} is the
// condition, and one over rows, where {cut} is.
func (sp span) of(rollup, rows string) (sql string, args []any) {
	sql, args = strings.Replace(rollup, "{whole}", whole, 1), sp.wholeArgs()
	if len(sp.rows) > 0 {
		sql += " UNION ALL " + strings.Replace(rows, "{cut}", cut, 1)
		args = append(args, sp.cutArgs()...)
	}
	return sql, args
}

func (sp span) wholeArgs() []any {
	from, to := sp.from.UnixMilli(), sp.to.UnixMilli()
	return []any{sp.project, from, to, from, to, seconds(sp.rows)}
}

func (sp span) cutArgs() []any {
	return []any{sp.project, sp.rows, sp.from.UnixMilli(), sp.to.UnixMilli()}
}

// sumOf sums the cells of a span, c, into groups that are of one day each, so that
// what the days have and what hours and rows have can be asked at the same time: no
// group is in both. sums is the statement, given where the cells are from and what
// their day is; columns are those of a cell that it asks for.
func sumOf[T any](ctx context.Context, s *Store, what string, sp span, columns []string, sums func(from, day string) string, scan func(scanner) (T, error)) ([]T, error) {
	const among = " IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC'))"
	var ofDays, ofHours []T
	both, ctx := errgroup.WithContext(ctx)
	if len(sp.days) > 0 {
		both.Go(func() (err error) {
			from := "gnomon.requests_1d FINAL ARRAY JOIN cells AS c WHERE project = ? AND day" + among
			ofDays, err = query(ctx, s, what, sums(from, "day"), scan, sp.project, sp.days)
			return err
		})
	}
	if len(sp.hourly) > 0 {
		both.Go(func() (err error) {
			from, args := "gnomon.requests_1h FINAL ARRAY JOIN cells AS c WHERE "+whole+" AND toStartOfDay(hour)"+among, append(sp.wholeArgs(), sp.hourly)
			if len(sp.rows) > 0 { // a group may be of both
				from = "(SELECT hour, " + each(columns, "c.% AS %") + " FROM " + from + " UNION ALL SELECT hour, " + each(columns, "%") + " FROM gnomon.request_measures WHERE " + cut + ") AS c"
				args = append(args, sp.cutArgs()...)
			}
			ofHours, err = query(ctx, s, what, sums(from, "toStartOfDay(hour)"), scan, args...)
			return err
		})
	}
	err := both.Wait()
	return append(ofDays, ofHours...), err
}

// nano is a sum of money as a whole number of nano-dollars: what 64 bits cannot hold is an error of the server's.
func nano(sum string) string { return "toInt64(" + sum + " * 1000000000)" }

// What the columns of a cell tell: whether its would-be route is another model,
// and whether a candidate served it.
const (
	cellWould  = "c.would_route NOT IN ('', concat(c.from_provider, '/', c.request_model))"
	cellRouted = "(c.served_model != c.request_model OR c.from_provider != c.provider)"
)

// Cells implements analyzer.Log: one row per workload, provider, requested
// model, would-be route and UTC day. A lost row knows neither model nor route.
func (s *Store) Cells(ctx context.Context, project string, from, to time.Time) ([]analyzer.Cell, error) {
	sp, g, err := s.namedSpan(ctx, project, from, to)
	if err != nil {
		return nil, err
	}
	columns := []string{"workload", "provider", "from_provider", "request_model", "served_model", "would_route", "simulated", "requests", "lost", "uncompared", "compared_estimated",
		"compared_baseline_cost", "compared_would_cost", "compared_would_output_cost", "cost", "output_tokens"}
	sums := func(from, day string) string {
		return "SELECT " + g.of("c.workload") + ", c.from_provider, c.request_model, c.would_route, toUnixTimestamp(" + day + "), sum(c.requests), sum(c.lost), sum(c.uncompared), sum(c.compared_estimated), sumIf(c.requests, " + cellRouted + "), " +
			nano("sum(c.compared_baseline_cost)") + ", " + nano("sum(c.compared_would_cost)") + ", " + nano("sum(c.compared_would_output_cost)") + ", " + nano("sum(c.cost)") + ", sum(c.output_tokens), max(c.simulated) FROM " + from + " GROUP BY 1, 2, 3, 4, 5"
	}
	all, err := sumOf(ctx, s, "cells", sp, columns, sums, func(row scanner) (c analyzer.Cell, err error) {
		var day uint32
		err = row.Scan(&c.Workload, &c.Provider, &c.RequestModel, &c.WouldRoute, &day, &c.Requests, &c.Lost, &c.Unpriced, &c.Estimated, &c.Routed,
			(*int64)(&c.Baseline), (*int64)(&c.Would), (*int64)(&c.WouldOutput), (*int64)(&c.Cost), &c.OutputTokens, &c.Simulated)
		c.Day = time.Unix(int64(day), 0).UTC()
		return c, err
	})
	slices.SortFunc(all, func(a, b analyzer.Cell) int {
		return cmp.Or(strings.Compare(a.Workload, b.Workload), strings.Compare(a.Provider, b.Provider), strings.Compare(a.RequestModel, b.RequestModel), strings.Compare(a.WouldRoute, b.WouldRoute), a.Day.Compare(b.Day))
	})
	return all, err
}

// Traffic implements dashboards.Data.
func (s *Store) Traffic(ctx context.Context, project string, from, to time.Time) ([]dashboards.Traffic, error) {
	sp, g, err := s.namedSpan(ctx, project, from, to)
	if err != nil {
		return nil, err
	}
	columns := []string{"workload", "provider", "from_provider", "request_model", "served_model", "would_route", "requests", "failed", "lost", "unpriced", "estimated", "fallbacks",
		"cost", "baseline_cost", "would_cost"}
	sums := func(from, day string) string {
		return "SELECT " + g.of("c.workload") + ", toUnixTimestamp(" + day + "), sum(c.requests), sum(c.failed), sum(c.lost), sum(c.unpriced), sum(c.estimated), sumIf(c.requests, " + cellWould + "), sumIf(c.requests, " + cellRouted + "), sum(c.fallbacks), " +
			nano("sum(c.cost)") + ", " + nano("sum(c.baseline_cost)") + ", " + nano("sum(c.would_cost)") + ", " + nano("sumIf(c.baseline_cost, "+cellRouted+")") + ", " + nano("sumIf(c.cost, "+cellRouted+")") + " FROM " + from + " GROUP BY 1, 2"
	}
	all, err := sumOf(ctx, s, "traffic", sp, columns, sums, func(row scanner) (t dashboards.Traffic, err error) {
		var day uint32
		err = row.Scan(&t.Workload, &day, &t.Requests, &t.Failed, &t.Lost, &t.Unpriced, &t.Estimated, &t.WouldRoute, &t.Routed, &t.Fallbacks,
			(*int64)(&t.Cost), (*int64)(&t.Baseline), (*int64)(&t.Would), (*int64)(&t.RoutedBaseline), (*int64)(&t.RoutedCost))
		t.Day = time.Unix(int64(day), 0).UTC()
		return t, err
	})
	slices.SortFunc(all, func(a, b dashboards.Traffic) int {
		return cmp.Or(strings.Compare(a.Workload, b.Workload), a.Day.Compare(b.Day))
	})
	return all, err
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
