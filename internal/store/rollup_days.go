package store

import (
	"context"
	"fmt"
	"time"
)

// daysTogether is how many days one statement sums.
const daysTogether = 7

var sumDays = `INSERT INTO gnomon.requests_1d (project, day, summed, ` + each(cellColumns, "cells.%") + `)
WITH ? AS p, arrayMap(s -> toDateTime(toUInt32(s), 'UTC'), ?) AS days, CAST(?, 'Array(UInt64)') AS counts
SELECT p, day, counts[indexOf(days, day)], ` + each(cellColumns, "groupArrayIf(u.%, there)") + `
FROM (
    SELECT true AS there, toStartOfDay(hour) AS day, ` + each(cellDims, "c.% AS %") + ", " + each(cellMeasures, "sum(c.%) AS %") + `
    FROM gnomon.requests_1h FINAL ARRAY JOIN cells AS c WHERE project = p AND toStartOfDay(hour) IN (SELECT arrayJoin(days)) GROUP BY day, ` + each(cellDims, "%") + `
    UNION ALL
    SELECT false, arrayJoin(days), ` + cellNothing() + `
) AS u GROUP BY day` + sparing

// rollupDays sums the hours of days that are over, where the hours have changed
// since: a report over months reads a twentieth of the cells then. A day that is
// not summed is read from its hours.
func (s *Store) rollupDays(ctx context.Context) error {
	type behind struct {
		project string
		day     time.Time
		count   uint64
	}
	days, err := query(ctx, s, "the days to sum", `SELECT project, day, hours_summed FROM gnomon.days
WHERE hours_summed != summed AND (project, day) NOT IN (SELECT project, max(toStartOfDay(hour)) FROM gnomon.requests_1h GROUP BY project) ORDER BY project, day DESC`,
		func(row scanner) (b behind, err error) { return b, row.Scan(&b.project, &b.day, &b.count) })
	if err != nil {
		return err
	}
	for len(days) > 0 {
		var seconds []uint32
		var counts []uint64
		project := days[0].project
		for len(days) > 0 && days[0].project == project && len(seconds) < daysTogether {
			seconds, counts, days = append(seconds, uint32(days[0].day.Unix())), append(counts, days[0].count), days[1:]
		}
		if err := s.conn.Exec(ctx, sumDays, project, seconds, counts); err != nil {
			return fmt.Errorf("sum %d days of %s: %w", len(seconds), project, err)
		}
	}
	return nil
}
