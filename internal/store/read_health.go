package store

import (
	"context"
	"fmt"
	"time"
)

// Health is how the store does, in figures.
type Health struct {
	Version       string    // of ClickHouse
	SchemaVersion uint32    // of the tables; see SchemaVersion
	Rows          uint64    // of gnomon.requests, repetitions not yet merged among them
	Parts         uint64    // of all gnomon's tables; thousands mean that merging does not keep up
	DiskBytes     uint64    // of all gnomon's tables
	MemoryBytes   uint64    // that the engine accounts for now
	Newest        time.Time // the newest event's own time; zero without any
}

// Lag is how far the newest stored event is behind now: how fresh what is read
// is, where there is traffic. Zero without any event.
func (h *Health) Lag(now time.Time) time.Duration {
	if h.Newest.IsZero() {
		return 0
	}
	return max(now.Sub(h.Newest), 0)
}

// Health asks the engine about itself.
func (s *Store) Health(ctx context.Context) (Health, error) {
	var h Health
	var memory int64
	row := s.conn.QueryRow(ctx, `SELECT version(),
    (SELECT max(version) FROM gnomon.migrations),
    (SELECT count() FROM gnomon.requests),
    (SELECT count() FROM system.parts WHERE database = 'gnomon' AND active),
    (SELECT sum(bytes_on_disk) FROM system.parts WHERE database = 'gnomon' AND active),
    (SELECT toInt64(sum(value)) FROM system.metrics WHERE metric = 'MemoryTracking')`)
	if err := row.Scan(&h.Version, &h.SchemaVersion, &h.Rows, &h.Parts, &h.DiskBytes, &memory); err != nil {
		return h, fmt.Errorf("ask the store how it does: %w", err)
	}
	h.MemoryBytes = uint64(max(memory, 0))
	var err error
	h.Newest, err = s.lastEvent(ctx)
	return h, err
}
