package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/rehearsal"
	"github.com/gnomon-llm/gnomon/schemas"
)

// payloadQueue carries bodies from the proxy to their topic without ever making
// it wait: what does not fit is dropped and counted. They are samples, not
// records.
type payloadQueue struct {
	ch      chan schemas.Payload
	waiting atomic.Int64 // bytes
	publish func(ctx context.Context, topic string, msgs ...pipeline.Message) error
	dropped prometheus.Counter
	broken  func(error)
}

// Bounds of the bodies that wait for the broker.
const (
	payloadQueueLength = 256
	payloadQueueBytes  = 16 << 20
)

func bytesOf(p *schemas.Payload) int64 { return int64(len(p.RequestBody) + len(p.ResponseBody)) }

func newPayloadQueue(n *node) *payloadQueue {
	q := &payloadQueue{ch: make(chan schemas.Payload, payloadQueueLength), publish: n.pub.Publish,
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "gnomon_payloads_dropped_total", Help: "Bodies for rehearsal that did not fit the queue to the broker."}),
		broken:  func(err error) { n.log.Warn("bodies for rehearsal could not be published", "err", err) }}
	n.registry.MustRegister(q.dropped)
	return q
}

// offer is the proxy's PayloadSink.
func (q *payloadQueue) offer(p schemas.Payload) {
	n := bytesOf(&p)
	if q.waiting.Add(n) <= payloadQueueBytes {
		select {
		case q.ch <- p:
			return
		default:
		}
	}
	q.waiting.Add(-n)
	q.dropped.Inc()
}

func (q *payloadQueue) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-q.ch:
			q.waiting.Add(-bytesOf(&p))
			value, err := json.Marshal(&p)
			if err == nil {
				err = q.publish(ctx, schemas.TopicPayloads, pipeline.Message{Key: []byte(p.Event.RequestID), Value: value, ID: p.Event.RequestID})
			}
			if err != nil && ctx.Err() == nil {
				q.dropped.Inc()
				q.broken(err)
			}
		}
	}
}

// plans turns the configuration of workloads into rehearsal plans.
func plans(c *config.Config) func(workload string) (rehearsal.Plan, bool) {
	return func(workload string) (rehearsal.Plan, bool) {
		if !c.RehearsalPermitted(workload) {
			return rehearsal.Plan{}, false
		}
		r := c.Workloads[workload].Rehearse
		daily, err := schemas.ParseUSD(strconv.FormatFloat(r.DailyUSD, 'f', 9, 64))
		return rehearsal.Plan{Daily: daily, Probability: r.Probability}, err == nil
	}
}

// storePatience is how long rehearsal waits for the store before it goes by its
// own count of what was spent.
const storePatience = 30 * time.Second

// rehearse runs the rehearsal role: payloads in, evaluations out.
func (n *node) rehearse(ctx context.Context) error {
	var providers []rehearsal.Provider
	for _, name := range sortedKeys(n.c.Providers) {
		p := n.c.Providers[name]
		providers = append(providers, rehearsal.Provider{Name: name, Dialect: p.Dialect, BaseURL: p.BaseURL, APIKey: p.APIKey})
	}
	sender := rehearsal.NewHTTPSender(providers, 0)
	defer sender.Close()
	r, err := rehearsal.New(rehearsal.Config{Plan: plans(n.c), Margin: n.c.Quality.Margin, Prices: n.book, Simulated: n.opts.simulated}, sender)
	if err != nil {
		return err
	}
	select { // what was spent today is in the store
	case <-ctx.Done():
		return nil
	case <-n.storeUp:
	case <-time.After(storePatience):
	}
	return rehearsal.Run(ctx, r, newPayloadSource(ctx, n), n.publishEvaluations, rehearsal.RunConfig{Dir: filepath.Join(n.c.DataDir, "rehearsal"), Ledger: ledger{n}, Log: n.log})
}

// ledger is what the store knows of the day's spending: rehearsers that share
// the work share the cap.
type ledger struct{ n *node }

// RehearsalSpend implements rehearsal.Ledger.
func (l ledger) RehearsalSpend(ctx context.Context, day time.Time) (map[string]schemas.NanoUSD, error) {
	reader := l.n.reader.Load()
	if reader == nil {
		return nil, errors.New("the store does not answer yet")
	}
	return reader.RehearsalSpend(ctx, l.n.c.Project, day)
}

func (n *node) publishEvaluations(ctx context.Context, evs []schemas.Evaluation) error {
	msgs := make([]pipeline.Message, len(evs))
	for i := range evs {
		value, err := json.Marshal(&evs[i])
		if err != nil {
			return err
		}
		msgs[i] = pipeline.Message{Key: []byte(evs[i].Project + "/" + evs[i].Workload), Value: value, ID: evs[i].EvaluationID}
	}
	return n.pub.Publish(ctx, schemas.TopicEvaluations, msgs...)
}

// payloadSource hands the topic's payloads to rehearsal one by one.
type payloadSource struct {
	ch   chan *schemas.Payload
	done chan error
}

func newPayloadSource(ctx context.Context, n *node) *payloadSource {
	s := &payloadSource{ch: make(chan *schemas.Payload), done: make(chan error, 1)}
	go func() {
		// One payload at a time is handed out and waited for no longer than the
		// hand-over: a rehearsal that a crash interrupts is not made again, since
		// its money may have been spent.
		s.done <- pipeline.Consume(ctx, n.pipelineConfig(), schemas.TopicPayloads, "gnomon-rehearse", func(ctx context.Context, m pipeline.Message) error {
			var p schemas.Payload
			if err := json.Unmarshal(m.Value, &p); err != nil {
				n.log.Warn("payload cannot be read and is passed over", "offset", m.Offset, "err", err)
				return nil
			}
			select {
			case s.ch <- &p:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return s
}

// Next implements rehearsal.Source.
func (s *payloadSource) Next(ctx context.Context) (*schemas.Payload, func(), error) {
	select {
	case p := <-s.ch:
		return p, func() {}, nil
	case err := <-s.done:
		if err == nil {
			err = context.Canceled
		}
		return nil, nil, fmt.Errorf("payload topic: %w", err)
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}
