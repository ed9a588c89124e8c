package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Config configures a Client.
type Config struct {
	ConnectTimeout time.Duration // to a provider, and as long again for TLS
	HeaderTimeout  time.Duration // from the request's last byte to the answer's head; also until a provider takes the next bytes of a request
	IdleTimeout    time.Duration // of a connection between two requests; default 90 s
	MaxIdle        int           // connections kept per host; default 1,024
	MaxHead        int64         // bytes of an answer's head, with the 1xx before it; default 1 MiB
	TLS            *tls.Config   // nil: the system's roots, TLS 1.2 and above
}

// Client sends requests. It is for concurrent use.
type Client struct {
	cfg      Config
	dialer   net.Dialer
	tls      *tls.Config
	fallback *http.Transport

	mu    sync.RWMutex
	hosts map[hostKey]*host
}

type hostKey struct {
	scheme, addr string
}

// New makes a client.
func New(c Config) *Client {
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 90 * time.Second
	}
	if c.MaxIdle <= 0 {
		c.MaxIdle = 1024
	}
	if c.MaxHead <= 0 {
		c.MaxHead = 1 << 20
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	cl := &Client{cfg: c, dialer: net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}, tls: c.TLS.Clone(), hosts: map[hostKey]*host{}}
	cl.tls.ClientSessionCache = tls.NewLRUClientSessionCache(256)
	cl.tls.NextProtos = []string{"http/1.1"}
	cl.fallback = &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            cl.dial,
		TLSClientConfig:        c.TLS.Clone(),
		TLSHandshakeTimeout:    c.ConnectTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        c.IdleTimeout,
		MaxIdleConnsPerHost:    c.MaxIdle,
		MaxResponseHeaderBytes: c.MaxHead,
		DisableCompression:     true, // else an answer is decoded behind the client's back
		ForceAttemptHTTP2:      true,
	}
	cl.fallback.TLSClientConfig.ClientSessionCache = cl.tls.ClientSessionCache
	return cl
}

// Caller is who makes a request. Its methods may be called by goroutines of the
// client's.
type Caller interface {
	// Informed is told of each 1xx answer but 101.
	Informed(code int, h http.Header)
	// Permit is asked before a connection is made for the request, with the name
	// that is dialled and the address it resolved to.
	Permit(name string, to netip.Addr) error
}

type callerKey struct{}

// WithCaller makes a context whose request is c's. Without one nobody is told,
// and every address is permitted.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf is nil where a context names none.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// errNotHTTP1 says that a provider does not want to be spoken to in HTTP/1.1.
var errNotHTTP1 = errors.New("the provider does not speak HTTP/1.1")

// RoundTrip implements http.RoundTripper. A Content-Length of −1 is sent in
// chunks; otherwise the body must be as long as it says. When the request's
// context ends, its connection is closed, also while the answer is read.
func (cl *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	h := cl.host(r)
	if h.foreign.Load() || r.Header["Upgrade"] != nil || r.Header["Expect"] != nil {
		return cl.foreign(r)
	}
	for {
		c, reused, err := h.take(r.Context())
		if errors.Is(err, errNotHTTP1) {
			h.foreign.Store(true)
			return cl.foreign(r)
		}
		if err != nil {
			return nil, err
		}
		resp, err := c.roundTrip(r, reused)
		if errors.Is(err, errUnseen) && r.Context().Err() == nil {
			continue // the next one, and at the end a fresh one
		}
		return resp, err
	}
}

// foreign sends a request by net/http's Transport.
func (cl *Client) foreign(r *http.Request) (*http.Response, error) {
	if caller := callerOf(r.Context()); caller != nil {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			caller.Informed(code, http.Header(h))
			return nil
		}}))
	}
	return cl.fallback.RoundTrip(r)
}

// CloseIdleConnections closes the connections that nobody uses.
func (cl *Client) CloseIdleConnections() {
	cl.mu.RLock()
	defer cl.mu.RUnlock()
	for _, h := range cl.hosts {
		h.sweep(0)
	}
	cl.fallback.CloseIdleConnections()
}

