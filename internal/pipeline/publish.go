package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/schemas"
)

// A produce request is cut well below the 1 MB that brokers take by default.
const (
	batchBytes   = 900_000
	batchRecords = 5_000
	produceAside = 2 // batches of one call at a time: each has a compressor

	// Encoding and compressing a batch holds a core that a proxy may have only one of,
	// and requests that come meanwhile wait. With few records there is time to look at
	// the network between two batches, for which the runtime has to have nothing else
	// to do: Gosched would not do it.
	fewRecords = 500
	breath     = time.Millisecond
)

// Publisher writes to topics. Its methods are safe for concurrent use. It has
// no queue: what is not with the broker is with the caller.
type Publisher struct {
	k        *cluster
	balancer kafka.Hash

	mu   sync.Mutex
	base map[place]int64
	lost func(topic string, partition int) // called when a log went back: the broker lost records
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int
}

// NewPublisher makes a publisher; it does not connect yet.
func NewPublisher(cfg Config) (*Publisher, error) {
	k, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	return &Publisher{k: k, base: map[place]int64{}}, nil
}

// Close closes the connections.
func (p *Publisher) Close() error {
	p.k.close()
	return nil
}

// Ping asks the broker something that it cannot answer without being there: what
// is known of a cluster is kept, and tells nothing.
func (p *Publisher) Ping(ctx context.Context) error {
	_, _, err := p.k.ends(ctx, schemas.TopicPolicies, 0)
	return err
}

// Publish returns once the broker has all messages (acks=all), in order of a
// key; what the broker does not answer is sent again until ctx ends, so a
// message may be there twice. A message that is larger than the topic takes goes
// to the topic's dead letters, and the others are not held up. The error, ctx's
// with what stood in the way, means that nothing is known of messages that
// were not answered for.
func (p *Publisher) Publish(ctx context.Context, topic string, msgs ...Message) error {
	oversize, err := p.publish(ctx, topic, msgs)
	if err != nil || len(oversize) == 0 {
		return err
	}
	letters := make([]Message, len(oversize))
	for i, at := range oversize {
		letters[i] = deadLetter(topic, &msgs[at], place{topic, -1}, -1, "oversize: larger than the topic takes")
	}
	p.k.log.Error("messages larger than their topic takes went to its dead letters", "topic", topic, "messages", len(letters))
	return p.Publish(ctx, topic+schemas.DLQSuffix, letters...)
}

// publish is Publish without the dead letters: it returns the indexes of what
// was too large.
func (p *Publisher) publish(ctx context.Context, topic string, msgs []Message) (oversize []int, err error) {
	if len(msgs) == 0 {
		return nil, nil
	}
	n, err := p.partitions(ctx, topic)
	if err != nil {
		return nil, err
	}
	batches := p.cut(msgs, n)
	var (
		wait  sync.WaitGroup
		mu    sync.Mutex
		errs  []error
		slots = make(chan struct{}, produceAside)
	)
	begun := 0
	for partition, parts := range batches {
		if begun++; begun > 1 && len(msgs) <= fewRecords {
			time.Sleep(breath)
		}
		wait.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wait.Done() }()
			for _, indexes := range parts {
				large, err := p.send(ctx, place{topic, partition}, msgs, indexes)
				mu.Lock()
				oversize = append(oversize, large...)
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}()
	}
	wait.Wait()
	return oversize, errors.Join(errs...)
}

// partitions asks until the broker answers.
func (p *Publisher) partitions(ctx context.Context, topic string) (int, error) {
	wait := backoff{first: 50 * time.Millisecond, limit: 2 * time.Second}
	t := trouble{log: p.k.log, what: "publishing to " + topic}
	for {
		n, err := p.k.partitions(ctx, topic)
		if err == nil && n > 0 {
			t.over()
			return n, nil
		}
		if err == nil {
			err = kafka.UnknownTopicOrPartition
		}
		p.k.forget()
		if ctx.Err() == nil {
			t.note(err)
		}
		if !wait.wait(ctx) {
			return 0, fmt.Errorf("publish to %s: %w; in the way: %w", topic, context.Cause(ctx), err)
		}
	}
}

// cut spreads messages over partitions by key, and each partition's into batches.
func (p *Publisher) cut(msgs []Message, partitions int) map[int][][]int {
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	out := map[int][][]int{}
	size := map[int]int{}
	for i := range msgs {
		to := 0
		if partitions > 1 {
			to = p.balancer.Balance(kafka.Message{Key: msgs[i].Key}, all...)
		}
		n := sizeOf(&msgs[i])
		parts := out[to]
		if len(parts) == 0 || size[to]+n > batchBytes || len(parts[len(parts)-1]) >= batchRecords {
			parts, size[to] = append(parts, nil), 0
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], i)
		size[to] += n
		out[to] = parts
	}
	return out
}

func sizeOf(m *Message) int {
	n := len(m.Key) + len(m.Value) + len(m.ID) + 64
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + 4
	}
	return n
}

// send writes one batch until the broker has it, or ctx ends.
func (p *Publisher) send(ctx context.Context, to place, msgs []Message, indexes []int) (oversize []int, err error) {
	batch := make([]Message, len(indexes))
	for i, at := range indexes {
		batch[i] = msgs[at]
	}
	wait := backoff{first: 50 * time.Millisecond, limit: 2 * time.Second}
	t := trouble{log: p.k.log, what: "publishing to " + to.topic}
	for {
		base, err := p.k.produce(ctx, to.topic, to.partition, batch)
		switch {
		case err == nil:
			t.over()
			p.note(to, base, len(batch))
			return oversize, nil
		case errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge):
			if len(indexes) == 1 {
				return indexes, nil
			}
			half := len(indexes) / 2
			for _, part := range [][]int{indexes[:half], indexes[half:]} {
				large, err := p.send(ctx, to, msgs, part)
				oversize = append(oversize, large...)
				if err != nil {
					return oversize, err
				}
			}
			return oversize, nil
		}
		p.k.forget()
		if ctx.Err() == nil {
			t.note(err)
		}
		if !wait.wait(ctx) {
			return oversize, fmt.Errorf("publish to %s: %w; in the way: %w", to.topic, context.Cause(ctx), err)
		}
	}
}

// note follows a partition's offsets: one that goes back tells of a broker that
// lost its log.
func (p *Publisher) note(to place, base int64, n int) {
	p.mu.Lock()
	before, known := p.base[to]
	p.base[to] = base + int64(n)
	lost := p.lost
	p.mu.Unlock()
	if known && base < before && lost != nil {
		lost(to.topic, to.partition)
	}
}
