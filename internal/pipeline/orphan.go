package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// membership is what a member of a consumer group holds in the current term.
type membership struct {
	mu    sync.Mutex
	mine  map[int]bool
	again chan struct{} // closed to have the partitions shared anew
}

func (m *membership) begin(assigned []*assignment) (again <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mine, m.again = map[int]bool{}, make(chan struct{})
	for _, a := range assigned {
		m.mine[a.partition] = true
	}
	return m.again
}

func (m *membership) holds(partition int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mine[partition]
}

func (m *membership) giveUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.again != nil {
		close(m.again)
		m.again = nil
	}
}

// watchOrphans looks for partitions that were given to a member that does nothing
// with them, and has the group shared anew when it finds one.
//
// A coordinator notices dead members by their missing heartbeats. It does not where
// a member hangs and its heartbeats go on; and the embedded broker does not where a
// member dies between joining and being told its share: by a coin's throw it keeps
// the member, and its partitions, for ever (found by e2e/chaos).
// Sharing anew costs a pause; where the other member is only slow, the wait
// doubles each time.
func (k *cluster) watchOrphans(ctx context.Context, topic, group string, m *membership) {
	type mark struct {
		committed int64
		since     time.Time
	}
	marks := map[int]mark{}
	patience := k.cfg.OrphanAfter
	tick := time.NewTicker(k.cfg.OrphanAfter / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		behind, _, err := k.behind(ctx, topic, group)
		if err != nil {
			marks = map[int]mark{} // nothing was seen to stand still
			continue
		}
		orphan := false
		for p := range marks {
			if _, still := behind[p]; !still {
				delete(marks, p)
			}
		}
		for p, committed := range behind {
			was, known := marks[p]
			switch {
			case m.holds(p):
				delete(marks, p)
			case !known || was.committed != committed:
				if known { // it is slow, not dead: what was learnt of waiting is old
					patience = k.cfg.OrphanAfter
				}
				marks[p] = mark{committed, time.Now()}
			case time.Since(was.since) > patience:
				orphan = true
				k.log.Warn("a partition moves nowhere though another ingester has it: the group is shared anew", "topic", topic, "partition", p, "since", was.since)
			}
		}
		if orphan {
			marks = map[int]mark{}
			patience = min(2*patience, 32*k.cfg.OrphanAfter)
			m.giveUp()
		}
	}
}

// behind is the committed offset of each partition that holds more than that, and
// of how many partitions that is not known.
func (k *cluster) behind(ctx context.Context, topic, group string) (behind map[int]int64, unknown int, err error) {
	n, err := k.partitions(ctx, topic)
	if err != nil {
		return nil, 0, err
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	res, err := k.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: all}})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return nil, 0, err
	}
	behind, unknown = map[int]int64{}, n
	for _, p := range res.Topics[topic] {
		first, end, err := k.ends(ctx, topic, p.Partition)
		if err != nil || p.Error != nil {
			continue
		}
		unknown--
		if committed := max(p.CommittedOffset, first); committed < end {
			behind[p.Partition] = committed
		}
	}
	return behind, unknown, nil
}
