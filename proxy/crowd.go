package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
)

// crowd is a listener that takes no more connections than there are descriptors
// for: each client may need a second one, to its provider, and the spool, the
// broker and the operator's own page need some. Without it a crowd of clients
// would take them all, and then nobody could be answered at all, those included
// that were let in.
//
// One too many is told so and let go. No event is made of it, since nothing was
// accepted; gnomon_connections_refused_total counts.
type crowd struct {
	net.Listener
	max     int64
	n       atomic.Int64
	telling chan struct{} // a place for each that is being told
	refused func()
	secret  bool // over TLS nothing can be said before the handshake

	patience func() time.Duration // with clients that take nothing
}

// newCrowd bounds a listener by what this process may open.
func (p *Proxy) newCrowd(ln net.Listener, secret bool) net.Listener {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<30 {
		limit.Cur = 1 << 30 // no bound that is known
	}
	own := 64 + int64(limit.Cur)/16
	c := &crowd{Listener: ln, max: max(8, (int64(limit.Cur)-own)/2), telling: make(chan struct{}, max(8, own/2)), refused: p.metrics.crowded.Inc, secret: secret, patience: func() time.Duration { return p.current.Load().cfg.SendTimeout }}
	if c.max < int64(p.cfg.MaxInFlight) {
		p.log.Info("the files that may be open bound the connections more than proxy.max_in_flight does", "connections", c.max, "files", limit.Cur)
	}
	return c
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.n.Add(1) <= c.max {
			if tcp, ok := conn.(*net.TCPConn); ok {
				return &countedTCP{TCPConn: tcp, crowd: c, sending: sending{limit: c.patience()}}, nil
			}
			return &counted{Conn: conn, crowd: c}, nil
		}
		c.n.Add(-1)
		c.refused()
		c.telling <- struct{}{} // more than can be told at once wait where all wait that nobody has accepted yet
		go func() {
			c.tell(conn)
			<-c.telling
		}()
	}
}

// goAway is what a server says in HTTP/2 (RFC 9113) to be left alone: empty
// SETTINGS, and GOAWAY with ENHANCE_YOUR_CALM, no stream of the client's seen.
const goAway = "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0b"

// tell answers a connection that is not served, in the dialect of its first
// request as far as that can be seen.
func (c *crowd) tell(conn net.Conn) {
	defer conn.Close()
	if c.secret {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	head := make([]byte, 4<<10)
	n, err := conn.Read(head)
	if err != nil {
		return
	}
	family := dialect.FamilyOpenAI
	if line := strings.Fields(string(head[:n])); len(line) > 1 {
		if of := dialect.Of(line[0], line[1]).Family; of != "" {
			family = of
		}
	}
	if strings.HasPrefix(string(head[:n]), "PRI * HTTP/2.0") {
		_, _ = io.WriteString(conn, goAway)
		return
	}
	f := dialect.Fault{Status: 503, Kind: "overloaded", Message: "gnomon: too many connections; try again"}
	contentType, body := f.Body(family)
	fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nContent-Length: %d\r\nRetry-After: 1\r\n%s: %s\r\nConnection: close\r\n\r\n%s", contentType, len(body), headerError, f.Kind, body)
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		// A socket that is closed with something unread takes what was said with it.
		_ = half.CloseWrite()
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
	}
}

// counted is a connection that gives its place back when it is closed.
type counted struct {
	net.Conn
	crowd *crowd
	once  sync.Once
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.once.Do(func() { c.crowd.n.Add(-1) })
	return c.Conn.Close()
}

// countedTCP is that of TCP. It bounds what it sends.
type countedTCP struct {
	*net.TCPConn
	sending
	crowd *crowd
	once  sync.Once
}

// Write implements net.Conn.
func (c *countedTCP) Write(p []byte) (int, error) {
	n := 0
	_, err := c.write(c.TCPConn, func() (int64, error) {
		took, err := c.TCPConn.Write(p[n:])
		n += took
		return int64(took), err
	})
	return n, err
}

// WriteBuffers writes several pieces at once.
func (c *countedTCP) WriteBuffers(b *net.Buffers) (int64, error) {
	return c.write(c.TCPConn, func() (int64, error) { return b.WriteTo(c.TCPConn) })
}

// SetWriteDeadline implements net.Conn.
func (c *countedTCP) SetWriteDeadline(t time.Time) error {
	c.other(t)
	return c.TCPConn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *countedTCP) SetDeadline(t time.Time) error {
	c.other(t)
	return c.TCPConn.SetDeadline(t)
}

// Close implements net.Conn.
func (c *countedTCP) Close() error {
	c.once.Do(func() { c.crowd.n.Add(-1) })
	return c.TCPConn.Close()
}

// CloseWrite ends one direction, as servers do before they close.
func (c *counted) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// noRoom reports whether a call failed because this process, or the machine, may
// open no more: no fault of the provider's.
func noRoom(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.EADDRNOTAVAIL)
}
