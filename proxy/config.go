package proxy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
)

// Provider is one row of the data plane.
type Provider struct {
	Name    string
	Dialect string // family: openai, anthropic or gemini
	BaseURL string // scheme, host, and the path before the provider's own
	// APIKey is the stored credential. It serves requests that bring a gnomon key
	// and no credential of their own, and routed requests whose baseline is at
	// another provider: a client's own credential goes where the client sent it.
	APIKey string
	// APIKeys are more of them: each call has the one that is least in use.
	APIKeys []string
	// Hosts serve in the place of BaseURL what goes out on a stored credential.
	Hosts []Host
	// IncludeUsage asks for stream usage where the client did not say, and cuts
	// what that causes out of the answer.
	IncludeUsage bool
	// AllowPrivate permits that a name behind https resolves to an address inside.
	AllowPrivate bool
	Simulated    bool // its traffic is marked as simulated

	// Its own bounds; zero takes the data plane's.
	ConnectTimeout, HeaderTimeout, IdleTimeout, TotalTimeout time.Duration

	Retry   Retry   // of requests that are routed here
	Breaker Breaker // of each of its models
}

// Config configures the data plane. Zero values take the stated defaults.
type Config struct {
	Project   string
	Providers []Provider // openai and anthropic also serve /v1/…

	MaxInFlight    int           // requests at once; past it a 503; default 20,000
	CaptureBytes   int           // of a body that are looked at; forwarding has no bound; default 4 MiB
	CaptureTotal   int           // bytes of bodies held at once, over all requests; past it they stream by unread; default 256 MiB
	ConnectTimeout time.Duration // to a provider, with TLS; default 10 s
	HeaderTimeout  time.Duration // from the request's last byte to the answer's head; default 10 min
	IdleTimeout    time.Duration // between two reads from a provider; default 5 min
	TotalTimeout   time.Duration // for a call to a provider, its answer included; default none
	HeadTimeout    time.Duration // for a client's whole head; default 30 s
	BodyTimeout    time.Duration // between two reads of a client's body; default 60 s
	SendTimeout    time.Duration // in which a client takes some more of its answer; of a connection, when it is accepted; default 60 s
	DrainTimeout   time.Duration // for answers in flight when asked to stop; default 30 s
	ClassifyBudget time.Duration // for assessing and deciding; past it the baseline; default 100 ms

	// Keys are gnomon's own keys; nil: none is known. RequireKey refuses requests
	// that bring none.
	Keys       Keyring
	RequireKey bool

	// Certificate is what clients are shown; nil: they speak plain HTTP. Whether it
	// is nil cannot change while Serve runs; which one it is can.
	Certificate *tls.Certificate

	// KeepPayload says whether a workload's data policy permits handing bodies to
	// the PayloadSink. nil permits none.
	KeepPayload func(workload string) bool

	// Tokens counts, after the fact, the text of answers whose provider stated no
	// usage; Proxy.Recount must run. nil: the estimate from bytes stands.
	Tokens Tokenizer

	Upstream Upstream         // nil: a wire.Client
	Now      func() time.Time // nil: time.Now; ts of events only, durations are monotonic
}

var providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Validate says what is wrong with a configuration; defaults are set first.
func (c *Config) Validate() error {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.ConnectTimeout, 10*time.Second)
	def(&c.HeaderTimeout, 10*time.Minute)
	def(&c.IdleTimeout, 5*time.Minute)
	def(&c.HeadTimeout, 30*time.Second)
	def(&c.BodyTimeout, time.Minute)
	def(&c.SendTimeout, time.Minute)
	def(&c.DrainTimeout, 30*time.Second)
	def(&c.ClassifyBudget, 100*time.Millisecond)
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 20_000
	}
	if c.CaptureBytes <= 0 {
		c.CaptureBytes = 4 << 20
	}
	if c.CaptureTotal <= 0 {
		c.CaptureTotal = 256 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	var errs []error
	if c.Project == "" {
		errs = append(errs, errors.New("project: must be named"))
	}
	seen := map[string]bool{}
	for _, p := range c.Providers {
		if seen[p.Name] {
			errs = append(errs, fmt.Errorf("provider %q is configured twice", p.Name))
		}
		seen[p.Name] = true
		if _, err := newRow(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// row is a provider ready for use.
type row struct {
	Provider
	address  // BaseURL's
	hosts    pool
	keys     pool
	upstream Upstream
	budget   budget // of repetitions
}

// address is where a provider is reached.
type address struct {
	scheme, host, base string // base: escaped path without a trailing slash
}

func newAddress(base string) (address, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return address{}, errors.New("is no address of a provider: want https://host")
	}
	return address{scheme: u.Scheme, host: u.Host, base: strings.TrimRight(u.EscapedPath(), "/")}, nil
}

// inherit sets what the row leaves to the data plane.
func (r *row) inherit(c *Config) {
	for _, of := range []struct {
		own *time.Duration
		all time.Duration
	}{{&r.ConnectTimeout, c.ConnectTimeout}, {&r.HeaderTimeout, c.HeaderTimeout}, {&r.IdleTimeout, c.IdleTimeout}, {&r.TotalTimeout, c.TotalTimeout}} {
		if *of.own <= 0 {
			*of.own = of.all
		}
	}
	r.Retry.defaults()
	r.Breaker.defaults()
}

func newRow(p Provider) (*row, error) {
	if !providerName.MatchString(p.Name) || p.Name == "v1" || p.Name == "v1beta" {
		return nil, fmt.Errorf("provider %q: a name is lower-case letters, digits, - and _, and not v1 or v1beta", p.Name)
	}
	switch p.Dialect {
	case dialect.FamilyOpenAI, dialect.FamilyAnthropic, dialect.FamilyGemini:
	default:
		return nil, fmt.Errorf("provider %s: dialect %q is none of openai, anthropic, gemini", p.Name, p.Dialect)
	}
	to, err := newAddress(p.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("provider %s: base_url %w", p.Name, err)
	}
	if p.APIKey == "" && len(p.APIKeys) > 0 {
		p.APIKey, p.APIKeys = p.APIKeys[0], p.APIKeys[1:]
	}
	r := &row{Provider: p, address: to}
	if err := r.members(); err != nil {
		return nil, fmt.Errorf("provider %s: hosts: %w", p.Name, err)
	}
	return r, nil
}

// authorize makes the headers of a request that goes to another provider than
// the client sent it to: what any provider may know, and the stored credential
// in the form that this one takes. A list of what passes, not of what is held
// back: a header that nobody has thought of may hold a key, too.
func (r *row) authorize(client http.Header, to *address, key string) http.Header {
	h := make(http.Header, len(passesElsewhere)+2)
	for name, values := range client {
		if passesElsewhere[name] || strings.HasPrefix(name, "X-Stainless-") {
			h[name] = values
		}
	}
	if r.Dialect == dialect.FamilyAnthropic && h.Get("Anthropic-Version") == "" {
		h["Anthropic-Version"] = []string{"2023-06-01"}
	}
	r.spend(h, to, key, nil, "")
	return h
}

var passesElsewhere = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Anthropic-Beta": true, "Anthropic-Version": true, "Content-Type": true,
	"Idempotency-Key": true, "Traceparent": true, "Tracestate": true, "User-Agent": true,
}
