package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The columns of a cell of gnomon.requests_1h, by what they do: told apart by,
// counted, summed in money. gnomon.request_measures gives each of one request.
var (
	cellDims = []string{"workload", "team", "provider", "from_provider", "request_model", "served_model", "would_route", "evidence_state", "mode", "arm",
		"policy_version", "simulated"}
	cellCounts = []string{"requests", "failed", "lost", "unpriced", "uncompared", "estimated", "compared_estimated", "fallbacks",
		"input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"}
	cellMoney = []string{"cost", "list_cost", "baseline_cost", "would_cost", "compared_baseline_cost", "compared_would_cost", "compared_would_output_cost"}

	cellMeasures = slices.Concat(cellCounts, cellMoney)
	cellColumns  = slices.Concat(cellDims, cellMeasures)
)

// each writes a list of SQL, one item per name; "%" stands for the name.
func each(names []string, form string) string {
	items := make([]string, len(names))
	for i, n := range names {
		items[i] = strings.ReplaceAll(form, "%", n)
	}
	return strings.Join(items, ", ")
}

// cellLists are the lists of columns that the views' texts have places for.
func cellLists() []string {
	types := make([]string, len(cellColumns))
	for i, name := range cellColumns {
		typ := "LowCardinality(String)"
		switch {
		case name == "policy_version":
			typ = "UInt32"
		case name == "simulated":
			typ = "Bool"
		case slices.Contains(cellCounts, name):
			typ = "UInt64"
		case slices.Contains(cellMoney, name):
			typ = "Decimal(38, 9)"
		}
		types[i] = name + " " + typ
	}
	return []string{
		"/*cell types*/", strings.Join(types, ",\n        "), "/*columns*/", each(cellColumns, "%"), "/*cell columns*/", each(cellColumns, "c.% AS %"),
		"/*dims*/", each(cellDims, "%"), "/*sums*/", each(cellMeasures, "sum(u.%) AS %"), "/*unsummed*/", each(cellMeasures, "u.%"),
	}
}

// deliver counts what was sent, by project and hour, once it is stored. Whoever
// gets an error sends the rows again, and they are counted again: the count has
// to change whenever the rows may have, and means nothing else.
func (s *Store) deliver(ctx context.Context, evs []schemas.RequestEvent) error {
	type key struct {
		project string
		hour    int64
	}
	counts := map[key]uint64{}
	for i := range evs {
		counts[key{evs[i].Project, floorHour(evs[i].Ts.Unix())}]++
	}
	var projects []string
	var hours []int64
	var sent []uint64
	for k, n := range counts {
		projects, hours, sent = append(projects, k.project), append(hours, k.hour*1000), append(sent, n)
	}
	// The hour is the server's, which is what the rows are found by.
	err := s.conn.Exec(ctx, `INSERT INTO gnomon.deliveries (project, hour, delivered)
SELECT d.1, toStartOfHour(fromUnixTimestamp64Milli(d.2, 'UTC')), d.3 FROM (SELECT arrayJoin(arrayZip(?, arrayMap(h -> toInt64(h), ?), arrayMap(n -> toUInt64(n), ?))) AS d)
SETTINGS insert_deduplicate = 0, async_insert = 0`, projects, hours, sent)
	if err != nil {
		return fmt.Errorf("count %d delivered rows: %w", len(evs), err)
	}
	return nil
}

func floorHour(sec int64) int64 { return sec - ((sec%3600)+3600)%3600 }

// HourBehind is an hour of a project whose rollup was computed from less than
// what was delivered.
type HourBehind struct {
	Project           string
	Hour              time.Time
	Delivered, Summed uint64
}

// HoursBehind lists the hours whose rollup has to be computed: newest months first, by project.
func (s *Store) HoursBehind(ctx context.Context) ([]HourBehind, error) {
	return query(ctx, s, "the hours to sum", "SELECT project, hour, delivered, summed FROM gnomon.hours_behind ORDER BY toStartOfMonth(hour) DESC, project, hour DESC", func(row scanner) (h HourBehind, err error) {
		err = row.Scan(&h.Project, &h.Hour, &h.Delivered, &h.Summed)
		h.Hour = h.Hour.UTC()
		return h, err
	})
}

