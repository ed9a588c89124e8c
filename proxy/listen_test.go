package proxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// certificate makes one for 127.0.0.1, and a pool that trusts it.
func certificate(t testing.TB, serial int64) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gnomon"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// spoken is a way in which clients speak to the proxy.
type spoken struct {
	name, proto string
	tls         bool
}

var ways = []spoken{{"HTTP/2 over TLS", "HTTP/2.0", true}, {"HTTP/2 by prior knowledge", "HTTP/2.0", false}, {"HTTP/1.1 over TLS", "HTTP/1.1", true}}

// client is a rig and a client that speaks to it in one way.
type client struct {
	*rig
	way  spoken
	base string
	http *http.Client
}

func (w spoken) rig(t *testing.T, opts ...option) *client {
	t.Helper()
	cert, pool := certificate(t, 1)
	if w.tls {
		opts = append(opts, func(c *Config, _ *parts) { c.Certificate = cert })
	}
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableCompression: true}
	c := &client{rig: newRig(t, opts...), way: w, http: &http.Client{Transport: tr}}
	c.base = "http://" + c.addr
	if w.tls {
		c.base = "https://" + c.addr
	}
	switch {
	case w.proto == "HTTP/1.1":
		tr.Protocols.SetHTTP1(true)
	case w.tls:
		tr.Protocols.SetHTTP2(true)
	default:
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return c
}

func (c *client) post(ctx context.Context, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", c.base+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err == nil && resp.Proto != c.way.proto {
		c.t.Errorf("answered in %s", resp.Proto)
	}
	return resp, err
}

func inEachWay(t *testing.T, f func(t *testing.T, w spoken)) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { f(t, w) })
	}
}

func TestAnAnswerIsTheSameHoweverItsClientSpeaks(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		c := w.rig(t)
		c.up.answers("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
			chunks(chatAnswer) + "0\r\nX-Sum: abc\r\n\r\n")
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
			hints = append(hints, h.Get("Link"))
			return nil
		}})
		resp, err := c.post(ctx, "/v1/chat/completions", strings.NewReader(chatBody))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 429 || string(body) != chatAnswer || resp.Header.Get("Retry-After") != "7" || resp.Trailer.Get("X-Sum") != "abc" || strings.Join(hints, " ") != "</x>" {
			t.Errorf("%d %v %q, trailers %v, hints %q, %v", resp.StatusCode, resp.Header, body, resp.Trailer, hints, err)
		}
		if date, said := resp.Header["Date"]; said {
			t.Errorf("a date was made up: %q", date)
		}
		if head, sent, _ := strings.Cut(c.up.requests()[0], "\r\n\r\n"); !strings.HasPrefix(head, "POST /v1/chat/completions HTTP/1.1\r\nHost: "+c.up.ln.Addr().String()) || sent != chatBody {
			t.Errorf("the provider got %q", c.up.requests()[0])
		}
		if ev := c.event(1); ev.HTTPStatus != 429 || ev.RequestBytes != uint32(len(chatBody)) {
			t.Errorf("recorded %+v", ev)
		}
	})
}

func TestABodyThatDoesNotComeEndsNoOtherStreamOfItsConnection(t *testing.T) {
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			c := w.rig(t, func(c *Config, _ *parts) { c.BodyTimeout = 300 * time.Millisecond })
			c.up.answers(ok200("application/json", chatAnswer))
			ask := func(body io.Reader) (status int, reused bool) {
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
				resp, err := c.post(ctx, "/v1/chat/completions", body)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				return resp.StatusCode, reused
			}
			ask(strings.NewReader(chatBody))
			stalls, says := io.Pipe()
			defer says.Close()
			go func() { _, _ = says.Write([]byte("{")) }()
			if status, _ := ask(stalls); status != http.StatusRequestTimeout {
				t.Errorf("the body that did not come was answered %d", status)
			}
			if status, reused := ask(strings.NewReader(chatBody)); status != 200 || !reused {
				t.Errorf("the next request: %d, on the same connection %v", status, reused)
			}
		})
	}
}

