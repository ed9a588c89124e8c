package plain

import (
	"bufio"
	"bytes"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// heads that are plain, and such that look like it.
var plainHeads = []string{
	"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"POST /v1/chat/completions?a=b%20c HTTP/1.1\r\nhost: api.example:8080\r\nCONTENT-LENGTH: 12\r\nx-stainless-os:Linux\r\nAccept: \t a, b \t\r\nAccept: c\r\nConnection: Keep-Alive\r\n\r\n",
	"DELETE /files/%2e%2e/x HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\nX: caf\xc3\xa9\r\nEmpty:\r\n\r\n",
	"PUT //a//b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nx_y-z: 1\r\n\r\n",
	"OPTIONS /* HTTP/1.1\r\nHost: h\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
}

var oddHeads = []string{
	"GET / HTTP/1.0\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1\r\n\r\n", "get / HTTP/1.1\r\nHost: h\r\n\r\n", "BREW / HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET http://x/ HTTP/1.1\r\nHost: h\r\n\r\n", "CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "GET /% HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n X: y\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 05\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\ntransfer-ENCODING: x\r\nContent-Length: 3\r\n\r\n", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding\t: chunked\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade, keep-alive\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nPragma: no-cache\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nTrailer: X\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\n: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nX\x80: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "\x16\x03\x01\x02\x00\x01",
}

func TestWhatIsPlain(t *testing.T) {
	for _, s := range plainHeads {
		var h head
		for cut := range len(s) {
			if n := h.read([]byte(s[:cut])); n != incomplete {
				t.Fatalf("%q is %d", s[:cut], n)
			}
		}
		if n := h.read([]byte(s + "and what follows")); n != len(s) {
			t.Errorf("%q is %d", s, n)
		}
	}
	for _, s := range oddHeads {
		var h head
		var r http.Request
		if n := h.read([]byte(s)); n != notPlain && (n == incomplete || h.request([]byte(s)[:n], &r)) {
			t.Errorf("%q is %d", s, n)
		}
	}
	if many := "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", maxFields) + "\r\n"; new(head).read([]byte(many)) != notPlain {
		t.Error("more headers than are looked at are plain")
	}
}

// FuzzHead holds what is taken for plain against net/http's reading of it: what is
// taken is taken by it, too, and read alike.
func FuzzHead(f *testing.F) {
	for _, s := range append(plainHeads, oddHeads...) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h head
		n := h.read(b)
		if n <= 0 {
			return
		}
		var got http.Request
		if !h.request(bytes.Clone(b[:n]), &got) {
			return
		}
		from := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
		want, err := http.ReadRequest(from)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b[:n], err)
		}
		if rest, _ := from.Peek(len(b)); from.Buffered() != len(b)-n || !bytes.HasPrefix(b[n:], rest) {
			t.Fatalf("net/http sees another end of %q", b)
		}
		if got.Method != want.Method || !reflect.DeepEqual(got.URL, want.URL) || got.Host != want.Host || got.RequestURI != want.RequestURI || got.ContentLength != want.ContentLength ||
			got.Close != want.Close || got.Proto != want.Proto || len(want.TransferEncoding)+len(want.Trailer) > 0 ||
			!maps.EqualFunc(got.Header, want.Header, func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }) {
			t.Fatalf("%q\nhere     %+v\nnet/http %+v", b[:n], got, *want)
		}
	})
}

// FuzzAnswer holds the answers that are taken for plain against net/http's reading.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-type: application/json\r\nX: a\r\nx: b\r\n\r\nhello", "HTTP/1.1 429 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 299 a  b \r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 200  OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nPragma: no-cache\r\n\r\n", "HTTP/1.1 +20 OK\r\nContent-Length: 1\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		to := &http.Request{Method: "POST"}
		got, n := ReadAnswer(bytes.Clone(b), to)
		if n == 0 {
			return
		}
		from := bufio.NewReaderSize(bytes.NewReader(b), len(b)+16)
		want, err := http.ReadResponse(from, to)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", b[:n], err)
		}
		if from.Buffered() != len(b)-n || got.Status != want.Status || got.StatusCode != want.StatusCode || got.Proto != want.Proto || got.ContentLength != want.ContentLength || got.Close != want.Close ||
			len(want.TransferEncoding)+len(want.Trailer) > 0 || !maps.EqualFunc(got.Header, want.Header, func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }) {
			t.Fatalf("%q\nhere     %+v\nnet/http %+v", b[:n], got, *want)
		}
	})
}
