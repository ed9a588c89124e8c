package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
)

// assignment is a partition that is ours for as long as the context given with
// it holds.
type assignment struct {
	k         *cluster
	group     string
	topic     string
	partition int
	member    string
	term      int   // the group's generation: a commit of an older one is refused by the broker
	next      int64 // committed offset; kafka.FirstOffset when nothing was committed
	planned   int64 // last offset of a batch whose insert may have happened; −1 when there is none
}

// A rebalance that waits for a dead member has to be over well before the sessions
// of those that live end: they send no heartbeats while they wait for their share.
// With the same time for both, the embedded broker ends the living ones in a
// rebalance whose leader is dead, in silence, and their next attempts become the
// next dead members: a group that stands still for minutes (chaos seed 310006).
const (
	sessionTimeout   = 10 * time.Second
	rebalanceTimeout = 4 * time.Second
)

// share joins a consumer group for a topic and runs fn for every partition that
// is assigned to this process, until ctx ends. fn must return soon after its
// context ends; when it returns before that, the group is joined anew.
//
// orphans: partitions of other members are watched (see watchOrphans). Not where a
// message may rightly take long and come to a repetition that costs money.
func (k *cluster) share(ctx context.Context, topic, group string, orphans bool, fn func(context.Context, *assignment)) error {
	cg, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: k.cfg.Brokers, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		Dialer:            &kafka.Dialer{ClientID: k.cfg.ClientID, Timeout: 3 * time.Second, TLS: k.cfg.TLS, SASLMechanism: k.transport.SASL},
		HeartbeatInterval: time.Second, SessionTimeout: sessionTimeout, RebalanceTimeout: rebalanceTimeout,
		JoinGroupBackoff: 250 * time.Millisecond, Timeout: 5 * time.Second,
		WatchPartitionChanges: true, PartitionWatchInterval: 5 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("consumer group %s: %w", group, err)
	}
	defer cg.Close()
	var (
		m     membership
		watch sync.WaitGroup
	)
	defer watch.Wait()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	if orphans && !sabotage.Of(sabotage.OrphansWatched) {
		watch.Go(func() { k.watchOrphans(watching, topic, group, &m) })
	}
	t := trouble{log: k.log, what: "joining consumer group " + group}
	for {
		gen, err := cg.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			t.note(err)
			k.forget()
			continue
		}
		assigned, err := k.assigned(ctx, gen, topic, group)
		if err != nil {
			t.note(err)
			k.forget()
			gen.Start(func(context.Context) {}) // gives the generation up
			continue
		}
		t.over()
		again := m.begin(assigned)
		gen.Start(func(term context.Context) {
			select {
			case <-term.Done():
			case <-again:
			}
		})
		for _, a := range assigned {
			gen.Start(func(term context.Context) {
				// What is done in a term ends with it, and with ctx.
				both, cancel := context.WithCancel(ctx)
				defer cancel()
				defer context.AfterFunc(term, cancel)()
				fn(both, a)
			})
		}
	}
}

// assigned reads what is committed for the partitions of a generation.
func (k *cluster) assigned(ctx context.Context, gen *kafka.Generation, topic, group string) (out []*assignment, err error) {
	var partitions []int
	for _, a := range gen.Assignments[topic] {
		partitions = append(partitions, a.ID)
		out = append(out, &assignment{k: k, group: group, topic: topic, partition: a.ID, member: gen.MemberID, term: int(gen.ID), next: a.Offset, planned: -1})
	}
	if len(out) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	res, err := k.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: partitions}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, fmt.Errorf("committed offsets of %s: %w", group, err)
	}
	for _, p := range res.Topics[topic] {
		for _, a := range out {
			if a.partition != p.Partition {
				continue
			}
			if p.Error != nil {
				return nil, fmt.Errorf("committed offset of %s/%d: %w", topic, p.Partition, p.Error)
			}
			if p.CommittedOffset >= 0 {
				a.next, a.planned = p.CommittedOffset, parsePlan(p.Metadata)
			}
		}
	}
	return out, nil
}

