package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/internal/spool"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/proxy"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// nodeOptions are what the demo does differently from serve.
type nodeOptions struct {
	simulated bool
	book      *savings.Book // nil: the built-in one

	load       func() (*config.Config, error) // the configuration as it is now; nil: it is not loaded again
	configFile string                         // where a change is looked for
	look       time.Duration                  // how often; 0: reloadEvery

	portPatience time.Duration // how long ports that are taken are waited for; 0: portPatience
}

// node is one gnomon process: what newNode opened, and the parts that run.
//
// It starts upstream last and stops upstream first: proxy, then what ships its
// events, then ingest, then the engines. The data plane waits for none of the
// others: it serves from the policy snapshot while they come up.
type node struct {
	c    *config.Config                // as it was started with
	live atomic.Pointer[config.Config] // as it is in force: see reload
	// configSeen is what its files held before anything ran: a change during the start is one.
	configSeen [sha256.Size]byte
	roles      roles
	log        *slog.Logger
	opts       nodeOptions

	proxyLn, adminLn net.Listener
	spool            *spool.Spool
	book             *savings.Book
	snapshots        *snapshots
	look             chan struct{} // the analyzer is to look before its turn
	decidedBy        *decidedBy    // nil where nothing is decided
	keeper           *activation.Keeper[schemas.Policy]
	keys             *activation.Keeper[schemas.Key]
	names            *activation.Keeper[schemas.Naming]
	keyring          *keyring
	pub              *pipeline.Publisher
	proxy            *proxy.Proxy
	registry         *prometheus.Registry
	reloadFailed     atomic.Bool // the configuration on disk is not the one in force
	payloads         *payloadQueue
	admin            http.Handler

	broker *embedded.Broker
	engine *embedded.Engine
	reader atomic.Pointer[store.Store] // read-only; nil until the store answers
	writer *store.Store

	started time.Time
	// proxyServes: the proxy has been ready once.
	proxyServes atomic.Bool
	brokerUp    chan struct{} // closed when the broker's topics are there
	storeUp     chan struct{} // closed when the store is migrated and answers
	brokerIs    *backing      // whether they answer now
	storeIs     *backing
	onStoreUp   func()
}

