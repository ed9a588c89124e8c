package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// following notes what a follower is told.
type following struct {
	mu     sync.Mutex
	got    []string
	caught []int64
	resets int
	lost   int
	at     map[string]time.Time
}

func follow(t testing.TB, cfg Config) *following {
	f := &following{at: map[string]time.Time{}}
	during(t, func(ctx context.Context) error {
		return FollowLog(ctx, cfg, schemas.TopicPolicies, Follow{
			Record: func(m Message) {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.got = append(f.got, string(m.Value))
				f.at[string(m.Value)] = time.Now()
			},
			CaughtUp: func(end int64) { f.mu.Lock(); defer f.mu.Unlock(); f.caught = append(f.caught, end) },
			Reset:    func() { f.mu.Lock(); defer f.mu.Unlock(); f.resets++; f.got = nil },
			Lost:     func(error) { f.mu.Lock(); defer f.mu.Unlock(); f.lost++ },
		})
	})
	return f
}

func (f *following) has(want ...string) func() bool {
	return func() bool { f.mu.Lock(); defer f.mu.Unlock(); return slices.Equal(f.got, want) }
}

// caughtUp: a cluster serves before all is back, so its end may be an earlier one.
func (f *following) caughtUp(times int, end int64) func() bool {
	return func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.caught) >= times && (realKafka() || f.caught[len(f.caught)-1] == end)
	}
}

func appendTo(t testing.TB, cfg Config, value string) (offset int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	offset, err := AppendLog(ctx, cfg, schemas.TopicPolicies, Message{Key: []byte("k"), Value: []byte(value)})
	if err != nil {
		t.Fatal(err)
	}
	return offset
}

func TestALogIsReadWholeFollowedAndPickedUpAfterABreak(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	for i, v := range []string{"a", "b", "c"} {
		if at := appendTo(t, cfg, v); at != int64(i) {
			t.Errorf("%s was written at %d, said %d", v, i, at)
		}
	}
	f := follow(t, cfg)
	within(t, 10*time.Second, "the three", f.has("a", "b", "c"))
	within(t, 10*time.Second, "caught up at 3", f.caughtUp(1, 3))
	start := time.Now()
	appendTo(t, cfg, "d")
	within(t, 10*time.Second, "the fourth", f.has("a", "b", "c", "d"))
	if took := time.Since(start); took > time.Second {
		t.Errorf("a record took %v to be followed", took)
	}
	b.stop()
	b.start()
	appendTo(t, cfg, "e")
	within(t, 20*time.Second, "the fifth", f.has("a", "b", "c", "d", "e"))
	// It may have come back before the fifth was written, and been told of its end then.
	within(t, 10*time.Second, "caught up again", func() bool { return f.caughtUp(2, 5)() || f.caughtUp(2, 4)() })
	if f.resets != 0 {
		t.Errorf("%d resets", f.resets)
	}
}

func TestAnEmptyLogIsCaughtUpAtOnce(t *testing.T) {
	b := newBroker(t)
	f := follow(t, b.withTopics())
	within(t, 10*time.Second, "caught up at 0", f.caughtUp(1, 0))
}

func TestALogThatIsNotMadeYetIsWaitedFor(t *testing.T) {
	b := newBroker(t)
	f := follow(t, b.config())
	cfg := b.withTopics()
	appendTo(t, cfg, "a")
	within(t, 20*time.Second, "the first", f.has("a"))
}

func TestALogThatWasLostIsReadAnewFromItsStart(t *testing.T) {
	for _, c := range []struct {
		name  string
		after []string
	}{
		{"and is empty", nil},
		{"and is shorter", []string{"x"}},
		{"and is as long, of other records", []string{"x", "y", "z"}},
		{"and is longer already", []string{"x", "y", "z", "w"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBroker(t)
			cfg := b.withTopics()
			for _, v := range []string{"a", "b", "c"} {
				appendTo(t, cfg, v)
			}
			f := follow(t, cfg)
			within(t, 10*time.Second, "the three", f.has("a", "b", "c"))
			b.loseAndFill(func(cfg Config) {
				for _, v := range c.after {
					appendTo(t, cfg, v)
				}
			})
			within(t, 20*time.Second, "what is there now", f.has(c.after...))
			within(t, 10*time.Second, "caught up", f.caughtUp(2, int64(len(c.after))))
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.resets != 1 {
				t.Errorf("%d resets", f.resets)
			}
		})
	}
}

func TestAppendingWithoutABrokerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := AppendLog(ctx, Config{Brokers: []string{"127.0.0.1:1"}}, schemas.TopicPolicies, Message{Value: []byte("x")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestAppendingToManyPartitionsIsRefused(t *testing.T) {
	b := newBroker(t)
	if _, err := AppendLog(t.Context(), b.withTopics(), schemas.TopicRequests, Message{Value: []byte("x")}); !errors.Is(err, ErrTopic) {
		t.Errorf("%v", err)
	}
}

func TestConcurrentAppendsEachLearnTheirOwnOffset(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	offsets := make([]int64, 12)
	var wait sync.WaitGroup
	for i := range offsets {
		wait.Go(func() { offsets[i] = appendTo(t, cfg, fmt.Sprint(i)) })
	}
	wait.Wait()
	log := everything(t, cfg, schemas.TopicPolicies)
	for i, at := range offsets {
		if string(log[at].Value) != fmt.Sprint(i) {
			t.Errorf("append %d was told offset %d, which holds %s", i, at, log[at].Value)
		}
	}
}
