package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/internal/spool"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func testLog(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// memory is a store that keeps what it is given, and fails as told.
type memory struct {
	mu       sync.Mutex
	rows     map[string][]schemas.RequestEvent // by request id
	declared []schemas.Declared
	beats    []schemas.Heartbeat
	evals    []schemas.Evaluation
	verdicts []schemas.Verdict
	evidence []schemas.EvidenceRecord
	policies []schemas.Policy
	names    []schemas.Naming
	kept     []schemas.SnapshotRecord
	calls    []call
	fail     func(token string, rows int) error
	before   func(ctx context.Context, token string) error
	seen     map[string]bool // where it is made: rows under a token that was seen are passed over, as ClickHouse does
}

type call struct {
	token string
	rows  int
	err   error
}

func newMemory() *memory { return &memory{rows: map[string][]schemas.RequestEvent{}} }

func (m *memory) enter(ctx context.Context, token string, rows int) error {
	if m.before != nil {
		if err := m.before(ctx, token); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.fail != nil {
		err = m.fail(token, rows)
	}
	m.calls = append(m.calls, call{token, rows, err})
	return err
}

func (m *memory) InsertRequests(ctx context.Context, token string, evs []schemas.RequestEvent) error {
	if err := m.enter(ctx, token, len(evs)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen[token] {
		return nil
	}
	if m.seen != nil {
		m.seen[token] = true
	}
	for _, e := range evs {
		m.rows[e.RequestID] = append(m.rows[e.RequestID], e)
	}
	return nil
}

func take[T any](m *memory, ctx context.Context, token string, in []T, to *[]T) error {
	if err := m.enter(ctx, token, len(in)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	*to = append(*to, in...)
	return nil
}

func (m *memory) InsertDeclared(ctx context.Context, token string, in []schemas.Declared) error {
	return take(m, ctx, token, in, &m.declared)
}
func (m *memory) InsertHeartbeats(ctx context.Context, token string, in []schemas.Heartbeat) error {
	return take(m, ctx, token, in, &m.beats)
}
func (m *memory) InsertEvaluations(ctx context.Context, token string, in []schemas.Evaluation) error {
	return take(m, ctx, token, in, &m.evals)
}
func (m *memory) InsertVerdicts(ctx context.Context, token string, in []schemas.Verdict) error {
	return take(m, ctx, token, in, &m.verdicts)
}
func (m *memory) InsertEvidence(ctx context.Context, token string, in []schemas.EvidenceRecord) error {
	return take(m, ctx, token, in, &m.evidence)
}
func (m *memory) InsertPolicies(ctx context.Context, token string, in []schemas.Policy) error {
	return take(m, ctx, token, in, &m.policies)
}
func (m *memory) InsertNames(ctx context.Context, token string, in []schemas.Naming) error {
	return take(m, ctx, token, in, &m.names)
}
func (m *memory) InsertSnapshots(ctx context.Context, token string, in []schemas.SnapshotRecord) error {
	return take(m, ctx, token, in, &m.kept)
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows)
}

func (m *memory) snapshot() []call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// within polls until the condition holds.
func within(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	if realKafka() {
		limit *= 4
	}
	deadline := time.Now().Add(limit)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// during runs f until the test or stop ends it.
func during(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil {
			t.Errorf("ended with %v", err)
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return stop
}

func newEvent(boot, seq uint64) schemas.RequestEvent {
	return schemas.RequestEvent{
		Version: schemas.SchemaVersion, Project: "acme", Ts: time.Now().UTC().Truncate(time.Millisecond), RequestID: uuid.Must(uuid.NewV7()).String(),
		Revision: 1, BootID: boot, Seq: seq, Status: schemas.StatusOK, Workload: "chat", Mode: schemas.ModeObserve, Arm: schemas.ArmNone,
	}
}

func eventMessage(t testing.TB, ev schemas.RequestEvent) Message {
	t.Helper()
	value, err := json.Marshal(&ev)
	if err != nil {
		t.Fatal(err)
	}
	return Message{Key: []byte(ev.RequestID), Value: value, ID: ev.RequestID}
}

func openSpool(t testing.TB, dir string) *spool.Spool {
	t.Helper()
	sp, err := spool.Open(spool.Config{Dir: dir, Log: testLog(t), SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return sp
}

// record begins and ends n requests.
func record(sp *spool.Spool, n int) (ids []string) {
	for range n {
		ev := newEvent(sp.BootID(), 0)
		ev.Seq = sp.Begin(ev.Project, ev.Ts, uuid.MustParse(ev.RequestID))
		sp.End(&ev)
		ids = append(ids, ev.RequestID)
	}
	return ids
}

func TestEventsGoFromSpoolToStoreAndAreFreed(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	sp := openSpool(t, t.TempDir())
	store := newMemory()
	stopIngest := during(t, func(ctx context.Context) error { return Ingest(ctx, cfg, store) })
	stopShip := during(t, func(ctx context.Context) error { return Ship(ctx, cfg, sp) })
	started := time.Now()
	ids := record(sp, 500)
	within(t, 10*time.Second, "500 rows", func() bool { return store.count() == 500 })
	t.Log("first 500 within", time.Since(started))
	for _, id := range ids {
		if len(store.rows[id]) != 1 {
			t.Errorf("%s: %d rows", id, len(store.rows[id]))
		}
	}
	within(t, 5*time.Second, "all acknowledged", sp.Settled)
	within(t, 5*time.Second, "a heartbeat", func() bool { store.mu.Lock(); defer store.mu.Unlock(); return len(store.beats) > 0 })
	stopShip()
	stopIngest()
	st := sp.Stats()
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	if st.Accepted != 500 || st.Unacked != 0 || st.Dropped != 0 {
		t.Errorf("%+v", st)
	}
}

var errStore = errors.New("the store is tired")

var _ = fmt.Sprint
