package proxy

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// Upstream sends one request to a provider and returns its answer as it came:
// no redirect followed, no compression added or removed, no body read ahead.
// When the request's context ends, the connection is given up at once. It is
// called concurrently.
type Upstream interface {
	RoundTrip(*http.Request) (*http.Response, error)
}

// newTransport is the Upstream of net/http.
func newTransport(c *Config) *http.Transport {
	dialer := &net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(256)},
		TLSHandshakeTimeout:    c.ConnectTimeout,
		ResponseHeaderTimeout:  c.HeaderTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    1024,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true, // else an answer is decoded behind the client's back
		ForceAttemptHTTP2:      true,
	}
}
