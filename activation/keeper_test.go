package activation

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeTopic is a log in memory. lose makes it anew, empty, under its followers.
type fakeTopic struct {
	gone error // why it cannot be read

	mu      sync.Mutex
	records [][]byte
	life    int
	grown   chan struct{}
	down    error
}

func newFakeTopic() *fakeTopic { return &fakeTopic{grown: make(chan struct{})} }

func (f *fakeTopic) signal() { close(f.grown); f.grown = make(chan struct{}) }

func (f *fakeTopic) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records, f.life = nil, f.life+1
	f.signal()
}

func (f *fakeTopic) Append(_ context.Context, _ string, value []byte) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return 0, f.down
	}
	f.records = append(f.records, value)
	f.signal()
	return int64(len(f.records) - 1), nil
}

func (f *fakeTopic) Follow(ctx context.Context, to Follower) error {
	life, next, caught := 0, 0, false
	for {
		f.mu.Lock()
		if f.life != life {
			life, next, caught = f.life, 0, false
			to.Reset()
		}
		batch, grown, gone := f.records[next:], f.grown, f.gone
		f.mu.Unlock()
		if gone != nil {
			caught = false
			to.Lost(gone)
			batch = nil
		}
		for _, r := range batch {
			to.Record(int64(next), r)
			next++
		}
		if !caught && gone == nil {
			caught = true
			to.CaughtUp()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

type seen struct {
	mu   sync.Mutex
	last []schemas.Policy
}

func (s *seen) set(p []schemas.Policy) { s.mu.Lock(); s.last = p; s.mu.Unlock() }

func start(t *testing.T, ctx context.Context, path string, topic Topic) (*Keeper[schemas.Policy], *seen) {
	t.Helper()
	s := &seen{}
	k, err := OpenKeeper(path, topic, s.set, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = k.Run(ctx) }()
	synctest.Wait()
	return k, s
}

func policy(workload string, replaces uint32, reason string) schemas.Policy {
	return schemas.Policy{Project: "acme", Workload: workload, Replaces: replaces, Mode: schemas.ModeCanary, Candidate: "openai/small", Actor: "ann", Reason: reason}
}

func TestProposedPolicyIsInMemoryAndOnDiskWhenItReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.json")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		k, s := start(t, ctx, path, newFakeTopic())
		if _, err := k.Propose(ctx, policy("w", 0, "try")); err != nil {
			t.Fatal(err)
		}
		if len(s.last) != 1 || s.last[0].Reason != "try" {
			t.Errorf("told the proxy %+v", s.last)
		}
		onDisk, err := readSnapshot[schemas.Policy](path)
		if err != nil || len(onDisk) != 1 || onDisk[0].Version != 1 {
			t.Errorf("snapshot %+v, %v", onDisk, err)
		}
	})
}

func TestOfTwoWritersOneWinsAndTheOtherIsToldSo(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		topic := newFakeTopic()
		a, _ := start(t, ctx, filepath.Join(dir, "a"), topic)
		b, _ := start(t, ctx, filepath.Join(dir, "b"), topic)
		// Both have looked at version 0 before either wrote: b's record is
		// already in the topic when a's Append lands behind it.
		mine := policy("w", 0, "b was first")
		mine.Version = 1
		raw, _ := json.Marshal(mine)
		if _, err := topic.Append(ctx, "acme/w", raw); err != nil {
			t.Fatal(err)
		}
		_, err := a.Propose(ctx, policy("w", 0, "a was second"))
		if !errors.Is(err, ErrConflict) {
			t.Fatalf("a's second record: %v", err)
		}
		synctest.Wait()
		for _, k := range []*Keeper[schemas.Policy]{a, b} {
			if got := k.Accepted("acme/w"); got == nil || got.Reason != "b was first" {
				t.Errorf("holds %+v", got)
			}
		}
	})
}

