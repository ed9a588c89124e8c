package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/schemas"
)

// joinAndDie joins a group and is gone before it is told its share.
func joinAndDie(t *testing.T, cfg Config, topic, group string) {
	t.Helper()
	var (
		mu    sync.Mutex
		dead  bool
		conns []net.Conn
	)
	cg, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: cfg.Brokers, Topics: []string{topic}, SessionTimeout: sessionTimeout, RebalanceTimeout: rebalanceTimeout,
		Dialer: &kafka.Dialer{DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if dead {
				return nil, net.ErrClosed
			}
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				conns = append(conns, c)
			}
			return c, err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(150 * time.Millisecond) // it waits for the others to join: they hear of it within a second
	mu.Lock()
	dead = true
	for _, c := range conns {
		_ = c.Close()
	}
	mu.Unlock()
	if err := cg.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Logf("closing: %v", err)
	}
}

// joinAndHang takes its share in a group and does nothing with it, while its
// heartbeats go on: as an ingester whose insert never comes back.
func joinAndHang(t *testing.T, cfg Config, topic, group string) {
	t.Helper()
	cg, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: cfg.Brokers, Topics: []string{topic}, HeartbeatInterval: 500 * time.Millisecond,
		SessionTimeout: sessionTimeout, RebalanceTimeout: rebalanceTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cg.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	gen, err := cg.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(gen.Assignments[topic]) == 0 {
		t.Fatal("the member that is to hang has no share")
	}
	// A generation that nobody gives back: it does not join again.
	gen.Start(func(context.Context) { <-t.Context().Done() })
}

// The embedded broker ends the dead member's session, or keeps it for ever, by a
// coin's throw of its own: that the watch is needed the hung one shows.
func TestWhatADeadMemberHoldsIsSharedAnew(t *testing.T) { sharedAnew(t, joinAndDie) }
func TestWhatAHungMemberHoldsIsSharedAnew(t *testing.T) { sharedAnew(t, joinAndHang) }

func sharedAnew(t *testing.T, comes func(*testing.T, Config, string, string)) {
	b := newBroker(t)
	cfg := b.withTopics()
	cfg.OrphanAfter = time.Second
	var mu sync.Mutex
	got := map[string]bool{}
	during(t, func(ctx context.Context) error {
		k, err := connect(cfg)
		if err != nil {
			return err
		}
		defer k.close()
		return k.share(ctx, schemas.TopicRequests, "g", true, func(ctx context.Context, a *assignment) {
			r := newReader(k, a, consumeBytes)
			for ctx.Err() == nil {
				msgs, err := r.read(ctx, fetchWait)
				if err != nil {
					return
				}
				// As ingest does it: done with when it is done. consume would be done with them
				// before, and what the group that is shared anew interrupts nobody would be given.
				mu.Lock()
				for _, m := range msgs {
					got[string(m.Value)] = true
				}
				mu.Unlock()
				if len(msgs) > 0 && a.commit(ctx, r.next, -1) != nil {
					return
				}
			}
		})
	})
	has := func(n int) func() bool { return func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == n } }
	send := func(from, to int) {
		for i := from; i < to; i++ {
			publish(t, cfg, schemas.TopicRequests, Message{Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "%d", i)})
		}
	}
	send(0, 16)
	within(t, 20*time.Second, "all partitions read", has(16))
	comes(t, cfg, schemas.TopicRequests, "g")
	time.Sleep(2500 * time.Millisecond) // the member that lives hears of it by its heartbeat and joins again
	send(16, 48)
	within(t, 60*time.Second, "all partitions read though another member holds some", has(48))
}
