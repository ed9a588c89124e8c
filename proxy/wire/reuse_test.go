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