// rollupRows is how many rows one statement sums at most, but for an hour that
// has more.
const rollupRows = 1_000_000

// Rollup computes the rollup of every hour that is behind, newest month first, and
// of the days whose hours have changed, and returns how many hours it did. It may be ended at any point, and run by several
// processes: an hour's row replaces the one before as a whole, and the one that
// was computed from more is kept. An hour that cannot be summed is left behind,
// and read from its rows.
func (s *Store) Rollup(ctx context.Context) (done int, err error) {
	behind, err := s.HoursBehind(ctx)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	failed := s.failed
	s.failed = map[time.Time]bool{}
	s.mu.Unlock()
	// What could not be summed the last time comes last: it must not hold up others.
	slices.SortStableFunc(behind, func(a, b HourBehind) int { return btoi(failed[a.Hour]) - btoi(failed[b.Hour]) })
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, h := range behind { // not come to in this pass
			if failed[h.Hour] {
				s.failed[h.Hour] = true
			}
		}
	}()
	var errs []error
	for len(behind) > 0 && ctx.Err() == nil && len(errs) < rollupErrors {
		n := together(behind)
		if len(errs) > 0 { // one of several hours may be what stands in the way
			n = 1
		}
		err := s.rollup(ctx, behind[:n])
		if err != nil && n > 1 {
			err = s.rollup(ctx, behind[:1])
			n = 1
		}
		if err != nil {
			errs = append(errs, err)
			s.mu.Lock()
			s.failed[behind[0].Hour] = true
			s.mu.Unlock()
		} else {
			done += n
		}
		behind = behind[n:]
	}
	if ctx.Err() == nil {
		errs = append(errs, s.rollupDays(ctx))
	}
	return done, errors.Join(append(errs, ctx.Err())...)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// rollupErrors is after how many hours that cannot be summed a pass is given up.
const rollupErrors = 3

// together is how many of the first hours one statement takes: of one project
// and month, up to rollupRows.
func together(behind []HourBehind) int {
	n, rows := 0, uint64(0)
	for n < len(behind) && behind[n].Project == behind[0].Project && behind[n].Hour.Month() == behind[0].Hour.Month() {
		if rows += behind[n].Delivered; n > 0 && rows > rollupRows {
			break
		}
		n++
	}
	return max(n, 1)
}

// rollup computes hours of one project. The count of each was read before its
// rows are: what comes meanwhile leaves the hour behind.
func (s *Store) rollup(ctx context.Context, hours []HourBehind) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	seconds, delivered := make([]uint32, len(hours)), make([]uint64, len(hours))
	for i, h := range hours {
		seconds[i], delivered[i] = uint32(h.Hour.Unix()), h.Delivered
	}
	for _, sql := range []string{sumSequences, sumRejects, sumCells} { // the last one ends it
		if err := s.conn.Exec(ctx, sql, hours[0].Project, seconds, delivered); err != nil {
			return fmt.Errorf("sum %d hours of %s until %s: %w", len(hours), hours[0].Project, hours[0].Hour.Format(time.RFC3339), err)
		}
	}
	return nil
}

// summed gives the statements their parameters: project, hours and counts.
const summed = `WITH ? AS p, arrayMap(s -> toDateTime(toUInt32(s), 'UTC'), ?) AS hours, CAST(?, 'Array(UInt64)') AS counts
`

// Rows are read in small blocks by one thread: ingest inserts at the same time,
// and memory is what the engine has least of.
const sparing = "\nSETTINGS max_block_size = 16384, max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = 64, insert_deduplicate = 0"

