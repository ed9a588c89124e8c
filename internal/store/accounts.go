package store

import (
	"context"
	"fmt"
	"time"
)

// Silent is how long a proxy life may say nothing until what it accepted and
// nobody has is called missing.
const Silent = 10 * time.Minute

// Accounts say whether everything is accounted for, over all proxy lives.
type Accounts struct {
	Accepted, Stored, Declared uint64 // accepted = stored + declared + difference
	Difference                 int64  // on its way, or missing
	Missing                    int64  // the part of it that belongs to lives that have been Silent
	HoursBehind                uint64 // whose rollup is still to be computed; readers take them from their rows
}

// Accounts reads them from gnomon.completeness and gnomon.hours_behind.
func (s *Store) Accounts(ctx context.Context) (a Accounts, err error) {
	row := s.conn.QueryRow(ctx, `SELECT sum(c.accepted + c.newer), sum(c.stored), sum(c.declared), sum(c.difference), sumIf(c.difference, last_heartbeat < fromUnixTimestamp64Milli(?)),
    (SELECT count() FROM gnomon.hours_behind) FROM gnomon.completeness AS c`, time.Now().Add(-Silent).UnixMilli())
	if err = row.Scan(&a.Accepted, &a.Stored, &a.Declared, &a.Difference, &a.Missing, &a.HoursBehind); err != nil {
		err = fmt.Errorf("read what is accounted for: %w", err)
	}
	return a, err
}

// RollupDiffers counts the hours since a time whose rollup is not what their rows
// give. It reads all rows of that time. An hour that changes while it is read is
// no difference: what is found is looked at again after again.
func (s *Store) RollupDiffers(ctx context.Context, since time.Time, again time.Duration) (hours uint64, err error) {
	look := func() (found []string, err error) {
		return query(ctx, s, "differences of the rollup", "SELECT concat(project, ' ', toString(hour)) FROM gnomon.rollup_differences WHERE hour >= toStartOfHour(fromUnixTimestamp64Milli(?))",
			func(row scanner) (name string, err error) { return name, row.Scan(&name) }, since.UnixMilli())
	}
	first, err := look()
	if err != nil || len(first) == 0 {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(again):
	}
	second, err := look()
	seen := map[string]bool{}
	for _, name := range first {
		seen[name] = true
	}
	for _, name := range second {
		if seen[name] {
			hours++
		}
	}
	return hours, err
}
