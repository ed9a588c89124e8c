package proxy

import (
	"net/http"

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

func newUpstream(c *Config) Upstream {
	return wire.New(wire.Config{ConnectTimeout: c.ConnectTimeout, HeaderTimeout: c.HeaderTimeout})
}