// host is where a scheme and an address lead.
type host struct {
	cl      *Client
	https   bool
	name    string // of the certificate
	addr    string // to dial
	foreign atomic.Bool

	mu    sync.Mutex
	idle  []*conn // the last used at the end
	timer *time.Timer
}

func (cl *Client) host(r *http.Request) *host {
	key := hostKey{r.URL.Scheme, r.URL.Host}
	cl.mu.RLock()
	h := cl.hosts[key]
	cl.mu.RUnlock()
	if h != nil {
		return h
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if h = cl.hosts[key]; h != nil {
		return h
	}
	h = &host{cl: cl, https: key.scheme == "https", name: r.URL.Hostname(), addr: r.URL.Host}
	port := r.URL.Port()
	if port == "" {
		if port = "80"; h.https {
			port = "443"
		}
	}
	h.addr = net.JoinHostPort(h.name, port)
	via, err := http.ProxyFromEnvironment(r)
	h.foreign.Store(err != nil || via != nil || !plainHost(key.addr) || (key.scheme != "http" && key.scheme != "https"))
	cl.hosts[key] = h
	return h
}

// plainHost reports whether a host can be written as it is: no name that needs
// another spelling, no zone.
func plainHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return s != ""
}

// take returns an idle connection, which may have been closed by the provider
// meanwhile, or a new one.
func (h *host) take(ctx context.Context) (c *conn, reused bool, err error) {
	h.mu.Lock()
	n := len(h.idle)
	if n == 0 {
		h.mu.Unlock()
		c, err = h.dial(ctx)
		return c, false, err
	}
	c = h.idle[n-1]
	h.idle[n-1] = nil
	h.idle = h.idle[:n-1]
	h.mu.Unlock()
	return c, true, nil
}

// put keeps a connection for the next request.
func (h *host) put(c *conn) {
	c.since = time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.idle) >= h.cl.cfg.MaxIdle || c.fd == nil { // without one nobody could look whether it is still open
		c.Close()
		return
	}
	h.idle = append(h.idle, c)
	if h.timer == nil {
		h.timer = time.AfterFunc(h.cl.cfg.IdleTimeout, func() { h.sweep(h.cl.cfg.IdleTimeout) })
	}
}

// sweep closes what has been idle for longer than a limit.
func (h *host) sweep(limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
		h.timer = nil
	}
	now, old := time.Now(), 0
	for _, c := range h.idle {
		if now.Sub(c.since) < limit {
			break
		}
		c.Close()
		old++
	}
	rest := copy(h.idle, h.idle[old:])
	clear(h.idle[rest:])
	h.idle = h.idle[:rest]
	if rest > 0 {
		h.timer = time.AfterFunc(limit-now.Sub(h.idle[0].since), func() { h.sweep(h.cl.cfg.IdleTimeout) })
	}
}

// dial opens a socket, if the address that the name resolved to is permitted.
// net/http's Transport, which dials by itself, hands the request's values on.
func (cl *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	caller := callerOf(ctx)
	if caller == nil {
		return cl.dialer.DialContext(ctx, network, addr)
	}
	name, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	d := cl.dialer
	d.Control = func(_, resolved string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		return caller.Permit(name, to.Addr())
	}
	return d.DialContext(ctx, network, addr)
}

// dial opens a connection.
func (h *host) dial(ctx context.Context) (*conn, error) {
	raw, err := h.cl.dial(ctx, "tcp", h.addr)
	if err != nil {
		return nil, err
	}
	c := &conn{host: h, Conn: raw, raw: raw}
	if h.https {
		cfg := h.cl.tls.Clone()
		cfg.ServerName = h.name
		c.records = &records{Conn: raw}
		sec := tls.Client(c.records, cfg)
		limit, stop := context.WithTimeout(ctx, h.cl.cfg.ConnectTimeout)
		err := sec.HandshakeContext(limit)
		stop()
		if err != nil {
			raw.Close()
			if strings.Contains(err.Error(), "no application protocol") { // crypto/tls has no other name for the alert
				return nil, errNotHTTP1
			}
			return nil, &net.OpError{Op: "dial", Net: "TLS " + h.addr, Err: err} // no byte of the request was sent
		}
		c.Conn = sec
	}
	c.init()
	return c, nil
}
