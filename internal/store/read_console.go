package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

var _ dashboards.Data = (*Store)(nil)

// settleLook is how long the verdicts of one look may take to arrive.
const settleLook = 30 * time.Second

// Verdicts implements dashboards.Data: those of the latest look. Of a candidate
// that the latest look no longer found, nothing is shown. A look that is still
// arriving does not count yet.
func (s *Store) Verdicts(ctx context.Context, project string) ([]schemas.Verdict, error) {
	type look struct {
		at time.Time
		n  uint64
	}
	looks, err := query(ctx, s, "verdicts", "SELECT computed_at, count() FROM gnomon.verdicts FINAL WHERE project = ? GROUP BY computed_at ORDER BY computed_at DESC LIMIT 2",
		func(row scanner) (l look, err error) { return l, row.Scan(&l.at, &l.n) }, project)
	if err != nil || len(looks) == 0 {
		return nil, err
	}
	latest := looks[0]
	if len(looks) > 1 && latest.n < looks[1].n && time.Since(latest.at) < settleLook {
		latest = looks[1]
	}
	verdicts, err := query(ctx, s, "verdicts", "SELECT record FROM gnomon.verdicts FINAL WHERE project = ? AND computed_at = fromUnixTimestamp64Milli(?) ORDER BY workload, request_model, candidate",
		scanRecord[schemas.Verdict], project, latest.at.UnixMilli())
	if err != nil {
		return nil, err
	}
	g, err := s.named(ctx, project)
	return g.verdicts(verdicts), err
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
	const first = `SELECT workload, version, argMin(record, (offset, at, actor)) AS record FROM gnomon.policies WHERE project = ? GROUP BY workload, version`
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
	c.Lives, err = query(ctx, s, "completeness", `SELECT boot_id, proxy, first_heartbeat, last_heartbeat, accepted + newer, stored, declared, dropped, in_flight
FROM gnomon.completeness ORDER BY last_heartbeat DESC, boot_id`, func(row scanner) (l dashboards.ProxyLife, err error) {
		err = row.Scan(&l.BootID, &l.Proxy, &l.First, &l.Last, &l.Accepted, &l.Stored, &l.Declared, &l.Dropped, &l.InFlight)
		l.First, l.Last = l.First.UTC(), l.Last.UTC()
		return l, err
	})
	if err != nil {
		return c, err
	}
	if c.LastEvent, err = s.lastEvent(ctx); err != nil {
		return c, err
	}
	var n uint64
	var p50, p99 float32
	row := s.conn.QueryRow(ctx, `SELECT sum(requests), quantilesTDigestMerge(0.5, 0.99)(overhead)[1], quantilesTDigestMerge(0.5, 0.99)(overhead)[2]
FROM gnomon.requests_1h FINAL WHERE hour >= now('UTC') - INTERVAL 1 DAY AND requests > 0`)
	if err := row.Scan(&n, &p50, &p99); err != nil {
		return c, fmt.Errorf("read gnomon's own part: %w", err)
	}
	if n > 0 {
		a, b := uint32(p50), uint32(p99)
		c.OverheadP50US, c.OverheadP99US = &a, &b
	}
	return c, nil
}

// lastEvent is the newest stored event's own time; zero without any.
func (s *Store) lastEvent(ctx context.Context) (at time.Time, err error) {
	if err := s.conn.QueryRow(ctx, "SELECT max(ts) FROM gnomon.requests").Scan(&at); err != nil {
		return at, fmt.Errorf("read the newest event: %w", err)
	}
	if at.Unix() == 0 {
		return time.Time{}, nil
	}
	return at.UTC(), nil
}
