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

func TestWhatADeadMemberHoldsIsSharedAnew(t *testing.T) {
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
			k.consume(ctx, a, func(_ context.Context, m Message) error {
				mu.Lock()
				defer mu.Unlock()
				got[string(m.Value)] = true
				return nil
			})
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
	joinAndDie(t, cfg, schemas.TopicRequests, "g")
	time.Sleep(2500 * time.Millisecond) // the member that lives hears of it by its heartbeat and joins again
	send(16, 48)
	within(t, 60*time.Second, "all partitions read though a dead member holds some", has(48))
}
