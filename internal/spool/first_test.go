package spool

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

func event(boot, seq uint64, id [16]byte, ts time.Time) *schemas.RequestEvent {
	return &schemas.RequestEvent{Version: schemas.SchemaVersion, Project: "p", Ts: ts, RequestID: uuid.UUID(id).String(), Revision: 1, BootID: boot, Seq: seq, Status: schemas.StatusOK}
}

func TestARoundTrip(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := [16]byte(uuid.Must(uuid.NewV7()))
	now := time.Now().UTC().Truncate(time.Millisecond)
	seq := s.Begin("p", now, id)
	s.End(event(s.BootID(), seq, id, now))
	s.Begin("p", now, id)
	recs, err := s.Next(context.Background(), 10, 1<<20)
	if err != nil || len(recs) != 1 {
		t.Fatal(recs, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s2, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	recs, err = s2.Next(context.Background(), 10, 1<<20)
	if err != nil || len(recs) != 2 {
		t.Fatal(recs, err)
	}
	for _, r := range recs {
		var ev schemas.RequestEvent
		if err := json.Unmarshal(r.Value, &ev); err != nil {
			t.Fatal(err)
		}
		t.Log(ev.Seq, ev.Status, ev.ErrorType, ev.Revision)
	}
	s2.Acked(&schemas.Ack{BootID: s.BootID(), Ranges: [][2]uint64{{1, 2}}})
	s2.Announced(s2.Heartbeats(time.Now()))
	if err := s2.Close(); err != nil {
		t.Fatal(err)
	}
}
