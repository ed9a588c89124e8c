package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// snapshotTopic takes what is published; while it is away nothing arrives.
type snapshotTopic struct {
	mu   sync.Mutex
	away bool
	got  []schemas.SnapshotRecord
}

func (s *snapshotTopic) publish(_ context.Context, topic string, msgs ...pipeline.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away || topic != schemas.TopicSnapshots {
		return errors.New("no broker")
	}
	for _, m := range msgs {
		var r schemas.SnapshotRecord
		if err := json.Unmarshal(m.Value, &r); err != nil {
			return err
		}
		s.got = append(s.got, r)
	}
	return nil
}

func (s *snapshotTopic) hashes() map[uint64]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[uint64]string{}
	for _, r := range s.got {
		m[r.Hash] = r.Kind
	}
	return m
}

// publishUntil runs k until the topic has n records of different hashes.
func publishUntil(t *testing.T, k *decidedBy, topic *snapshotTopic, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.run(ctx) }()
	for deadline := time.Now().Add(5 * time.Second); len(topic.hashes()) < n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v arrived, want %d", topic.hashes(), n)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsDecidedByIsKeptOnceAndOutlivesProcessAndBroker(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "decided-by")
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	one := classifier.NewSnapshot(classifier.Parts{Project: "acme", Prices: book})
	two := classifier.NewSnapshot(classifier.Parts{Project: "acme", Prices: book, DraftThreshold: .5,
		Policies: []schemas.Policy{{Project: "acme", Workload: "w", Version: 1, Salt: []byte("a secret of 16 b")}}})

	topic := &snapshotTopic{away: true}
	first := newDecidedBy(dir, topic.publish, log)
	first.keep(one)
	first.keep(one)
	first.flush()
	if err := first.run(t.Context()); err == nil {
		t.Fatal("published without a broker")
	}
	// It dies before the broker is back. The next life has another snapshot.
	topic.away = false
	second := newDecidedBy(dir, topic.publish, log)
	second.keep(two)
	second.flush()
	publishUntil(t, second, topic, 3)
	for hash, kind := range map[uint64]string{one.Hash(): schemas.KindSnapshot, two.Hash(): schemas.KindSnapshot, book.Hash(): schemas.KindPriceBook} {
		if topic.hashes()[hash] != kind {
			t.Errorf("%s %x has not arrived: %v", kind, hash, topic.hashes())
		}
	}
	for i, r := range topic.got {
		if r.Kind != schemas.KindSnapshot {
			continue
		}
		var sealed classifier.Sealed
		if err := json.Unmarshal(r.Record, &sealed); err != nil {
			t.Fatal(err)
		}
		again, err := sealed.Open(book)
		if err != nil || again.Hash() != r.Hash || r.PricesHash != book.Hash() || r.Project != "acme" || r.RulesHash == 0 || r.ModelHash == 0 {
			t.Errorf("record %d: %v, %+v", i, err, r)
		}
	}

	// A third life publishes all of it again, but for what is too old.
	old := time.Now().Add(-keptFor - time.Hour)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	path := filepath.Join(dir, entries[0].Name())
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	again := &snapshotTopic{}
	publishUntil(t, newDecidedBy(dir, again.publish, log), again, 2)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that nobody has used for long is there: %v", err)
	}
}

func TestADiskThatTakesNothingDoesNotKeepSnapshotsFromTheirTopic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	topic := &snapshotTopic{}
	k := newDecidedBy(filepath.Join(file, "below"), topic.publish, slog.New(slog.DiscardHandler))
	k.keep(classifier.NewSnapshot(classifier.Parts{Project: "acme"}))
	k.flush()
	publishUntil(t, k, topic, 1)
}

func TestATeamsOwnWeightsAreKept(t *testing.T) {
	w := *classifier.Builtin().Weights()
	w.Bias++
	m, err := classifier.ReadWeights(w.Encode())
	if err != nil {
		t.Fatal(err)
	}
	topic := &snapshotTopic{}
	k := newDecidedBy("", topic.publish, slog.New(slog.DiscardHandler))
	k.keep(classifier.NewSnapshot(classifier.Parts{Project: "acme"})) // by the shipped ones, which every build brings along
	k.keep(classifier.NewSnapshot(classifier.Parts{Project: "acme", Model: m}))
	publishUntil(t, k, topic, 3)
	for _, r := range topic.got {
		var file []byte
		if r.Kind != schemas.KindWeights {
			continue
		}
		if err := json.Unmarshal(r.Record, &file); err != nil {
			t.Fatal(err)
		}
		if again, err := classifier.ReadWeights(file); err != nil || again.Hash() != m.Hash() || r.Hash != m.Hash() {
			t.Errorf("kept under %016x: %v", r.Hash, err)
		}
		return
	}
	t.Error("no weights were kept")
}
