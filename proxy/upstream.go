package proxy

import (
	"net/http"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/wire"
)

// Upstream sends one request to a provider and returns its answer as it came:
// no redirect followed, no compression added or removed, no body read ahead.
// When the request's context ends, the connection is given up at once. It tells
// of 1xx answers, and asks for addresses, as wire.WithCaller says. It is called
// concurrently.
type Upstream interface {
	RoundTrip(*http.Request) (*http.Response, error)
}

// patience is what distinguishes the clients of providers: connections are
// shared by rows that wait alike.
type patience struct{ connect, header time.Duration }

// upstreams gives each row its client. Those of the configuration before stay,
// with their connections, where a row still waits as long.
func (p *Proxy) upstreams(was *Proxy) {
	p.clients = map[patience]Upstream{}
	for _, r := range p.order {
		if r.upstream = p.cfg.Upstream; r.upstream != nil {
			continue
		}
		key := patience{r.ConnectTimeout, r.HeaderTimeout}
		if p.clients[key] == nil && was != nil {
			p.clients[key] = was.clients[key]
		}
		if p.clients[key] == nil {
			p.clients[key] = wire.New(wire.Config{ConnectTimeout: key.connect, HeaderTimeout: key.header})
		}
		r.upstream = p.clients[key]
	}
}

// closeIdle closes the connections that nobody uses, but for those of clients
// that another configuration goes on with.
func (p *Proxy) closeIdle(next *Proxy) {
	for key, c := range p.clients {
		if t, ok := c.(interface{ CloseIdleConnections() }); ok && (next == nil || next.clients[key] != c) {
			t.CloseIdleConnections()
		}
	}
}
