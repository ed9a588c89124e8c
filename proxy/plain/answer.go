package plain

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answer is the http.ResponseWriter of one request. Like net/http's it is for
// one goroutine at a time.
type answer struct {
	c      *conn
	r      http.Request
	body   body
	header http.Header
	phrase string

	out    *[]byte // what is not yet sent; nil while there is nothing
	held   []byte  // of a body of unknown length, until it is flushed or over
	status int
	length int64 // of the body, as the handler says; -1: it does not
	wrote  int64

	headed  bool // the head is in out, or sent
	open    bool // the head still wants its framing
	chunked bool
	sniff   bool
	none    bool // its status has no body: 204, 304
	silent  bool // no body goes with it: those, and HEAD
	closes  bool // the connection ends with it
	err     error
}

// outs hold a head and what goes with it until they are sent.
var outs = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

const (
	maxOut  = 16 << 10 // what is longer is not copied
	maxHeld = 2 << 10  // of a body whose length is found out
)

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// Adopt makes h the answer's headers, in the place of those that Header returned, and
// phrase the reason phrase behind its status: "", or one that could not stand there, is
// the usual. From the end of the handler on the map is this package's, to be used again.
func (a *answer) Adopt(h http.Header, phrase string) {
	a.header, h = h, a.header
	a.free(h)
	if all(phrase, inValue) {
		a.phrase = phrase
	}
}

// free keeps a map for another answer.
func (a *answer) free(h http.Header) {
	if len(h) <= maxFields {
		clear(h)
		headers.Put(h)
	}
}

// WriteHeader implements http.ResponseWriter, informational answers included.
func (a *answer) WriteHeader(status int) {
	if a.headed {
		return
	}
	if status < 100 || status > 999 {
		panic("plain: invalid status " + strconv.Itoa(status)) // as net/http does
	}
	if a.out == nil {
		a.out = outs.Get().(*[]byte)
	}
	b := append(*a.out, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	switch usual := http.StatusText(status); {
	case a.phrase != "":
		b = append(b, a.phrase...)
	case usual != "":
		b = append(b, usual...)
	default:
		b = append(append(b, "status code "...), strconv.Itoa(status)...)
	}
	b = append(b, "\r\n"...)
	if status < 200 && status != http.StatusSwitchingProtocols {
		*a.out = append(a.fields(b, false), "\r\n"...)
		a.flush()
		return
	}
	a.headed, a.open, a.status, a.length = true, true, status, -1
	a.none = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	a.silent = a.none || a.r.Method == http.MethodHead
	if said := a.header["Content-Length"]; len(said) == 1 && !a.none {
		if n, err := strconv.ParseInt(said[0], 10, 64); err == nil && n >= 0 {
			a.length = n
		}
	}
	said, typed := a.header["Content-Type"]
	a.sniff = !typed && len(a.header["Content-Encoding"]) == 0 && !a.none
	if status == http.StatusNotModified && len(said) > 0 {
		delete(a.header, "Content-Type")
	}
	b = a.fields(b, true)
	if _, said := a.header["Date"]; !said {
		b = append(time.Now().UTC().AppendFormat(append(b, "Date: "...), http.TimeFormat), "\r\n"...)
	}
	asked := a.header["Connection"]
	a.closes = a.closes || a.r.Close || a.c.s.draining.Load() || len(asked) > 0 && strings.EqualFold(asked[0], "close")
	a.closes = a.closes || !a.body.discard()
	if a.closes && len(asked) == 0 {
		b = append(b, "Connection: close\r\n"...)
	}
	*a.out = b
}

// fields appends the headers, but for those that frame the body. The keys of
// trailers wait for the body's end.
func (a *answer) fields(b []byte, final bool) []byte {
	for name, values := range a.header {
		switch {
		case name == "Content-Length" || name == "Transfer-Encoding":
			continue
		case final && strings.HasPrefix(name, http.TrailerPrefix), !all(name, inName) && !token(name):
			continue
		}
		for _, v := range values {
			b = appendField(b, name, v)
		}
	}
	return b
}

func appendField(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	if !all(value, inValue) { // no value ends its line
		value = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	return append(append(b, strings.Trim(value, " \t")...), "\r\n"...)
}

// token reports whether a name may be a header's, by RFC 9110.
func token(name string) bool {
	for i := range len(name) {
		if classes[name[i]]&inName == 0 && strings.IndexByte("!#$%&'*+.^`|~", name[i]) < 0 {
			return false
		}
	}
	return name != ""
}

// frame ends the head: p is the first of the body, last that it is all of it.
func (a *answer) frame(p []byte, last bool) {
	a.open = false
	b := *a.out
	if a.sniff && len(p) > 0 {
		b = appendField(b, "Content-Type", http.DetectContentType(p))
	}
	switch {
	case a.length >= 0:
	case a.silent:
		if last && len(p) > 0 { // HEAD, answered as if it were GET
			a.length = int64(len(p))
		}
	case last && len(a.header["Trailer"]) == 0 && !a.trails():
		a.length = int64(len(p))
	default:
		a.chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if a.length >= 0 {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), a.length, 10), "\r\n"...)
	}
	*a.out = append(b, "\r\n"...)
}

