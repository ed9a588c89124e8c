package wire

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// provider answers each request on each connection by a script of its own.
type provider struct {
	net.Listener
	conns    atomic.Int32
	requests atomic.Int32
	wg       sync.WaitGroup
}

// newProvider serves every connection with h, which is told its number, from 1.
func newProvider(t *testing.T, h func(p *provider, n int, c net.Conn, r *bufio.Reader)) *provider {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{Listener: ln}
	p.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(p.conns.Add(1))
			p.wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				h(p, n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { ln.Close(); p.wg.Wait() })
	return p
}

// read takes a request in; nil when none came.
func (p *provider) read(r *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(r)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil
	}
	p.requests.Add(1)
	return req
}

func newClient(t *testing.T, c Config) *Client {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	cl := New(c)
	t.Cleanup(cl.CloseIdleConnections)
	return cl
}

// stream hides what a body is, so that it is written as it comes.
type stream struct{ io.Reader }

func (stream) Close() error { return nil }

func request(p *provider, method string, body io.ReadCloser, length int64) *http.Request {
	return &http.Request{Method: method, URL: &url.URL{Scheme: "http", Host: p.Addr().String(), Path: "/v1/x"}, Header: http.Header{"A": {"b"}}, Body: body, ContentLength: length}
}

// roundTrip sends a request and reads all of its answer.
func roundTrip(cl *Client, r *http.Request) (status int, body string, err error) {
	resp, err := cl.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

const fine = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestWhenAConnectionIsUsedAgain(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer string
		close  bool // by the provider, behind its answer
		conns  int32
	}{
		{"behind a body of known length", fine, false, 1},
		{"behind chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, 1},
		{"behind chunks with trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", false, 1},
		{"behind an answer without a body", "HTTP/1.1 204 No Content\r\n\r\n", false, 1},
		{"not where the provider closes", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false, 3},
		{"not in HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, 3},
		{"not behind bytes that nobody asked for", fine + "HTTP/1.1 200 OK\r\n", false, 3},
		{"not when it was closed meanwhile, though a POST is not lost", fine, true, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
				for p.read(r) != nil {
					_, _ = io.WriteString(c, row.answer)
					if row.close {
						return
					}
				}
			})
			cl := newClient(t, Config{})
			for i := range 3 {
				status, _, err := roundTrip(cl, request(p, "POST", Whole([]byte("hello")), 5))
				if err != nil || status/100 != 2 {
					t.Fatalf("request %d: %d %v", i, status, err)
				}
				if row.close {
					untilClosed(t, cl, p)
				}
			}
			if n := p.conns.Load(); n != row.conns {
				t.Errorf("%d connections, want %d", n, row.conns)
			}
		})
	}
}

// untilClosed waits until the client's idle connection has been closed by the
// provider.
func untilClosed(t *testing.T, cl *Client, p *provider) {
	h := cl.host(request(p, "GET", nil, 0))
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		open := h.idle[0].open()
		h.mu.Unlock()
		if !open {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the provider's end did not come")
		}
	}
}

func TestOnlyWhatTheProviderCannotHaveSeenIsSentAgain(t *testing.T) {
	for _, row := range []struct {
		name, method string
		body         []byte
		fails        bool
		requests     int32
	}{
		{"a POST that was read and not answered is the client's to repeat", "POST", []byte("hello"), true, 2},
		{"a GET without effect goes out again", "GET", nil, false, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newProvider(t, func(p *provider, n int, c net.Conn, r *bufio.Reader) {
				for i := 0; p.read(r) != nil; i++ {
					if n == 1 && i == 1 {
						return // reads the second request, and leaves
					}
					_, _ = io.WriteString(c, fine)
				}
			})
			cl := newClient(t, Config{})
			ask := func() error {
				var body io.ReadCloser
				if row.body != nil {
					body = Whole(row.body)
				}
				_, _, err := roundTrip(cl, request(p, row.method, body, int64(len(row.body))))
				return err
			}
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			if err := ask(); (err != nil) != row.fails {
				t.Errorf("the second request: %v", err)
			}
			if n := p.requests.Load(); n != row.requests {
				t.Errorf("the provider read %d requests, want %d", n, row.requests)
			}
		})
	}
}

