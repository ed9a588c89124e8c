package store

import (
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestWhatASilentProxyAcceptedAndNobodyHasIsMissing(t *testing.T) {
	s, project := open(t)
	before, err := s.Accounts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	evs := shapes(project, 20, 31)
	if err := s.InsertRequests(t.Context(), "", evs); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ago            time.Duration
		missing, every int64
	}{{time.Minute, 0, 3}, {Silent + time.Minute, 3, 3}} {
		beat := schemas.Heartbeat{BootID: evs[0].BootID + uint64(c.ago), Proxy: "p", At: time.Now().Add(-c.ago).UTC(), Accepted: 3, Ended: 3, LastSeq: 3}
		if err := s.InsertHeartbeats(t.Context(), "", []schemas.Heartbeat{beat}); err != nil {
			t.Fatal(err)
		}
		a, err := s.Accounts(t.Context())
		if err != nil || a.Missing-before.Missing != c.missing || a.Difference-before.Difference != c.every || int64(a.Accepted) != int64(a.Stored+a.Declared)+a.Difference {
			t.Errorf("%s ago: %+v, before %+v (%v)", c.ago, a, before, err)
		}
		before = a
	}
}

func TestDifferencesOfTheRollupAreFoundAtASecondLook(t *testing.T) {
	s, project := open(t)
	evs := shapes(project, 30, 32)
	if err := s.InsertRequests(t.Context(), "", evs[:20]); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	since := evs[0].Ts.Add(-time.Hour)
	if n, err := s.RollupDiffers(t.Context(), since, time.Millisecond); err != nil || n != 0 {
		t.Errorf("%d hours differ, %v", n, err)
	}
	if err := insert(t.Context(), s, "requests", "", requestColumns, evs[20:]); err != nil {
		t.Fatal(err)
	}
	if n, err := s.RollupDiffers(t.Context(), since, time.Millisecond); err != nil || n == 0 {
		t.Errorf("rows without a note: %d hours differ, %v", n, err)
	}
	if err := s.deliver(t.Context(), evs[20:]); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
}
