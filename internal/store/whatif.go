package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/schemas"
)

var _ whatif.Log = (*Store)(nil)

// WhatIf implements whatif.Log: the log summed by what a decision reads, in one
// pass. A score falls into the bucket of the lowest bound that admits it; a
// prompt into the class of the smallest size that holds it; what is beyond the
// last is in the one after it.
func (s *Store) WhatIf(ctx context.Context, project string, from, to time.Time, scores []uint16, sizes []uint32) ([]whatif.Cell, error) {
	g, err := s.named(ctx, project)
	if err != nil {
		return nil, err
	}
	sql := `SELECT ` + g.of("workload") + ` AS workload, ` + baseProvider + ` AS p, request_model, dialect, operation, service_tier, bypassed, baseline_reject = ` + fmt.Sprint(uint16(schemas.RejectClassifier)) + ` AS failed, gates,
    ` + placeOf("toUInt32(round(score * 65535))", scores) + ` AS bucket, ` + placeOf("input_tokens", sizes) + ` AS class, toStartOfDay(ts) AS day,
    status = 'lost' AS lost, held = '` + string(schemas.HeldNovel) + `' AS novel, baseline_cost IS NOT NULL AND audio_input_tokens + audio_output_tokens = 0 AS priced,
    count(), max(input_tokens), sum(input_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(cache_write_1h_tokens), sum(output_tokens),
    sum(ifNull(baseline_cost, 0)), max(simulated)
FROM gnomon.requests FINAL WHERE ` + between + `
GROUP BY workload, p, request_model, dialect, operation, service_tier, bypassed, failed, gates, bucket, class, day, lost, novel, priced`
	cells, err := query(ctx, s, "what would have been", sql, func(row scanner) (c whatif.Cell, err error) {
		var gates uint64
		err = row.Scan(&c.Workload, &c.Provider, &c.RequestModel, &c.Dialect, &c.Operation, &c.Tier, &c.Bypassed, &c.Failed, &gates, &c.Bucket, &c.Class, &c.Day, &c.Lost, &c.Novel, &c.Priced,
			&c.Requests, &c.Longest, &c.Tokens.Input, &c.Tokens.CacheRead, &c.Tokens.CacheWrite, &c.Tokens.CacheWrite1h, &c.Tokens.Output, (*sum)(&c.Baseline), &c.Simulated)
		c.Gates, c.Day = schemas.Gate(gates), day(c.Day)
		return c, err
	}, project, from.UnixMilli(), to.UnixMilli())
	return cells, err
}

// placeOf is SQL for the index of the first bound that is not below x, or their
// number: a binary search, unrolled.
func placeOf[T uint16 | uint32](x string, bounds []T) string {
	if len(bounds) == 0 {
		return "toUInt16(0)"
	}
	list := make([]string, len(bounds))
	for i, b := range bounds {
		list[i] = fmt.Sprint(b)
	}
	// roundDown gives the largest bound that is below x; −1 where there is none.
	all := "[-1, " + strings.Join(list, ", ") + "]"
	return "toUInt16(indexOf(" + all + ", roundDown(toInt64(" + x + ") - 1, " + all + ")) - 1)"
}