func TestWhatGoesOverTheWire(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, row := range []struct {
		name   string
		method string
		header http.Header
		body   io.ReadCloser
		length int64
		want   string // beginning of what is sent, its headers sorted by name
		bytes  string // the body as the provider reads it
		fails  string
	}{
		{"no body", "GET", nil, nil, 0, "GET /v1/x HTTP/1.1\r\nHost: H\r\n\r\n", "", ""},
		{"a POST without a body says so", "POST", nil, nil, 0, "POST /v1/x HTTP/1.1\r\nHost: H\r\nContent-Length: 0\r\n\r\n", "", ""},
		{"a body at hand", "POST", nil, Whole([]byte("hello")), 5, "POST /v1/x HTTP/1.1\r\nHost: H\r\nContent-Length: 5\r\n\r\nhello", "hello", ""},
		{"a large body at hand", "POST", nil, Whole([]byte(long)), int64(len(long)), "POST /v1/x HTTP/1.1\r\nHost: H\r\nContent-Length: 100000\r\n\r\n", long, ""},
		{"a body at hand in one chunk", "POST", nil, Whole([]byte("hello")), -1, "POST /v1/x HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello", ""},
		{"an empty body in chunks", "POST", nil, Whole(nil), -1, "POST /v1/x HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", ""},
		{"a body as it comes", "PUT", nil, stream{strings.NewReader(long)}, int64(len(long)), "PUT /v1/x HTTP/1.1\r\nHost: H\r\nContent-Length: 100000\r\n\r\n", long, ""},
		{"a body as it comes, in chunks", "PUT", nil, stream{strings.NewReader(long)}, -1, "PUT /v1/x HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n", long, ""},
		{"an empty User-Agent is none", "GET", http.Header{"User-Agent": {""}}, nil, 0, "GET /v1/x HTTP/1.1\r\nHost: H\r\n\r\n", "", ""},
		{"framing is not the caller's", "GET", http.Header{"Content-Length": {"9"}, "Transfer-Encoding": {"chunked"}, "Host": {"elsewhere"}}, nil, 0, "GET /v1/x HTTP/1.1\r\nHost: H\r\n\r\n", "", ""},
		{"a line break in a header is refused", "GET", http.Header{"A": {"b\r\nEvil: 1"}}, nil, 0, "", "", "line break"},
		{"a body shorter than its length is an error", "POST", nil, stream{strings.NewReader("abc")}, 5, "", "", "unexpected EOF"},
		{"a body longer than its length is an error", "POST", nil, stream{strings.NewReader("abcdef")}, 5, "", "", "longer"},
		{"a body at hand of another length is an error", "POST", nil, Whole([]byte("abc")), 5, "", "", "3 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen bytes.Buffer
			var got []byte
			p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(r, &seen)))
				if err != nil {
					return
				}
				if got, err = io.ReadAll(req.Body); err == nil {
					_, _ = io.WriteString(c, fine)
				}
			})
			cl := newClient(t, Config{})
			r := request(p, row.method, row.body, row.length)
			r.Header = row.header
			_, _, err := roundTrip(cl, r)
			p.Close()
			p.wg.Wait()
			if row.fails != "" {
				if err == nil || !strings.Contains(err.Error(), row.fails) {
					t.Fatalf("error %v, want %q", err, row.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if sent := strings.Replace(seen.String(), p.Addr().String(), "H", 1); !strings.HasPrefix(sent, row.want) || string(got) != row.bytes {
				t.Errorf("sent %.200q, body of %d bytes, want %.200q and %d bytes", sent, len(got), row.want, len(row.bytes))
			}
		})
	}
}

func TestAnAnswerThatComesBeforeTheBodyIsReadCounts(t *testing.T) {
	for _, length := range []int64{-1, 64 << 20} {
		p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
			_, _ = r.ReadString('\n')
			_, _ = io.WriteString(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.CopyN(io.Discard, c, 1<<20)
		})
		cl := newClient(t, Config{})
		status, body, err := roundTrip(cl, request(p, "POST", stream{io.LimitReader(zeros{}, 64<<20)}, length))
		if err != nil || status != 413 || body != "no" {
			t.Errorf("length %d: %d %q %v", length, status, body, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAContextThatEndsClosesTheConnection(t *testing.T) {
	cause := errors.New("enough")
	for _, row := range []struct {
		name   string
		answer string
		body   io.ReadCloser
		length int64
	}{
		{"before the head", "", nil, 0},
		{"in the middle of the head", "HTTP/1.1 200 OK\r\nCont", nil, 0},
		{"in the middle of the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", nil, 0},
		{"in the middle of a stream", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", nil, 0},
		{"while a body is sent that nobody reads", "", stream{zeros{}}, -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			gone, there := make(chan error, 1), make(chan struct{})
			p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
				_, _ = r.ReadString('\n')
				_, _ = io.WriteString(c, row.answer)
				close(there)
				_, err := io.Copy(io.Discard, c)
				gone <- err
			})
			cl := newClient(t, Config{})
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() { <-there; cancel(cause) }()
			_, _, err := roundTrip(cl, request(p, "POST", row.body, row.length).WithContext(ctx))
			if err == nil {
				t.Error("no error came of it")
			}
			select {
			case <-gone:
			case <-time.After(5 * time.Second):
				t.Error("the provider was not left")
			}
		})
	}
}

func TestBoundsOfAnAnswersHead(t *testing.T) {
	for _, row := range []struct {
		name, answer string
		is           func(error) bool
	}{
		{"none in time", "", func(err error) bool {
			var n net.Error
			return errors.As(err, &n) && n.Timeout() && errors.Is(err, os.ErrDeadlineExceeded)
		}},
		{"an endless one", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 8<<10), func(err error) bool { return errors.Is(err, errTooLong) }},
		{"endless hints", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 1000), func(err error) bool { return errors.Is(err, errTooLong) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
				_, _ = r.ReadString('\n')
				_, _ = io.WriteString(c, row.answer)
				_, _ = io.Copy(io.Discard, c)
			})
			cl := newClient(t, Config{HeaderTimeout: 50 * time.Millisecond, MaxHead: 4 << 10})
			if _, _, err := roundTrip(cl, request(p, "GET", nil, 0)); !row.is(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestAHeadThatCameLetsTheBodyTakeItsTime(t *testing.T) {
	p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
		time.Sleep(120 * time.Millisecond) // three header timeouts
		_, _ = io.WriteString(c, "k")
		_, _ = io.Copy(io.Discard, c)
	})
	cl := newClient(t, Config{HeaderTimeout: 40 * time.Millisecond})
	if status, body, err := roundTrip(cl, request(p, "GET", nil, 0)); err != nil || status != 200 || body != "ok" {
		t.Errorf("%d %q %v", status, body, err)
	}
}

