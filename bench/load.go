package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// sample is what one round of one target gave.
type sample struct {
	requests  int
	wall      time.Duration
	cpu       time.Duration // of the target, while the load ran
	settled   time.Duration // of the target, until its work was done, too
	latencies []time.Duration
	delays    []time.Duration // of stream events
	resident  int64
}

func (s *sample) perRequest(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1e3 / float64(max(1, s.requests))
}

func percentile(d []time.Duration, p float64) float64 {
	if len(d) == 0 {
		return math.NaN()
	}
	slices.Sort(d)
	return float64(d[min(len(d)-1, int(p*float64(len(d))))].Nanoseconds()) / 1e3
}

// median of a figure over rounds.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// around runs a load and measures the target's processor time about it.
func (t *target) around(load func() (*sample, error)) (*sample, error) {
	before, err := t.cpu()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	s, err := load()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	s.wall = time.Since(began)
	during, err1 := t.cpu()
	err2 := t.settle()
	after, err3 := t.cpu()
	resident, err4 := t.resident()
	s.cpu, s.settled, s.resident = during-before, after-before, resident
	return s, errors.Join(err1, err2, err3, err4)
}

// closed keeps conns connections busy for a time, or for a count of requests.
func (t *target) closed(q request, conns int, length time.Duration, count int) (*sample, error) {
	var wg sync.WaitGroup
	var done, left atomic.Int64
	left.Store(int64(count))
	errs := make([]error, conns)
	deadline := time.Now().Add(length)
	for i := range conns {
		wg.Go(func() {
			c, err := dial(t.addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			req := q.bytes(t, fmt.Sprintf("s%d", i))
			for (count == 0 && time.Now().Before(deadline)) || (count > 0 && left.Add(-1) >= 0) {
				if errs[i] = c.exchange(req, nil); errs[i] != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return &sample{requests: int(done.Load())}, errors.Join(errs...)
}

// paced sends requests at a fixed rate, whether or not earlier ones are
// answered; a request's latency counts from when it was due.
func (t *target) paced(q request, conns, rate int, length time.Duration) (*sample, error) {
	due := make(chan time.Time, rate*int(length/time.Second+1))
	var wg sync.WaitGroup
	var mu sync.Mutex
	s := &sample{}
	errs := make([]error, conns)
	for i := range conns {
		wg.Go(func() {
			c, err := dial(t.addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			req := q.bytes(t, fmt.Sprintf("s%d", i))
			var latencies, delays []time.Duration
			for at := range due {
				var event func(time.Duration)
				if q.stream {
					event = func(d time.Duration) { delays = append(delays, d) }
				}
				if errs[i] = c.exchange(req, event); errs[i] != nil {
					break
				}
				latencies = append(latencies, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			s.latencies, s.delays = append(s.latencies, latencies...), append(s.delays, delays...)
		})
	}
	began := time.Now()
	gap := time.Second / time.Duration(rate)
	for next := began; next.Sub(began) < length; next = next.Add(gap) {
		if wait := time.Until(next); wait > 0 {
			time.Sleep(wait)
		}
		due <- next
	}
	close(due)
	wg.Wait()
	s.requests = len(s.latencies)
	return s, errors.Join(errs...)
}

// held opens streams that send one event and then nothing, and says how much
// memory they took.
func (t *target) held(n int) (perStream float64, err error) {
	before, err := t.resident()
	if err != nil {
		return 0, err
	}
	q := request{path: "/v1/chat/completions", size: 1024, stream: true, shape: "events=2 gap=60s"}
	conns := make([]*conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range n {
		c, err := dial(t.addr)
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
		if _, err := c.Write(q.bytes(t, fmt.Sprintf("s%d", i))); err != nil {
			return 0, err
		}
	}
	for _, c := range conns {
		if _, _, err := c.head(); err != nil {
			return 0, err
		}
		if _, err := c.r.ReadSlice('\n'); err != nil { // the first event's chunk has come
			return 0, err
		}
	}
	time.Sleep(5 * time.Second) // let a collection happen where one is due
	after, err := t.resident()
	return float64(after-before) / 1024 / float64(n), err
}
