package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// reader reads one assigned partition from its committed offset on, and says
// when offsets are missing.
type reader struct {
	k        *cluster
	place    place
	next     int64
	end      int64 // of the log, as last heard
	maxBytes int
	gap      func(from, to int64) // offsets that were never read: from to to−1
	wait     backoff
	trouble  trouble
}

func newReader(k *cluster, a *assignment, maxBytes int) *reader {
	r := &reader{k: k, place: place{a.topic, a.partition}, next: a.next, maxBytes: maxBytes,
		wait: backoff{first: 50 * time.Millisecond, limit: 2 * time.Second}}
	r.trouble = trouble{log: k.log, what: fmt.Sprintf("reading %s/%d", a.topic, a.partition)}
	r.gap = func(from, to int64) {
		k.log.Error("offsets are missing: they expired before they were read, or the broker lost them", "topic", a.topic, "partition", a.partition, "from", from, "to", to-1)
	}
	return r
}

// read returns the next messages, none when there are none within the wait. A
// broker that is away is waited for; the error is ctx's.
func (r *reader) read(ctx context.Context, wait time.Duration) ([]Message, error) {
	for {
		if r.next < 0 {
			first, _, err := r.k.ends(ctx, r.place.topic, r.place.partition)
			if err == nil {
				r.next = first
			} else if err := r.pause(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		got, err := r.k.fetch(ctx, r.place.topic, r.place.partition, r.next, r.maxBytes, wait)
		if err == nil {
			r.trouble.over()
			r.wait.reset()
			r.end = got.end
			for _, m := range got.msgs {
				if m.Offset != r.next {
					r.gap(r.next, m.Offset)
				}
				r.next = m.Offset + 1
			}
			return got.msgs, nil
		}
		if errors.Is(err, kafka.OffsetOutOfRange) {
			err = r.relocate(ctx)
			if err == nil {
				continue
			}
		}
		if err := r.pause(ctx, err); err != nil {
			return nil, err
		}
	}
}

func (r *reader) pause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		r.trouble.note(err)
	}
	r.k.forget()
	if !r.wait.wait(ctx) {
		return ctx.Err()
	}
	return nil
}

// relocate finds the place to go on from when the committed offset is not in
// the log: its first record. Before it records have expired; past its end the
// log is another one than what was read, so all of it is new.
func (r *reader) relocate(ctx context.Context) error {
	first, end, err := r.k.ends(ctx, r.place.topic, r.place.partition)
	if err != nil {
		return err
	}
	switch {
	case r.next < first:
		r.gap(r.next, first)
	case r.next > end:
		r.k.log.Error("the log is shorter than what was read of it: the broker lost it, or it was made anew; it is read from its start",
			"topic", r.place.topic, "partition", r.place.partition, "read_up_to", r.next, "end", end)
	default:
		return fmt.Errorf("offset %d was refused and lies between %d and %d", r.next, first, end)
	}
	r.next = first
	return nil
}