// listener is a Caller that permits every address.
type listener func(code int, h http.Header)

func (f listener) Informed(code int, h http.Header) { f(code, h) }
func (listener) Permit(string, netip.Addr) error    { return nil }

func TestInformationalAnswersAreTold(t *testing.T) {
	p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
		_, _ = r.ReadString('\n')
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+fine)
		_, _ = io.Copy(io.Discard, c)
	})
	var told []string
	ctx := WithCaller(t.Context(), listener(func(code int, h http.Header) { told = append(told, fmt.Sprint(code, h.Get("Link"))) }))
	if _, body, err := roundTrip(newClient(t, Config{}), request(p, "GET", nil, 0).WithContext(ctx)); err != nil || body != "ok" || fmt.Sprint(told) != "[103</a> 102]" {
		t.Errorf("%q %v, told %v", body, err, told)
	}
}

func TestTLSIsCheckedAndHTTP2SpokenOnlyWhereItMustBe(t *testing.T) {
	for _, row := range []struct {
		name   string
		offers []string
		want   string
	}{
		{"a provider that knows no HTTP/2", []string{"http/1.1"}, "HTTP/1.1"},
		{"one that prefers it", []string{"h2", "http/1.1"}, "HTTP/1.1"},
		{"one that speaks nothing else", []string{"h2"}, "HTTP/2.0"},
		{"one that does not say", nil, "HTTP/1.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
			srv.EnableHTTP2 = true
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
			srv.TLS.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				c := srv.TLS.Clone()
				if c.NextProtos = row.offers; row.want == "HTTP/2.0" && !slices.Contains(hello.SupportedProtos, "h2") {
					c.NextProtos = []string{"h3"} // crypto/tls would let a client of HTTP/1.1 in
				}
				return c, nil
			}
			srv.StartTLS()
			defer srv.Close()
			roots := x509.NewCertPool()
			roots.AddCert(srv.Certificate())
			target, _ := url.Parse(srv.URL)
			ask := func(cl *Client) (string, error) {
				_, body, err := roundTrip(cl, &http.Request{Method: "GET", URL: target, Header: http.Header{}})
				return body, err
			}
			cl := New(Config{ConnectTimeout: 5 * time.Second, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
			defer cl.CloseIdleConnections()
			for range 2 {
				if proto, err := ask(cl); err != nil || proto != row.want {
					t.Errorf("spoke %q, want %q: %v", proto, row.want, err)
				}
			}
			if _, err := ask(New(Config{ConnectTimeout: 5 * time.Second})); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("an unknown certificate was taken: %v", err)
			}
		})
	}
}

func TestIdleConnectionsAreGivenUp(t *testing.T) {
	p := newProvider(t, func(p *provider, _ int, c net.Conn, r *bufio.Reader) {
		for p.read(r) != nil {
			_, _ = io.WriteString(c, fine)
		}
	})
	cl := newClient(t, Config{IdleTimeout: 20 * time.Millisecond})
	if _, _, err := roundTrip(cl, request(p, "GET", nil, 0)); err != nil {
		t.Fatal(err)
	}
	h := cl.host(request(p, "GET", nil, 0))
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		n, timer := len(h.idle), h.timer
		h.mu.Unlock()
		if n == 0 && timer == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are kept", n)
		}
	}
}
