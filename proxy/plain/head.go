package plain

import (
	"bytes"
	"net/http"
	"net/url"
	"sync"
)

// maxFields is how many headers a plain request has at most.
const maxFields = 96

// Bytes that may stand in a name as it is spelled usually, in a target, in a
// value and in a host. All are subsets of what net/http takes.
const (
	inName = 1 << iota
	inTarget
	inValue
	inHost
)

var classes = func() (t [256]byte) {
	for i := range t {
		c := byte(i)
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if letter || c == '-' || c == '_' {
			t[i] |= inName
		}
		if c > ' ' && c < 0x7f {
			t[i] |= inTarget
		}
		if c >= ' ' && c != 0x7f || c == '\t' {
			t[i] |= inValue
		}
		if letter || c == '-' || c == '_' || c == '.' || c == ':' || c == '[' || c == ']' {
			t[i] |= inHost
		}
	}
	return t
}()

func all[T string | []byte](s T, class byte) bool {
	for i := range len(s) {
		if classes[s[i]]&class == 0 {
			return false
		}
	}
	return true
}

// field is where a header's name and value are in a head.
type field struct{ name, colon, from, to int }

// head is a message's head, looked at and not yet made into a request or an answer.
type head struct {
	method string // of a request
	target [2]int
	status int // of an answer
	reason int // where it is said
	fields [maxFields]field
	n      int
	host   int   // which of them
	length int64 // of the body
	closes bool  // the client wants no further request on the connection
}

var knownMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

// What read says of bytes that are no whole head.
const (
	incomplete = 0  // they may become one
	notPlain   = -1 // whether it is a request at all is not for this package to say
)

// read takes in a request's head that b begins with and returns its length, its empty
// line included.
func (h *head) read(b []byte) int {
	if len(b) > 0 && (b[0] < 'A' || b[0] > 'Z') {
		return notPlain
	}
	n := h.lines(b, (*head).requestLine)
	if n > 0 && h.host < 0 {
		return notPlain
	}
	return n
}

func (h *head) lines(b []byte, begins func(*head, []byte) bool) int {
	h.n, h.host, h.length, h.closes = 0, -1, -1, false
	for at, first := 0, true; ; first = false {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			return incomplete
		}
		next := at + end + 1
		switch {
		case end == 0 || b[next-2] != '\r':
			return notPlain
		case first:
			if !begins(h, b[:next-2]) {
				return notPlain
			}
		case end == 1:
			return next
		case h.n == maxFields || !h.field(b, at, next-2):
			return notPlain
		}
		at = next
	}
}

func (h *head) requestLine(b []byte) bool {
	sp := bytes.IndexByte(b, ' ')
	const version = " HTTP/1.1"
	if sp < 0 || !bytes.HasSuffix(b, []byte(version)) {
		return false
	}
	h.method = ""
	for _, m := range knownMethods {
		if string(b[:sp]) == m {
			h.method = m
			break
		}
	}
	h.target = [2]int{sp + 1, len(b) - len(version)}
	if h.method == "" || h.target[1] <= h.target[0] {
		return false
	}
	target := b[h.target[0]:h.target[1]]
	return target[0] == '/' && all(target, inTarget)
}

// field takes the header in b[at:end] in.
func (h *head) field(b []byte, at, end int) bool {
	colon := bytes.IndexByte(b[at:end], ':')
	if colon < 1 {
		return false
	}
	f := field{name: at, colon: at + colon, from: at + colon + 1, to: end}
	for f.from < f.to && (b[f.from] == ' ' || b[f.from] == '\t') {
		f.from++
	}
	for f.to > f.from && (b[f.to-1] == ' ' || b[f.to-1] == '\t') {
		f.to--
	}
	name, value := b[f.name:f.colon], b[f.from:f.to]
	if !all(name, inName) || !all(value, inValue) || !h.meaning(name, value) {
		return false
	}
	h.fields[h.n] = f
	h.n++
	return true
}

