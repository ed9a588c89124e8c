package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// coalesced writes what it was given with the next read: two TLS records arrive
// together.
type coalesced struct {
	net.Conn
	w *bufio.Writer
}

func (c *coalesced) Write(p []byte) (int, error) { return c.w.Write(p) }
func (c *coalesced) Read(p []byte) (int, error) {
	if err := c.w.Flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// answering accepts connections and answers each request with what say gives.
func answering(t *testing.T, wrap func(net.Conn) net.Conn, say func(r *http.Request) string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { stop(); _ = ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { _ = raw.Close() })
			go func() {
				defer raw.Close()
				c := wrap(raw)
				br := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = io.WriteString(c, say(r))
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func post(t *testing.T, cl *Client, url string, body io.ReadCloser, length int64) (string, error) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = length
	resp, err := cl.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return string(raw), err
}

func TestASecondAnswerBehindTheFirstReachesNobodyAlsoOverTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	addr := answering(t, func(raw net.Conn) net.Conn {
		return &twice{Conn: tls.Server(&coalesced{raw, bufio.NewWriter(raw)}, &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12})}
	}, func(r *http.Request) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfor " + r.URL.Path[1:]
	})
	cl := New(Config{ConnectTimeout: time.Second, HeaderTimeout: 5 * time.Second, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	defer cl.CloseIdleConnections()
	for _, name := range []string{"0", "1", "2"} {
		got, err := post(t, cl, "https://"+addr+"/"+name, Whole([]byte("x")), 1)
		if err != nil || got != "for "+name {
			t.Errorf("request %s got %q, %v", name, got, err)
		}
	}
}

// twice sends a record that nobody asked for behind its first.
type twice struct {
	net.Conn
	said bool
}

func (c *twice) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil && !c.said {
		c.said = true
		_, err = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET")
	}
	return n, err
}

// dripping is a body that comes a byte at a time.
type dripping struct {
	left  int
	pause time.Duration
}

func (d *dripping) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	d.left--
	time.Sleep(d.pause)
	p[0] = 'x'
	return 1, nil
}
func (d *dripping) Close() error { return nil }

func TestAnUploadLongerThanTheHeadTimeoutIsNotCutOnAConnectionUsedBefore(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer s.Close()
	cl := New(Config{ConnectTimeout: time.Second, HeaderTimeout: 300 * time.Millisecond})
	defer cl.CloseIdleConnections()
	if _, err := post(t, cl, s.URL, Whole([]byte("x")), 1); err != nil {
		t.Fatal(err)
	}
	if got, err := post(t, cl, s.URL, &dripping{10, 60 * time.Millisecond}, 10); err != nil || got != "ok" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAGetThatWaitedInVainIsNotSentAgain(t *testing.T) {
	var seen atomic.Int32
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			seen.Add(1)
			<-release
		}
	}))
	defer s.Close()
	defer close(release)
	cl := New(Config{ConnectTimeout: time.Second, HeaderTimeout: 200 * time.Millisecond})
	defer cl.CloseIdleConnections()
	get := func(path string) error {
		r, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := cl.RoundTrip(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			err = resp.Body.Close()
		}
		return err
	}
	if err := get("/"); err != nil { // leaves a connection behind
		t.Fatal(err)
	}
	if err := get("/hang"); err == nil || seen.Load() != 1 {
		t.Errorf("the provider saw it %d times; %v", seen.Load(), err)
	}
}

// torn sends, with its first answer, the beginning of a record that it finishes
// with the second: to the socket the connection looks quiet in between.
type torn struct {
	*tls.Conn
	below *splitting
}

func (c *torn) Write(p []byte) (int, error) {
	c.below.split = true
	defer func() { c.below.split = false }()
	n, err := c.Conn.Write(p)
	if err == nil {
		_, err = io.WriteString(c.Conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSECRET")
	}
	return n, err
}

// splitting holds back all but a few bytes of the second record of an answer
// until it is written again, and sends both in one packet.
type splitting struct {
	net.Conn
	split bool
	first []byte
	later []byte
}

func (c *splitting) Write(p []byte) (int, error) {
	switch {
	case !c.split:
		return c.Conn.Write(p)
	case c.first == nil:
		c.first = append(c.later, p...)
		return len(p), nil
	default:
		const part = 9 // of a record: its head, and some of what it holds
		_, err := c.Conn.Write(append(c.first, p[:part]...))
		c.first, c.later = nil, append([]byte(nil), p[part:]...)
		return len(p), err
	}
}

func TestAConnectionWithAPartOfARecordReadAheadIsNotUsedAgain(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	var conns atomic.Int32
	addr := answering(t, func(raw net.Conn) net.Conn {
		conns.Add(1)
		below := &splitting{Conn: raw}
		return &torn{tls.Server(below, &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}), below}
	}, func(r *http.Request) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfor " + r.URL.Path[1:]
	})
	cl := New(Config{ConnectTimeout: time.Second, HeaderTimeout: 5 * time.Second, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	defer cl.CloseIdleConnections()
	for _, name := range []string{"0", "1", "2"} {
		got, err := post(t, cl, "https://"+addr+"/"+name, Whole([]byte("x")), 1)
		if err != nil || got != "for "+name {
			t.Errorf("request %s got %q, %v", name, got, err)
		}
	}
	if n := conns.Load(); n != 3 {
		t.Errorf("%d connections for 3 requests", n)
	}
}

func TestRecordsAreCountedHoweverTheyArrive(t *testing.T) {
	stream := []byte("\x17\x03\x03\x00\x03abc\x17\x03\x03\x00\x00\x15\x03\x03\x01\x00")
	stream = append(stream, make([]byte, 256)...)
	ends := map[int]bool{0: true, 8: true, 13: true, len(stream): true}
	for size := 1; size < len(stream); size += 7 {
		here, there := net.Pipe()
		go func() { _, _ = there.Write(stream); there.Close() }()
		r := &records{Conn: here}
		buf := make([]byte, size)
		for at := 0; ; {
			n, err := r.Read(buf)
			if at += n; r.inside() == ends[at] {
				t.Fatalf("in pieces of %d: inside a record at byte %d: %v", size, at, r.inside())
			}
			if err != nil {
				break
			}
		}
		here.Close()
	}
}

func TestAProviderThatReadsNothingEndsTheRequestInTime(t *testing.T) {
	for _, row := range []struct {
		name string
		body io.ReadCloser
		size int64
	}{
		{"a large body at hand", Whole(make([]byte, 64<<20)), 64 << 20},
		{"a body as it comes", stream{zeros{}}, -1},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newProvider(t, func(_ *provider, _ int, c net.Conn, _ *bufio.Reader) {
				_ = c.(*net.TCPConn).SetReadBuffer(1 << 10)
				time.Sleep(time.Second) // reads nothing; the client must have left long before
			})
			cl := newClient(t, Config{HeaderTimeout: 200 * time.Millisecond})
			r := request(p, "POST", row.body, row.size)
			began := time.Now()
			_, _, err := roundTrip(cl, r)
			if err == nil || !timedOut(err) || time.Since(began) > 900*time.Millisecond {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
}

// A head goes out before anything else watches the clock. Sockets on one machine
// take it whole; a pipe does not.
func TestAHeadThatNobodyTakesEndsInTime(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	c := &conn{host: &host{cl: New(Config{HeaderTimeout: 100 * time.Millisecond})}, Conn: here, raw: here}
	c.init()
	defer c.Close()
	r, err := http.NewRequest(http.MethodPost, "http://h/", Whole([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 1
	if _, err := c.roundTrip(r, true); !timedOut(err) {
		t.Errorf("error %v", err)
	}
}
