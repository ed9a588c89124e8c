package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Recorder keeps events. Begin is called when a request has been accepted,
// before its first byte goes to the provider, and returns its sequence within
// this life of the proxy; End is called once for each Begin, before the last
// byte of the answer is released. Both are called concurrently and must not
// block: losing a record is better than delaying an answer. The event that End is
// given is its caller's again when it returns; what it points to may be kept.
type Recorder interface {
	BootID() uint64
	Begin(project string, ts time.Time, id [16]byte) (seq uint64)
	End(*schemas.RequestEvent)
}

// PayloadSink takes a request and its answer for rehearsal. It must not block.
type PayloadSink func(schemas.Payload)

// Proxy is the data plane under one configuration. Reload makes the next one;
// what outlives configurations is in its life.
type Proxy struct {
	*life
	cfg     Config
	rows    map[string]*row
	order   []*row
	clients map[patience]Upstream
	engine  *gin.Engine
}

// life is what stays over configurations.
type life struct {
	current   atomic.Pointer[Proxy] // takes new requests
	rec       Recorder
	snapshots func() *classifier.Snapshot
	observer  *Observer
	sink      PayloadSink
	log       *slog.Logger
	metrics   *metrics
	health    health
	acting    atomic.Pointer[acting]

	flights  flights
	captured captured
	deciders deciders
	limits   limits
	recounts recounts
}

// New makes a data plane. snapshots returns the current snapshot and is called
// for each request. sink may be nil.
func New(cfg Config, rec Recorder, snapshots func() *classifier.Snapshot, book *savings.Book, sink PayloadSink, log *slog.Logger, reg prometheus.Registerer) (*Proxy, error) {
	l := &life{
		rec: rec, snapshots: snapshots, sink: sink, log: log,
		observer: NewObserver(cfg.Project, snapshots, book), deciders: deciders{make(chan *pending)},
		recounts: recounts{queue: make(chan *recount, maxRecounts)},
	}
	p, err := l.configure(cfg)
	if err != nil {
		return nil, err
	}
	if l.metrics, err = newMetrics(reg, l.flights.count, &l.health, l.certificateEnds); err != nil {
		return nil, fmt.Errorf("proxy: metrics: %w", err)
	}
	l.health.log, l.health.ejected = log, l.metrics.ejections
	l.observer.unhealthy = l.health.unhealthy
	l.observer.refused = func(to, what string) { l.metrics.unsaid.WithLabelValues(to, what).Inc() }
	return p, nil
}

// configure makes the data plane of a configuration, and the one that takes new
// requests.
func (l *life) configure(cfg Config) (*Proxy, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{life: l, cfg: cfg, rows: map[string]*row{}}
	for _, prov := range cfg.Providers {
		r, err := newRow(prov)
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		r.inherit(&p.cfg)
		p.rows[r.Name] = r
		p.order = append(p.order, r)
	}
	was := l.current.Load()
	p.upstreams(was)
	p.engine = p.routes()
	l.flights.bound(cfg.MaxInFlight)
	l.captured.max.Store(int64(p.cfg.CaptureTotal))
	l.current.Store(p)
	if was != nil {
		was.closeIdle(p)
	}
	return p, nil
}

// Reload puts a configuration in force for requests that come from now on; those
// in flight end under the one they began with. Where it returns an error, the
// old one stays. The project cannot change.
func (p *Proxy) Reload(cfg Config) error {
	if cfg.Project != p.cfg.Project {
		return fmt.Errorf("proxy: the project cannot change from %s to %s while gnomon runs", p.cfg.Project, cfg.Project)
	}
	if (cfg.Certificate == nil) != (p.current.Load().cfg.Certificate == nil) {
		return errors.New("proxy: TLS cannot be turned on or off while gnomon runs")
	}
	_, err := p.configure(cfg)
	return err
}

// Handler returns the data plane's handler.
func (p *Proxy) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := p.current.Load()
		if r.ProtoMajor != 2 {
			p.engine.ServeHTTP(w, r)
			return
		}
		s := &stream{ResponseWriter: w, rc: http.NewResponseController(w), limit: p.cfg.SendTimeout}
		p.engine.ServeHTTP(s, r)
		s.end()
	})
}

// Observer returns the observer that makes this proxy's events.
func (p *Proxy) Observer() *Observer { return p.observer }

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}

