package store

import (
	"context"
	"time"
)

// Life is a proxy life of which something is missing.
type Life struct {
	BootID    uint64    `json:"boot_id,string"`
	Proxy     string    `json:"proxy"`
	LastHeard time.Time `json:"last_heard"`
	Accepted  uint64    `json:"accepted"` // by its last heartbeat
	Missing   int64     `json:"missing"`  // of those, neither stored nor declared
}

// SilentLives returns the lives of which something is missing and that have said
// nothing since a time, the longest silent first.
func (s *Store) SilentLives(ctx context.Context, since time.Time) ([]Life, error) {
	return query(ctx, s, "proxies that are silent", `SELECT boot_id, proxy, last_heartbeat, accepted, difference FROM gnomon.completeness
WHERE difference > 0 AND last_heartbeat < fromUnixTimestamp64Milli(?) ORDER BY last_heartbeat, boot_id`, func(row scanner) (l Life, err error) {
		return l, row.Scan(&l.BootID, &l.Proxy, &l.LastHeard, &l.Accepted, &l.Missing)
	}, since.UnixMilli())
}
