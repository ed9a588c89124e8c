package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// A person who is wrong about a disk must cost nothing.
func TestADiskThatWasDeclaredLostAndComesBackLosesNothing(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	store := newMemory()
	sp := openSpool(t, t.TempDir())
	ingesting(t, cfg, store)
	during(t, func(ctx context.Context) error { return Ship(ctx, cfg, sp) })
	// An acknowledgement that is read after this would free what it speaks of.
	within(t, 20*time.Second, "a heartbeat", func() bool { store.mu.Lock(); defer store.mu.Unlock(); return len(store.beats) > 0 })
	if err := DeclareLost(t.Context(), cfg, sp.BootID(), 3, time.Now()); err != nil {
		t.Fatal(err)
	}
	var got []schemas.Declared
	within(t, 20*time.Second, "the declaration", func() bool {
		store.mu.Lock()
		defer store.mu.Unlock()
		got = store.declared
		return len(got) == 1
	})
	if d := got[0]; d.BootID != sp.BootID() || d.FirstSeq != 1 || d.LastSeq != 3 || d.Reason != schemas.ReasonDiskLost {
		t.Errorf("%+v", d)
	}
	time.Sleep(3 * ackEvery) // none comes: there is nothing to wait for
	record(sp, 3)
	within(t, 20*time.Second, "the rows", func() bool { return store.count() == 3 })
	within(t, 20*time.Second, "their acknowledgement", sp.Settled)
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
}