func TestAnEmptyTopicNeverBeatsTheSnapshotAndIsMended(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		topic := newFakeTopic()
		k, s := start(t, ctx, filepath.Join(dir, "a"), topic)
		for v := range uint32(3) {
			if _, err := k.Propose(ctx, policy("w", v, "step")); err != nil {
				t.Fatal(err)
			}
		}
		topic.lose()
		synctest.Wait()
		if got := s.last; len(got) != 1 || got[0].Version != 3 {
			t.Errorf("after the topic was lost the proxy obeys %+v", got)
		}
		// A newcomer without snapshot learns the whole chain from the topic.
		fresh, _ := start(t, ctx, filepath.Join(dir, "b"), topic)
		if got := fresh.History("acme/w"); len(got) != 3 {
			t.Errorf("the mended topic holds %d of 3 versions", len(got))
		}
		if at := k.Standing(); !at.Current || at.Alarm != "" {
			t.Errorf("after mending: %+v", at)
		}
		if _, err := k.Propose(ctx, policy("w", 3, "goes on")); err != nil {
			t.Errorf("the next version: %v", err)
		}
	})
}

func TestARestartWithoutBrokerObeysTheSnapshot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.json")
	p := policy("w", 0, "kept")
	p.Version = 1
	if err := writeSnapshot(path, []schemas.Policy{p}); err != nil {
		t.Fatal(err)
	}
	s := &seen{}
	k, err := OpenKeeper(path, newFakeTopic(), s.set, slog.New(slog.DiscardHandler))
	if err != nil || len(s.last) != 1 {
		t.Fatalf("told %+v, %v", s.last, err)
	}
	if k.Standing().Current {
		t.Error("claims to equal a topic that it has not read")
	}
}

func TestADamagedSnapshotIsSetAsideAndSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policies.json")
	p := policy("w", 0, "kept")
	p.Version = 1
	if err := writeSnapshot(path, []schemas.Policy{p}); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 0x20
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readSnapshot[schemas.Policy](path)
		if err == nil && len(got) == 1 && got[0].Reason == "kept" && got[0].Version == 1 {
			continue // a flipped case in the header's key is read the same
		}
		if !errors.Is(err, ErrSnapshot) {
			t.Fatalf("byte %d flipped: %+v, %v", i, got, err)
		}
	}
	s := &seen{}
	k, err := OpenKeeper(path, newFakeTopic(), s.set, slog.New(slog.DiscardHandler))
	if err != nil || len(s.last) != 0 {
		t.Fatalf("%+v, %v", s.last, err)
	}
	if k.Standing().Alarm == "" {
		t.Error("no alarm")
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Error(err)
	}
}

func TestARecordThatCannotBeReadIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		topic := newFakeTopic()
		k, _ := start(t, ctx, path, topic)
		if _, err := topic.Append(ctx, "x", []byte("{not json")); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Propose(ctx, policy("w", 0, "after poison")); err != nil {
			t.Fatal(err)
		}
	})
}

func TestABrokerThatIsAwaySaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		topic := newFakeTopic()
		k, _ := start(t, ctx, path, topic)
		topic.down = errors.New("connection refused")
		if _, err := k.Propose(ctx, policy("w", 0, "x")); err == nil || errors.Is(err, ErrConflict) {
			t.Errorf("Propose = %v", err)
		}
	})
}

func TestATopicThatGoesAwayIsAnAlarmUntilItIsBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		topic := newFakeTopic()
		k, s := start(t, ctx, path, topic)
		if _, err := k.Propose(ctx, policy("w", 0, "try")); err != nil {
			t.Fatal(err)
		}
		turn := func(gone error) Standing {
			topic.mu.Lock()
			topic.gone = gone
			topic.signal()
			topic.mu.Unlock()
			synctest.Wait()
			time.Sleep(10 * time.Minute)
			return k.Standing()
		}
		if at := turn(errors.New("connection refused")); at.Current || !at.Away || !at.Read || !strings.Contains(at.Alarm, "connection refused") || at.Age < 10*time.Minute {
			t.Errorf("away: %+v", at)
		}
		if len(s.last) != 1 || s.last[0].Mode != schemas.ModeCanary {
			t.Errorf("while it is away the proxy obeys %+v: what was read holds", s.last)
		}
		if at := turn(nil); !at.Current || at.Away || at.Alarm != "" || at.Age != 0 {
			t.Errorf("back: %+v", at)
		}
	})
}

