package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	bin, kafka   string
	load, settle time.Duration
	workers      int
	keep         bool
	only         string       // the one fault to try; empty: all
	env          []string     // of every process
	renew        func() error // makes the cluster anew; nil: there is none
}

func main() {
	var o options
	first := flag.Uint64("seed", uint64(time.Now().UnixNano())%1_000_000, "the first seed")
	count := flag.Int("seeds", 1, "how many seeds, one after the other")
	again := flag.Bool("kept", false, "the seeds that have failed before, in place of -seed and -seeds")
	flag.StringVar(&o.bin, "bin", "", "the binary (default: one that is built from this tree, whose clock can be set)")
	flag.StringVar(&o.kafka, "kafka", "", "folder of a Kafka made by deploy/kafka-test/cluster.sh, without topics (default: the embedded broker)")
	flag.DurationVar(&o.load, "load", 10*time.Second, "how long requests are sent")
	flag.DurationVar(&o.settle, "settle", 90*time.Second, "how long everything may take to be accounted for afterwards")
	flag.IntVar(&o.workers, "workers", 8, "clients at the same time")
	flag.StringVar(&o.only, "fault", "", "only the fault of this name")
	sabotaged := flag.String("sabotage", "", "take this safeguard away, or each in turn (all), and show that it is noticed within -seeds seeds")
	flag.BoolVar(&o.keep, "keep", false, "keep the folders of seeds that fail")
	var f figure
	flag.IntVar(&f.seconds, "figure", 0, "measure instead: a load for so many seconds undisturbed, and as long while everything is killed once")
	flag.IntVar(&f.rate, "rate", 2000, "with -figure: requests a second")
	flag.DurationVar(&f.takes, "takes", 20*time.Millisecond, "with -figure: the provider's time for an answer")
	flag.Parse()
	ownMounts()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.seconds > 0 {
		if err := measured(ctx, o, &f); err != nil {
			fmt.Fprintln(os.Stderr, "chaos:", err)
			os.Exit(1)
		}
		return
	}
	seeds := slices.Sorted(maps.Keys(kept))
	if !*again {
		seeds = make([]uint64, *count)
		for i := range seeds {
			seeds[i] = *first + uint64(i)
		}
	}
	failed, err := chaos(ctx, o, seeds, *sabotaged)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if failed > 0 || err != nil || ctx.Err() != nil {
		os.Exit(1)
	}
}

