package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/plain"
)

// conn is one connection to a provider. It belongs to one request at a time.
type conn struct {
	net.Conn
	raw     net.Conn // below TLS
	host    *host
	records *records // what TLS was given; nil without TLS
	r       *bufio.Reader
	left    int64 // bytes of a head that may still come
	since   time.Time
	fd      syscall.RawConn
	until   time.Time // the read deadline as it is set
	takes   time.Time // the write deadline as it is set
	late    error     // the wait for a head was over; its parser tells of half a line instead

	direct *direct // without TLS
}

func (c *conn) init() {
	c.r = bufio.NewReaderSize(c, 4<<10)
	if s, ok := c.raw.(syscall.Conn); ok {
		c.fd, _ = s.SyscallConn()
	}
	if c.fd != nil && c.records == nil {
		c.direct = newDirect(c.fd)
	}
}

var (
	errUnseen  = errors.New("the provider has not seen the request")
	errTooLong = errors.New("the head of the answer is too long")
)

// ErrNoAnswer says that a provider ended a connection after it may have seen the
// request, and before it said a byte.
var ErrNoAnswer = errors.New("the provider closed the connection without an answer")

// Read bounds the head of an answer; bodies have no bound, in time as in length.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLong
	}
	if c.left > c.host.cl.cfg.MaxHead && !c.until.IsZero() {
		c.until = time.Time{}
		_ = c.SetReadDeadline(c.until)
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	if err != nil && timedOut(err) {
		c.late = err
	}
	return n, err
}

// open reports whether an idle connection is as it was left: neither closed by
// the provider nor holding bytes that nobody asked for.
func (c *conn) open() bool {
	still := false
	err := c.fd.Read(func(fd uintptr) bool {
		still = quiet(int(fd))
		return true
	})
	return err == nil && still
}

