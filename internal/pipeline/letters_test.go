package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// waiting are the dead letters that were not sent again.
func waiting(t testing.TB, cfg Config, topic string) (out []DeadLetter) {
	t.Helper()
	all, err := DeadLetters(t.Context(), cfg, topic)
	for range 20 {
		if err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
		all, err = DeadLetters(t.Context(), cfg, topic)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		if l.Retried.IsZero() {
			out = append(out, l)
		}
	}
	return out
}

func TestPoisonOfEveryRoadIsADeadLetterWithItsReason(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	for _, r := range roads() {
		publish(t, cfg, r.name(), Message{Key: []byte("k"), Value: []byte(`{"schema_version":"2.0"}`)}, Message{Key: []byte("k"), Value: []byte(`{"schema_version":"1.0"}`)})
	}
	ingesting(t, cfg, newMemory())
	for _, r := range roads() {
		var letters []DeadLetter
		within(t, 20*time.Second, "two letters of "+r.name(), func() bool { letters = waiting(t, cfg, r.name()); return len(letters) >= 2 })
		if l := letters[0]; l.Topic != r.name() || !strings.Contains(l.Reason, "this gnomon reads 1.x") || !strings.HasSuffix(l.From, ":0") || l.Message.Value != nil || ReadLetter(t.Context(), cfg, &l) != nil || string(l.Message.Value) != `{"schema_version":"2.0"}` || l.Bytes != len(l.Message.Value) || time.Since(l.At) > time.Hour {
			t.Errorf("%+v", l)
		}
		if l := letters[1]; !strings.Contains(l.Reason, "is missing") {
			t.Errorf("%+v", l)
		}
	}
}

func TestALetterThatIsSentAgainIsStoredOnce(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	store := newMemory()
	bad := newEvent(9, 3)
	mended := make(chan struct{})
	store.fail = func(token string, _ int) error {
		select {
		case <-mended:
		default:
			if strings.HasPrefix(token, schemas.TopicRequests) && !strings.Contains(token, "declared") {
				return fmt.Errorf("insert: %w", rowError{0})
			}
		}
		return nil
	}
	ingesting(t, cfg, store)
	m := eventMessage(t, bad)
	m.Headers = []Header{{headerBoot, []byte("9")}, {headerSeq, []byte("3")}}
	publish(t, cfg, schemas.TopicRequests, m)
	var letters []DeadLetter
	within(t, 20*time.Second, "the letter", func() bool { letters = waiting(t, cfg, schemas.TopicRequests); return len(letters) == 1 })

	pub, err := NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	// Before anything is mended it comes back, as another letter.
	if err := RetryLetter(t.Context(), pub, letters[0], nil); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, "another letter", func() bool {
		again := waiting(t, cfg, schemas.TopicRequests)
		return len(again) == 1 && again[0].ID != letters[0].ID && again[0].Message.Header(headerRetry) == letters[0].ID
	})
	close(mended)
	letters = waiting(t, cfg, schemas.TopicRequests)
	if err := RetryLetter(t.Context(), pub, letters[0], nil); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, "the row", func() bool { return store.count() == 1 })
	if got := store.rows[bad.RequestID]; len(got) != 1 || got[0].Seq != 3 {
		t.Errorf("%+v", got)
	}
	if left := waiting(t, cfg, ""); len(left) != 0 {
		t.Errorf("%d letters wait after the retry", len(left))
	}
	log := everything(t, cfg, schemas.TopicRequests)
	if last := log[len(log)-1]; !bytes.Equal(last.Value, m.Value) || last.Header(headerBoot) != "9" || last.ID != m.ID || last.Header("dlq-reason") != "" {
		t.Errorf("sent again as %s, headers %s", last.Value, last.Headers)
	}
}

func TestALetterThatWasCutIsSentOnlyWithAValue(t *testing.T) {
	b := newBroker(t)
	cfg := b.withTopics()
	m := eventMessage(t, newEvent(9, 1))
	whole := m.Value
	m.Value = incompressible(deadLetterBytes)
	publish(t, cfg, schemas.TopicRequests, m)
	letters := waiting(t, cfg, schemas.TopicRequests)
	if len(letters) != 1 || letters[0].Cut == 0 || letters[0].From != "-1:-1" {
		t.Fatalf("%d letters", len(letters))
	}
	pub, err := NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	if err := RetryLetter(t.Context(), pub, letters[0], nil); err == nil || !strings.Contains(err.Error(), "is cut") {
		t.Errorf("%v", err)
	}
	if err := RetryLetter(t.Context(), pub, letters[0], whole); err != nil {
		t.Fatal(err)
	}
	if got := everything(t, cfg, schemas.TopicRequests); len(got) != 1 || !bytes.Equal(got[0].Value, whole) {
		t.Errorf("%d records", len(got))
	}
}

func TestATopicWithoutDeadLettersIsSaid(t *testing.T) {
	b := newBroker(t)
	if _, err := DeadLetters(t.Context(), b.withTopics(), schemas.TopicAcks); !errors.Is(err, ErrNoLetter) {
		t.Errorf("%v", err)
	}
}