// newNode opens what has to be there: folders, ports, spool and snapshots. What
// can only be waited for (broker, store) is brought up by run.
func newNode(c *config.Config, r roles, log *slog.Logger, opts nodeOptions) (_ *node, err error) {
	n := &node{c: c, roles: r, log: log, opts: opts, registry: prometheus.NewRegistry(), started: time.Now(),
		brokerUp: make(chan struct{}), storeUp: make(chan struct{}), brokerIs: newBacking(), storeIs: newBacking()}
	n.live.Store(c)
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	defer func() {
		if err != nil {
			n.closeListeners()
			if n.spool != nil {
				err = errors.Join(err, n.spool.Close())
			}
		}
	}()
	if err := checkDataDir(c.DataDir); err != nil {
		return nil, err
	}
	if err := n.openPorts(); err != nil {
		return nil, err
	}
	if err := n.openKnowledge(); err != nil {
		return nil, err
	}
	if n.pub, err = pipeline.NewPublisher(n.pipelineConfig()); err != nil {
		return nil, err
	}
	if r.proxy {
		if err := n.openProxy(); err != nil {
			return nil, err
		}
	}
	n.configSeen = n.configFiles()
	n.registerUp()
	if n.admin = n.probes(); r.console {
		if n.admin, err = n.console(); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// openPorts listens for data plane and admin plane, and makes sure that the
// embedded broker and engine, which come later, will find their ports free.
func (n *node) openPorts() error {
	ports := []port{{key: "admin.addr", addr: n.c.Admin.Addr, keep: &n.adminLn}}
	if n.roles.proxy {
		ports = append([]port{{key: "proxy.addr", addr: n.c.Proxy.Addr, keep: &n.proxyLn}}, ports...)
	}
	if len(n.c.Kafka.Brokers) == 0 {
		ports = append(ports, port{key: "kafka.listen", addr: n.c.Kafka.Listen})
	}
	if n.embedsStore() {
		ports = append(ports, port{key: "clickhouse.listen", addr: n.c.ClickHouse.Listen})
	}
	return listenAll(ports, cmp.Or(n.opts.portPatience, portPatience), n.log)
}

// embedsStore reports whether the store is the engine that this process starts.
func (n *node) embedsStore() bool {
	return n.c.ClickHouse.DSN == "" && n.c.ClickHouse.ReadDSN == "" && n.roles.ingest
}

// openKnowledge makes the first Snapshot from prices, ladders and what is kept
// on disk, and the Keeper that replaces it.
func (n *node) openKnowledge() (err error) {
	if n.book = n.opts.book; n.book == nil {
		if n.book, err = priceBook(n.c); err != nil {
			return err
		}
	}
	dir := filepath.Join(n.c.DataDir, "proxy")
	var keep func(*classifier.Snapshot)
	if n.roles.proxy {
		n.decidedBy = newDecidedBy(filepath.Join(dir, "decided-by"), func(ctx context.Context, topic string, msgs ...pipeline.Message) error {
			return n.pub.Publish(ctx, topic, msgs...)
		}, n.log)
		keep = n.decidedBy.keep
	}
	model, err := readWeights(n.c.Classifier.Weights)
	if err != nil {
		return fmt.Errorf("classifier.weights: %w", err)
	}
	n.snapshots = newSnapshots(classifier.Parts{
		Project: n.c.Project, Ladders: ladders(n.c), Capabilities: classifier.BuiltinCapabilities(), Providers: providersOf(n.c),
		Prices: n.book, DraftThreshold: n.c.Proxy.DraftThreshold, Model: model,
	}, filepath.Join(dir, "evidence.json"), keep, n.log)
	n.look = make(chan struct{}, 1)
	n.snapshots.changed = n.lookAgain
	n.keeper, err = activation.OpenKeeper(filepath.Join(dir, "policies.snapshot"), recordTopic{n.pipelineConfig(), schemas.TopicPolicies}, n.snapshots.setPolicies, n.log)
	if err != nil {
		return err
	}
	n.names, err = activation.OpenKeeper(filepath.Join(dir, "names.snapshot"), recordTopic{n.pipelineConfig(), schemas.TopicNames}, n.snapshots.setNames, n.log)
	if err != nil {
		return err
	}
	n.keyring = &keyring{project: n.c.Project}
	n.keys, err = activation.OpenKeeper(filepath.Join(dir, "keys.snapshot"), recordTopic{n.pipelineConfig(), schemas.TopicKeys}, n.keyring.set, n.log)
	return err
}

// errPartEnded ends the front when a part behind it has failed.
var errPartEnded = errors.New("a part has ended")

// run serves until ctx ends or a part fails for good.
func (n *node) run(ctx context.Context) error {
	// Stages end one after the other: each context outlives the one before it.
	shipCtx, stopShip := context.WithCancel(context.WithoutCancel(ctx))
	defer stopShip()
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()

	front, frontCtx := errgroup.WithContext(ctx) // data plane and admin plane
	back, backCtx := errgroup.WithContext(shipCtx)
	deep, deepCtx := errgroup.WithContext(storeCtx)
	// A part that fails for good ends the whole process: front notices. What it
	// failed of is told once, by its own group.
	front.Go(func() error {
		select {
		case <-frontCtx.Done():
			return nil
		case <-backCtx.Done():
		case <-deepCtx.Done():
		}
		return errPartEnded
	})
	deep.Go(func() error { return n.bringUpBroker(deepCtx) })
	deep.Go(func() error { return n.watchBackings(deepCtx) })
	if n.roles.store() {
		deep.Go(func() error { return n.bringUpStore(deepCtx) })
	}
	if n.roles.ingest {
		deep.Go(func() error { return n.ingest(deepCtx) })
	}
	n.startBack(back, backCtx)
	if n.roles.proxy {
		front.Go(func() error { return n.proxy.Serve(frontCtx, n.proxyLn) })
	}
	front.Go(func() error { return n.serveAdmin(frontCtx) })
	front.Go(func() error { return n.watchConfig(frontCtx) })
	n.log.Info("gnomon serves", "roles", n.roles.String(), "proxy", addrOf(n.proxyLn), "admin", n.adminLn.Addr().String(), "project", n.c.Project, "pid", os.Getpid())

	err := front.Wait()
	if errors.Is(err, errPartEnded) {
		err = nil
	}
	stopShip()
	err = errors.Join(err, back.Wait())
	stopStore()
	err = errors.Join(err, deep.Wait())
	return errors.Join(err, n.close())
}

// startBack starts what hangs between proxy and store.
func (n *node) startBack(back *errgroup.Group, ctx context.Context) {
	whenBroker := func(what string, f func(context.Context) error) {
		back.Go(func() error {
			select {
			case <-ctx.Done():
				return nil
			case <-n.brokerUp:
			}
			n.keepRunning(ctx, what, f)
			return nil
		})
	}
	if n.decidedBy != nil {
		back.Go(func() error { n.decidedBy.save(ctx); return nil })
	}
	whenBroker("policies", n.keeper.Run)
	whenBroker("names", n.names.Run)
	whenBroker("keys", n.keys.Run)
	whenBroker("evidence", n.followEvidence)
	if n.roles.proxy {
		back.Go(func() error { n.keepPlaces(ctx); return nil })
		back.Go(func() error { n.carryNames(ctx); return nil })
		whenBroker("ship", func(ctx context.Context) error { return pipeline.Ship(ctx, n.pipelineConfig(), n.spool) })
		whenBroker("payloads", n.payloads.run)
		whenBroker("recounts", func(ctx context.Context) error { return n.proxy.Recount(ctx, n.pub.Amend) })
		whenBroker("snapshots", n.decidedBy.run)
	}
	if n.roles.rehearse {
		whenBroker("rehearse", n.rehearse)
	}
	if n.roles.analyze {
		whenBroker("analyze", n.analyzeLoop)
	}
}

// keepRunning starts a part again, a little later each time, when it fails or
// panics: nothing behind the data plane may end it.
func (n *node) keepRunning(ctx context.Context, what string, f func(context.Context) error) {
	_ = retry(ctx, func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
			if ctx.Err() != nil {
				err = nil
			} else if err != nil {
				n.log.Error("a part has failed and is started again; traffic is not touched", "part", what, "err", err)
			}
		}()
		return f(ctx)
	})
}

