package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"sync"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Record is one message for a topic.
type Record struct {
	Key, Value []byte
	ID         string // of what it carries, for people who look for it
}

// Publish puts records on a topic and returns once they are safe there.
type Publish func(ctx context.Context, topic string, records []Record) error

// Topics is the Sink that publishes what it is given, as proxies and rehearsers
// do.
func Topics(publish Publish) Sink { return topics(publish) }

type topics Publish

// publishBatch is how many records are published at a time.
const publishBatch = 4000

func (p topics) Requests(ctx context.Context, evs []schemas.RequestEvent) error {
	return send(ctx, p, schemas.TopicRequests, evs, func(e *schemas.RequestEvent) (key, id string) { return e.RequestID, e.RequestID })
}

func (p topics) Heartbeats(ctx context.Context, beats []schemas.Heartbeat) error {
	return send(ctx, p, schemas.TopicHeartbeats, beats, func(b *schemas.Heartbeat) (key, id string) {
		boot := strconv.FormatUint(b.BootID, 10)
		return boot, boot
	})
}

func (p topics) Evaluations(ctx context.Context, evs []schemas.Evaluation) error {
	return send(ctx, p, schemas.TopicEvaluations, evs, func(e *schemas.Evaluation) (key, id string) {
		return e.Project + "/" + e.Workload, e.EvaluationID
	})
}

func send[T any](ctx context.Context, p topics, topic string, things []T, name func(*T) (key, id string)) error {
	for from := 0; from < len(things); from += publishBatch {
		part := things[from:min(from+publishBatch, len(things))]
		records, err := encode(part, name)
		if err != nil {
			return err
		}
		if err := p(ctx, topic, records); err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
	}
	return nil
}

// encode writes things as JSON, on all processors.
func encode[T any](things []T, name func(*T) (key, id string)) ([]Record, error) {
	records := make([]Record, len(things))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(things)/64))
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for k := n; k < len(things); k += workers {
				value, err := json.Marshal(&things[k])
				if err != nil {
					errs[n] = fmt.Errorf("encode %T: %w", things[k], err)
					return
				}
				key, id := name(&things[k])
				records[k] = Record{Key: []byte(key), Value: value, ID: id}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}
