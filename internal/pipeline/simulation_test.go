package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The real publisher and the real workers of ingest, on a broker and a store in
// memory that fail as a seed says, in the time of a bubble: minutes of breaks and
// rebalances take milliseconds. What a seed draws is fixed; which of two
// goroutines goes first at the same instant is not, so a seed that fails may need
// a few runs. kafka-go's consumer group speaks over a connection of its own and
// is not in it: the simulation hands partitions out itself, and lets members that
// were put out go on for up to 15 s.

const (
	simEvents     = 120
	simPartitions = 2
	simEnd        = 20 * time.Minute // of simulated time, after which nothing moves any more
)

// simStore counts what a store with tokens would have: a batch whose token it
// has seen is passed over.
type simStore struct {
	b        *simBroker // whose seed it shares
	mu       sync.Mutex
	tokens   map[string]string // what came with a token
	stored   map[string]int    // rows by request id
	declared map[uint64]int    // by sequence
	away     bool
	faults   []string
}

func (s *simStore) take(ctx context.Context, token, content string, apply func()) error {
	s.b.mu.Lock()
	fate, delay := s.b.draw("insert"), time.Duration(1+s.b.draw("insert delay")/5)*time.Millisecond
	if s.b.calm {
		fate = 999
	}
	s.b.mu.Unlock()
	if err := simSleep(ctx, delay); err != nil {
		return err
	}
	s.mu.Lock()
	away := s.away
	s.mu.Unlock()
	switch {
	case away || fate < 100:
		return errStore
	case fate < 120:
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	before, seen := s.tokens[token]
	if seen && before != content {
		s.faults = append(s.faults, fmt.Sprintf("token %s came with %s and with %s", token, before, content))
	}
	if !seen {
		s.tokens[token] = content
		apply()
	}
	s.mu.Unlock()
	switch {
	case fate < 220: // stored, and the answer is lost
		return errStore
	case fate < 240:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (s *simStore) InsertRequests(ctx context.Context, token string, evs []schemas.RequestEvent) error {
	ids := make([]string, len(evs))
	for i := range evs {
		if evs[i].Workload == "refused" {
			return fmt.Errorf("insert: %w", rowError{i})
		}
		ids[i] = strconv.FormatUint(evs[i].Seq, 10)
	}
	return s.take(ctx, token, strings.Join(ids, " "), func() {
		for i := range evs {
			s.stored[evs[i].RequestID]++
		}
	})
}

func (s *simStore) InsertDeclared(ctx context.Context, token string, ds []schemas.Declared) error {
	seqs := make([]string, len(ds))
	for i := range ds {
		seqs[i] = strconv.FormatUint(ds[i].FirstSeq, 10)
	}
	return s.take(ctx, token, strings.Join(seqs, " "), func() {
		for i := range ds {
			s.declared[ds[i].FirstSeq]++
		}
	})
}

func (s *simStore) InsertHeartbeats(context.Context, string, []schemas.Heartbeat) error   { return nil }
func (s *simStore) InsertEvaluations(context.Context, string, []schemas.Evaluation) error { return nil }
func (s *simStore) InsertVerdicts(context.Context, string, []schemas.Verdict) error       { return nil }
func (s *simStore) InsertEvidence(context.Context, string, []schemas.EvidenceRecord) error {
	return nil
}
func (s *simStore) InsertPolicies(context.Context, string, []schemas.Policy) error { return nil }
func (s *simStore) InsertNames(context.Context, string, []schemas.Naming) error    { return nil }
func (s *simStore) InsertSnapshots(context.Context, string, []schemas.SnapshotRecord) error {
	return nil
}

// simulation is one seed.
type simulation struct {
	t     testing.TB
	b     *simBroker
	store *simStore
	sent  map[uint64]string // request id by sequence
	bad   map[uint64]bool   // that cannot be stored
	wait  sync.WaitGroup
}

func (s *simulation) draw(kind string, n int) int {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.b.draw(kind) * n / 1000
}

// publish sends the events in pieces, some of them poison.
func (s *simulation) publish(ctx context.Context) {
	pub := &Publisher{k: s.b.client(s.t, Config{}), base: map[place]int64{}}
	var msgs []Message
	for seq := uint64(1); seq <= simEvents; seq++ {
		ev := newEvent(7, seq)
		switch s.draw("poison", 25) {
		case 0:
			ev.Status, s.bad[seq] = "", true
		case 1:
			ev.Workload, s.bad[seq] = "refused", true
		}
		s.sent[seq] = ev.RequestID
		m := eventMessage(s.t, ev)
		m.Headers = []Header{{headerBoot, []byte("7")}, {headerSeq, strconv.AppendUint(nil, seq, 10)}}
		msgs = append(msgs, m)
		if s.draw("piece", 8) > 0 && seq < simEvents {
			continue
		}
		if pub.Publish(ctx, schemas.TopicRequests, msgs...) != nil {
			return
		}
		msgs = nil
		time.Sleep(time.Duration(s.draw("pause", 3000)) * time.Millisecond)
	}
}

// member is one ingester's hold on a partition.
func (s *simulation) member(ctx context.Context, k *cluster, term, partition int) {
	in := &ingest{k: k, to: s.store, slots: make(chan struct{}, 2), bulk: make(chan struct{}, 2), acks: newAcker(), metrics: newMetrics(nil)}
	in.pub = &Publisher{k: k, base: map[place]int64{}}
	s.wait.Go(func() { in.acks.run(ctx, in.pub) })
	s.wait.Go(func() {
		gen := &kafka.Generation{ID: int32(term), MemberID: strconv.Itoa(term), GroupID: "g",
			Assignments: map[string][]kafka.PartitionAssignment{schemas.TopicRequests: {{ID: partition, Offset: kafka.FirstOffset}}}}
		for ctx.Err() == nil {
			got, err := k.assigned(ctx, gen, schemas.TopicRequests, "g")
			if err == nil {
				roads()[0].worker(in)(ctx, got[0])
				return
			}
			_ = simSleep(ctx, 250*time.Millisecond)
		}
	})
}

// generations shares the partitions anew again and again, with breaks of broker
// and store, then lets all come to rest.
func (s *simulation) generations(ctx context.Context) {
	rounds := 3 + s.draw("rounds", 8)
	for term := 1; term <= rounds+1; term++ {
		last := term == rounds+1
		s.b.mu.Lock()
		s.b.term = int32(term)
		s.b.calm = last
		s.b.mu.Unlock()
		until, cancel := context.WithCancel(ctx)
		for p := range simPartitions {
			k := s.b.client(s.t, Config{MaxBatchRows: 3 + s.draw("rows", 12), Linger: 50 * time.Millisecond, InsertTimeout: 5 * time.Second})
			s.member(until, k, term, p)
		}
		if last {
			defer cancel()
			break
		}
		s.trouble()
		// Who was put out may not know of it for a while.
		late := time.Duration(s.draw("zombie", 15_000)) * time.Millisecond
		s.wait.Go(func() { _ = simSleep(ctx, late); cancel() })
	}
	for !s.done() && simSleep(ctx, time.Second) == nil {
	}
	_ = simSleep(ctx, 30*time.Second) // zombies end, acks are told
}

// trouble is some seconds of one term.
func (s *simulation) trouble() {
	set := func(broker, store bool) {
		s.b.mu.Lock()
		s.b.away = broker
		s.b.mu.Unlock()
		s.store.mu.Lock()
		s.store.away = store
		s.store.mu.Unlock()
	}
	time.Sleep(time.Duration(s.draw("term", 8000)) * time.Millisecond)
	if kind := s.draw("trouble", 4); kind > 0 {
		set(kind&1 > 0, kind&2 > 0)
		time.Sleep(time.Duration(s.draw("outage", 40_000)) * time.Millisecond)
		set(false, false)
	}
}

// done says whether everything that was published is committed.
func (s *simulation) done() bool {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	n := map[string]bool{}
	for p, log := range s.b.topics[schemas.TopicRequests] {
		for _, rec := range log {
			n[string(rec.key)] = true
		}
		if c := s.b.commit[place{schemas.TopicRequests, p}]; c.offset != int64(len(log)) || c.plan != "" {
			return false
		}
	}
	return len(n) == simEvents
}

// judge holds the store against what was sent, and the acks against the store.
func (s *simulation) judge() (faults []string) {
	say := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	faults = append(faults, s.store.faults...)
	if !s.done() {
		say("not at rest after %v", simEnd)
	}
	copies := map[string]int{} // a publisher may send twice; each copy is a row before de-duplication
	for _, log := range s.b.topics[schemas.TopicRequests] {
		for _, rec := range log {
			copies[string(rec.key)]++
		}
	}
	acked := map[uint64]bool{}
	for _, rec := range s.b.topics[schemas.TopicAcks][0] {
		var a schemas.Ack
		if json.Unmarshal(rec.value, &a) != nil || a.BootID != 7 {
			say("an ack that nobody can read: %s", rec.value)
		}
		for _, r := range a.Ranges {
			for seq := r[0]; seq <= r[1]; seq++ {
				acked[seq] = true
			}
		}
	}
	letters := map[string]bool{}
	for _, rec := range s.b.topics[schemas.TopicRequests+schemas.DLQSuffix][0] {
		letters[string(rec.key)] = true
	}
	for seq := uint64(1); seq <= simEvents; seq++ {
		id := s.sent[seq]
		rows, gone := s.store.stored[id], s.store.declared[seq]
		switch {
		case s.bad[seq] && (rows != 0 || gone != copies[id] || !letters[id]):
			say("poison %d: %d rows, declared %d times for %d copies, a letter: %v", seq, rows, gone, copies[id], letters[id])
		case !s.bad[seq] && (rows != copies[id] || gone != 0 || letters[id]):
			say("event %d: %d rows for %d copies, declared %d times, a letter: %v", seq, rows, copies[id], gone, letters[id])
		}
		if acked[seq] && rows == 0 && gone == 0 {
			say("event %d: acknowledged and not in the store", seq)
		}
	}
	return faults
}

// simulate runs one seed; weaken takes safeguards of the broker away.
func simulate(t *testing.T, seed uint64, weaken func(*simBroker)) (faults []string) {
	synctest.Test(t, func(t *testing.T) {
		b := newSimBroker(seed, map[string]int{schemas.TopicRequests: simPartitions, schemas.TopicRequests + schemas.DLQSuffix: 1, schemas.TopicAcks: 1})
		if weaken != nil {
			weaken(b)
		}
		s := &simulation{t: t, b: b, sent: map[uint64]string{}, bad: map[uint64]bool{},
			store: &simStore{b: b, tokens: map[string]string{}, stored: map[string]int{}, declared: map[uint64]int{}}}
		ctx, cancel := context.WithTimeout(t.Context(), simEnd)
		defer cancel()
		s.wait.Go(func() { s.publish(ctx) })
		s.generations(ctx)
		cancel()
		s.wait.Wait()
		faults = s.judge()
	})
	return faults
}

// simSeeds is how many seeds a run takes; SIM_SEEDS sets another number, and
// SIM_SEED one seed alone.
func simSeeds(t *testing.T) (first, n uint64) {
	if v := os.Getenv("SIM_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return seed, 1
	}
	n = 100
	if v := os.Getenv("SIM_SEEDS"); v != "" {
		var err error
		if n, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return 1, n
}

func TestSimulatedFaultsOfBrokerAndStoreLoseNothingAndCountNothingTwice(t *testing.T) {
	first, n := simSeeds(t)
	start := time.Now()
	for seed := first; seed < first+n; seed++ {
		if faults := simulate(t, seed, nil); len(faults) > 0 {
			t.Fatalf("SIM_SEED=%d:\n%s", seed, strings.Join(faults[:min(len(faults), 10)], "\n"))
		}
	}
	t.Logf("%d seeds in %v", n, time.Since(start).Round(time.Millisecond))
}

func TestTheSimulationSeesASafeguardThatIsGone(t *testing.T) {
	for name, weaken := range map[string]func(*simBroker){
		"a batch's cut is not remembered":                func(b *simBroker) { b.forgetsPlans = true },
		"a member that was put out commits all the same": func(b *simBroker) { b.takesOldTerm = true },
	} {
		caught := false
		for seed := uint64(1); seed <= 100 && !caught; seed++ {
			if faults := simulate(t, seed, weaken); len(faults) > 0 {
				caught = true
				t.Logf("%s: seed %d: %s", name, seed, faults[0])
			}
		}
		if !caught {
			t.Errorf("%s: 100 seeds passed", name)
		}
	}
}
