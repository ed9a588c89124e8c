package proxy

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestAClockThatJumpsTouchesNoDurationAndNoID: ts is the machine's clock as it
// was, in a column of its own; how long something took, and who it is, are not.
func TestAClockThatJumpsTouchesNoDurationAndNoID(t *testing.T) {
	var off atomic.Int64
	r := newRig(t, func(c *Config, _ *parts) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	})
	r.up.handle(func(c *call) {
		off.Add(int64(-time.Hour)) // in the middle of the request
		_, _ = c.Write([]byte(ok200("application/json", chatAnswer)))
	})
	ids := map[string]bool{}
	for i, jump := range []time.Duration{0, -time.Hour, 24 * time.Hour} {
		off.Store(int64(jump))
		ask(t, r.addr, post("/v1/chat/completions", `{"model":"gpt-4o","messages":[]}`))
		ev := r.event(i + 1)
		if about := time.Now().Add(jump); ev.Ts.Before(about.Add(-time.Minute)) || ev.Ts.After(about.Add(time.Minute)) {
			t.Errorf("clock off by %v: ts %v", jump, ev.Ts)
		}
		if ev.LatencyMS > 60_000 {
			t.Errorf("clock off by %v: it took %d ms", jump, ev.LatencyMS)
		}
		ids[ev.RequestID] = true
	}
	if len(ids) != 3 {
		t.Errorf("three requests have the ids %v", ids)
	}
}
