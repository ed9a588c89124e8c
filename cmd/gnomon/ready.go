package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"golang.org/x/sync/errgroup"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/store"
)

// How often broker and store are asked whether they are there, and how long they
// may take. A hung process still accepts connections: only an answer counts.
const (
	probeEvery    = 2 * time.Second
	probePatience = 3 * time.Second
	probePatient  = 3 // probes in a row that fail before a part is called away: one may meet a heavy query
)

// snapshotPatience is how long a start waits for the policy topic before it goes
// by the snapshot.
const snapshotPatience = 3 * time.Second

// backing is a part that this process leans on: away until it has answered, and
// away again when it no longer does.
type backing struct {
	outage atomic.Pointer[outage] // nil: it answers
}

type outage struct {
	since time.Time
	why   error
}

var errNotYet = errors.New("has not answered since the start")

func newBacking() *backing {
	b := &backing{}
	b.outage.Store(&outage{time.Now(), errNotYet})
	return b
}

// away is why it cannot be leaned on, nil when it can.
func (b *backing) away() error {
	if o := b.outage.Load(); o != nil {
		return fmt.Errorf("away since %s: %w", o.since.UTC().Format(time.TimeOnly), o.why)
	}
	return nil
}

// watch asks again and again until ctx ends.
func (b *backing) watch(ctx context.Context, ask func(context.Context) error) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	silent := 0
	for {
		one, cancel := context.WithTimeout(ctx, probePatience)
		err := ask(one)
		cancel()
		switch was := b.outage.Load(); {
		case ctx.Err() != nil:
			return
		case err == nil:
			silent = 0
			b.outage.Store(nil)
		case was == nil:
			if silent++; silent >= probePatient {
				b.outage.Store(&outage{time.Now(), err})
			}
		default:
			b.outage.Store(&outage{was.since, err})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// watchBackings keeps an eye on broker and store once each was brought up.
func (n *node) watchBackings(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { n.afterwards(ctx, n.brokerUp, n.brokerIs, n.pub.Ping); return nil })
	g.Go(func() error {
		n.afterwards(ctx, n.storeUp, n.storeIs, func(ctx context.Context) error { return n.reader.Load().Ping(ctx) })
		return nil
	})
	return g.Wait()
}

func (n *node) afterwards(ctx context.Context, up <-chan struct{}, b *backing, ask func(context.Context) error) {
	select {
	case <-ctx.Done():
	case <-up:
		b.watch(ctx, ask)
	}
}

// storeNow is the store to read from; before it has answered for the first time,
// an error that says what works meanwhile.
func (n *node) storeNow() (*store.Store, error) {
	if s := n.reader.Load(); s != nil {
		return s, nil
	}
	return nil, &dashboards.Error{Kind: dashboards.Unavailable, Code: "store_away", Message: "The store has not answered since this gnomon started.",
		Hint: "gnomon doctor says what is wrong. Traffic flows, events wait, and a workload can be switched back: gnomon rollback WORKLOAD --reason \"…\"."}
}

// Ready implements dashboards.Health: what stands in the way of this process's
// roles now, or of the proxy's alone.
func (n *node) Ready(_ context.Context, role string) error {
	if n.roles.proxy && !n.proxyServes.Load() {
		if err := n.proxyReady(); err != nil {
			return err
		}
		// From here on it is in service: what is lost or contradicted later is an
		// alarm, the snapshot holds, and traffic flows.
		n.proxyServes.Store(true)
	}
	switch {
	case role == "proxy" && !n.roles.proxy:
		return errors.New("this process has no proxy")
	case role == "proxy":
		return nil
	case role != "":
		return fmt.Errorf("role %q cannot be asked for: ask for proxy, or leave role out for all of this process's", role)
	}
	if n.roles.ingest || n.roles.analyze || n.roles.rehearse {
		if err := n.brokerIs.away(); err != nil {
			return fmt.Errorf("the broker at %v is %w", brokers(n.c), err)
		}
	}
	if n.roles.store() {
		if err := n.storeIs.away(); err != nil {
			return fmt.Errorf("the store is %w", err)
		}
	}
	return nil
}

// proxyReady says what the data plane waits for. Nothing that goes away later
// makes it unready: traffic flows without broker and store, by the snapshot.
func (n *node) proxyReady() error {
	if err := n.logReady("policies", n.keeper.Standing()); err != nil {
		return err
	}
	if err := n.logReady("keys", n.keys.Standing()); err != nil {
		return err
	}
	if n.keeper.Standing().Current && n.snapshots.evidenceBehind() && n.brokerIs.away() == nil {
		return errors.New("evidence is being read")
	}
	return nil
}

// logReady says whether what is kept of a log can be gone by.
func (n *node) logReady(what string, at activation.Standing) error {
	switch {
	case at.Current, at.Away && at.Read:
		return nil
	case at.Away || !isClosed(n.brokerUp):
		if time.Since(n.started) < snapshotPatience {
			return errors.New("waiting for the broker, before the snapshot of " + what + " is trusted")
		}
		return nil
	}
	if at.Alarm != "" {
		return errors.New(what + " are being read: " + at.Alarm)
	}
	return errors.New(what + " are being read")
}

// registerUp publishes whether the backings answer.
func (n *node) registerUp() {
	up := func(part string, b *backing) {
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_part_up", Help: "1 while the part answers.", ConstLabels: prometheus.Labels{"part": part}}, func() float64 {
			if b.away() != nil {
				return 0
			}
			return 1
		}))
	}
	up("broker", n.brokerIs)
	if n.roles.store() {
		up("store", n.storeIs)
	}
}