func TestADiskThatTakesNoSnapshotIsAnAlarmAndNoDisobedience(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		k, s := start(t, ctx, filepath.Join(dir, "p"), newFakeTopic())
		k.mu.Lock()
		k.path = filepath.Join(dir, "p", "no folder", "p") // p is a file
		k.mu.Unlock()
		if _, err := k.Propose(ctx, policy("w", 0, "try")); err != nil {
			t.Errorf("Propose = %v; the broker has it and it is obeyed", err)
		}
		if len(s.last) != 1 || !strings.Contains(k.Standing().Alarm, "cannot be written") {
			t.Errorf("obeys %d policies, alarm %q", len(s.last), k.Standing().Alarm)
		}
		k.mu.Lock()
		k.path = filepath.Join(dir, "p")
		k.mu.Unlock()
		if _, err := k.Propose(ctx, policy("w", 1, "again")); err != nil || k.Standing().Alarm != "" {
			t.Errorf("with room again: %v, alarm %q", err, k.Standing().Alarm)
		}
	})
}

func TestARolledBackPolicyIsNeverObeyedWhileTheTopicIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	topic := newFakeTopic()
	for i, mode := range []schemas.Mode{schemas.ModeLive, schemas.ModeObserve} {
		p := policy("w", uint32(i), "step")
		p.Version, p.Mode = uint32(i+1), mode
		raw, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topic.Append(t.Context(), "acme/w", raw); err != nil {
			t.Fatal(err)
		}
	}
	var told []schemas.Mode
	k, err := OpenKeeper(path, topic, func(ps []schemas.Policy) {
		for _, p := range ps {
			told = append(told, p.Mode)
		}
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		topic.grown = make(chan struct{})
		k.changed = make(chan struct{})
		done := make(chan struct{})
		go func() { _ = k.Run(ctx); close(done) }()
		synctest.Wait()
		cancel()
		<-done
	})
	if len(told) != 1 || told[0] != schemas.ModeObserve {
		t.Errorf("the proxy was told %v", told)
	}
}

func TestATopicThatTellsAnotherHistoryIsAnAlarm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	mine := policy("w", 0, "mine")
	mine.Version, mine.Mode = 1, schemas.ModeLive
	if err := writeSnapshot(path, []schemas.Policy{mine}); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		topic := newFakeTopic()
		other := mine
		other.Mode, other.Actor = schemas.ModeObserve, "bob"
		raw, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topic.Append(ctx, "acme/w", raw); err != nil {
			t.Fatal(err)
		}
		k, s := start(t, ctx, path, topic)
		if at := k.Standing(); at.Current || at.Alarm == "" {
			t.Errorf("stands at %+v", at)
		}
		if s.last[0].Mode != schemas.ModeLive {
			t.Errorf("obeys %v: the snapshot holds", s.last[0].Mode)
		}
	})
}

// heldTopic keeps appends waiting until it is let go.
type heldTopic struct {
	*fakeTopic
	let chan struct{}
}

func (h *heldTopic) Append(ctx context.Context, key string, value []byte) (int64, error) {
	<-h.let
	return h.fakeTopic.Append(ctx, key, value)
}

func TestMendingATopicLeavesALaterAlarmStanding(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	mine := policy("w", 0, "mine")
	mine.Version, mine.Mode = 1, schemas.ModeLive
	if err := writeSnapshot(path, []schemas.Policy{mine}); err != nil {
		t.Fatal(err)
	}
	other := mine
	other.Mode, other.Actor = schemas.ModeObserve, "bob"
	raw, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		topic := &heldTopic{newFakeTopic(), make(chan struct{})}
		k, _ := start(t, ctx, path, topic) // an empty topic: it is mended, and the broker takes its time
		if at := k.Standing(); at.Current || at.Alarm == "" {
			t.Fatalf("before it is mended: %+v", at)
		}
		// Meanwhile the topic is made anew, by somebody who tells another history.
		topic.lose()
		if _, err := topic.fakeTopic.Append(ctx, "acme/w", raw); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		later := k.Standing().Alarm
		close(topic.let)
		synctest.Wait()
		if at := k.Standing(); at.Current || at.Alarm == "" || at.Alarm != later {
			t.Errorf("the alarm was %q, and after the mending of before stands at %+v", later, at)
		}
	})
}