var (
	sumSequences = `INSERT INTO gnomon.sequences_1h (project, hour, boot_id, delivered, known, stored)
` + summed + `SELECT project, toStartOfHour(ts) AS h, boot_id, counts[indexOf(hours, h)], groupBitmapState(seq), groupBitmapStateIf(seq, status != 'lost')
FROM gnomon.requests WHERE project = p AND toStartOfHour(ts) IN (SELECT arrayJoin(hours)) GROUP BY project, h, boot_id` + sparing

	sumRejects = `INSERT INTO gnomon.rejects_1h (project, hour, delivered, ` + each(rejectColumns, "cells.%") + `)
` + summed + `SELECT p, hour, counts[indexOf(hours, hour)], ` + each(rejectColumns, "groupArray(r.%)") + `
FROM (SELECT hour, ` + each(rejectDims, "%") + `, count() AS requests FROM (` + rejectRows + ` AND project = p AND toStartOfHour(ts) IN (SELECT arrayJoin(hours))) WHERE reject != 0 GROUP BY hour, ` + each(rejectDims, "%") + `) AS r
GROUP BY hour` + sparing

	// An hour without any row has one too, or it would stay behind.
	sumCells = `INSERT INTO gnomon.requests_1h (project, hour, delivered, requests, first_ts, last_ts, simulated, overhead, ` + each(cellColumns, "cells.%") + `)
` + summed + `SELECT p, hour, counts[indexOf(hours, hour)], sumIf(u.requests, there), minIf(first_ts, there), maxIf(last_ts, there), max(simulated AND there), quantilesTDigestMergeState(0.5, 0.99)(u.overhead), ` +
		each(cellColumns, "groupArrayIf(u.%, there)") + `
FROM (
    SELECT true AS there, hour, min(ts) AS first_ts, max(ts) AS last_ts, quantilesTDigestStateIf(0.5, 0.99)(m.overhead_us, m.lost = 0) AS overhead, ` + each(cellDims, "%") + ", " + each(cellMeasures, "sum(m.%) AS %") + `
    FROM gnomon.request_measures AS m WHERE project = p AND hour IN (SELECT arrayJoin(hours)) GROUP BY hour, ` + each(cellDims, "%") + `
    UNION ALL
    SELECT false, arrayJoin(hours), toDateTime64(0, 3, 'UTC'), toDateTime64(0, 3, 'UTC'), arrayReduce('quantilesTDigestState(0.5, 0.99)', CAST([], 'Array(UInt32)')), ` + cellNothing() + `
) AS u GROUP BY hour` + sparing
)

// cellNothing is an empty value for each column of a cell.
func cellNothing() string {
	items := make([]string, len(cellColumns))
	for i, name := range cellColumns {
		items[i] = "0"
		switch {
		case name == "simulated":
			items[i] = "false"
		case name != "policy_version" && slices.Contains(cellDims, name):
			items[i] = "''"
		}
	}
	return strings.Join(items, ", ")
}

// rejectDims tell the cells of gnomon.rejects_1h apart.
var (
	rejectDims    = []string{"workload", "from_provider", "request_model", "candidate", "rank", "would", "reject"}
	rejectColumns = append(slices.Clone(rejectDims), "requests")
)

// rejectRows is a row per request and candidate that was not chosen; those that
// were have reject 0.
const rejectRows = `SELECT toStartOfHour(ts) AS hour, workload, ` + baseProvider + ` AS from_provider, request_model, ` + notBaseline + ` AS would,
    arrayJoin(arrayZip(if(empty(candidates), [''], candidates), if(empty(candidates), [baseline_reject], rejects), arrayEnumerate(if(empty(candidates), [''], candidates)))) AS one,
    one.1 AS candidate, one.2 AS reject, toUInt16(one.3 - 1) AS rank
FROM gnomon.requests FINAL WHERE status != 'lost' AND (empty(candidates) OR length(candidates) = length(rejects))`

// Pace of KeepRollup: it rests rollupRest times as long as it worked, so that an
// hour of millions of rows is not summed all the time while it fills. Readers take
// from the rows meanwhile what the rollup has not.
const (
	rollupEvery = 2 * time.Second
	rollupRest  = 10
)

// KeepRollup computes the rollup of hours as they change, until ctx ends.
func (s *Store) KeepRollup(ctx context.Context) {
	said := ""
	for {
		began := time.Now()
		n, err := s.Rollup(ctx)
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && err.Error() != said:
			said = err.Error()
			s.log.Error("hours could not be summed: they are read from their rows until they are", "err", err)
		case err == nil:
			said = ""
		}
		if n > 0 {
			s.log.Debug("summed", "hours", n, "took", took)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(rollupEvery, min(rollupRest*took, 5*time.Minute))):
		}
	}
}
