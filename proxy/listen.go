package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/gnomon-llm/gnomon/proxy/plain"
)

// speak says in which protocols clients are answered: HTTP/1.1 and HTTP/2, the
// latter agreed on over TLS, or by prior knowledge where there is none.
//
// The certificate is that of the configuration in force when a client connects:
// a new one is taken by new connections, and streams stay on the old.
func (p *Proxy) speak(srv *http.Server) {
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams: 1000, // of one connection; proxy.max_in_flight bounds them all
		// An upload that a slow provider holds up must not stop the others on its
		// connection: a stream's window is a fraction of the connection's.
		MaxReceiveBufferPerStream:     256 << 10,
		MaxReceiveBufferPerConnection: 8 << 20,
	}
	if p.current.Load().cfg.Certificate == nil {
		srv.Protocols.SetUnencryptedHTTP2(true)
		return
	}
	srv.Protocols.SetHTTP2(true)
	srv.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return p.current.Load().cfg.Certificate, nil // Reload never takes it away
		},
	}
}

// server is what serves a listener.
type server interface {
	Serve(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// overTLS is net/http's server where all connections are TLS.
type overTLS struct{ *http.Server }

func (s overTLS) Serve(ln net.Listener) error { return s.ServeTLS(ln, "", "") }

// server puts before net/http's server the one that is quicker with plain requests.
// Over TLS net/http serves all.
func (p *Proxy) server(rest *http.Server, base context.Context) server {
	if rest.TLSConfig != nil {
		return overTLS{rest}
	}
	return &plain.Server{
		Handler: rest.Handler, Base: base, Rest: rest, Log: p.log,
		HeadTimeout: rest.ReadHeaderTimeout, BodyTimeout: rest.ReadTimeout, IdleTimeout: rest.IdleTimeout,
	}
}

// certificateEnds is when the certificate in force ends, in Unix seconds; 0
// without one.
func (l *life) certificateEnds() float64 {
	if c := l.current.Load().cfg.Certificate; c != nil && c.Leaf != nil {
		return float64(c.Leaf.NotAfter.Unix())
	}
	return 0
}