// measured measures the binary that is named: one that is built for its clock to
// be set is not what people run.
func measured(ctx context.Context, o options, f *figure) (err error) {
	if o.bin == "" {
		return errors.New("-figure needs -bin, the binary to be measured")
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if o.kafka != "" {
		if err := useKafka(&o); err != nil {
			return err
		}
	}
	return f.measure(ctx, o)
}

// chaos does what the flags ask for, and says how many seeds failed.
func chaos(ctx context.Context, o options, seeds []uint64, sabotaged string) (failed int, err error) {
	faults = append(faults, relayFaults...)
	if err := mayMount(); err != nil {
		fmt.Println("no disk is filled:", err)
	} else {
		faults = append(faults, diskFaults...)
	}
	if o.kafka != "" {
		if err := useKafka(&o); err != nil {
			return 0, err
		}
	}
	if o.bin != "" {
		fmt.Println("no clock is set: -bin names a binary that was built elsewhere")
		if o.bin, err = filepath.Abs(o.bin); err != nil {
			return 0, err
		}
	} else {
		faults = append(faults, clockFaults...)
		dir, err := os.MkdirTemp("", "gnomon-built-")
		if err != nil {
			return 0, err
		}
		defer os.RemoveAll(dir)
		var tags []string
		if sabotaged != "" {
			tags = append(tags, "sabotage")
		}
		if o.bin, err = buildFor(ctx, dir, tags...); err != nil {
			return 0, err
		}
	}
	if sabotaged != "" {
		return 0, sabotageAll(ctx, o, sabotaged, seeds)
	}
	for i, seed := range seeds {
		if ctx.Err() != nil {
			break
		}
		if o.renew != nil && i > 0 {
			if err := o.renew(); err != nil {
				return failed, err
			}
		}
		if !one(ctx, o, seed) {
			failed++
		}
	}
	fmt.Printf("%d of %d seeds failed\n", failed, len(seeds))
	return failed, nil
}

// one runs a seed and prints what it came to.
func one(ctx context.Context, o options, seed uint64) bool {
	began := time.Now()
	c, faults, err := run(ctx, o, seed)
	fmt.Printf("seed %-8d %3.0f s  %5d sent  %5d whole  %5d stored  %3d declared by name, %d by range\n", seed, time.Since(began).Seconds(), c.sent, c.complete, c.stored, c.lost, c.ranges)
	if err != nil {
		fmt.Printf("  FAILED (go run ./e2e/chaos -seed %d):\n    %s\n", seed, strings.ReplaceAll(err.Error(), "\n", "\n    "))
	}
	for _, f := range faults {
		fmt.Println("   ", f)
	}
	return err == nil
}

// errNotUp says that a run did not begin: it shows nothing of what is tried.
var errNotUp = errors.New("not everything started")

// run is one seed: load, faults, and the reckoning. It returns the schedule with
// the moment of each fault.
func run(ctx context.Context, o options, seed uint64) (c counts, told []string, err error) {
	dir, err := os.MkdirTemp("", "gnomon-chaos-")
	if err != nil {
		return c, nil, err
	}
	defer func() {
		if err == nil || !o.keep {
			_ = os.RemoveAll(dir)
		} else {
			told = append(told, "kept: "+dir)
		}
	}()
	l := &ledger{entries: map[string]*entry{}}
	p := l.provider()
	defer p.Close()
	defer p.CloseClientConnections()
	rnd := rand.New(rand.NewPCG(seed, 0))
	plan := schedule(rnd, seed, o.only)
	if len(plan) == 0 {
		return c, nil, fmt.Errorf("no fault is called %q", o.only)
	}
	w, err := build(ctx, o, dir, p.URL, plan)
	defer func() { w.close(err != nil && o.keep) }()
	if err != nil {
		return c, nil, fmt.Errorf("%w: %w", errNotUp, err)
	}
	sentTwice, err := w.watchTable(plan)
	if err != nil {
		return c, nil, err
	}
	loadCtx, endLoad := context.WithCancel(ctx)
	defer endLoad()
	if !plan[0].loads {
		defer time.AfterFunc(o.load, endLoad).Stop()
	}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		var fronts []string
		for _, p := range w.fronts {
			fronts = append(fronts, p.proxy)
		}
		l.load(loadCtx, seed, o.workers, fronts)
	}()
	told, err = w.suffer(ctx, loadCtx, o.load, plan, rnd)
	endLoad()
	<-loaded
	if err != nil {
		return c, told, err
	}
	ended := time.Now()
	for _, p := range w.all() {
		if err := p.until(ctx, o.settle, p.ready); err != nil {
			return c, told, err
		}
	}
	if err := w.settle(ctx, o.settle, ended, plan); err != nil {
		c, _ = w.judge(l, plan)
		if o.keep {
			w.stacks() // what they wait for goes to their logs
		}
		return c, told, err
	}
	c, err = w.judge(l, plan)
	twice, countErr := sentTwice()
	if twice > 0 {
		err = errors.Join(err, fmt.Errorf("%d rows are in the store's table beside the first of their id: inserts that were done and not answered were done again", twice))
	}
	return c, told, errors.Join(err, countErr)
}

// suffer does what the plan says while the load lasts, and tells when.
func (w *world) suffer(ctx, loading context.Context, load time.Duration, plan []fault, rnd *rand.Rand) (told []string, err error) {
	began := time.Now()
	for _, f := range plan {
		pause(loading, rnd, int(load.Milliseconds())/len(plan))
		told = append(told, fmt.Sprintf("%5.2f s  %s", time.Since(began).Seconds(), f.name))
		err := f.do(ctx, w, rnd)
		if errors.Is(err, errNone) {
			told[len(told)-1] += ": " + err.Error()
		} else if err != nil {
			return told, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if !plan[0].loads {
		<-loading.Done()
	}
	return told, nil
}