// meaning looks at the headers that say how a message is framed, and by whom it
// is read. What is said twice, in a list, or in another way than usually is not
// plain.
func (h *head) meaning(name, value []byte) bool {
	is := func(s string) bool { return bytes.EqualFold(name, []byte(s)) }
	switch len(name) {
	case len("Host"):
		if is("Host") {
			if h.host >= 0 || len(value) == 0 || !all(value, inHost) {
				return false
			}
			h.host = h.n
		}
	case len("Expect"), len("Trailer"): // also Pragma and Upgrade: net/http reads more into them
		return !is("Expect") && !is("Pragma") && !is("Trailer") && !is("Upgrade")
	case len("Connection"):
		if is("Connection") {
			closes := bytes.EqualFold(value, []byte("close"))
			h.closes = h.closes || closes
			return closes || bytes.EqualFold(value, []byte("keep-alive"))
		}
	case len("Content-Length"):
		if is("Content-Length") {
			if h.length >= 0 || len(value) == 0 || len(value) > 15 || value[0] == '0' && len(value) > 1 {
				return false
			}
			h.length = 0
			for _, c := range value {
				if c < '0' || c > '9' {
					return false
				}
				h.length = 10*h.length + int64(c-'0')
			}
		}
		return !is("HTTP2-Settings")
	case len("Transfer-Encoding"):
		return !is("Transfer-Encoding")
	}
	return true
}

// header fills in the headers of a head that was read from b, but for the host. Names
// are brought into their usual spelling within b; all texts share one memory.
func (h *head) header(b []byte, header http.Header) (text string) {
	for _, f := range h.fields[:h.n] {
		canonical(b[f.name:f.colon])
	}
	text = string(b)
	values := make([]string, h.n)
	for i, f := range h.fields[:h.n] {
		if i == h.host {
			continue
		}
		name := text[f.name:f.colon]
		values[i] = text[f.from:f.to]
		if said := header[name]; said != nil {
			header[name] = append(said, values[i])
		} else {
			header[name] = values[i : i+1 : i+1]
		}
	}
	return text
}

// request makes the request of a head that was read from b.
func (h *head) request(b []byte, r *http.Request) bool {
	header := make(http.Header, h.n)
	text := h.header(b, header)
	u, err := url.ParseRequestURI(text[h.target[0]:h.target[1]])
	if err != nil {
		return false
	}
	host := h.fields[h.host]
	r.Method, r.URL, r.Header, r.Host = h.method, u, header, text[host.from:host.to]
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.RequestURI, r.ContentLength, r.Close = text[h.target[0]:h.target[1]], max(0, h.length), h.closes
	return true
}

// ReadAnswer reads the head of an answer to a request, where b begins with a whole one
// that is plain: HTTP/1.1, a status that has a body, the body's length, and a connection
// that stays. n is the
// head's length; 0: it is not plain, or not whole, and net/http has to read it. The
// answer has no Body yet; b is written to, to what means the same.
func ReadAnswer(b []byte, to *http.Request) (resp *http.Response, n int) {
	h := heads.Get().(*head)
	defer heads.Put(h)
	n = h.lines(b, (*head).statusLine)
	if n <= 0 || h.host >= 0 || h.length < 0 || h.closes || to.Method == http.MethodHead {
		return nil, 0
	}
	header := headers.Get().(http.Header)
	text := h.header(b[:n], header)
	return &http.Response{
		Status: text[len("HTTP/1.1 "):h.reason], StatusCode: h.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: h.length, Request: to,
	}, n
}

// statusLine takes "HTTP/1.1 200 OK" in.
func (h *head) statusLine(b []byte) bool {
	const version = "HTTP/1.1 "
	if len(b) < len(version)+4 || string(b[:len(version)]) != version || b[len(version)+3] != ' ' || !all(b, inValue) {
		return false
	}
	h.status, h.reason = 0, len(b)
	for _, c := range b[len(version) : len(version)+3] {
		if c < '0' || c > '9' {
			return false
		}
		h.status = 10*h.status + int(c-'0')
	}
	last := b[len(b)-1]
	return h.status >= 200 && h.status != http.StatusNoContent && h.status != http.StatusNotModified && (last > ' ' || len(b) == len(version)+4)
}

// headers are maps for answers: those that ReadAnswer has made come back through Adopt.
var headers = sync.Pool{New: func() any { return http.Header{} }}

// canonical spells a name as net/http does.
func canonical(name []byte) {
	upper := true
	for i, c := range name {
		switch {
		case upper && c >= 'a' && c <= 'z':
			name[i] = c - 'a' + 'A'
		case !upper && c >= 'A' && c <= 'Z':
			name[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
}
