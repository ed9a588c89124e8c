package pipeline

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// followBytes is how much of a log is fetched at a time.
const followBytes = 1 << 20

// Follow is what is told to who follows a log; Reset and Lost may be nil.
type Follow struct {
	// Record gets every record in order.
	Record func(Message)
	// CaughtUp is called when everything that was there at the time of connecting
	// has been read, with the offset after the last of it: after the start and
	// after every reconnection.
	CaughtUp func(end int64)
	// Reset is called where the log is shorter than what was read, or holds
	// something else at the last place read: the broker has lost it or it was made
	// anew, and reading starts again from the first record.
	Reset func()
	// Lost is called when the log can no longer be read, with why. CaughtUp says
	// when it can again.
	Lost func(error)
}

// FollowLog reads a one-partition topic whole, from its first record on, and
// goes on following it; it returns, with nil, only when ctx ends. A broker that
// is away, and a topic that is not made yet, are waited for.
func FollowLog(ctx context.Context, cfg Config, topic string, to Follow) error {
	k, err := connect(cfg)
	if err != nil {
		return err
	}
	defer k.close()
	f := follower{k: k, topic: topic, Follow: to}
	f.run(ctx)
	return nil
}

// AppendLog writes one record to a one-partition topic and returns its own
// offset once the broker has it (acks=all). It waits, as long as ctx lets it,
// for a broker that is away or a topic that is not there yet; once the record
// was sent it is not sent again: an error then means that it may or may not have
// arrived.
func AppendLog(ctx context.Context, cfg Config, topic string, m Message) (offset int64, err error) {
	k, err := connect(cfg)
	if err != nil {
		return 0, err
	}
	defer k.close()
	wait := backoff{first: 50 * time.Millisecond, limit: time.Second}
	for {
		n, err := k.partitions(ctx, topic)
		switch {
		case err == nil && n > 1:
			return 0, fmt.Errorf("%w: %s has %d partitions and must have one", ErrTopic, topic, n)
		case err == nil && n == 1:
			offset, err := k.produce(ctx, topic, 0, []Message{m})
			if err == nil {
				return offset, nil
			}
			if !neverSent(err) {
				return 0, fmt.Errorf("append to %s: it may or may not have arrived: %w", topic, err)
			}
		}
		k.forget()
		if !wait.wait(ctx) {
			return 0, fmt.Errorf("append to %s: %w; in the way: %w", topic, context.Cause(ctx), errors.Join(err))
		}
	}
}

// neverSent says whether the broker surely did not take the record.
func neverSent(err error) bool {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return true
	}
	return slices.ContainsFunc([]error{
		kafka.UnknownTopicOrPartition, kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.NotEnoughReplicas, protocol.ErrNoLeader,
	}, func(e error) bool { return errors.Is(err, e) })
}

// follower reads partition 0 of a topic for good.
type follower struct {
	Follow
	k       *cluster
	topic   string
	fromEnd bool // start after what is there

	started bool
	next    int64  // to read
	mark    uint64 // digest of the record at next−1; 0 when none was read
}

func (f *follower) run(ctx context.Context) {
	wait := backoff{first: 50 * time.Millisecond, limit: time.Second}
	t := trouble{log: f.k.log, what: "reading " + f.topic}
	for ctx.Err() == nil {
		err := f.session(ctx, func() { wait.reset(); t.over() })
		if ctx.Err() != nil {
			return
		}
		t.note(err)
		if f.Lost != nil {
			f.Lost(err)
		}
		f.k.forget()
		wait.wait(ctx)
	}
}

// session reads until something goes wrong.
func (f *follower) session(ctx context.Context, working func()) error {
	first, end, err := f.k.ends(ctx, f.topic, 0)
	if err != nil {
		return err
	}
	if err := f.position(ctx, first, end); err != nil {
		return err
	}
	told := false
	for {
		if !told && f.next >= end {
			told = true
			working()
			f.CaughtUp(end)
		}
		got, err := f.k.fetch(ctx, f.topic, 0, f.next, followBytes, fetchWait)
		if err != nil {
			return err
		}
		if got.end < f.next {
			return fmt.Errorf("%s ends at %d and was read up to %d", f.topic, got.end, f.next)
		}
		for _, m := range got.msgs {
			if m.Offset > f.next {
				f.k.log.Error("records of a log are missing", "topic", f.topic, "from", f.next, "to", m.Offset-1)
			}
			f.next, f.mark = m.Offset+1, digest(&m)
			f.Record(m)
		}
	}
}

// position finds where to go on: where it was, if that is still the same log.
func (f *follower) position(ctx context.Context, first, end int64) error {
	if !f.started {
		f.started, f.next = true, first
		if f.fromEnd {
			f.next = end
		}
		return nil
	}
	same := f.next <= end
	if same && f.mark != 0 && f.next > first {
		got, err := f.k.fetch(ctx, f.topic, 0, f.next-1, 1, fetchWait)
		if err != nil {
			return err
		}
		same = len(got.msgs) > 0 && got.msgs[0].Offset == f.next-1 && digest(&got.msgs[0]) == f.mark
	}
	if same && f.next >= first {
		return nil
	}
	f.k.log.Error("a log is not what was read of it: the broker lost it, or it was made anew", "topic", f.topic, "read_up_to", f.next, "first", first, "end", end)
	f.next, f.mark = first, 0
	if f.Reset != nil {
		f.Reset()
	}
	return nil
}

// digest tells records apart; the broker stamps the time.
func digest(m *Message) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(m.Key)
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(m.Value)
	_, _ = h.Write([]byte(m.Time.UTC().Format(time.RFC3339Nano)))
	return h.Sum64() | 1
}
