package dashboards

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/schemas"
)

//go:embed assets/*.js assets/*.css assets/*.svg assets/*.md
var assets embed.FS

//go:embed openapi.yaml
var openapi []byte

// OpenAPI returns the description of /api/v1.
func OpenAPI() []byte { return openapi }

// Config is what a console is made of.
type Config struct {
	Project   string // the default; ?project= asks for another
	Data      Data
	Actions   Actions // nil: nothing can be changed from here
	Keys      Keys    // nil: as Actions
	Names     Names   // nil: as Actions
	Health    Health  // nil: /readyz is always ready
	Simulated bool    // a ribbon on every page
	Hosts     []string
	Token     string // "" and no TokenFile: no login, for loopback only
	TokenFile string // read once, at New
	Log       *slog.Logger
	Metrics   http.Handler // /metrics; nil: 404
	Version   string
	Proxy     string // where SDKs find the data plane, like http://localhost:8080
	// Explain takes a decision apart; nil: the page shows what the event holds.
	Explain func(context.Context, schemas.RequestEvent) (Explanation, error)
	// Report is GET /api/v1/report; nil: totals and verdicts as the pages have them.
	Report func(ctx context.Context, project string) (any, error)
	// WhatIf scores the log under a policy that never ran; nil: that is not offered.
	WhatIf func(context.Context, WhatIf) (*whatif.Result, error)
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

type server struct {
	Config
	pages  map[string]*page
	static map[string]asset

	whatIfs  chan struct{} // slots of questions that read the whole log
	patience time.Duration // of one that waits for a slot
}

type asset struct {
	body        []byte
	contentType string
	hash        string
}

// New returns the handler of the whole admin plane: console, API, probes.
func New(c Config) (http.Handler, error) {
	if c.Data == nil {
		return nil, errors.New("console: no data to show; this process needs a store")
	}
	if c.TokenFile != "" {
		b, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("console: read admin.token_file: %w; write a token of at least 16 characters into it", err)
		}
		c.Token = strings.TrimSpace(string(b))
		if len(c.Token) < 16 {
			return nil, fmt.Errorf("console: admin.token_file %s holds %d characters; write a token of at least 16 into it", c.TokenFile, len(c.Token))
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Proxy == "" {
		c.Proxy = "http://localhost:8080"
	}
	s := &server{Config: c, whatIfs: make(chan struct{}, whatIfSlots), patience: whatIfPatience}
	var err error
	if s.static, err = loadAssets(); err != nil {
		return nil, err
	}
	if s.pages, err = s.loadPages(); err != nil {
		return nil, err
	}
	return s.guard(s.withReads(s.routes())), nil
}

func (s *server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	if s.Metrics != nil {
		mux.Handle("GET /metrics", s.Metrics)
	}
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)

	mux.HandleFunc("GET /{$}", s.overviewPage)
	mux.HandleFunc("GET /workloads", s.workloadsPage)
	mux.HandleFunc("GET /workloads/{w...}", s.workloadPage)
	mux.HandleFunc("POST /workloads/{w...}", s.workloadAction)
	mux.HandleFunc("GET /fragments/activation", s.activationFragment)
	mux.HandleFunc("GET /fragments/status", s.statusFragment)
	mux.HandleFunc("GET /fragments/whatif", s.whatIfFragment)
	mux.HandleFunc("GET /requests", s.requestsPage)
	mux.HandleFunc("GET /requests/{id}", s.requestPage)
	mux.HandleFunc("GET /health", s.healthPage)
	mux.HandleFunc("GET /search", s.searchPage)
	mux.HandleFunc("/", s.notFoundPage)

	s.apiRoutes(mux)
	return mux
}

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.Health != nil {
		if err := s.Health.Ready(r.Context(), r.URL.Query().Get("role")); err != nil {
			text(w, http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
			return
		}
	}
	text(w, http.StatusOK, "ready\n")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func loadAssets() (map[string]asset, error) {
	types := map[string]string{
		".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml", ".md": "text/plain; charset=utf-8",
	}
	m := map[string]asset{}
	err := fs.WalkDir(assets, "assets", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := assets.ReadFile(p)
		sum := sha256.Sum256(b)
		m[path.Base(p)] = asset{b, types[path.Ext(p)], hex.EncodeToString(sum[:6])}
		return err
	})
	return m, err
}

// asset serves an embedded file. Addresses carry the content's hash, so that a
// browser may keep them for ever and yet never shows an old one.
func (s *server) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.static[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	if r.URL.Query().Get("v") == a.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(a.body)
}
