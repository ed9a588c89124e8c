package plain

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	firstBuf = 4 << 10
	watchBuf = 128      // while a request is answered that takes long
	maxHead  = 64 << 10 // of a plain request; longer ones are net/http's to bound
	maxReads = 16       // of one head, which is looked at anew after each: one that comes in more pieces is net/http's
	lingers  = 500 * time.Millisecond
	freshFor = 5 * time.Second // how long a drain waits for a connection's first request, as in net/http
)

// state is what a connection is about.
type state uint8

const (
	fresh state = iota // nothing has come yet
	idle               // between two requests
	busy               // from a request's first byte to the end of its answer
	shut               // closed from outside while it was idle
)

// conn is one client's connection. Its goroutine reads a request, answers it, and
// reads the next.
type conn struct {
	s        *Server
	rwc      net.Conn
	template *http.Request // what all its requests have in common
	cancel   context.CancelFunc

	used  bool   // a request was answered on it
	stray int    // how many line ends may stand before the next: old clients send one behind a POST's body
	buf   []byte // what has come and was not yet taken is buf[r:w]
	r, w  int
	until time.Time // the read deadline, where it is known

	mu      sync.Mutex
	state   state
	made    time.Time
	quiet   bool          // the request has come whole: nobody reads
	age     int           // sweeps that have seen this request
	watched chan struct{} // closed when the watcher has ended; nil: none
	waking  bool          // the watcher is told to end
	at      int           // in s.conns; guarded by s.mu
}

// firstBufs are what connections read into, but for those that only wait.
var firstBufs = sync.Pool{New: func() any { return new([firstBuf]byte) }}

// heads are where heads are looked at: they are too large for a stack that waits.
var heads = sync.Pool{New: func() any { return new(head) }}

func (c *conn) serve() {
	for {
		if err := c.await(); err != nil {
			c.close()
			return
		}
		h := heads.Get().(*head)
		n, err := c.readHead(h)
		if err != nil {
			heads.Put(h)
			c.close()
			return
		}
		a := &answer{c: c, r: *c.template, header: headers.Get().(http.Header)}
		if n == notPlain || !h.request(c.buf[c.r:c.r+n], &a.r) {
			heads.Put(h)
			c.s.handOver(c)
			return
		}
		method, length := h.method, h.length
		heads.Put(h)
		c.r += n
		if !c.exchange(a, length) {
			c.close()
			return
		}
		a.free(a.header)
		c.used, c.stray = true, 0
		if method == http.MethodPost {
			c.stray = 4 // as many as net/http takes
		}
	}
}

// await waits for the first byte of a request.
func (c *conn) await() error {
	for {
		for ; c.r < c.w && c.stray > 0 && (c.buf[c.r] == '\r' || c.buf[c.r] == '\n'); c.stray-- {
			c.r++
		}
		if c.r < c.w {
			return nil
		}
		c.r, c.w = 0, 0
		if len(c.buf) != firstBuf { // a long head's memory is not kept from request to request
			c.buf = firstBufs.Get().(*[firstBuf]byte)[:]
		}
		if !c.used {
			c.setDeadline(c.s.HeadTimeout, 0)
		} else {
			if c.s.draining.Load() {
				return net.ErrClosed
			}
			c.setDeadline(c.s.IdleTimeout, c.s.IdleTimeout/8)
		}
		n, err := c.rwc.Read(c.buf)
		if c.w = n; n == 0 {
			return err
		}
	}
}

// readHead reads the head whose first bytes have come.
func (c *conn) readHead(h *head) (n int, err error) {
	if !c.enter(busy) {
		return 0, net.ErrClosed
	}
	for reads := 0; ; reads++ {
		if n = h.read(c.buf[c.r:c.w]); n != incomplete {
			return n, nil
		}
		if reads == maxReads {
			return notPlain, nil
		}
		if c.r > 0 {
			c.w, c.r = copy(c.buf, c.buf[c.r:c.w]), 0
		}
		switch {
		case c.w == maxHead:
			return notPlain, nil
		case c.w == len(c.buf):
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
		if reads == 0 {
			c.setDeadline(c.s.HeadTimeout, 0)
		}
		got, err := c.rwc.Read(c.buf[c.w:])
		if c.w += got; got == 0 && err != nil {
			return 0, err
		}
	}
}

// enter changes the state, unless the connection was closed meanwhile because it
// was idle.
func (c *conn) enter(to state) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == shut {
		return false
	}
	c.state = to
	return true
}

