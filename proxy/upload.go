package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// readBody takes in the body of a request that may be looked at, up to the
// capture bound; what is larger, and all else, is streamed. It returns false
// when the request has ended here.
//
// Reading it to its end also matters to the server: it notices a client that
// leaves only once the body is through.
func (x *exchange) readBody() bool {
	r, bound := x.r, x.p.cfg.CaptureBytes
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		x.whole = true
		return true
	}
	x.upload = &x.sends
	x.sends.src, x.sends.idle, x.sends.w, x.sends.set = r.Body, x.p.cfg.BodyTimeout, x.w, x.start
	if !x.d.Readable || r.ContentLength > int64(bound) {
		return true
	}
	began := time.Now()
	reserved := int(min(uint64(r.ContentLength), smallBody)) // a length that is not said is -1
	if !x.hold(reserved) {
		return true
	}
	buf := x.bodyBuffer(r.ContentLength)
	if more := cap(buf) - max(reserved, smallBody); more > 0 && !x.hold(more) { // memory that is used again counts whole
		bodies.Put(x.pooled)
		small := make([]byte, 0, smallBody)
		buf, x.pooled = small, &small
	}
	for {
		if len(buf) == cap(buf) {
			held := cap(buf)
			buf = grown(buf, r.ContentLength)
			if !x.hold(cap(buf) - held) { // what came is sent on before the rest
				x.upload.head, x.waited = buf, time.Since(began)
				return true
			}
		}
		n, err := x.upload.Read(buf[len(buf):min(cap(buf), bound+1)])
		buf = buf[:len(buf)+n]
		switch {
		case err == io.EOF: //nolint:errorlint // readers return it bare
			x.body, x.whole, x.upload = buf, true, nil
			x.waited = time.Since(began)
			return true
		case err != nil:
			x.bodyFailed(err)
			return false
		case len(buf) > bound: // too long to be looked at: what came is sent on before the rest
			x.upload.head = buf
			x.waited = time.Since(began)
			return true
		}
	}
}

// Bodies up to smallBody are made anew; the memory of larger ones is used again,
// or collecting it would cost more than all that is done with them.
const smallBody = 64 << 10

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// bodyBuffer is where a body is read into. A length that is only claimed takes
// no memory.
func (x *exchange) bodyBuffer(length int64) []byte {
	if length >= 0 && length < smallBody {
		return make([]byte, 0, length+1)
	}
	x.pooled = bodies.Get().(*[]byte)
	if cap(*x.pooled) == 0 {
		*x.pooled = make([]byte, 0, smallBody)
	}
	return (*x.pooled)[:0]
}

// grown makes room: four times what has come, or what is said to come if that is
// less.
func grown(buf []byte, length int64) []byte {
	size := 4 * cap(buf)
	if length >= int64(len(buf)) {
		size = min(size, int(length)+1)
	}
	return append(make([]byte, 0, max(size, len(buf)+1)), buf...)
}

// freeBody gives the body's memory back where surely nobody looks at it any more:
// no late decision, no writer of an upload that the provider did not wait for.
func (x *exchange) freeBody() {
	if x.pooled == nil || !x.whole || x.handed || x.again.Load() {
		return
	}
	if x.begun != nil {
		select {
		case <-x.begun.done:
		default:
			return
		}
	}
	for _, b := range x.lent {
		if !b.Closed() {
			return
		}
	}
	*x.pooled = x.body[:0]
	bodies.Put(x.pooled)
	x.pooled, x.body = nil, nil
}

// bodyFailed ends a request whose body did not come.
func (x *exchange) bodyFailed(err error) {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		x.refuse(dialect.Fault{Status: http.StatusRequestTimeout, Kind: "body_timeout", Message: "gnomon: " + errBodyStall.Error()}, schemas.StatusTimeout)
		return
	}
	x.leave()
	x.abort()
}

// upload streams a client's body to the provider, bounds the time between two
// reads, and remembers what went wrong on the client's side.
type upload struct {
	src  io.Reader
	head []byte // already read
	idle time.Duration
	w    http.ResponseWriter
	set  time.Time // when the deadline was last set; the server sets the first (http.Server.ReadTimeout)

	trailer http.Header // of the client, where they are passed on
	listed  []string    // its Connection

	n   atomic.Int64
	err atomic.Pointer[error] // of the client's side; nil at EOF
	all atomic.Bool           // of it has been read
}

func (u *upload) Read(p []byte) (int, error) {
	if len(u.head) > 0 {
		n := copy(p, u.head)
		u.head = u.head[n:]
		return n, nil
	}
	if now := time.Now(); now.Sub(u.set) > u.idle/8 {
		// Not supported by every writer (tests, HTTP/2): then there is no bound.
		_ = http.NewResponseController(u.w).SetReadDeadline(now.Add(u.idle))
		u.set = now
	}
	n, err := u.src.Read(p)
	u.n.Add(int64(n))
	switch {
	case err == io.EOF: //nolint:errorlint // readers return it bare
		u.all.Store(true)
		if u.trailer != nil { // they have come
			dropTrailers(u.trailer, u.listed)
		}
	case err != nil:
		failed := err // or each read would allocate an error
		u.err.Store(&failed)
	}
	// At EOF the server takes the deadline off by itself: it reads on to notice
	// a leaving client.
	return n, err
}

// Close leaves the body to the server, which closes it after the handler.
func (u *upload) Close() error { return nil }

// early is for an answer that begins before its request is through. In HTTP/1.1 the
// server would first read the rest and throw it away, in turns with who sends it on;
// for a connection that ends with the answer it leaves the rest alone, and no part of
// it can be taken for the next request.
func (x *exchange) early(h http.Header) {
	if x.upload != nil && !x.upload.all.Load() && x.r.ProtoMajor == 1 {
		h["Connection"] = []string{"close"}
	}
}

// failed returns what went wrong on the client's side, nil when nothing did.
func (u *upload) failed() error {
	if u == nil {
		return nil
	}
	if e := u.err.Load(); e != nil {
		return *e
	}
	return nil
}