func TestEventsComeOneByOneHoweverTheClientSpeaks(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		c := w.rig(t)
		next := make(chan struct{})
		c.up.handle(func(at *call) {
			_, _ = io.WriteString(at, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, e := range streamEvents {
				if _, err := io.WriteString(at, chunks(e)); err != nil {
					return
				}
				<-next
			}
			_, _ = io.WriteString(at, "0\r\n\r\n")
		})
		resp, err := c.post(t.Context(), "/v1/chat/completions", strings.NewReader(saidStream))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		for i, e := range streamEvents {
			buf := make([]byte, len(e))
			if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != e {
				t.Fatalf("event %d: %q %v", i, buf, err)
			}
			next <- struct{}{}
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
			t.Errorf("behind the last event: %q %v", rest, err)
		}
		if ev := c.event(1); ev.Status != schemas.StatusOK || ev.UsageSource != schemas.UsageProvider {
			t.Errorf("recorded %s %s", ev.Status, ev.UsageSource)
		}
	})
}

// In HTTP/2 a client leaves by RST_STREAM, and its connection lives on.
func TestAClientThatLeavesAStreamLeavesTheOthersAlone(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		c := w.rig(t)
		left, finish := make(chan struct{}), make(chan struct{})
		c.up.handle(func(at *call) {
			_, _ = io.WriteString(at, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
			if at.req.Header.Get("X-Stays") == "" {
				_, _ = io.Copy(io.Discard, at) // until gnomon gives up
				close(left)
				return
			}
			<-finish
			_, _ = io.WriteString(at, chunks(streamEvents[1:]...)+"0\r\n\r\n")
		})
		req, _ := http.NewRequest("POST", c.base+"/v1/chat/completions", strings.NewReader(saidStream))
		req.Header.Set("X-Stays", "1")
		stays, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer stays.Body.Close()
		ctx, leave := context.WithCancel(t.Context())
		goes, err := c.post(ctx, "/v1/chat/completions", strings.NewReader(saidStream))
		if err != nil {
			t.Fatal(err)
		}
		defer goes.Body.Close()
		if _, err := io.ReadFull(goes.Body, make([]byte, len(streamEvents[0]))); err != nil {
			t.Fatal(err)
		}
		leave()
		select {
		case <-left:
		case <-time.After(5 * time.Second):
			t.Fatal("the provider was not left")
		}
		if ev := c.event(1); ev.Status != schemas.StatusClientAbort || ev.UsageSource != schemas.UsageEstimated {
			t.Errorf("recorded %s %s", ev.Status, ev.UsageSource)
		}
		close(finish)
		if body, err := io.ReadAll(stays.Body); err != nil || string(body) != strings.Join(streamEvents, "") {
			t.Errorf("the other stream: %q %v", body, err)
		}
	})
}

func TestAStreamThatDiesIsResetHoweverTheClientSpeaks(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		c := w.rig(t)
		c.up.handle(func(at *call) {
			_, _ = io.WriteString(at, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
			at.Close()
		})
		resp, err := c.post(t.Context(), "/v1/chat/completions", strings.NewReader(saidStream))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err == nil || string(body) != streamEvents[0] {
			t.Errorf("the client saw a clean end: %q %v", body, err)
		}
		if ev := c.event(1); ev.Status != schemas.StatusTruncated {
			t.Errorf("recorded %s", ev.Status)
		}
	})
}

func TestUploadsAreStreamedAndBoundedHoweverTheClientSpeaks(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		c := w.rig(t, func(c *Config, _ *parts) { c.CaptureBytes = 64 << 10 })
		c.up.answers(ok200("application/json", chatAnswer))
		for _, upload := range []io.Reader{strings.NewReader(strings.Repeat("x", 8<<20)), io.MultiReader(strings.NewReader(strings.Repeat("x", 4<<20)), strings.NewReader("y"))} {
			resp, err := c.post(t.Context(), "/v1/files", upload)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v %v", resp, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		got := c.up.requests()
		for i, want := range []int{8 << 20, 4<<20 + 1} {
			if _, body, _ := strings.Cut(got[i], "\r\n\r\n"); len(body) != want {
				t.Errorf("%d bytes arrived, want %d", len(body), want)
			}
		}
		// Of its own: on a busy machine an upload may pause for as long.
		c = w.rig(t, func(c *Config, _ *parts) { c.BodyTimeout = 400 * time.Millisecond })
		slow, hold := io.Pipe()
		defer hold.Close()
		go func() { _, _ = hold.Write([]byte(`{"model"`)) }()
		resp, err := c.post(t.Context(), "/v1/chat/completions", slow)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 408 || resp.Header.Get("x-gnomon-error") != "body_timeout" {
			t.Errorf("a body that does not come: %d %v", resp.StatusCode, resp.Header)
		}
		if ev := c.event(1); ev.Status != schemas.StatusTimeout {
			t.Errorf("recorded %s", ev.Status)
		}
	})
}

