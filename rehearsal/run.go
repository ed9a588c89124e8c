package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Source hands out payloads. Next blocks until there is one; it fails when ctx
// ends or no more will come. done is called once the payload has been dealt
// with (published, or not drawn), from any goroutine and in any order.
type Source interface {
	Next(ctx context.Context) (p *schemas.Payload, done func(), err error)
}

// Publish sends evaluations on their way and returns when they are safe.
type Publish func(ctx context.Context, evs []schemas.Evaluation) error

// Ledger knows what was spent on rehearsals of a UTC day, by workload: the
// store does. It makes the cap hold over rehearsers that share the work, and
// over a lost data folder.
type Ledger interface {
	RehearsalSpend(ctx context.Context, day time.Time) (map[string]schemas.NanoUSD, error)
}

// RunConfig is how Run works.
type RunConfig struct {
	Dir     string        // where the memory is kept; "" keeps none
	Ledger  Ledger        // may be nil
	Workers int           // calls at the same time, 4 when 0
	Refresh time.Duration // between two looks at the ledger, a minute when 0
	Log     *slog.Logger
	Now     func() time.Time
}

// Run rehearses what src hands out until ctx ends or src has no more. All that
// it starts has ended when it returns. An evaluation that cannot be published
// ends it: what is spent unseen must not go on.
func Run(ctx context.Context, r *Rehearser, src Source, publish Publish, cfg RunConfig) error {
	cfg = cfg.withDefaults()
	if err := r.load(cfg.Dir); err != nil {
		// A broken memory is replaced, but not trusted to mean "nothing spent":
		// the ledger knows, where there is one.
		cfg.Log.Warn("the rehearsal's memory cannot be used; starting without it", "error", err)
	}
	look(ctx, r, cfg)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() { watchLedger(ctx, r, cfg) })
	slots := make(chan struct{}, cfg.Workers)
	var err error
	for {
		var p *schemas.Payload
		var done func()
		if p, done, err = src.Next(ctx); err != nil {
			break
		}
		if !r.Wants(&p.Event) {
			r.skip()
			done()
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := one(ctx, r, p, publish, cfg); err != nil {
				cancel(err)
				return
			}
			done()
		})
	}
	// The watcher ends with ctx, the workers with their calls.
	if ctx.Err() == nil {
		waitSlots(slots)
	}
	cancel(nil)
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if saved := r.save(cfg.Dir, cfg.Now()); saved != nil {
		err = errors.Join(err, saved)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// one rehearses a payload. The memory is saved before the evaluation leaves: a
// crash forgets the calls that were on their way, at most.
func one(ctx context.Context, r *Rehearser, p *schemas.Payload, publish Publish, cfg RunConfig) error {
	evs, err := r.Rehearse(ctx, p, cfg.Now())
	if err != nil {
		return err
	}
	if len(evs) == 0 {
		return nil
	}
	if err := r.save(cfg.Dir, cfg.Now()); err != nil {
		return err
	}
	if err := publish(ctx, evs); err != nil {
		return fmt.Errorf("publish %d evaluations: %w", len(evs), err)
	}
	return nil
}

// waitSlots returns once every worker has given its slot back.
func waitSlots(slots chan struct{}) {
	for range cap(slots) {
		slots <- struct{}{}
	}
}

func watchLedger(ctx context.Context, r *Rehearser, cfg RunConfig) {
	if cfg.Ledger == nil {
		return
	}
	tick := time.NewTicker(cfg.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			look(ctx, r, cfg)
		}
	}
}

func look(ctx context.Context, r *Rehearser, cfg RunConfig) {
	if cfg.Ledger == nil {
		return
	}
	now := cfg.Now().UTC()
	spent, err := cfg.Ledger.RehearsalSpend(ctx, now.Truncate(24*time.Hour))
	if err != nil {
		if ctx.Err() == nil {
			cfg.Log.Warn("what rehearsal has spent today cannot be read; going by the own count", "error", err)
		}
		return
	}
	r.AtLeast(spent, now)
}

func (c RunConfig) withDefaults() RunConfig {
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if c.Refresh <= 0 {
		c.Refresh = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (r *Rehearser) skip() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts.Seen++
	r.counts.Unfit++
}
