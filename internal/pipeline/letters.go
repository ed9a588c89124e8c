package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Names of the headers that a dead letter has besides its record's own.
const (
	headerReason    = "dlq-reason"
	headerFrom      = "dlq-topic"
	headerFromPart  = "dlq-partition"
	headerFromPlace = "dlq-offset"
	headerBuried    = "dlq-time"
	headerCut       = "dlq-original-bytes"
	headerRetried   = "dlq-retried" // of a marker: the letter that was sent again
	headerRetry     = "dlq-retry"   // of the record that was sent again: its letter
)

// deadLetter is a message for its topic's dead letters: the original bytes, and
// why. A value that the dead letters cannot take is cut, and says so.
func deadLetter(topic string, m *Message, from place, offset int64, reason string) Message {
	value := m.Value
	headers := append([]Header(nil), m.Headers...)
	if m.ID != "" && m.Header(headerID) == "" {
		headers = append(headers, Header{headerID, []byte(m.ID)})
	}
	if limit := deadLetterBytes - 1<<20; len(value) > limit {
		headers = append(headers, Header{headerCut, []byte(strconv.Itoa(len(value)))})
		value = value[:limit]
	}
	headers = append(headers,
		Header{headerReason, []byte(reason)},
		Header{headerFrom, []byte(topic)},
		Header{headerFromPart, []byte(strconv.Itoa(from.partition))},
		Header{headerFromPlace, []byte(strconv.FormatInt(offset, 10))},
		Header{headerBuried, []byte(time.Now().UTC().Format(time.RFC3339Nano))},
	)
	return Message{Key: m.Key, Value: value, Headers: headers}
}

// DeadLetter is a record that could not be taken in.
type DeadLetter struct {
	ID      string    // <topic>:<partition>:<offset> in the dead letters
	Topic   string    // it was for
	Reason  string    // why it is here
	At      time.Time // since when
	From    string    // <partition>:<offset> it had; -1 where it never was in its topic
	Retried time.Time // when it was last sent again; zero: never
	Bytes   int       // of the value here
	Cut     int       // bytes of the value that did not fit; 0: it is whole
	Message Message   // as it was, with all headers; without its value until ReadLetter
}

// ErrNoLetter says that there is no dead letter of that id.
var ErrNoLetter = errors.New("no such dead letter")

// DeadLetters reads the dead letters of a topic, or of all when topic is "",
// oldest first within a topic, without their values: a topic of them may be
// larger than memory. Records that are no letters of ours are passed.
func DeadLetters(ctx context.Context, cfg Config, topic string) ([]DeadLetter, error) {
	k, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	defer k.close()
	var all []DeadLetter
	found := false
	for _, t := range topics {
		if !t.dlq || topic != "" && t.name != topic {
			continue
		}
		found = true
		letters, err := k.letters(ctx, t.name)
		if err != nil {
			return nil, fmt.Errorf("dead letters of %s: %w", t.name, err)
		}
		all = append(all, letters...)
	}
	if !found {
		return nil, fmt.Errorf("%w: %s has no dead letters", ErrNoLetter, topic)
	}
	return all, nil
}

// letters reads one topic's dead letters as they stand.
func (k *cluster) letters(ctx context.Context, topic string) (all []DeadLetter, err error) {
	retried := map[string]time.Time{}
	name := topic + schemas.DLQSuffix
	n, err := k.partitions(ctx, name)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		return nil, nil // none was ever written
	}
	for partition := 0; err == nil && partition < n; partition++ {
		err = k.whole(ctx, name, partition, func(m *Message) {
			if of := m.Header(headerRetried); of != "" {
				retried[of] = m.Time
			} else if m.Header(headerReason) != "" {
				all = append(all, letterOf(topic, m))
			}
		})
	}
	for i := range all {
		all[i].Retried = retried[all[i].ID]
	}
	return all, err
}

// whole reads what is in a partition now.
func (k *cluster) whole(ctx context.Context, topic string, partition int, each func(*Message)) error {
	next, end, err := k.ends(ctx, topic, partition)
	if err != nil {
		return err
	}
	for next < end {
		got, err := k.fetch(ctx, topic, partition, next, deadLetterBytes, fetchWait)
		if err != nil {
			return err
		}
		if len(got.msgs) == 0 && got.end <= next {
			return nil
		}
		for i := range got.msgs {
			each(&got.msgs[i])
			next = got.msgs[i].Offset + 1
		}
	}
	return nil
}

func letterOf(topic string, m *Message) DeadLetter {
	l := DeadLetter{
		ID: fmt.Sprintf("%s:%d:%d", topic, m.Partition, m.Offset), Topic: topic, Reason: m.Header(headerReason),
		From: m.Header(headerFromPart) + ":" + m.Header(headerFromPlace), At: m.Time, Bytes: len(m.Value), Message: *m,
	}
	l.Message.Value = nil
	if at, err := time.Parse(time.RFC3339Nano, m.Header(headerBuried)); err == nil {
		l.At = at
	}
	if size, err := strconv.Atoi(m.Header(headerCut)); err == nil {
		l.Cut = size - l.Bytes
	}
	return l
}

// ReadLetter brings the letter's value.
func ReadLetter(ctx context.Context, cfg Config, l *DeadLetter) error {
	k, err := connect(cfg)
	if err != nil {
		return err
	}
	defer k.close()
	return k.readLetter(ctx, l)
}

func (k *cluster) readLetter(ctx context.Context, l *DeadLetter) error {
	got, err := k.fetch(ctx, l.Topic+schemas.DLQSuffix, l.Message.Partition, l.Message.Offset, deadLetterBytes, fetchWait)
	if err != nil {
		return fmt.Errorf("dead letter %s: %w", l.ID, err)
	}
	for _, m := range got.msgs {
		if m.Offset == l.Message.Offset {
			l.Message.Value = m.Value
			return nil
		}
	}
	return fmt.Errorf("%w: %s is there no more", ErrNoLetter, l.ID)
}

// RetryLetter sends a dead letter's record to its topic again, with its own key
// and headers, and marks the letter. With value not nil that is sent in place of
// what the letter holds: the record, mended. What cannot be taken in this time
// either comes back as another letter; one that was stored before is told by its
// key. Between the record and the mark nothing is lost: at worst it goes twice.
func RetryLetter(ctx context.Context, p *Publisher, l DeadLetter, value []byte) error {
	if value == nil {
		if l.Cut > 0 {
			return fmt.Errorf("%s is cut: %d bytes of its value are missing; send it with a value of your own", l.ID, l.Cut)
		}
		if err := p.k.readLetter(ctx, &l); err != nil {
			return err
		}
		value = l.Message.Value
	}
	again := Message{Key: l.Message.Key, Value: value, Headers: []Header{{headerRetry, []byte(l.ID)}}}
	for _, h := range l.Message.Headers {
		if !strings.HasPrefix(h.Key, "dlq-") {
			again.Headers = append(again.Headers, h)
		}
	}
	if err := p.Publish(ctx, l.Topic, again); err != nil {
		return err
	}
	return p.Publish(ctx, l.Topic+schemas.DLQSuffix, Message{Key: l.Message.Key, Headers: []Header{{headerRetried, []byte(l.ID)}}})
}

// LetterTopics names the topics that have dead letters.
func LetterTopics() (names []string) {
	for _, t := range topics {
		if t.dlq {
			names = append(names, t.name)
		}
	}
	return slices.Clip(names)
}
