package pipeline

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Second records go beside the spool: before, behind and among the first ones.
// Whatever order they come in, the store has the highest revision of each, the
// spool is freed of all, and nothing is declared.
func TestSecondRecordsLeaveTheAccountsOfTheSpoolAlone(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	sp := openSpool(t, t.TempDir())
	store := newMemory()
	pub, err := NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pub.Close() })
	const n = 300
	var second []schemas.RequestEvent
	for range n {
		ev := newEvent(sp.BootID(), 0)
		ev.Seq = sp.Begin(ev.Project, ev.Ts, uuid.MustParse(ev.RequestID))
		sp.End(&ev)
		ev.Revision, ev.UsageSource, ev.OutputTokens = 2, schemas.UsageTokenizer, 7
		second = append(second, ev)
	}
	amend := func(from, to int) {
		for i := from; i < to; i++ {
			if err := pub.Amend(t.Context(), &second[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	ingested := during(t, func(ctx context.Context) error { return Ingest(ctx, cfg, store) })
	amend(0, n/3)
	within(t, 10*time.Second, "second records without their first", func() bool { return store.count() == n/3 })
	shipped := during(t, func(ctx context.Context) error { return Ship(ctx, cfg, sp) })
	amend(n/3, 2*n/3)
	within(t, 10*time.Second, "all requests", func() bool { return store.count() == n })
	amend(2*n/3, n)
	amend(0, 10) // a broker that does not answer makes a publisher repeat itself
	highest := func() (twos int) {
		store.mu.Lock()
		defer store.mu.Unlock()
		for _, rows := range store.rows {
			for _, r := range rows {
				if r.Revision == 2 && r.OutputTokens == 7 {
					twos++
					break
				}
			}
		}
		return twos
	}
	within(t, 10*time.Second, "every second record", func() bool { return highest() == n })
	within(t, 5*time.Second, "all acknowledged", sp.Settled)
	shipped()
	ingested()
	st := sp.Stats()
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	if st.Accepted != n || st.Ended != n || st.Unacked != 0 || st.Dropped != 0 || len(store.declared) != 0 || store.count() != n {
		t.Errorf("%+v, %d declared, %d requests", st, len(store.declared), store.count())
	}
	for _, ev := range second {
		for _, r := range store.rows[ev.RequestID] {
			if r.Seq != ev.Seq || r.BootID != ev.BootID || !r.Ts.Equal(ev.Ts) {
				t.Fatalf("%s is another request's: %+v", ev.RequestID, r)
			}
		}
	}
}