func TestStoppingFinishesStreamsHoweverTheClientSpeaks(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		for _, late := range []bool{false, true} {
			c := w.rig(t, func(c *Config, _ *parts) {
				if late {
					c.DrainTimeout = 100 * time.Millisecond
				}
			})
			finish := make(chan struct{})
			c.up.handle(func(at *call) {
				_, _ = io.WriteString(at, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
				if late {
					_, _ = io.Copy(io.Discard, at)
					return
				}
				<-finish
				_, _ = io.WriteString(at, chunks(streamEvents[1:]...)+"0\r\n\r\n")
			})
			resp, err := c.post(t.Context(), "/v1/chat/completions", strings.NewReader(saidStream))
			if err != nil {
				t.Fatal(err)
			}
			stopped := make(chan struct{})
			go func() { c.stop(); close(stopped) }()
			eventually(t, "new connections are refused", func() bool {
				conn, err := net.Dial("tcp", c.addr)
				if err == nil {
					conn.Close()
				}
				return err != nil
			})
			close(finish)
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if !late && (err != nil || string(body) != strings.Join(streamEvents, "")) {
				t.Errorf("the stream in flight: %q %v", body, err)
			}
			if late && err == nil {
				t.Errorf("past the bound: a clean end: %q", body)
			}
			<-stopped
			want := map[bool]schemas.Status{false: schemas.StatusOK, true: schemas.StatusTimeout}[late]
			if evs := c.rec.events(); len(evs) != 1 || evs[0].Status != want {
				t.Errorf("recorded %+v", evs)
			}
		}
	})
}

func TestANewCertificateIsTakenWithoutDroppingAStream(t *testing.T) {
	c := ways[0].rig(t)
	finish := make(chan struct{})
	c.up.handle(func(at *call) {
		_, _ = io.WriteString(at, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
		<-finish
		_, _ = io.WriteString(at, chunks(streamEvents[1:]...)+"0\r\n\r\n")
	})
	resp, err := c.post(t.Context(), "/v1/chat/completions", strings.NewReader(saidStream))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	next := c.config()
	var pool *x509.CertPool
	next.Certificate, pool = certificate(t, 2)
	if err := c.p.Reload(next); err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", c.addr, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if n := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); n != 2 {
		t.Errorf("a new client was shown certificate %d", n)
	}
	close(finish)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != strings.Join(streamEvents, "") {
		t.Errorf("the stream that was under way: %q %v", body, err)
	}
	next.Certificate = nil
	if err := c.p.Reload(next); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("TLS was turned off while it runs: %v", err)
	}
}

func TestWhatIsNoTLSIsToldSo(t *testing.T) {
	c := ways[0].rig(t)
	if a := ask(t, c.addr, post("/v1/chat/completions", chatBody, "Authorization: Bearer sk")); a.StatusCode != 400 || !strings.Contains(string(a.body), "HTTPS") {
		t.Errorf("a client without TLS saw %s", seen(a))
	}
	if _, err := tls.Dial("tcp", c.addr, &tls.Config{MaxVersion: tls.VersionTLS11, InsecureSkipVerify: true}); err == nil { //nolint:gosec // what is refused
		t.Error("TLS 1.1 was spoken")
	}
	var unknown x509.UnknownAuthorityError
	if _, err := tls.Dial("tcp", c.addr, &tls.Config{MinVersion: tls.VersionTLS12}); !errors.As(err, &unknown) {
		t.Errorf("the certificate of a stranger: %v", err)
	}
	if n := len(c.rec.events()); n != 0 {
		t.Errorf("%d events of what was never accepted", n)
	}
}