// routes is the table of surfaces:
//
//	/v1/messages, /v1/messages/…   the anthropic row
//	/v1/…                          the openai row; the anthropic row when the
//	                               caller names an anthropic-version
//	/{provider}/…                  that row, below its own base
//
// Paths below a surface that no dialect knows pass through. A path outside of
// all surfaces was sent for no provider, so no provider is told the caller's
// credential: it is answered with 404.
func (p *Proxy) routes() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// A proxy must not tidy what it forwards: the escaped path is matched, and
	// nothing is redirected or cleaned.
	e.UseRawPath, e.UnescapePathValues = true, false
	e.RedirectTrailingSlash, e.RedirectFixedPath, e.RemoveExtraSlash, e.HandleMethodNotAllowed = false, false, false, false
	e.ForwardedByClientIP = false
	surface := func(prefix string, h gin.HandlerFunc) {
		for _, m := range methods {
			e.Handle(m, prefix, h)
			e.Handle(m, prefix+"/*rest", h)
		}
	}
	surface("/v1", p.serveV1)
	for _, r := range p.order {
		surface("/"+r.Name, func(c *gin.Context) { p.serve(c, r, len(r.Name)+1) })
	}
	e.NoRoute(p.noRoute)
	return e
}

func (p *Proxy) serveV1(c *gin.Context) {
	name := "openai"
	path, _ := target(c.Request)
	if path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/") || c.Request.Header.Get("Anthropic-Version") != "" {
		name = "anthropic"
	}
	r := p.rows[name]
	if r == nil {
		p.fault(c, dialect.FamilyOpenAI, dialect.Fault{Status: 404, Kind: "no_provider", Message: fmt.Sprintf("gnomon: no provider named %q is configured for this path; set providers.%s", name, name)})
		return
	}
	p.serve(c, r, 0)
}

// noRoute serves methods that no table lists on the known surfaces, and refuses
// the rest.
func (p *Proxy) noRoute(c *gin.Context) {
	path, _ := target(c.Request)
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if r := p.rows[first]; r != nil && c.Request.Method != "CONNECT" {
		p.serve(c, r, len(first)+1)
		return
	}
	if first == "v1" && c.Request.Method != "CONNECT" {
		p.serveV1(c)
		return
	}
	p.metrics.unrouted.Inc()
	known := "/v1"
	for _, r := range p.order {
		known += ", /" + r.Name
	}
	p.fault(c, dialect.FamilyOpenAI, dialect.Fault{Status: 404, Kind: "no_surface", Message: "gnomon: this path belongs to no configured provider; paths start with one of " + known})
}

// fault answers with an error of gnomon's own, marked so that it cannot be
// taken for the provider's.
func (p *Proxy) fault(c *gin.Context, family string, f dialect.Fault) {
	contentType, body := f.Body(family)
	h := c.Writer.Header()
	h.Set("Content-Type", contentType)
	h.Set(headerError, f.Kind)
	c.Writer.WriteHeader(f.Status)
	_, _ = c.Writer.Write(body)
}

// Serve accepts connections until ctx ends, then drains: no new connection is
// taken, answers in flight are finished, and what is not finished within
// DrainTimeout is cut off. When it returns, every request that was begun has
// ended in an event.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	// Requests outlive ctx: they end by themselves, or when the drain is over.
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	srv := &http.Server{
		Handler:           p.Handler(),
		ReadHeaderTimeout: p.cfg.HeadTimeout,
		ReadTimeout:       p.cfg.BodyTimeout, // until upload sets the next one
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    1 << 20,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	p.speak(srv)
	server := p.server(srv, base)
	ln = p.newCrowd(ln, srv.TLSConfig != nil)
	idle := make(chan struct{})
	defer close(idle)
	for range 2 * runtime.GOMAXPROCS(0) {
		go p.deciders.run(idle)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("proxy: serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	bound := p.current.Load().cfg.DrainTimeout
	p.log.Info("draining", "in_flight", p.flights.count(), "bound", bound)
	limit, stop := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer stop()
	err := server.Shutdown(limit)
	select {
	case <-p.flights.empty(): // also relayed upgrades, which Shutdown does not know
	case <-limit.Done():
		p.log.Warn("drain bound exceeded, cutting off", "in_flight", p.flights.count())
		cancel(errCutOff)
		_ = server.Close()
		<-p.flights.empty() // each ends promptly: its context is over
	}
	if err != nil {
		_ = server.Close() // connections without a request in flight, too
	}
	p.current.Load().closeIdle(nil)
	if err := <-served; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("proxy: serve %s: %w", ln.Addr(), err)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // said above; the events are recorded
	}
	return err
}

// target is the path and query of a request as the client wrote them.
func target(r *http.Request) (path, query string) {
	uri := r.RequestURI
	if !strings.HasPrefix(uri, "/") {
		// Absolute form (or HTTP/2 oddities): the host it names is not asked.
		if _, rest, ok := strings.Cut(uri, "://"); ok {
			if i := strings.IndexAny(rest, "/?"); i >= 0 {
				uri = rest[i:]
			} else {
				uri = "/"
			}
		} else {
			uri = r.URL.RequestURI()
		}
	}
	if i := strings.IndexByte(uri, '?'); i >= 0 {
		return uri[:i], uri[i:]
	}
	return uri, ""
}
