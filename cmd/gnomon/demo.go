package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/internal/replay"
	"github.com/gnomon-llm/gnomon/internal/simulator"
	"github.com/gnomon-llm/gnomon/proxy"
	"github.com/gnomon-llm/gnomon/schemas"
)

// The demo's company.
const (
	demoProject = "acme"
	demoDays    = 14
	demoSeed    = 20261121
)

func (a *app) demoCmd() *cobra.Command {
	var seed uint64
	var scale float64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show all of gnomon on this machine with simulated providers; no API key",
		Long: `Starts everything on loopback with simulated providers, sends two weeks of history of a
simulated company through the pipeline, prints the report, switches one workload and back,
and keeps live traffic going. DEMO_SECONDS bounds the live traffic; without it Ctrl-C ends it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.demo(cmd.Context(), seed, scale)
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", demoSeed, "of the simulated company")
	cmd.Flags().Float64Var(&scale, "scale", 1, "of its traffic: 1 is a good 200,000 requests in 14 days")
	return cmd
}

// demoSeconds is how long live traffic goes on: 0 means until interrupted.
func demoSeconds() (time.Duration, error) {
	s := os.Getenv("DEMO_SECONDS")
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%w: DEMO_SECONDS=%s: want a number of seconds", errUsage, s)
	}
	return time.Duration(n * float64(time.Second)), nil
}

func (a *app) demo(ctx context.Context, seed uint64, scale float64) error {
	live, err := demoSeconds()
	if err != nil {
		return err
	}
	dir, unlock, err := demoDir()
	if err != nil {
		return err
	}
	defer unlock()
	world := simulator.NewWorld(seed, scale)
	providers, err := serveProviders(world)
	if err != nil {
		return err
	}
	defer func() { _ = providers.Close() }()
	c, err := a.demoConfig(dir, providers.Addr, world)
	if err != nil {
		return err
	}
	d := &demo{app: a, c: c, world: world, live: live, began: time.Now()}
	return d.run(ctx)
}

// demoDir is an empty folder of this demo's own. Only one demo runs at a time:
// its ports are gnomon's own.
func demoDir() (dir string, unlock func(), err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, fmt.Errorf("demo: no cache folder: %w", err)
	}
	dir = filepath.Join(cache, "gnomon", "demo")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", nil, fmt.Errorf("demo: %w", err)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", nil, fmt.Errorf("demo: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return "", nil, errors.Join(errors.New("another gnomon demo is running on this machine: stop it first"), lock.Close())
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", nil, errors.Join(fmt.Errorf("demo: %w", err), lock.Close())
	}
	return dir, func() { _ = os.RemoveAll(dir); _ = lock.Close() }, nil
}

// serveProviders puts the simulated providers on a free port of loopback.
func serveProviders(w *simulator.World) (*http.Server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("simulated providers: %w", err)
	}
	srv := &http.Server{Addr: ln.Addr().String(), Handler: w.Providers(simulator.ProviderOptions{Errors: true, Pace: 0.02}), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(ln) }()
	return srv, nil
}

// demoConfig is the configuration of this machine with the demo's own company:
// ports stay where the user put them, providers are the simulated ones.
func (a *app) demoConfig(dir, providers string, w *simulator.World) (*config.Config, error) {
	if a.project == "" {
		a.project = demoProject
	}
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	c.DataDir = dir
	c.Kafka.Brokers, c.ClickHouse.DSN, c.ClickHouse.ReadDSN = nil, "", ""
	if c.Proxy.Addr == config.Default().Proxy.Addr {
		c.Proxy.Addr = "127.0.0.1" + c.Proxy.Addr // the demo is nobody else's business
	}
	c.Proxy.TLS = config.ServerTLS{} // its customers are on this machine
	c.Ladders = nil
	c.Proxy.DraftThreshold = simulator.DraftThreshold
	c.Observe.Every = time.Minute
	c.Log.Level = "error"
	c.Providers = map[string]config.Provider{
		"openai":    {Dialect: "openai", BaseURL: "http://" + providers, APIKey: "simulated", IncludeUsage: true},
		"anthropic": {Dialect: "anthropic", BaseURL: "http://" + providers, APIKey: "simulated"},
	}
	c.Workloads = map[string]config.Workload{}
	for name, plan := range w.Plans() {
		c.Workloads[name] = config.Workload{DataPolicy: config.DataPolicyRehearse, Rehearse: config.Rehearse{DailyUSD: plan.Daily.USD(), Probability: plan.Probability}}
	}
	return c, nil
}

// demo is one run of it.
type demo struct {
	app   *app
	c     *config.Config
	world *simulator.World
	n     *node
	live  time.Duration
	began time.Time
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.app.stdout, format+"\n", args...)
}

func (d *demo) run(ctx context.Context) error {
	if _, err := fetchEngine(ctx, d.c.Engine.Library, d.app.stderr); err != nil {
		return err
	}
	n, err := newNode(d.c, roles{true, true, true, true, true}, logger(d.app.stderr, d.c.Log), nodeOptions{simulated: true})
	if err != nil {
		return err
	}
	d.n = n
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }()
	shown := make(chan error, 1)
	go func() { shown <- d.show(ctx) }()
	select {
	case err = <-ended:
		if err == nil && ctx.Err() == nil {
			err = errors.New("gnomon ended before the demo did")
		}
		cancel()
		<-shown
		return err
	case err = <-shown:
	}
	cancel()
	if errors.Is(err, context.Canceled) {
		err = nil // Ctrl-C is the way out
	}
	return errors.Join(err, <-ended)
}

// show is the demo's story.
func (d *demo) show(ctx context.Context) error {
	d.say("gnomon demo: a SIMULATED company and SIMULATED providers, on loopback; nothing leaves this machine.\n")
	if err := d.wait(ctx, "everything is up", func() (bool, error) { return d.n.Ready(ctx, "") == nil, nil }); err != nil {
		return err
	}
	summary, err := d.history(ctx)
	if err != nil {
		return err
	}
	if err := d.stored(ctx, &summary); err != nil {
		return err
	}
	if err := d.verdicts(ctx); err != nil {
		return err
	}
	if err := d.app.printReport(ctx, newClient(d.c)); err != nil {
		return err
	}
	d.say("\n  %s requests of two weeks, %s rehearsed pairs, from start to report in %.0f s.", report.Count(summary.Requests), report.Count(summary.Evaluations), time.Since(d.began).Seconds())
	d.say("  console: http://%s      analysts: http://%s      data plane: http://%s", dialable(d.c.Admin.Addr), dialable(d.c.ClickHouse.Listen), dialable(d.c.Proxy.Addr))
	return d.goLive(ctx)
}

// history sends two weeks through the topics, as proxies and rehearsers would have.
func (d *demo) history(ctx context.Context) (simulator.Summary, error) {
	now := time.Now().UTC()
	bar := newBar(d.app.stderr, 1, "two weeks of history")
	defer func() { _ = bar.Close() }()
	return d.world.History(ctx, simulator.HistoryConfig{
		Project: d.c.Project, From: now.AddDate(0, 0, -demoDays), To: now, Margin: d.c.Quality.Margin, Prices: d.n.book,
		Snapshot: d.n.snapshots.get(), Rehearse: true,
		Progress: func(done, total int64) {
			if bar.GetMax64() != total {
				bar.ChangeMax64(total)
			}
			_ = bar.Set64(done)
		},
	}, topicSink{d.n.pub})
}

// stored waits until the store has every request of the history, and says so
// with its own numbers.
func (d *demo) stored(ctx context.Context, s *simulator.Summary) error {
	mine := map[uint64]bool{}
	for _, id := range s.BootIDs {
		mine[id] = true
	}
	bar := newBar(d.app.stderr, s.Requests, "through Kafka into ClickHouse")
	defer func() { _ = bar.Close() }()
	return d.wait(ctx, "the history is stored", func() (bool, error) {
		c, err := d.n.reader.Load().Completeness(ctx, d.c.Project)
		if err != nil {
			return false, err
		}
		var stored uint64
		for _, l := range c.Lives {
			if mine[l.BootID] {
				stored += l.Stored
			}
		}
		_ = bar.Set64(int64(stored))
		return stored == uint64(s.Requests), nil
	})
}

// verdicts has the analyzer look, and waits until its verdicts are in the store.
func (d *demo) verdicts(ctx context.Context) error {
	found, err := d.n.analyze(ctx)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("the analyzer found nothing to say about the history")
	}
	return d.wait(ctx, "the verdicts are stored", func() (bool, error) {
		have, err := d.n.reader.Load().Verdicts(ctx, d.c.Project)
		return len(have) >= len(found) && !have[0].ComputedAt.Before(found[0].ComputedAt), err
	})
}

// goLive lets live traffic flow, switches one workload and switches it back.
func (d *demo) goLive(ctx context.Context) error {
	bound, stop := context.WithCancel(ctx)
	defer stop()
	if d.live > 0 {
		bound, stop = context.WithTimeout(ctx, d.live)
		defer stop()
		d.say("  live traffic goes on for %.0f s.\n", d.live.Seconds())
	} else {
		d.say("  live traffic goes on until Ctrl-C.\n")
	}
	traffic := make(chan error, 1)
	go func() {
		s, err := d.world.Live(bound, simulator.LiveConfig{Proxy: "http://" + dialable(d.c.Proxy.Addr), Rate: 20})
		if err == nil {
			d.say("  live traffic: %d requests, %d answered, %d failed at the provider, %d left by the client.", s.Sent, s.OK, s.Errors, s.Aborted)
		}
		traffic <- err
	}()
	if err := d.switchAndBack(bound); err != nil && bound.Err() == nil {
		stop()
		return errors.Join(err, <-traffic)
	}
	if err := <-traffic; err != nil || ctx.Err() != nil {
		return err
	}
	return d.replayed(ctx)
}

// replayed takes every decision of the demo again, of its history and of its
// live traffic, once the store has them all.
func (d *demo) replayed(ctx context.Context) error {
	if err := d.wait(ctx, "the live traffic is stored", func() (bool, error) { return d.n.spool.Stats().Unacked == 0, nil }); err != nil {
		return err
	}
	from, to, err := (&period{}).times()
	if err != nil {
		return err
	}
	reader := d.n.reader.Load()
	r, err := replay.Run(ctx, reader, d.c.Project, from, to)
	if err == nil {
		err = replay.Reassess(ctx, r, keptBodies(d.c), proxy.Reassess, reader)
	}
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	d.say("  $ gnomon replay")
	writeReplay(d.app.stdout, r)
	if r.Differs() || r.NotReplayable > 0 {
		return errors.New("the demo's decisions do not come out as they were recorded")
	}
	return nil
}

// switchAndBack activates what is ready, shows that it takes effect, and rolls back.
func (d *demo) switchAndBack(ctx context.Context) error {
	verdicts, err := d.n.reader.Load().Verdicts(ctx, d.c.Project)
	if err != nil {
		return err
	}
	var best *schemas.Verdict
	for i := range verdicts {
		v := &verdicts[i]
		if v.Readiness == schemas.Ready && (best == nil || v.Savings.SavingMonth > best.Savings.SavingMonth) {
			best = v
		}
	}
	if best == nil {
		d.say("  No workload is ready, so none is switched.")
		return nil
	}
	cl := newClient(d.c)
	var r policyResult
	d.say("  $ gnomon activate %s --candidate %s --share 50%% --reason \"the demo shows it\"", best.Workload, best.Candidate)
	err = cl.post(ctx, cl.workloadPath(best.Workload, "activate"), map[string]any{"candidate": best.Candidate, "share": "50%", "reason": "the demo shows it", "actor": "demo"}, &r)
	if err != nil {
		return err
	}
	d.say("    %s", policySentence(&r.Policy))
	if err := d.wait(ctx, "routed requests are stored", func() (bool, error) {
		return d.countRouted(ctx, best.Workload, r.Policy.Version) >= 3, nil
	}); err != nil {
		return err
	}
	d.say("    %d live requests have gone to %s since.", d.countRouted(ctx, best.Workload, r.Policy.Version), best.Candidate)
	d.say("  $ gnomon rollback %s --reason \"the demo shows the way back\"", best.Workload)
	if err := cl.post(ctx, cl.workloadPath(best.Workload, "rollback"), map[string]any{"reason": "the demo shows the way back", "actor": "demo"}, &r); err != nil {
		return err
	}
	d.say("    %s\n", policySentence(&r.Policy))
	return nil
}

// countRouted counts requests that a candidate served under a policy version.
func (d *demo) countRouted(ctx context.Context, workload string, version uint32) int {
	n, err := d.n.reader.Load().Routed(ctx, d.c.Project, workload, version)
	if err != nil {
		return 0
	}
	return int(n)
}

// wait polls a condition; what stands in the way ends it.
func (d *demo) wait(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	for {
		ok, err := done()
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("gave up waiting until %s", what)
			}
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// topicSink publishes a history where proxies and rehearsers publish theirs.
type topicSink struct{ pub *pipeline.Publisher }

func publishAll[T any](ctx context.Context, pub *pipeline.Publisher, topic string, rows []T, key func(*T) (key, id string)) error {
	msgs := make([]pipeline.Message, len(rows))
	for i := range rows {
		value, err := json.Marshal(&rows[i])
		if err != nil {
			return err
		}
		k, id := key(&rows[i])
		msgs[i] = pipeline.Message{Key: []byte(k), Value: value, ID: id}
	}
	return pub.Publish(ctx, topic, msgs...)
}

// Requests implements simulator.Sink.
func (s topicSink) Requests(ctx context.Context, evs []schemas.RequestEvent) error {
	return publishAll(ctx, s.pub, schemas.TopicRequests, evs, func(e *schemas.RequestEvent) (string, string) { return e.RequestID, e.RequestID })
}

// Heartbeats implements simulator.Sink.
func (s topicSink) Heartbeats(ctx context.Context, beats []schemas.Heartbeat) error {
	return publishAll(ctx, s.pub, schemas.TopicHeartbeats, beats, func(h *schemas.Heartbeat) (string, string) { return strconv.FormatUint(h.BootID, 10), "" })
}

// Evaluations implements simulator.Sink.
func (s topicSink) Evaluations(ctx context.Context, evs []schemas.Evaluation) error {
	return publishAll(ctx, s.pub, schemas.TopicEvaluations, evs, func(e *schemas.Evaluation) (string, string) { return e.Project + "/" + e.Workload, e.EvaluationID })
}
