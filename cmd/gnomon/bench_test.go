package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/schemas"
)

// benchEvent is a request as a proxy records it: 1.5 KB of JSON, random ids.
func benchEvent(i int, start time.Time) schemas.RequestEvent {
	cost := schemas.KnownUSD(schemas.NanoUSD(1_000_000 + i%9_999_991))
	ttft := uint32(200 + i%900)
	return schemas.RequestEvent{
		Version: schemas.SchemaVersion, Project: "bench", Ts: start.Add(time.Duration(i) * time.Millisecond), RequestID: uuid.Must(uuid.NewV7()).String(), Revision: 1, BootID: 7, Seq: uint64(i + 1),
		Status: schemas.StatusOK, Workload: fmt.Sprint("workload-", i%12), Feature: fmt.Sprint("workload-", i%12), Team: "support", UserID: fmt.Sprint("user-", i%997), Session: uuid.NewString()[:16],
		TraceID: uuid.NewString(), Dialect: "openai.chat", Operation: "chat", Provider: "openai", RequestModel: "gpt-4o", ServedModel: "gpt-4o", ResponseModel: "gpt-4o-2024-11-20",
		ResponseID: "chatcmpl-" + uuid.NewString(), Mode: schemas.ModeObserve, Arm: schemas.ArmNone, HTTPStatus: 200, FinishReason: "stop", UsageSource: schemas.UsageProvider,
		Cost: cost, ListCost: cost, BaselineCost: cost, WouldCost: cost, WouldRoute: "openai/gpt-4o-mini", Candidates: []string{"openai/gpt-4o-mini"}, Rejects: []schemas.Reject{schemas.RejectNone},
		Inputs: []byte(uuid.NewString() + uuid.NewString()), LatencyMS: uint32(300 + i%9000), TTFTMS: &ttft, OverheadUS: 60, Usage: schemas.Usage{InputTokens: uint32(i % 5000), OutputTokens: 321},
	}
}

// countingStore counts the rows that the store has taken.
type countingStore struct {
	*store.Store
	rows atomic.Int64
}

func (c *countingStore) InsertRequests(ctx context.Context, token string, evs []schemas.RequestEvent) error {
	err := c.Store.InsertRequests(ctx, token, evs)
	if err == nil {
		c.rows.Add(int64(len(evs)))
	}
	return err
}

// TestBenchIngest measures how fast a backlog on the embedded broker gets into the
// embedded engine, beside the same rows encoded by ch-go and posted, and inserted by
// the store from memory, in one run: GNOMON_BENCH_EVENTS says how many. The three
// take turns with the same number of rows a block, and each ends on its own.
func TestBenchIngest(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("GNOMON_BENCH_EVENTS"))
	if err != nil {
		t.Skip("make bench-ingest measures: GNOMON_BENCH_EVENTS says on how many events")
	}
	const batch = 20_000
	dsn := embeddedtest.EngineIn(t, t.TempDir(), 0)
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := pipeline.Config{Brokers: []string{embeddedtest.Broker(t)}}
	if err := pipeline.EnsureTopics(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	pub, err := pipeline.NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	start, bytes, inserting, encoding := time.Now().UTC().Add(-4*time.Hour).Truncate(time.Hour), 0, time.Duration(0), time.Duration(0)
	for at := 0; at < n; at += batch {
		evs, msgs := make([]schemas.RequestEvent, 0, batch), make([]pipeline.Message, 0, batch)
		for i := at; i < min(at+batch, n); i++ {
			ev := benchEvent(i, start)
			value, err := json.Marshal(ev)
			if err != nil {
				t.Fatal(err)
			}
			bytes += len(value)
			evs, msgs = append(evs, ev), append(msgs, pipeline.Message{Key: []byte(ev.RequestID), Value: value})
			evs[len(evs)-1].Project = "direct"
		}
		if err := pub.Publish(t.Context(), schemas.TopicRequests, msgs...); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := s.InsertRequests(t.Context(), "", evs); err != nil {
			t.Fatal(err)
		}
		inserting += time.Since(began)
		for i := range evs {
			evs[i].Project = "raw"
		}
		began = time.Now()
		if err := insertRaw(t.Context(), dsn, evs); err != nil {
			t.Fatal(err)
		}
		encoding += time.Since(began)
	}
	pub.Close()
	used := embeddedtest.ProcessorTime(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	began := time.Now()
	counted := &countingStore{Store: s}
	go func() { ended <- pipeline.Ingest(ctx, cfg, counted) }()
	for counted.rows.Load() < int64(n) { // the engine is not asked: that would cost it what is measured
		if time.Since(began) > 20*time.Minute {
			t.Fatal("the backlog is not through after 20 minutes")
		}
		time.Sleep(10 * time.Millisecond)
	}
	took, busy := time.Since(began), embeddedtest.ProcessorTime(t)-used
	stop()
	<-ended
	r, err := s.Query(t.Context(), "SELECT count() FROM gnomon.requests FINAL WHERE project = 'bench'")
	if err != nil || r.Rows[0][0] != uint64(n) {
		t.Errorf("%v rows of %d, %v", r, n, err)
	}
	same, err := s.Query(t.Context(), "SELECT uniqExact(tuple(* EXCEPT (project))) FROM gnomon.requests WHERE seq = 1")
	if err != nil || same.Rows[0][0] != uint64(1) {
		t.Errorf("the three ways store %v different rows of one, %v", same, err)
	}
	rate := func(took time.Duration) float64 { return float64(n) / took.Seconds() }
	fmt.Printf("backlog of %d events of %d bytes: %.0f a second through ingest in %.1f s; encoded by ch-go and posted %.0f a second: ratio %.2f; inserted by the store from memory %.0f a second; 7.2 million would take %.0f s\n"+
		"processor time of broker, ingest and engine together: %.1f µs an event, so 7.2 million take two idle cores %.0f s at least\n",
		n, bytes/n, rate(took), took.Seconds(), rate(encoding), rate(took)/rate(encoding), rate(inserting), 7.2e6/rate(took),
		busy.Seconds()*1e6/float64(n), busy.Seconds()/float64(n)*7.2e6/2)
}
