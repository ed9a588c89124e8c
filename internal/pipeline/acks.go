package pipeline

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// ackEvery is how often what was inserted is told to the spools.
const ackEvery = 100 * time.Millisecond

// acker gathers what the store has and tells it, by boot id. Nothing waits for
// it: an ack that is lost costs another sending of what the store has.
type acker struct {
	mu   sync.Mutex
	have map[uint64][][2]uint64
	wake chan struct{}
}

func newAcker() *acker {
	return &acker{have: map[uint64][][2]uint64{}, wake: make(chan struct{}, 1)}
}

func (a *acker) add(boot, lo, hi uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.have[boot]
	if n := len(r); n > 0 && r[n-1][1]+1 == lo {
		r[n-1][1] = hi
		return
	}
	a.have[boot] = append(r, [2]uint64{lo, hi})
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// take returns an ack for each boot id, and forgets.
func (a *acker) take() (acks []schemas.Ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for boot, ranges := range a.have {
		acks = append(acks, schemas.Ack{Version: schemas.SchemaVersion, BootID: boot, Ranges: union(ranges)})
	}
	clear(a.have)
	return acks
}

// union sorts ranges and joins those that touch.
func union(r [][2]uint64) [][2]uint64 {
	slices.SortFunc(r, func(a, b [2]uint64) int {
		switch {
		case a[0] < b[0]:
			return -1
		case a[0] > b[0]:
			return 1
		}
		return 0
	})
	out := r[:0]
	for _, x := range r {
		if n := len(out); n > 0 && x[0] <= out[n-1][1]+1 {
			out[n-1][1] = max(out[n-1][1], x[1])
			continue
		}
		out = append(out, x)
	}
	return out
}

// ackRanges bounds one message: some 400 KB.
const ackRanges = 20_000

// run publishes until ctx ends.
func (a *acker) run(ctx context.Context, pub *Publisher) {
	t := time.NewTimer(ackEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.wake:
		}
		t.Reset(ackEvery)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// It tries until ctx ends, and what comes meanwhile is joined.
		if a.tell(ctx, pub) != nil {
			return
		}
	}
}

func (a *acker) tell(ctx context.Context, pub *Publisher) error {
	var msgs []Message
	for _, ack := range a.take() {
		for part := range slices.Chunk(ack.Ranges, ackRanges) {
			value, err := json.Marshal(&schemas.Ack{Version: ack.Version, BootID: ack.BootID, Ranges: part})
			if err == nil {
				msgs = append(msgs, Message{Key: []byte(strconv.FormatUint(ack.BootID, 10)), Value: value})
			}
		}
	}
	return pub.Publish(ctx, schemas.TopicAcks, msgs...)
}
