// Package plain serves plain HTTP/1.1 requests, and leaves every other connection
// to net/http.
//
// The one idea: what most clients send most of the time is a head without a
// surprise in it, and a body of a stated length. Such a request needs no goroutine
// that listens for the client's leaving from its first microsecond, no deadline
// set anew at each step, and no copy of each header. So a head is read here by
// rules that are narrower than net/http's; at the first thing that is not plain
// (another version or method, chunks, an expectation, an upgrade, a header said
// twice that frames the message, a byte that should not be there, HTTP/2's preface)
// the connection goes to net/http with all that was read of it, for good. What is
// refused, and how, is net/http's to say.
//
// A client that leaves is noticed once its request has been answered for 10 to 20
// milliseconds; before that, by the write that fails.
//
// It does not speak TLS, and a plain connection cannot be hijacked: only a request
// that asks for it has a use for that, and it is not plain.
package plain

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// sweepEvery is how often requests are looked at that have not been answered yet.
const sweepEvery = 10 * time.Millisecond

// Server serves a listener. Its fields are set before Serve and not changed.
type Server struct {
	Handler     http.Handler
	Base        context.Context // of all requests
	HeadTimeout time.Duration   // from a request's first byte to the end of its head
	BodyTimeout time.Duration   // of a body that has not come with its head; the handler may set it anew
	IdleTimeout time.Duration   // between two requests
	Rest        *http.Server    // for what is not plain; its handler is the same
	Log         *slog.Logger

	setUp    sync.Once
	rest     handed
	draining atomic.Bool
	asleep   atomic.Bool
	wake     chan struct{}
	ended    chan struct{} // nothing is served any more
	end      sync.Once

	mu    sync.Mutex
	ln    net.Listener
	conns []*conn
}

func (s *Server) init() {
	s.wake, s.ended = make(chan struct{}, 1), make(chan struct{})
	s.rest = handed{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Serve accepts connections until Shutdown or Close, then returns
// http.ErrServerClosed. It closes the listener.
func (s *Server) Serve(ln net.Listener) error {
	s.setUp.Do(s.init)
	s.mu.Lock()
	s.ln, s.rest.addr = ln, ln.Addr()
	s.mu.Unlock()
	if s.draining.Load() {
		_ = ln.Close()
		return http.ErrServerClosed
	}
	go s.sweep()
	go func() { _ = s.Rest.Serve(&s.rest) }()
	err := s.accept(ln)
	_ = ln.Close()
	if s.draining.Load() {
		return http.ErrServerClosed
	}
	_ = s.Close()
	return err
}

// stop stops accepting.
func (s *Server) stop() {
	s.setUp.Do(s.init)
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln != nil {
		_ = s.ln.Close()
	}
}

func (s *Server) accept(ln net.Listener) error {
	var pause time.Duration
	for {
		rwc, err := ln.Accept()
		if err != nil {
			var ne interface{ Temporary() bool }
			if s.draining.Load() || !errors.As(err, &ne) || !ne.Temporary() {
				return err
			}
			// Out of descriptors, or the like: as net/http does.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.Log.Warn("no connection could be accepted", "error", err, "again_in", pause)
			time.Sleep(pause)
			continue
		}
		pause = 0
		ctx, cancel := context.WithCancel(s.Base)
		template := (&http.Request{RemoteAddr: rwc.RemoteAddr().String()}).WithContext(ctx)
		c := &conn{s: s, rwc: rwc, template: template, cancel: cancel, made: time.Now()}
		s.mu.Lock()
		if s.draining.Load() { // nobody would close it any more
			s.mu.Unlock()
			c.cancel()
			_ = rwc.Close()
			continue
		}
		c.at = len(s.conns)
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		go c.serve()
	}
}

// forget takes a connection off the list.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.at < 0 {
		return
	}
	last := len(s.conns) - 1
	s.conns[c.at] = s.conns[last]
	s.conns[c.at].at = c.at
	s.conns[last] = nil
	s.conns = s.conns[:last]
	c.at = -1
}

// attend has the sweeper look at a request that has just come.
func (s *Server) attend() {
	if s.asleep.Load() && s.asleep.Swap(false) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// sweep has the clients watched whose requests take long. It rests while there are
// none.
func (s *Server) sweep() {
	ticks := time.NewTicker(sweepEvery)
	defer ticks.Stop()
	for {
		if !s.look() {
			s.asleep.Store(true)
			if !s.look() { // one that came meanwhile has seen nobody asleep
				ticks.Stop()
				select {
				case <-s.wake:
				case <-s.ended:
					return
				}
				ticks.Reset(sweepEvery)
			}
			s.asleep.Store(false)
		}
		select {
		case <-ticks.C:
		case <-s.ended:
			return
		}
	}
}

// look goes over the connections once, and reports whether some request has to be
// looked at again.
func (s *Server) look() (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.mu.Lock()
		if c.state == busy && c.watched == nil {
			again = true
			if c.age++; c.quiet && c.age > 1 && c.w < len(c.buf) {
				c.watched = make(chan struct{})
				go c.watch(c.watched)
			}
		}
		c.mu.Unlock()
	}
	return again
}

// handOver gives a connection to net/http, with what was read of it.
func (s *Server) handOver(c *conn) {
	c.cancel()
	_ = c.rwc.SetReadDeadline(time.Time{})
	rest := &begun{Conn: c.rwc, read: c.buf[c.r:c.w]}
	select {
	case s.rest.conns <- rest:
	case <-s.rest.closed:
		_ = c.rwc.Close()
	}
	s.forget(c)
}

// Shutdown stops accepting, closes idle connections, and waits until the others
// have answered. When ctx ends before that, it returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	rest := make(chan error, 1)
	go func() { rest <- s.Rest.Shutdown(ctx) }()
	for pause := time.Millisecond; !s.closeIdle(); pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-ctx.Done():
			<-rest
			return ctx.Err()
		case <-time.After(pause):
		}
	}
	s.end.Do(func() { close(s.ended) })
	return <-rest
}

// closeIdle closes connections that answer nothing, and reports whether that were
// all.
func (s *Server) closeIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.mu.Lock()
		if c.state == idle || c.state == fresh && time.Since(c.made) > freshFor {
			c.state = shut
			_ = c.rwc.Close() // its goroutine ends by that
		}
		c.mu.Unlock()
	}
	return len(s.conns) == 0
}

// Close closes every connection at once.
func (s *Server) Close() error {
	s.stop()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.rwc.Close()
	}
	s.mu.Unlock()
	s.end.Do(func() { close(s.ended) })
	return s.Rest.Close()
}

// handed is the listener of connections that are handed over.
type handed struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *handed) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *handed) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *handed) Addr() net.Addr { return l.addr }

// begun is a connection of which some bytes were read already.
type begun struct {
	net.Conn
	read []byte
}

func (b *begun) Read(p []byte) (int, error) {
	if len(b.read) > 0 {
		n := copy(p, b.read)
		if b.read = b.read[n:]; len(b.read) == 0 {
			b.read = nil
		}
		return n, nil
	}
	return b.Conn.Read(p)
}

// CloseWrite is for net/http, which closes one direction where a client may still
// be writing.
func (b *begun) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
