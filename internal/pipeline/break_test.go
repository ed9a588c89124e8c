package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestTwoIngestersShareAndARebalanceLosesNothing(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	cfg.MaxBatchRows = 50
	store := newMemory()
	store.before = func(ctx context.Context, _ string) error { // slow enough for rebalances to hit batches
		select {
		case <-time.After(3 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	const n = 4000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < n; i += 100 {
			var msgs []Message
			for j := range 100 {
				msgs = append(msgs, eventMessage(t, newEvent(9, uint64(i+j+1))))
			}
			publish(t, cfg, schemas.TopicRequests, msgs...)
		}
	}()
	ingesting(t, cfg, store)
	for range 3 {
		before := store.count()
		stop := ingesting(t, cfg, store)
		within(t, 30*time.Second, "progress with two", func() bool { c := store.count(); return c > before+200 || c == n })
		stop()
	}
	<-done
	within(t, 60*time.Second, "all rows", func() bool { return store.count() == n })
	sizes := map[string]int{}
	for _, c := range store.snapshot() {
		if before, ok := sizes[c.token]; ok && before != c.rows {
			t.Errorf("token %s came with %d and with %d rows", c.token, before, c.rows)
		}
		sizes[c.token] = c.rows
	}
}

func TestABrokerThatGoesAndComesLosesNothing(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	sp := openSpool(t, t.TempDir())
	store := newMemory()
	stopIngest := ingesting(t, cfg, store)
	stopShip := shipping(t, cfg, sp)
	ids := record(sp, 200)
	within(t, 20*time.Second, "some rows", func() bool { return store.count() > 0 })
	rounds := 2
	if realKafka() { // each takes a cluster's start
		rounds = 1
	}
	for range rounds {
		b.stop()
		ids = append(ids, record(sp, 200)...)
		b.start()
		ids = append(ids, record(sp, 200)...)
		within(t, 30*time.Second, "all rows", func() bool { return store.count() == len(ids) })
	}
	within(t, 30*time.Second, "all acknowledged", sp.Settled)
	stopShip()
	stopIngest()
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
}

func TestABrokerThatLosesItsFolderCostsNoRecord(t *testing.T) {
	b := newBroker(t)
	b.replicas = 1
	cfg := b.withTopics()
	sp := openSpool(t, t.TempDir())
	stopShip := shipping(t, cfg, sp)
	ids := record(sp, 300)
	within(t, 20*time.Second, "all published", func() bool { return distinct(everything(t, cfg, schemas.TopicRequests)) == 300 })
	b.lose() // nothing was in the store yet
	b.withTopics()
	store := newMemory()
	stopIngest := ingesting(t, cfg, store)
	ids = append(ids, record(sp, 10)...)
	within(t, 30*time.Second, "all rows", func() bool { return store.count() == len(ids) })
	within(t, 30*time.Second, "all acknowledged", sp.Settled)
	stopShip()
	stopIngest()
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatComesUnderTheOffsetsOfALostLogIsStored(t *testing.T) {
	b := newBroker(t)
	b.replicas = 1
	cfg := b.withTopics()
	store := newMemory()
	store.seen = map[string]bool{}
	for i := range 2 {
		stop := ingesting(t, cfg, store)
		m := eventMessage(t, newEvent(1, uint64(i)+1))
		m.Key = []byte("the same partition")
		publish(t, cfg, schemas.TopicRequests, m)
		within(t, 30*time.Second, fmt.Sprintf("row %d", i+1), func() bool { return store.count() == i+1 })
		stop()
		b.lose()
		b.withTopics()
	}
}

func TestAnIdleProxyNoticesThatTheBrokerLostItsFolder(t *testing.T) {
	b := newBroker(t)
	b.replicas = 1
	cfg := b.withTopics()
	sp := openSpool(t, t.TempDir())
	stopShip := shipping(t, cfg, sp)
	ids := record(sp, 30)
	within(t, 20*time.Second, "all published, and a heartbeat", func() bool {
		return distinct(everything(t, cfg, schemas.TopicRequests)) == 30 && len(everything(t, cfg, schemas.TopicHeartbeats)) > 1
	})
	b.lose()
	b.withTopics()
	store := newMemory()
	stopIngest := ingesting(t, cfg, store)
	within(t, 30*time.Second, "all rows", func() bool { return store.count() == len(ids) })
	stopShip()
	stopIngest()
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatABrokerLostIsSentAgainThoughNothingTellsOfTheLoss(t *testing.T) {
	b := newBroker(t)
	b.replicas = 1
	cfg := b.withTopics()
	cfg.ResendAfter = 2 * time.Second
	sp := openSpool(t, t.TempDir())
	stopShip := shipping(t, cfg, sp)
	ids := record(sp, 30)
	within(t, 20*time.Second, "all published", func() bool { return distinct(everything(t, cfg, schemas.TopicRequests)) == 30 })
	stopShip() // with it goes what it knew of offsets: as where others fill the new log first
	b.lose()
	b.withTopics()
	stopShip = shipping(t, cfg, sp)
	store := newMemory()
	stopIngest := ingesting(t, cfg, store)
	within(t, 40*time.Second, "all rows, though nobody's traffic brings an acknowledgement", func() bool { return store.count() == len(ids) })
	stopShip()
	stopIngest()
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
}

func TestEventsThatAreNeverConfirmedAreSentAgain(t *testing.T) {
	b := newBroker(t)
	b.replicas = 1
	cfg := b.withTopics()
	cfg.ResendAfter = 2 * time.Second
	sp := openSpool(t, t.TempDir())
	stopShip := shipping(t, cfg, sp)
	record(sp, 5)
	within(t, 10*time.Second, "five messages", func() bool { return len(everything(t, cfg, schemas.TopicRequests)) == 5 })
	// Acks of others show that an ingest lives; ours never come.
	stopAcks := during(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			publish(t, cfg, schemas.TopicAcks, Message{Value: []byte(`{"boot_id":1,"ranges":[[1,2]]}`)})
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	})
	within(t, 20*time.Second, "ten messages", func() bool { return len(everything(t, cfg, schemas.TopicRequests)) == 10 })
	stopAcks()
	stopShip()
	if err := sp.Close(); err != nil {
		t.Error(err)
	}
}

func TestShipWithoutABrokerEndsInTimeAndKeepsWhatItHas(t *testing.T) {
	dir := t.TempDir()
	sp := openSpool(t, dir)
	cfg := Config{Brokers: []string{"127.0.0.1:1"}, Log: testLog(t), FlushWithin: 300 * time.Millisecond}
	stop := shipping(t, cfg, sp)
	ids := record(sp, 20)
	start := time.Now()
	stop()
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	b := newBroker(t)
	again := openSpool(t, dir)
	store := newMemory()
	withTopics := b.withTopics()
	ingesting(t, withTopics, store)
	stopShip := shipping(t, withTopics, again)
	within(t, 20*time.Second, "all rows", func() bool { return store.count() == len(ids) })
	within(t, 10*time.Second, "the earlier life is done", func() bool { return again.Stats().EarlierLives == 0 })
	stopShip()
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestExpiredOffsetsAreSkippedAndSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSimBroker(1, map[string]int{schemas.TopicRequests: 1})
		b.calm = true
		for i := range 5 {
			b.topics[schemas.TopicRequests][0] = append(b.topics[schemas.TopicRequests][0], simRecord{value: []byte{byte(i)}})
		}
		b.first = 3
		k := b.client(t, Config{})
		var gaps [][2]int64
		r := newReader(k, &assignment{k: k, topic: schemas.TopicRequests, next: 1}, 1<<20)
		r.gap = func(from, to int64) { gaps = append(gaps, [2]int64{from, to}) }
		msgs, err := r.read(t.Context(), time.Second)
		if err != nil || len(msgs) != 2 || msgs[0].Offset != 3 || !slices.Equal(gaps, [][2]int64{{1, 3}}) {
			t.Fatalf("%d messages, missing said to be %v, %v", len(msgs), gaps, err)
		}
	})
}

func TestALogShorterThanWhatWasReadOfItIsReadAnew(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	k, err := connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	var gaps [][2]int64
	r := newReader(k, &assignment{k: k, topic: schemas.TopicPolicies, next: 5}, 1<<20)
	said := r.gap
	r.gap = func(from, to int64) { gaps = append(gaps, [2]int64{from, to}); said(from, to) }
	publish(t, cfg, schemas.TopicPolicies, Message{Key: []byte("a"), Value: []byte("{}")}, Message{Key: []byte("b"), Value: []byte("{}")})
	// Past the end: the log is another one, and read from its start.
	msgs, err := r.read(t.Context(), time.Second)
	if err != nil || len(msgs) != 2 || r.next != 2 {
		t.Fatalf("%d messages, next %d, %v", len(msgs), r.next, err)
	}
	if len(gaps) != 0 {
		t.Errorf("%v", gaps)
	}
}

func TestConsumeHandsNoMessageOutTwiceWhateverEndsIt(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	const n = 3*consumeAhead + 5
	for i := range n {
		publish(t, cfg, schemas.TopicPayloads, Message{Key: []byte("one partition"), Value: []byte{byte(i)}})
	}
	var mu sync.Mutex
	times := map[byte]int{}
	handed := func() (sum int) {
		mu.Lock()
		defer mu.Unlock()
		for _, t := range times {
			sum += t
		}
		return sum
	}
	cut := consumeAhead + 3 // in the middle of what is committed
	for life := range 2 {
		stop := during(t, func(ctx context.Context) error {
			return Consume(ctx, cfg, schemas.TopicPayloads, "g", func(ctx context.Context, m Message) error {
				mu.Lock()
				times[m.Value[0]]++
				full := life == 0 && len(times) == cut
				mu.Unlock()
				if full {
					<-ctx.Done() // its money is spent, and nobody hears of it
				}
				return ctx.Err()
			})
		})
		want := cut
		if life == 1 {
			want = n - consumeAhead + 3
		}
		within(t, 20*time.Second, "what this life is handed", func() bool { return handed() >= want })
		stop()
	}
	mu.Lock()
	defer mu.Unlock()
	for v, t2 := range times {
		if t2 > 1 {
			t.Errorf("message %d was handed out %d times", v, t2)
		}
	}
}

func TestConsumeRepeatsWhatFailsAndRemembersWhatIsDone(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	for i := range 5 {
		publish(t, cfg, schemas.TopicPayloads, Message{Key: []byte{byte(i)}, Value: []byte{byte('a' + i)}})
	}
	var mu sync.Mutex
	var got []string
	var failed atomic.Bool
	consume := func(ctx context.Context) error {
		return Consume(ctx, cfg, schemas.TopicPayloads, "g", func(_ context.Context, m Message) error {
			if string(m.Value) == "c" && failed.CompareAndSwap(false, true) {
				return errStore
			}
			mu.Lock()
			got = append(got, string(m.Value))
			mu.Unlock()
			return nil
		})
	}
	seen := func(n int) func() bool { return func() bool { mu.Lock(); defer mu.Unlock(); return len(got) >= n } }
	stop := during(t, consume)
	within(t, 10*time.Second, "five", seen(5))
	k, err := connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	within(t, 10*time.Second, "the commit", func() bool {
		res, err := k.client.OffsetFetch(t.Context(), &kafka.OffsetFetchRequest{GroupID: "g", Topics: map[string][]int{schemas.TopicPayloads: {0}}})
		return err == nil && res.Topics[schemas.TopicPayloads][0].CommittedOffset == 5
	})
	stop()
	publish(t, cfg, schemas.TopicPayloads, Message{Value: []byte("f")})
	during(t, consume)
	within(t, 20*time.Second, "the sixth", seen(6))
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, []string{"a", "b", "c", "d", "e", "f"}) {
		t.Errorf("%v", got)
	}
}
