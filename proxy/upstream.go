package proxy

import (
	"net/http"
	"net/netip"

	"github.com/gnomon-llm/gnomon/proxy/wire"
)

// Upstream sends one request to a provider and returns its answer as it came:
// no redirect followed, no compression added or removed, no body read ahead.
// When the request's context ends, the connection is given up at once. It tells
// of 1xx answers as wire.WithInformed says. It is called concurrently.
type Upstream interface {
	RoundTrip(*http.Request) (*http.Response, error)
}

func newUpstream(c *Config, permit func(string, netip.Addr) error) Upstream {
	return wire.New(wire.Config{ConnectTimeout: c.ConnectTimeout, HeaderTimeout: c.HeaderTimeout, Permit: permit})
}