// roundTrip sends a request on this connection and reads the answer's head. An
// error is errUnseen when the request may be sent again on another.
func (c *conn) roundTrip(r *http.Request, reused bool) (*http.Response, error) {
	ctx := r.Context()
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	fail := func(err error) (*http.Response, error) {
		stop()
		c.raw.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	out, wrote, sendErr := c.send(r, reused)
	if sendErr != nil && wrote == 0 {
		if reused && !errors.Is(sendErr, errUnwritable) && !timedOut(sendErr) {
			sendErr = errUnseen
		}
		return fail(sendErr)
	}
	// After any other failure the answer is still looked for: a provider may
	// refuse a body before it has read it, and close.
	resp, err := c.answer(r, out)
	if err != nil {
		if bodyErr := out.failed(); bodyErr != nil {
			err = bodyErr
		} else if reused && repeatable(r) && c.left == c.host.cl.cfg.MaxHead && !timedOut(err) {
			err = errUnseen
		}
		return fail(err)
	}
	b := &body{c: c, src: resp.Body, stop: stop, out: out, keep: !resp.Close && !r.Close && sendErr == nil && resp.StatusCode != http.StatusSwitchingProtocols}
	if resp.Body == http.NoBody {
		b.end(true)
		return resp, nil
	}
	resp.Body = b
	return resp, nil
}

// repeatable reports whether a request without effect got no byte of an answer
// on a connection that may have been closed meanwhile: the rule of net/http.
func repeatable(r *http.Request) bool {
	switch r.Method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

// answer reads heads until one is not informational.
func (c *conn) answer(r *http.Request, out *writing) (*http.Response, error) {
	c.left = c.host.cl.cfg.MaxHead
	if out == nil {
		c.setHeadDeadline()
	}
	for {
		resp, err := c.readHead(r)
		if err != nil {
			if c.late != nil {
				err = c.late
			} else if c.left == c.host.cl.cfg.MaxHead {
				err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
			}
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode < 100 || resp.StatusCode == http.StatusSwitchingProtocols {
			c.left = math.MaxInt64
			if out != nil {
				out.headCame()
			}
			return resp, nil
		}
		if caller := callerOf(r.Context()); caller != nil {
			caller.Informed(resp.StatusCode, resp.Header)
		}
	}
}

// readHead reads the next head. One that is plain and has come whole is read here,
// all others by net/http.
func (c *conn) readHead(r *http.Request) (*http.Response, error) {
	if _, err := c.r.Peek(1); err != nil {
		if err == io.EOF { //nolint:errorlint // readers return it bare
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	come, _ := c.r.Peek(c.r.Buffered())
	resp, n := plain.ReadAnswer(come, r)
	if n == 0 {
		return http.ReadResponse(c.r, r)
	}
	_, _ = c.r.Discard(n)
	if resp.Body = http.NoBody; resp.ContentLength > 0 {
		resp.Body = &sized{r: c.r, left: resp.ContentLength}
	}
	return resp, nil
}

// sized is a body of a stated length.
type sized struct {
	r    *bufio.Reader
	left int64
}

func (s *sized) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	switch s.left -= int64(n); {
	case s.left == 0:
		err = io.EOF
	case err == io.EOF: //nolint:errorlint // readers return it bare
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *sized) Close() error { return nil }

// setHeadDeadline bounds the wait for a head. Setting a deadline costs as much as
// a small read: the one of the request before serves, too, if it is younger than
// a sixteenth of the bound.
func (c *conn) setHeadDeadline() {
	d := c.host.cl.cfg.HeaderTimeout
	if d <= 0 {
		return
	}
	if now := time.Now(); c.until.Sub(now) < d-d/16 {
		c.until = now.Add(d)
		_ = c.SetReadDeadline(c.until)
	}
}

// body is an answer's body. It gives the connection back at its end. It is read
// and closed by one goroutine.
type body struct {
	c     *conn
	src   io.ReadCloser
	stop  func() bool
	out   *writing
	keep  bool
	ended bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.ended {
		return b.src.Read(p) // says EOF again, or what it said
	}
	n, err := b.src.Read(p)
	if err != nil {
		b.end(err == io.EOF) //nolint:errorlint // readers return it bare
	}
	return n, err
}

// AtHand reports whether all that is left to read has come: no read will wait.
func (b *body) AtHand() bool {
	s, ok := b.src.(*sized)
	return ok && s.left <= int64(s.r.Buffered())
}

// Close gives up a connection whose answer was not read to its end: what is left
// of it may be endless.
func (b *body) Close() error {
	b.end(false)
	return nil
}

func (b *body) end(whole bool) {
	if b.ended {
		return
	}
	b.ended = true
	untouched := b.stop() // else the context is over, and closes it
	if whole && untouched && b.keep && b.out.done() && b.c.r.Buffered() == 0 && b.c.quietTLS() {
		b.c.host.put(b.c)
		return
	}
	b.c.Close()
}

// writing is a request's body under way, written by its own goroutine.
type writing struct {
	c    *conn
	mu   sync.Mutex
	over bool // all is written, or nothing more will be
	head bool // the answer's head has come
	err  error
	read error // of reading the body, which is the client's side
}

// finish notes how the writing went. From the last byte on the head is waited
// for.
func (w *writing) finish(read, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over, w.read, w.err = true, read, err
	switch {
	case read != nil:
		w.c.raw.Close()
	case w.head:
	case timedOut(err): // the wait is over, too
		_ = w.c.SetReadDeadline(time.Unix(1, 0))
	default:
		w.c.setHeadDeadline()
	}
}

func (w *writing) headCame() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.head = true
}

// done reports whether all was written well; true where nothing was to be
// written aside.
func (w *writing) done() bool {
	if w == nil {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over && w.err == nil && w.read == nil
}

// failed is what went wrong when the body was read.
func (w *writing) failed() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read
}

// quietTLS reports whether TLS holds no bytes that nobody asked for: it reads ahead,
// so a second answer may stand behind the first where neither the reader nor the
// socket shows it, and the next caller would take it for theirs. A deadline in the
// past lets it hand out what it has and asks the socket for nothing; of a record
// that has come in part it says nothing, so those are counted below it.
func (c *conn) quietTLS() bool {
	if c.records == nil {
		return true
	}
	if c.records.inside() {
		return false
	}
	c.until = time.Unix(1, 0)
	_ = c.SetReadDeadline(c.until)
	var one [1]byte
	n, err := c.Conn.Read(one[:])
	var ne net.Error
	c.until = time.Time{}
	_ = c.SetReadDeadline(c.until)
	return n == 0 && errors.As(err, &ne) && ne.Timeout()
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// records follows where TLS records begin and end in what is read, to know
// whether one has come in part. It is used by one goroutine at a time.
type records struct {
	net.Conn
	head [5]byte // type, version, length
	have int     // bytes of head
	left int     // bytes of the record that have not come
}

func (r *records) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if r.left > 0 {
			k := min(r.left, len(b))
			r.left, b = r.left-k, b[k:]
			continue
		}
		k := copy(r.head[r.have:], b)
		r.have, b = r.have+k, b[k:]
		if r.have == len(r.head) {
			r.have, r.left = 0, int(r.head[3])<<8|int(r.head[4])
		}
	}
	return n, err
}

// inside reports whether a record has come in part.
func (r *records) inside() bool { return r.have > 0 || r.left > 0 }