// errNotOurs says that the partition was given to another member.
var errNotOurs = errors.New("the partition is no longer ours")

// commit saves that everything before next is done, and, with a plan, that the
// batch from next to planned may be. It tries until it works or ctx ends.
func (a *assignment) commit(ctx context.Context, next, planned int64) error {
	wait := backoff{first: 50 * time.Millisecond, limit: 2 * time.Second}
	t := trouble{log: a.k.log, what: fmt.Sprintf("committing %s/%d", a.topic, a.partition)}
	for {
		err := a.commitOnce(ctx, next, planned)
		switch {
		case err == nil:
			t.over()
			a.next, a.planned = next, planned
			return nil
		case errors.Is(err, kafka.IllegalGeneration), errors.Is(err, kafka.UnknownMemberId), errors.Is(err, kafka.RebalanceInProgress):
			return fmt.Errorf("%w: %w", errNotOurs, err)
		}
		if ctx.Err() == nil {
			t.note(err)
		}
		a.k.forget()
		if !wait.wait(ctx) {
			return ctx.Err()
		}
	}
}

func (a *assignment) commitOnce(ctx context.Context, next, planned int64) error {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	res, err := a.k.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: a.group, GenerationID: a.term, MemberID: a.member,
		Topics: map[string][]kafka.OffsetCommit{a.topic: {{Partition: a.partition, Offset: next, Metadata: plan(planned)}}},
	})
	if err != nil {
		return err
	}
	for _, p := range res.Topics[a.topic] {
		if p.Error != nil {
			return p.Error
		}
	}
	return nil
}

const planPrefix = "inserting-to="

func plan(last int64) string {
	if last < 0 {
		return ""
	}
	return planPrefix + strconv.FormatInt(last, 10)
}

func parsePlan(metadata string) int64 {
	text, ok := strings.CutPrefix(metadata, planPrefix)
	last, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil {
		return -1
	}
	return last
}

// Consume reads a topic as a member of a group, and hands each message to fn, one
// at a time within a partition and no message twice: the offset is committed
// before, some messages at a time, so that money which a message costs is never
// paid again. What a kill or a rebalance costs is the rest of those, at most
// consumeAhead of a partition, which nobody is handed. An error of fn is tried
// again with a growing pause. It returns, with nil, when ctx ends.
func Consume(ctx context.Context, cfg Config, topic, group string, fn func(context.Context, Message) error) error {
	k, err := connect(cfg)
	if err != nil {
		return err
	}
	defer k.close()
	return k.share(ctx, topic, group, false, func(ctx context.Context, a *assignment) {
		k.consume(ctx, a, fn)
	})
}

const (
	consumeAhead = 20
	consumeBytes = 1 << 20
)

func (k *cluster) consume(ctx context.Context, a *assignment, fn func(context.Context, Message) error) {
	r := newReader(k, a, consumeBytes)
	for ctx.Err() == nil {
		msgs, err := r.read(ctx, fetchWait)
		if err != nil {
			return
		}
		for some := range slices.Chunk(msgs, consumeAhead) {
			// Refused where the partition is another's by now.
			if a.commit(ctx, some[len(some)-1].Offset+1, -1) != nil {
				return
			}
			for _, m := range some {
				if k.once(ctx, m, fn) != nil {
					return
				}
			}
		}
	}
}

// once calls fn until it succeeds.
func (k *cluster) once(ctx context.Context, m Message, fn func(context.Context, Message) error) error {
	wait := backoff{first: 100 * time.Millisecond, limit: 30 * time.Second}
	for {
		err := fn(ctx, m)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		k.log.Warn("a message was not taken and is tried again", "partition", m.Partition, "offset", m.Offset, "err", err)
		if !wait.wait(ctx) {
			return ctx.Err()
		}
	}
}