func (a *answer) trails() bool {
	for name := range a.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if !a.headed {
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case a.err != nil:
		return 0, a.err
	case len(p) == 0:
		return 0, nil
	case a.none:
		return 0, http.ErrBodyNotAllowed
	}
	a.wrote += int64(len(p))
	if a.length >= 0 && a.wrote > a.length {
		return 0, http.ErrContentLength
	}
	if a.open && a.length < 0 && len(a.held)+len(p) <= maxHeld {
		a.held = append(a.held, p...)
		return len(p), nil
	}
	a.release(p)
	if !a.silent {
		a.send(p)
	}
	if a.err != nil {
		return 0, a.err
	}
	return len(p), nil
}

// release ends the head, where it is open, and lets go what was held back for the
// sake of its length. next is what follows.
func (a *answer) release(next []byte) {
	if !a.open {
		return
	}
	held := a.held
	if a.held = nil; len(held) > 0 {
		next = held
	}
	a.frame(next, false)
	if len(held) > 0 && !a.silent {
		a.send(held)
	}
}

// send puts a piece of the body behind what is in out, or sends both at once.
func (a *answer) send(p []byte) {
	if a.out == nil {
		a.out = outs.Get().(*[]byte)
	}
	b := *a.out
	if a.chunked {
		b = append(strconv.AppendInt(b, int64(len(p)), 16), "\r\n"...)
	}
	if len(b)+len(p) <= maxOut {
		b = append(b, p...)
		if a.chunked {
			b = append(b, "\r\n"...)
		}
		*a.out = b
		return
	}
	parts := net.Buffers{b, p}
	if len(b) == 0 { // a connection that is wrapped writes even nothing
		parts = parts[1:]
	}
	if a.chunked {
		parts = append(parts, []byte("\r\n"))
	}
	var err error
	if c, is := a.c.rwc.(interface {
		WriteBuffers(*net.Buffers) (int64, error)
	}); is {
		_, err = c.WriteBuffers(&parts)
	} else {
		_, err = parts.WriteTo(a.c.rwc)
	}
	a.sent(err)
}

// flush sends what is in out.
func (a *answer) flush() {
	if a.out == nil {
		return
	}
	var err error
	if len(*a.out) > 0 && a.err == nil {
		_, err = a.c.rwc.Write(*a.out)
	}
	a.sent(err)
}

func (a *answer) sent(err error) {
	if cap(*a.out) <= 2*maxOut {
		*a.out = (*a.out)[:0]
		outs.Put(a.out)
	}
	if a.out = nil; err != nil && a.err == nil {
		a.err = err
		a.c.cancel() // the client is gone
	}
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError is Flush for http.ResponseController.
func (a *answer) FlushError() error {
	if !a.headed {
		a.WriteHeader(http.StatusOK)
	}
	a.release(nil)
	a.flush()
	return a.err
}

// SetReadDeadline is for http.ResponseController: it bounds reads of the body.
func (a *answer) SetReadDeadline(t time.Time) error { return a.body.setDeadline(t) }

// SetWriteDeadline is for http.ResponseController.
func (a *answer) SetWriteDeadline(t time.Time) error { return a.c.rwc.SetWriteDeadline(t) }

var errShort = errors.New("the answer is shorter than it said")

// finish sends what is left. An error is one after which the connection cannot
// go on.
func (a *answer) finish() error {
	if !a.headed {
		a.WriteHeader(http.StatusOK)
	}
	if a.open {
		held := a.held
		a.frame(held, true)
		if len(held) > 0 && !a.silent {
			a.send(held)
		}
	}
	if a.chunked {
		if a.out == nil {
			a.out = outs.Get().(*[]byte)
		}
		b := append(*a.out, "0\r\n"...)
		for name, values := range a.header {
			if name, is := strings.CutPrefix(name, http.TrailerPrefix); is && token(name) {
				for _, v := range values {
					b = appendField(b, name, v)
				}
			}
		}
		*a.out = append(b, "\r\n"...)
	}
	a.flush()
	if a.err == nil && a.length >= 0 && a.wrote != a.length && !a.silent {
		a.err = errShort
	}
	return a.err
}
