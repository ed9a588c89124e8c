package pipeline

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// benchEvents makes events of about 1.5 KB of JSON.
func benchEvents(t testing.TB, n int) []Message {
	msgs := make([]Message, n)
	for i := range msgs {
		ev := newEvent(7, uint64(i+1))
		ev.Feature, ev.Team, ev.UserID, ev.Session = "chat", "support", fmt.Sprintf("user-%d", i%997), uuid.NewString()
		ev.TraceID = strings.ReplaceAll(uuid.NewString(), "-", "")
		ev.Provider, ev.RequestModel, ev.ServedModel, ev.ResponseModel = "openai", "gpt-4o", "gpt-4o", "gpt-4o-2024-11-20"
		ev.ResponseID, ev.WouldRoute = "chatcmpl-"+uuid.NewString(), "openai/gpt-4o-mini"
		ev.Candidates, ev.Rejects = []string{"openai/gpt-4o-mini", "openai/gpt-4.1-nano"}, []schemas.Reject{0, 26}
		ev.Inputs = make([]byte, 48)
		ev.Usage = schemas.Usage{InputTokens: uint32(i), OutputTokens: 321}
		ev.Cost, ev.ListCost, ev.BaselineCost = schemas.KnownUSD(123456), schemas.KnownUSD(123456), schemas.KnownUSD(123456)
		msgs[i] = eventMessage(t, ev)
	}
	return msgs
}

// BenchmarkTopicToStore publishes and ingests 100,000 events; the store is a
// counter, so the figure is the pipeline's own.
func BenchmarkTopicToStore(b *testing.B) {
	const n = 100_000
	broker := newBroker(b)
	cfg := broker.config()
	if err := EnsureTopics(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	msgs := benchEvents(b, n)
	pub, err := NewPublisher(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer pub.Close()
	b.ReportMetric(float64(len(msgs[0].Value)), "B/event")
	for b.Loop() {
		cpu := cpuTime()
		start := time.Now()
		for i := 0; i < n; i += 5000 {
			if err := pub.Publish(context.Background(), schemas.TopicRequests, msgs[i:i+5000]...); err != nil {
				b.Fatal(err)
			}
		}
		published, publishing := time.Since(start), cpuTime()-cpu
		cpu = cpuTime()
		store := &counting{memory: newMemory()}
		start = time.Now()
		c := cfg
		c.Group = fmt.Sprintf("bench-%d", start.UnixNano())
		stop := during(b, func(ctx context.Context) error { return Ingest(ctx, c, store) })
		within(b, time.Minute, "all rows", func() bool { return store.seen() >= n })
		ingested, ingesting := time.Since(start), cpuTime()-cpu
		stop()
		b.ReportMetric(n/published.Seconds(), "published/s")
		b.ReportMetric(n/ingested.Seconds(), "ingested/s")
		// The processor's time, the broker's in it, holds on a busy machine, too.
		b.ReportMetric(float64(publishing.Microseconds())/n, "cpu_µs/published")
		b.ReportMetric(float64(ingesting.Microseconds())/n, "cpu_µs/ingested")
		var ms runtime.MemStats
		runtime.ReadMemStats(&ms)
		b.ReportMetric(float64(ms.Sys>>20), "MB")
	}
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counting counts rows and keeps none.
type counting struct {
	*memory
	n int
}

func (c *counting) InsertRequests(_ context.Context, _ string, evs []schemas.RequestEvent) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += len(evs)
	return nil
}

func (c *counting) seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
