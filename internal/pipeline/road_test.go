package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/internal/spool"

	"github.com/gnomon-llm/gnomon/schemas"
)

func publish(t testing.TB, cfg Config, topic string, msgs ...Message) {
	t.Helper()
	p, err := NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Publish(ctx, topic, msgs...); err != nil {
		t.Fatal(err)
	}
}

// distinct counts records: what a broker did not answer for is there twice.
func distinct(msgs []Message) int {
	ids := map[string]bool{}
	for _, m := range msgs {
		ids[m.ID] = true
	}
	return len(ids)
}

// everything reads all partitions of a topic as it stands.
func everything(t testing.TB, cfg Config, topic string) (all []Message) {
	t.Helper()
	k, err := connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	for range 50 { // leaders move
		if all, err = readAll(t.Context(), k, topic); err == nil {
			return all
		}
		k.forget()
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal(err)
	return nil
}

func readAll(ctx context.Context, k *cluster, topic string) (all []Message, err error) {
	n, err := k.partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	for p := range n {
		first, end, err := k.ends(ctx, topic, p)
		if err != nil {
			return nil, err
		}
		for first < end {
			got, err := k.fetch(ctx, topic, p, first, 1<<20, time.Second)
			if err != nil {
				return nil, err
			}
			if len(got.msgs) == 0 {
				continue
			}
			all = append(all, got.msgs...)
			first = got.msgs[len(got.msgs)-1].Offset + 1
		}
	}
	return all, nil
}

func ingesting(t testing.TB, cfg Config, to Inserter) (stop func()) {
	return during(t, func(ctx context.Context) error { return Ingest(ctx, cfg, to) })
}

func shipping(t testing.TB, cfg Config, sp *spool.Spool) (stop func()) {
	return during(t, func(ctx context.Context) error { return Ship(ctx, cfg, sp) })
}

func TestTopicsAreMadeOnceAndChecked(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	if err := EnsureTopics(t.Context(), cfg); err != nil {
		t.Fatalf("again: %v", err)
	}
	k, err := connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	there, err := k.topics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if there[schemas.TopicRequests] != 4 || there[schemas.TopicPolicies] != 1 || there[schemas.TopicRequests+schemas.DLQSuffix] != 1 || len(there) < len(wanted()) {
		t.Errorf("%v", there)
	}
}

func TestALogOfManyPartitionsIsRefused(t *testing.T) {
	b := newBroker(t)
	cfg := b.config()
	k, err := connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	if err := k.create(t.Context(), []kafka.TopicConfig{{Topic: schemas.TopicPolicies, NumPartitions: 3, ReplicationFactor: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := EnsureTopics(t.Context(), cfg); !errors.Is(err, ErrTopic) || !strings.Contains(err.Error(), "3 partitions") {
		t.Errorf("%v", err)
	}
}

func TestABatchThatFailsComesBackAsTheSameBatch(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	store := newMemory()
	failures := map[string]int{}
	store.fail = func(token string, _ int) error {
		if failures[token]++; strings.HasPrefix(token, schemas.TopicRequests) && failures[token] <= 3 {
			return errStore
		}
		return nil
	}
	ingesting(t, cfg, store)
	var msgs []Message
	for i := range 40 {
		msgs = append(msgs, eventMessage(t, newEvent(9, uint64(i+1))))
	}
	publish(t, cfg, schemas.TopicRequests, msgs...)
	within(t, 20*time.Second, "40 rows", func() bool { return store.count() == 40 })
	sizes := map[string]int{}
	for _, c := range store.snapshot() {
		if before, ok := sizes[c.token]; ok && before != c.rows {
			t.Errorf("token %s came with %d and with %d rows", c.token, before, c.rows)
		}
		sizes[c.token] = c.rows
	}
	for token, n := range failures {
		if strings.HasPrefix(token, schemas.TopicRequests) && n != 4 {
			t.Errorf("token %s was tried %d times", token, n)
		}
	}
}

func TestWhileTheStoreRefusesWhatWaitsIsShown(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	registry := prometheus.NewRegistry()
	cfg.Metrics = registry
	store := newMemory()
	var takes atomic.Bool
	store.fail = func(token string, _ int) error {
		if strings.HasPrefix(token, schemas.TopicRequests) && !takes.Load() {
			return errStore
		}
		return nil
	}
	ingesting(t, cfg, store)
	lag := func() int { return int(counted(t, registry, "gnomon_ingest_lag_messages")) }
	send := func(from, to int) {
		var msgs []Message
		for i := from; i < to; i++ {
			msgs = append(msgs, eventMessage(t, newEvent(9, uint64(i+1))))
		}
		publish(t, cfg, schemas.TopicRequests, msgs...)
	}
	send(0, 40)
	within(t, 20*time.Second, "40 waiting", func() bool { return lag() == 40 })
	send(40, 100) // nothing is read of these
	within(t, 30*time.Second, "100 waiting", func() bool { return lag() == 100 })
	takes.Store(true)
	within(t, 30*time.Second, "100 rows, none waiting", func() bool { return store.count() == 100 && lag() == 0 })
}

func TestAKillBetweenInsertAndCommitRepeatsTheSameCut(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	cfg.MaxBatchRows = 7
	var msgs []Message
	for i := range 40 {
		msgs = append(msgs, eventMessage(t, newEvent(9, uint64(i+1))))
	}
	publish(t, cfg, schemas.TopicRequests, msgs...)

	// The first ingester dies inside every first insert: rows stored, answer lost.
	first := newMemory()
	var arrived sync.WaitGroup
	arrived.Add(4)
	first.before = func(ctx context.Context, token string) error {
		if strings.HasPrefix(token, schemas.TopicRequests) {
			arrived.Done()
			<-ctx.Done()
		}
		return ctx.Err()
	}
	c := cfg
	c.Inserts = 4
	var tokens sync.Map
	first.fail = nil
	inner := first.before
	first.before = func(ctx context.Context, token string) error { tokens.Store(token, true); return inner(ctx, token) }
	stop := ingesting(t, c, first)
	arrived.Wait()
	stop()

	// The second cuts differently by its own settings, and still repeats the batches.
	cfg.MaxBatchRows = 1000
	second := newMemory()
	ingesting(t, cfg, second)
	within(t, 20*time.Second, "all rows", func() bool { return second.count() == 40 })
	again := map[string]int{}
	for _, c := range second.snapshot() {
		again[c.token] = c.rows
	}
	tokens.Range(func(token, _ any) bool {
		if rows := again[token.(string)]; rows < 1 || rows > 7 {
			t.Errorf("token %s of the killed ingester came again with %d rows", token, rows)
		}
		return true
	})
}

func TestPoisonGoesToTheDeadLettersAndTheRestGoesOn(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	edit := func(f func(m map[string]any)) []byte {
		var m map[string]any
		_ = json.Unmarshal(eventMessage(t, newEvent(9, 1)).Value, &m)
		f(m)
		v, _ := json.Marshal(m)
		return v
	}
	poisons := []struct {
		reason string
		value  []byte
	}{
		{"not JSON", []byte(`{"schema_version":"1.0",`)},
		{"not JSON", nil},
		{"wrong type: seq", edit(func(m map[string]any) { m["seq"] = "three" })},
		{"wrong type", []byte(`[1,2]`)},
		{"schema version 2.0", edit(func(m map[string]any) { m["schema_version"] = "2.0"; m["seq"] = map[string]any{"of": "another shape"} })},
		{"schema version 2.1", edit(func(m map[string]any) { m["schema_version"] = "2.1" })},
		{"cannot be read", edit(func(m map[string]any) { m["schema_version"] = "one" })},
		{"request_id is missing", edit(func(m map[string]any) { delete(m, "request_id") })},
		{"is not a UUID", edit(func(m map[string]any) { m["request_id"] = "7" })},
		{"project is missing", edit(func(m map[string]any) { m["project"] = "" })},
		{"ts is missing", edit(func(m map[string]any) { delete(m, "ts") })},
		{"out of range", edit(func(m map[string]any) { m["ts"] = "9998-01-01T00:00:00Z" })},
	}
	var msgs []Message
	for i, p := range poisons {
		msgs = append(msgs, Message{Key: []byte("same"), Value: p.value, Headers: []Header{{headerBoot, []byte("9")}, {headerSeq, []byte(fmt.Sprint(100 + i))}}})
	}
	good := newEvent(9, 2)
	msgs = append(msgs, Message{Key: []byte("same"), Value: eventMessage(t, good).Value})
	store := newMemory()
	ingesting(t, cfg, store)
	start := time.Now()
	publish(t, cfg, schemas.TopicRequests, msgs...)
	within(t, 10*time.Second, "the good event", func() bool { return store.count() == 1 })
	t.Log("the good event after", time.Since(start))
	within(t, 10*time.Second, "the dead letters", func() bool { return len(everything(t, cfg, schemas.TopicRequests+schemas.DLQSuffix)) == len(poisons) })
	letters := everything(t, cfg, schemas.TopicRequests+schemas.DLQSuffix)
	for i, p := range poisons {
		l := letters[i]
		if !strings.Contains(l.Header("dlq-reason"), p.reason) || string(l.Value) != string(p.value) || l.Header("dlq-topic") != schemas.TopicRequests ||
			l.Header("dlq-offset") == "" || l.Header("dlq-partition") == "" || l.Header("dlq-time") == "" || string(l.Key) != "same" {
			t.Errorf("%s: letter %q, headers %s", p.reason, l.Value, l.Headers)
		}
	}
	within(t, 5*time.Second, "each poison declared", func() bool { store.mu.Lock(); defer store.mu.Unlock(); return len(store.declared) == len(poisons) })
}

type rowError struct{ at int }

func (e rowError) Error() string { return "value out of range" }
func (e rowError) RowIndex() int { return e.at }

func TestARowTheStoreRefusesIsSetAside(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	registry := prometheus.NewRegistry()
	cfg.Metrics = registry
	store := newMemory()
	bad := newEvent(9, 3)
	picky := &pickyStore{memory: store, bad: bad.RequestID}
	ingesting(t, cfg, picky)
	var msgs []Message
	for i := range 20 {
		ev := newEvent(9, uint64(i+10))
		msgs = append(msgs, Message{Key: []byte("one"), Value: eventMessage(t, ev).Value})
		if i == 7 {
			msgs = append(msgs, Message{Key: []byte("one"), Value: eventMessage(t, bad).Value})
		}
	}
	publish(t, cfg, schemas.TopicRequests, msgs...)
	within(t, 10*time.Second, "20 rows", func() bool { return store.count() == 20 })
	if len(picky.memory.rows[bad.RequestID]) > 0 {
		t.Error("the bad row is in the store")
	}
	within(t, 10*time.Second, "one letter", func() bool {
		l := everything(t, cfg, schemas.TopicRequests+schemas.DLQSuffix)
		return len(l) == 1 && strings.Contains(l[0].Header("dlq-reason"), "value out of range")
	})
	if n := counted(t, registry, "gnomon_ingest_rows_total"); n != 20 {
		t.Errorf("%v rows counted", n)
	}
	if n := counted(t, registry, "gnomon_dead_letters_total"); n != 1 {
		t.Errorf("%v dead letters counted", n)
	}
	if slices.ContainsFunc(store.snapshot(), func(c call) bool { return c.token == picky.refused }) || picky.refused == "" {
		t.Errorf("the batch without the row has the token of the batch with it: %q", picky.refused)
	}
}

func counted(t testing.TB, r prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

type pickyStore struct {
	*memory
	bad     string
	refused string // token of the batch with the bad row
}

func (p *pickyStore) InsertRequests(ctx context.Context, token string, evs []schemas.RequestEvent) error {
	for i := range evs {
		if evs[i].RequestID == p.bad {
			p.refused = token
			return fmt.Errorf("insert: %w", rowError{i})
		}
	}
	return p.memory.InsertRequests(ctx, token, evs)
}

func TestFieldsOfANewerMinorVersionAreKept(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	ev := newEvent(9, 1)
	var m map[string]any
	if err := json.Unmarshal(eventMessage(t, ev).Value, &m); err != nil {
		t.Fatal(err)
	}
	m["schema_version"], m["carbon_g"], m["origin"] = "1.7", 12.5, map[string]any{"region": "eu"}
	value, _ := json.Marshal(m)
	store := newMemory()
	ingesting(t, cfg, store)
	publish(t, cfg, schemas.TopicRequests, Message{Key: []byte("k"), Value: value})
	within(t, 10*time.Second, "the row", func() bool { return store.count() == 1 })
	got := store.rows[ev.RequestID][0]
	if got.Extra != `{"carbon_g":12.5,"origin":{"region":"eu"}}` || got.Workload != "chat" || got.Version != "1.7" {
		t.Errorf("%+v", got)
	}
}

func TestAllRoadsLeadToTheStore(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	now := time.Now().UTC().Truncate(time.Millisecond)
	id := newEvent(1, 1).RequestID
	send := func(topic string, v any) {
		value, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, cfg, topic, Message{Key: []byte("k"), Value: value})
	}
	send(schemas.TopicHeartbeats, schemas.Heartbeat{Version: "1.0", BootID: 3, At: now, Accepted: 4})
	send(schemas.TopicEvaluations, schemas.Evaluation{Version: "1.0", Project: "p", Workload: "w", Candidate: "c", RequestID: id, EvaluationID: id, RequestTs: now, GradedAt: now})
	send(schemas.TopicVerdicts, schemas.Verdict{Version: "1.0", Project: "p", Workload: "w", ComputedAt: now})
	send(schemas.TopicEvidence, schemas.EvidenceRecord{Version: "1.0", Project: "p", Workload: "w", At: now})
	send(schemas.TopicPolicies, schemas.Policy{SchemaVersion: "1.0", Project: "p", Workload: "w", Version: 1, At: now})
	send(schemas.TopicSnapshots, schemas.SnapshotRecord{Version: "1.0", Kind: schemas.KindSnapshot, Hash: 5, At: now, Record: []byte("{}")})
	store := newMemory()
	ingesting(t, cfg, store)
	within(t, 15*time.Second, "one of each", func() bool {
		store.mu.Lock()
		defer store.mu.Unlock()
		return len(store.beats) == 1 && len(store.evals) == 1 && len(store.verdicts) == 1 && len(store.evidence) == 1 && len(store.policies) == 1 && len(store.kept) == 1
	})
}

func TestOneLargeMessageDoesNotFailTheOthers(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	var msgs []Message
	for i := range 100 {
		m := eventMessage(t, newEvent(9, uint64(i+1)))
		if i == 50 {
			m.Value = incompressible(recordBytes + 1000)
		}
		msgs = append(msgs, m)
	}
	publish(t, cfg, schemas.TopicRequests, msgs...)
	if n := len(everything(t, cfg, schemas.TopicRequests)); n != 99 {
		t.Errorf("%d messages", n)
	}
	l := everything(t, cfg, schemas.TopicRequests+schemas.DLQSuffix)
	if len(l) != 1 || !strings.Contains(l[0].Header("dlq-reason"), "oversize") || len(l[0].Value) != recordBytes+1000 || l[0].Header(headerID) != msgs[50].ID {
		t.Errorf("%d letters", len(l))
	}
}

func incompressible(n int) []byte {
	out := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x >> 32)
	}
	return out
}

func TestABacklogIsInsertedInLargeBatches(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	const n = 16_000
	padding, bytes := strings.Repeat("x", 1200), 0
	for seq := uint64(0); seq < n; {
		var msgs []Message
		for range 2000 {
			seq++
			ev := newEvent(5, seq)
			ev.Session = padding
			msgs = append(msgs, eventMessage(t, ev))
		}
		bytes = len(msgs[0].Value)
		publish(t, cfg, schemas.TopicRequests, msgs...)
	}
	cfg.Inserts = 1
	store := newMemory()
	ingesting(t, cfg, store)
	within(t, 30*time.Second, "all rows", func() bool { return store.count() == n })
	largest := 0
	for _, c := range store.snapshot() {
		largest = max(largest, c.rows)
	}
	if small := smallBatch / bytes; largest <= small { // each of four partitions has some 4,000 rows
		t.Errorf("the largest batch has %d rows, a small one %d", largest, small)
	}
}