// close releases what run opened, engines last.
func (n *node) close() error {
	var errs []error
	errs = append(errs, n.pub.Close())
	if n.writer != nil {
		errs = append(errs, n.writer.Close())
	}
	if s := n.reader.Load(); s != nil {
		errs = append(errs, s.Close())
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.broker != nil {
		errs = append(errs, n.broker.Close())
	}
	if n.spool != nil {
		errs = append(errs, n.spool.Close())
	}
	return errors.Join(errs...)
}

func (n *node) closeListeners() {
	for _, ln := range []net.Listener{n.proxyLn, n.adminLn} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

func addrOf(ln net.Listener) string {
	if ln == nil {
		return "off"
	}
	return ln.Addr().String()
}

// serveAdmin answers on the admin plane.
func (n *node) serveAdmin(ctx context.Context) error {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: withProfiles(n.admin)}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(n.adminLn) }()
	select {
	case err := <-done:
		return fmt.Errorf("admin plane: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = srv.Shutdown(stop)
	<-done
	return nil
}

// probes is the admin plane of a process without the console role.
func (n *node) probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := n.Ready(r.Context(), r.URL.Query().Get("role")); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", n.metrics())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, `{"error":{"code":"no_console","message":"This gnomon runs without the console role.","hint":"Ask the one that has it."}}`)
	})
	return mux
}

func (n *node) metrics() http.Handler {
	return promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{})
}
