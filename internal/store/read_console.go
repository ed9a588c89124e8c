package store

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

var _ dashboards.Data = (*Store)(nil)

// Traffic implements dashboards.Data.
func (s *Store) Traffic(ctx context.Context, project string, from, to time.Time) ([]dashboards.Traffic, error) {
	const sql = `SELECT workload, toStartOfDay(ts) AS day, count(), countIf(status NOT IN ('ok', 'lost')), countIf(status = 'lost'), countIf(status != 'lost' AND cost IS NULL),
    countIf(usage_source = 'estimated'), countIf(` + notBaseline + `), countIf(` + routed + `), countIf(fallback),
    sum(ifNull(cost, 0)), sum(ifNull(baseline_cost, 0)), sum(ifNull(would_cost, 0)), sumIf(ifNull(baseline_cost, 0), ` + routed + `), sumIf(ifNull(cost, 0), ` + routed + `)
FROM gnomon.requests FINAL WHERE ` + between + ` GROUP BY workload, day ORDER BY workload, day`
	return query(ctx, s, "traffic", sql, func(row scanner) (t dashboards.Traffic, err error) {
		var cost, baseline, would, routedBaseline, routedCost decimal.Decimal
		err = row.Scan(&t.Workload, &t.Day, &t.Requests, &t.Failed, &t.Lost, &t.Unpriced, &t.Estimated, &t.WouldRoute, &t.Routed, &t.Fallbacks,
			&cost, &baseline, &would, &routedBaseline, &routedCost)
		t.Day = day(t.Day)
		t.Cost, t.Baseline, t.Would, t.RoutedBaseline, t.RoutedCost = money(cost), money(baseline), money(would), money(routedBaseline), money(routedCost)
		return t, err
	}, project, from.UnixMilli(), to.UnixMilli())
}

// Verdicts implements dashboards.Data: the latest of each candidate. Of a
// candidate that the latest look no longer found, nothing is shown.
func (s *Store) Verdicts(ctx context.Context, project string) ([]schemas.Verdict, error) {
	const sql = `SELECT record FROM gnomon.verdicts FINAL
WHERE project = ? AND computed_at = (SELECT max(computed_at) FROM gnomon.verdicts WHERE project = ?) ORDER BY workload, request_model, candidate`
	return query(ctx, s, "verdicts", sql, scanRecord[schemas.Verdict], project, project)
}

func scanRecord[T any](row scanner) (v T, err error) {
	var raw string
	if err = row.Scan(&raw); err == nil {
		err = json.Unmarshal([]byte(raw), &v)
	}
	return v, err
}

// Policies implements dashboards.Data.
func (s *Store) Policies(ctx context.Context, project, workload string) ([]schemas.Policy, error) {
	const first = `SELECT workload, version, argMin(record, at) AS record FROM gnomon.policies WHERE project = ? GROUP BY workload, version`
	if workload != "" {
		return query(ctx, s, "policies", "SELECT record FROM ("+first+") WHERE workload = ? ORDER BY version DESC", scanRecord[schemas.Policy], project, workload)
	}
	return query(ctx, s, "policies", "SELECT argMax(record, version) FROM ("+first+") GROUP BY workload ORDER BY workload", scanRecord[schemas.Policy], project)
}

// Completeness implements dashboards.Data. Proxy lives are not of a project:
// the same numbers are shown for each.
func (s *Store) Completeness(ctx context.Context, _ string) (dashboards.Completeness, error) {
	c := dashboards.Completeness{At: time.Now().UTC()}
	var err error
	c.Lives, err = query(ctx, s, "completeness", `SELECT boot_id, proxy, first_heartbeat, last_heartbeat, accepted, stored, declared, dropped, in_flight
FROM gnomon.completeness ORDER BY last_heartbeat DESC`, func(row scanner) (l dashboards.ProxyLife, err error) {
		err = row.Scan(&l.BootID, &l.Proxy, &l.First, &l.Last, &l.Accepted, &l.Stored, &l.Declared, &l.Dropped, &l.InFlight)
		l.First, l.Last = l.First.UTC(), l.Last.UTC()
		// Rows may overtake heartbeats on their other road.
		l.Accepted = max(l.Accepted, l.Stored+l.Declared)
		return l, err
	})
	if err != nil {
		return c, err
	}
	var n uint64
	var p50, p99 float32
	row := s.conn.QueryRow(ctx, `SELECT count(), max(ts), quantileTDigest(0.5)(overhead_us), quantileTDigest(0.99)(overhead_us) FROM gnomon.requests
WHERE status != 'lost' AND ts >= now() - INTERVAL 1 DAY`)
	if err := row.Scan(&n, &c.LastEvent, &p50, &p99); err != nil {
		return c, fmt.Errorf("read freshness: %w", err)
	}
	c.LastEvent = c.LastEvent.UTC()
	if n > 0 {
		a, b := uint32(p50), uint32(p99)
		c.OverheadP50US, c.OverheadP99US = &a, &b
	} else {
		c.LastEvent = time.Time{}
	}
	return c, nil
}

// Query runs any statement that the user behind the DSN may run, and returns
// plain values: decimals and ids as text, exactly.
func (s *Store) Query(ctx context.Context, sql string) (*Rows, error) {
	rows, err := s.conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	r := &Rows{Columns: rows.Columns()}
	types := rows.ColumnTypes()
	for rows.Next() {
		pointers := make([]any, len(types))
		for i, t := range types {
			pointers[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(pointers...); err != nil {
			return nil, err
		}
		line := make([]any, len(pointers))
		for i, p := range pointers {
			line[i] = plain(reflect.ValueOf(p).Elem())
		}
		r.Rows = append(r.Rows, line)
	}
	return r, rows.Err()
}

// plain is a value as JSON and tables should show it.
func plain(v reflect.Value) any {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case decimal.Decimal:
		return x.String()
	case uuid.UUID:
		return x.String()
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano)
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 {
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return slices.Clip(list)
	}
	return v.Interface()
}

// Routed counts requests that a candidate served under a version of the policy.
func (s *Store) Routed(ctx context.Context, project, workload string, version uint32) (n uint64, err error) {
	row := s.conn.QueryRow(ctx, "SELECT count() FROM gnomon.requests FINAL WHERE project = ? AND workload = ? AND policy_version = ? AND "+routed, project, workload, version)
	if err = row.Scan(&n); err != nil {
		err = fmt.Errorf("count routed requests: %w", err)
	}
	return n, err
}
