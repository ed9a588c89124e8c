package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// inline is up to how many bytes a body at hand goes out with the head, by the
// caller. More could fill the sockets' buffers while the provider already
// answers and reads no further.
const inline = 64 << 10

// piece is how much of a request a provider has one timeout to take.
const piece = 256 << 10

// errUnwritable: the request cannot be said in HTTP/1.1.
var errUnwritable = errors.New("the request cannot be written")

// buffers hold a head, and what goes with it, until it is written.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// copies are for bodies that pass through.
var copies = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// Body is a body at hand.
type Body struct {
	bytes.Reader
	b      []byte
	closed atomic.Bool
}

// Whole makes a body of bytes at hand. It is written without being read, so that
// a request which the provider has not seen can be sent again.
func Whole(b []byte) *Body {
	w := &Body{b: b}
	w.Reset(b)
	return w
}

// Close says that the bytes are not needed any more. The client calls it when it
// has written them, or given up, which may be after the answer has come.
func (w *Body) Close() error {
	w.closed.Store(true)
	return nil
}

// Closed reports whether the bytes may be used for something else.
func (w *Body) Closed() bool { return w.closed.Load() }

// send writes the request, or its head, where the body is left to a goroutine.
// wrote is how many bytes the connection took.
func (c *conn) send(r *http.Request, reused bool) (out *writing, wrote int, err error) {
	pooled := buffers.Get().(*[]byte)
	buf, err := appendHead((*pooled)[:0], r)
	defer func() {
		if *pooled = buf[:0]; cap(buf) <= inline+8<<10 {
			buffers.Put(pooled)
		}
	}()
	if err != nil {
		return nil, 0, err
	}
	at, hand := r.Body.(*Body)
	if hand && r.ContentLength >= 0 && int64(len(at.b)) != r.ContentLength {
		return nil, 0, fmt.Errorf("%w: a body of %d bytes and a length of %d", errUnwritable, len(at.b), r.ContentLength)
	}
	aside := r.Body != nil && r.Body != http.NoBody
	if hand && len(at.b) <= inline {
		buf, aside = appendBody(buf, at.b, r), false
	}
	switch {
	case !aside && c.direct != nil:
		c.setHeadDeadline()
		if wrote, err = c.direct.send(buf, reused); err == nil && wrote < len(buf) {
			var more int
			more, err = c.write(buf[wrote:])
			wrote += more
		}
	case reused && c.fd != nil && !c.open():
		return nil, 0, errUnseen
	default:
		wrote, err = c.write(buf)
	}
	if err != nil || !aside {
		if hand && wrote > 0 {
			_ = at.Close() // with nothing written it may be sent again
		}
		return nil, wrote, err
	}
	if !c.until.IsZero() { // of the request before: this one's wait begins when its body is through
		c.until = time.Time{}
		_ = c.SetReadDeadline(c.until)
	}
	return c.sendAside(r, at, hand), wrote, nil
}

// sendAside has a goroutine write the request's body; at is it, where it is at hand.
func (c *conn) sendAside(r *http.Request, at *Body, hand bool) *writing {
	out := &writing{c: c}
	go func() {
		if hand && r.ContentLength >= 0 {
			_, err := c.write(at.b)
			_ = at.Close()
			out.finish(nil, err)
			return
		}
		out.finish(c.copyBody(r))
	}()
	return out
}

// write sends bytes, and bounds the time in which the provider takes each piece
// of them: one that reads nothing must not hold a request for ever. As with
// reads, a deadline that is young enough serves again.
func (c *conn) write(p []byte) (wrote int, err error) {
	d := c.host.cl.cfg.HeaderTimeout
	for {
		piece := p[wrote:min(len(p), wrote+piece)]
		if d > 0 {
			if now := time.Now(); c.takes.Sub(now) < d-d/16 {
				c.takes = now.Add(d)
				_ = c.SetWriteDeadline(c.takes)
			}
		}
		n, err := c.Conn.Write(piece)
		if wrote += n; err != nil || wrote == len(p) {
			return wrote, err
		}
	}
}

// appendHead makes the head: the request line, and the headers as they are. The
// framing is its own.
func appendHead(b []byte, r *http.Request) ([]byte, error) {
	target := r.URL.RequestURI()
	if r.URL.Opaque != "" && strings.HasPrefix(target, r.URL.Scheme+":") {
		target = strings.TrimPrefix(target, r.URL.Scheme+":")
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f {
			return b, fmt.Errorf("%w: a control character in its path", errUnwritable)
		}
	}
	b = append(append(append(b, r.Method...), ' '), target...)
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), r.URL.Host...), "\r\n"...)
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		case "User-Agent":
			if len(values) == 1 && values[0] == "" {
				continue // net/http's sign for none
			}
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				return b, fmt.Errorf("%w: a line break in header %s", errUnwritable, name)
			}
			b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
		}
	}
	has := r.Body != nil && r.Body != http.NoBody
	switch {
	case has && r.ContentLength < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		for name := range r.Trailer {
			b = append(append(append(b, "Trailer: "...), name...), "\r\n"...)
		}
	case has || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH":
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, max(0, r.ContentLength), 10), "\r\n"...)
	}
	return append(b, "\r\n"...), nil
}

// appendBody appends a body at hand, as one chunk where its length is not said.
func appendBody(b, body []byte, r *http.Request) []byte {
	if r.ContentLength >= 0 {
		return append(b, body...)
	}
	if n := len(body); n > 0 {
		b = append(strconv.AppendInt(b, int64(n), 16), "\r\n"...)
		b = append(append(b, body...), "\r\n"...)
	}
	return appendEnd(b, r.Trailer)
}

// appendEnd ends a chunked body.
func appendEnd(b []byte, trailer http.Header) []byte {
	b = append(b, "0\r\n"...)
	for name, values := range trailer {
		for _, v := range values {
			if !strings.ContainsAny(v, "\r\n\x00") {
				b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
			}
		}
	}
	return append(b, "\r\n"...)
}

// copyBody writes a body as it comes.
func (c *conn) copyBody(r *http.Request) (readErr, err error) {
	defer r.Body.Close()
	pooled := copies.Get().(*[]byte)
	defer copies.Put(pooled)
	buf := *pooled
	const room = 10 // for a chunk's size and line end in front of it
	var sent int64
	for {
		space := buf[room : len(buf)-2]
		if r.ContentLength >= 0 {
			space = space[:min(int64(len(space)), r.ContentLength-sent+1)]
		}
		n, err := r.Body.Read(space)
		sent += int64(n)
		if r.ContentLength >= 0 && sent > r.ContentLength {
			return fmt.Errorf("%w: the body is longer than its length", errUnwritable), nil
		}
		if n > 0 {
			piece := space[:n]
			if r.ContentLength < 0 {
				size := strconv.AppendInt(make([]byte, 0, room), int64(n), 16)
				size = append(size, '\r', '\n')
				copy(buf[room-len(size):], size)
				copy(buf[room+n:], "\r\n")
				piece = buf[room-len(size) : room+n+2]
			}
			if _, err := c.write(piece); err != nil {
				return nil, err
			}
		}
		switch {
		case err == io.EOF: //nolint:errorlint // readers return it bare
			if r.ContentLength < 0 {
				_, err = c.write(appendEnd(nil, r.Trailer))
				return nil, err
			}
			if sent < r.ContentLength {
				return io.ErrUnexpectedEOF, nil
			}
			return nil, nil
		case err != nil:
			return err, nil
		}
	}
}