// past is a deadline that is over. As c.until it also says that nobody knows which one
// is set.
var past = time.Unix(1, 0)

// setDeadline bounds the next reads; 0 does not. Setting one costs as much as a small
// read: one that is late by no more than slack stays.
func (c *conn) setDeadline(d, slack time.Duration) {
	if d <= 0 {
		if !c.until.IsZero() {
			c.until = time.Time{}
			_ = c.rwc.SetReadDeadline(c.until)
		}
		return
	}
	if want := time.Now().Add(d); c.until.IsZero() || want.Sub(c.until) > slack || c.until.After(want) {
		c.until = want
		_ = c.rwc.SetReadDeadline(want)
	}
}

// exchange answers one request and reports whether the connection can go on.
func (c *conn) exchange(a *answer, length int64) bool {
	a.body.c = c
	a.r.Body = http.NoBody
	whole := int64(c.w-c.r) >= length
	if length > 0 {
		a.body.left = length
		a.r.Body = &a.body
		if !whole {
			c.setDeadline(c.s.BodyTimeout, 0)
		}
	}
	c.mu.Lock()
	c.age = 0
	c.mu.Unlock()
	if length <= 0 {
		c.settle()
	}
	c.s.attend()
	served := c.handle(a)
	if served {
		served = a.finish() == nil
	}
	if !served {
		c.cancel()
		_ = c.rwc.Close()
	}
	if a.closes { // who still reads the body has no longer than linger
		_ = c.rwc.SetReadDeadline(time.Now().Add(lingers))
	}
	_ = a.body.Close()
	c.unwatch()
	switch {
	case !served:
		return false
	case a.closes || c.template.Context().Err() != nil:
		if a.body.left > 0 {
			c.linger()
		}
		return false
	}
	if !whole {
		c.until = past // whoever read the body may have moved it
	}
	return c.enter(idle)
}

// settle says that nobody reads from the connection until the request is answered:
// from now on it may be watched, for which there must be room in the buffer.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.w == len(c.buf) {
		c.w, c.r = copy(c.buf, c.buf[c.r:c.w]), 0
	}
	c.quiet = true
}

// handle calls the handler and reports whether it came to its end.
func (c *conn) handle(a *answer) (served bool) {
	defer func() {
		if fault := recover(); fault != nil {
			served = false
			if fault != http.ErrAbortHandler { //nolint:errorlint // the server's own sentinel, thrown as it is
				c.s.Log.Error("a handler failed", "panic", fault)
			}
		}
	}()
	c.s.Handler.ServeHTTP(a, &a.r)
	return true
}

// watch reads while a request is answered, to notice a client that leaves. What
// comes instead is the client's next request.
func (c *conn) watch(ended chan struct{}) {
	defer close(ended)
	c.mu.Lock()
	told := c.waking
	if !told {
		_ = c.rwc.SetReadDeadline(time.Time{}) // before unwatch sets its own, or behind it never
	}
	c.mu.Unlock()
	if told {
		return
	}
	if c.r == c.w && len(c.buf) == firstBuf { // a stream may be silent for minutes
		firstBufs.Put((*[firstBuf]byte)(c.buf))
		c.buf, c.r, c.w = make([]byte, watchBuf), 0, 0
	}
	n, err := c.rwc.Read(c.buf[c.w:])
	c.w += n
	c.mu.Lock()
	told = c.waking
	c.mu.Unlock()
	if err != nil && !told {
		c.cancel()
	}
}

// unwatch ends the watcher, where there is one.
func (c *conn) unwatch() {
	c.mu.Lock()
	c.quiet = false
	ended := c.watched
	c.waking = ended != nil
	c.mu.Unlock()
	if ended == nil {
		return
	}
	c.until = past
	_ = c.rwc.SetReadDeadline(past)
	<-ended
	c.mu.Lock()
	c.watched, c.waking = nil, false
	c.mu.Unlock()
}

// linger lets the client read the answer before the connection is closed: closing it
// with bytes unread would reset it.
func (c *conn) linger() {
	if half, ok := c.rwc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.rwc.SetReadDeadline(time.Now().Add(lingers))
	_, _ = io.Copy(io.Discard, struct{ io.Reader }{c.rwc})
}

func (c *conn) close() {
	c.cancel()
	_ = c.rwc.Close()
	c.s.forget(c)
}
