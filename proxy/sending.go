package proxy

import (
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// sending bounds how long a client's system may take nothing of what is written to
// it: one that never reads must not hold its place, its descriptors and its
// provider's connection for as long as it stays. As with reads, a deadline that is
// young enough serves again, so that most writes set none.
type sending struct {
	limit time.Duration
	until atomic.Int64 // the deadline, since started; 0: none is set, theirs: not by us
}

const theirs = math.MaxInt64

var started = time.Now()

// write makes a connection's write, again while some of it is taken in time, and ends
// the connection when nothing is.
func (s *sending) write(c net.Conn, write func() (int64, error)) (n int64, err error) {
	for asked := false; ; {
		if now := time.Since(started); !asked && s.until.Load()-int64(now) < int64(s.limit) {
			until := now + s.limit + s.limit/4
			s.until.Store(int64(until))
			_ = c.SetWriteDeadline(started.Add(until))
		}
		took, err := write()
		n += took
		switch {
		case err == nil, !errors.Is(err, os.ErrDeadlineExceeded), s.until.Load() == theirs:
			return n, err
		case took > 0:
			asked = false
			s.until.Store(0)
		case !asked:
			// Linux says that there is room when a third of the buffer is free: less
			// of it shows only to one who asks.
			asked = true
			s.until.Store(0)
			_ = c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		default:
			if tcp, is := c.(*net.TCPConn); is {
				_ = tcp.SetLinger(0) // or the system goes on with what it has
			}
			_ = c.Close() // its owner, too, which may be waiting for something else
			return n, err
		}
	}
}

// other notes a deadline that somebody else has set.
func (s *sending) other(t time.Time) {
	if s.until.Store(theirs); t.IsZero() {
		s.until.Store(0)
	}
}

// stream is an answer on a stream of HTTP/2. Its client takes of each stream what it
// likes, whatever it takes of the connection.
type stream struct {
	http.ResponseWriter
	rc    *http.ResponseController
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	since time.Time // when the write that waits began; zero: none does
	late  bool
	held  bool // something was written and not flushed
}

// atOnce is how much of an answer a client has one limit to take: a frame.
const atOnce = 16 << 10

// Write implements http.ResponseWriter.
func (s *stream) Write(p []byte) (n int, err error) {
	for first := true; err == nil && (first || n < len(p)); first = false {
		var took int
		err = s.bounded(func() (err error) {
			took, err = s.ResponseWriter.Write(p[n:min(len(p), n+atOnce)])
			return err
		})
		n += took
	}
	s.held = true
	return n, err
}

// FlushError is Flush for http.ResponseController.
func (s *stream) FlushError() error {
	s.held = false
	return s.bounded(s.rc.Flush)
}

// Flush implements http.Flusher.
func (s *stream) Flush() { _ = s.FlushError() }

// SetReadDeadline is for http.ResponseController.
func (s *stream) SetReadDeadline(t time.Time) error { return s.rc.SetReadDeadline(t) }

// end sends what is held. Left to the server, that would be bounded by nothing.
func (s *stream) end() {
	if s.held {
		s.Flush()
	}
}

// bounded resets the stream when a write takes too long.
func (s *stream) bounded(write func() error) error {
	s.mu.Lock()
	s.since = time.Now()
	if s.timer == nil {
		s.timer = time.AfterFunc(s.limit, s.expire)
	} else {
		s.timer.Reset(s.limit)
	}
	s.mu.Unlock()
	err := write()
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since = (time.Time{}); err != nil && s.late {
		return os.ErrDeadlineExceeded
	}
	return err
}

func (s *stream) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() && time.Since(s.since) >= s.limit { // not of a write before
		s.late = true
		_ = s.rc.SetWriteDeadline(time.Unix(1, 0))
	}
}
