package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

const (
	unsaidStream = `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}`
	saidStream   = streamBody
)

func TestWhatAClientSeesOfAProviderThatFails(t *testing.T) {
	short := func(c *Config, _ *parts) { c.HeaderTimeout = 150 * time.Millisecond }
	for _, tt := range []struct {
		name    string
		opt     option
		handler func(*call)
		status  int
		kind    string
		event   schemas.Status
	}{
		{"nobody listens", func(c *Config, _ *parts) { c.Providers[0].BaseURL = "http://" + deadAddr(t) }, nil, 502, "upstream_unreachable", schemas.StatusProviderError},
		{"its name does not resolve", func(c *Config, _ *parts) { c.Providers[0].BaseURL = "http://nobody.invalid" }, nil, 502, "upstream_unreachable", schemas.StatusProviderError},
		{"it speaks no TLS", func(c *Config, _ *parts) {
			c.Providers[0].BaseURL = "https" + strings.TrimPrefix(c.Providers[0].BaseURL, "http")
		}, nil, 502, "upstream_unreachable", schemas.StatusProviderError},
		{"it closes without a word", nil, func(c *call) { c.Close() }, 502, "upstream_unreachable", schemas.StatusProviderError},
		{"it resets", nil, func(c *call) { _ = c.Conn.(*net.TCPConn).SetLinger(0); c.Close() }, 502, "upstream_unreachable", schemas.StatusProviderError},
		{"it closes in the middle of the head", nil, func(c *call) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-"); c.Close() }, 502, "upstream_unreachable", schemas.StatusProviderError},
		{"it sends garbage", nil, func(c *call) { _, _ = io.WriteString(c, "\x16\x03\x01\x00 nonsense\r\n\r\n"); c.Close() }, 502, "upstream_unreachable", schemas.StatusProviderError},
		{"it has no valid status", nil, func(c *call) { _, _ = io.WriteString(c, "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n") }, 502, "upstream_invalid", schemas.StatusProviderError},
		{"it never answers", short, func(c *call) { _, _ = io.Copy(io.Discard, c) }, 504, "upstream_timeout", schemas.StatusTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var opts []option
			if tt.opt != nil {
				opts = append(opts, tt.opt)
			}
			r := newRig(t, opts...)
			if tt.handler != nil {
				r.up.handle(tt.handler)
			}
			a := ask(t, r.addr, post("/v1/chat/completions", chatBody))
			if a.err != nil || a.StatusCode != tt.status || a.Header.Get("x-gnomon-error") != tt.kind || !bytes.Contains(a.body, []byte(`"code":"`+tt.kind+`"`)) || a.Header.Get("x-gnomon-request-id") == "" {
				t.Errorf("the client saw %s", seen(a))
			}
			ev := r.event(1)
			if ev.Status != tt.event || int(ev.HTTPStatus) != tt.status || ev.ErrorType != tt.kind {
				t.Errorf("recorded %s %d %s", ev.Status, ev.HTTPStatus, ev.ErrorType)
			}
			if tt.event == schemas.StatusProviderError && (ev.UsageSource != schemas.UsageNone || ev.Cost.Nano != 0) {
				t.Errorf("a call that was never served used %s %+v at %v", ev.UsageSource, ev.Usage, ev.Cost)
			}
		})
	}
}

func deadAddr(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// Wherever a stream breaks off, the client must not be able to take it for
// complete.
func TestAProviderThatDiesAtAnyByteIsSeenAsAnAbort(t *testing.T) {
	raw := chunked("text/event-stream", streamEvents)
	headEnd := strings.Index(raw, "\r\n\r\n") + 4
	for _, body := range []string{saidStream, unsaidStream} {
		r := newRig(t)
		for at := range len(raw) {
			r.up.handle(func(c *call) {
				_, _ = io.WriteString(c, raw[:at])
				if at%2 == 0 { // FIN and RST by turns
					_ = c.Conn.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			})
			a := ask(t, r.addr, post("/v1/chat/completions", body))
			ev := r.event(at + 1)
			if at < headEnd {
				if a.err != nil || a.StatusCode != 502 {
					t.Fatalf("died at byte %d of the head: %s", at, seen(a))
				}
				continue
			}
			// An RST may overtake the head: then there is no answer at all from
			// the provider, and gnomon says so itself.
			if a.err == nil && a.StatusCode != 502 {
				t.Fatalf("died at byte %d of %d: the client saw a clean end: %s", at, len(raw), seen(a))
			}
			if a.StatusCode != 502 && ev.Status != schemas.StatusTruncated {
				t.Fatalf("died at byte %d: recorded as %s", at, ev.Status)
			}
			if !strings.HasPrefix(strings.Join(streamEvents, ""), string(a.body)) && a.StatusCode != 502 && body == saidStream {
				t.Fatalf("died at byte %d: the client has %q", at, a.body)
			}
		}
		r.up.answers(raw)
		if a := ask(t, r.addr, post("/v1/chat/completions", body)); a.err != nil {
			t.Fatalf("the whole stream: %v", a.err)
		}
	}
}

func TestABodyShorterThanItsLengthIsAnAbort(t *testing.T) {
	r := newRig(t)
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"+chatAnswer)
		c.Close()
	})
	a := ask(t, r.addr, post("/v1/chat/completions", chatBody))
	if a.err == nil || string(a.body) != chatAnswer {
		t.Errorf("the client saw %s", seen(a))
	}
	if ev := r.event(1); ev.Status != schemas.StatusTruncated {
		t.Errorf("recorded as %s", ev.Status)
	}
}

func TestABrokenOffStreamIsEstimatedAndFlagged(t *testing.T) {
	r := newRig(t)
	start := `{"type":"message_start","message":{"id":"m","model":"claude-sonnet-4-20250514","usage":{"input_tokens":10,"cache_read_input_tokens":90,"cache_creation_input_tokens":0,"output_tokens":1}}}`
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+
			chunks("event: message_start\ndata: "+start+"\n\n", "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\""+strings.Repeat("word", 25)+"\"}}\n\n"))
		c.Close()
	})
	ask(t, r.addr, post("/v1/messages", `{"model":"claude-sonnet-4-20250514","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]}`))
	ev := r.event(1)
	if ev.Status != schemas.StatusTruncated || ev.UsageSource != schemas.UsageEstimated || ev.InputTokens != 100 || ev.CacheReadTokens != 90 || ev.OutputTokens != 25 || !ev.Cost.Known {
		t.Errorf("recorded %s %s %+v %v", ev.Status, ev.UsageSource, ev.Usage, ev.Cost)
	}
}

func TestASilentStreamIsEndedAndALivelyOneIsNot(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.IdleTimeout = 300 * time.Millisecond })
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, head+chunks(streamEvents[0]))
		_, _ = io.Copy(io.Discard, c) // until gnomon gives up
	})
	began := time.Now()
	a := ask(t, r.addr, post("/v1/chat/completions", saidStream))
	if a.err == nil || string(a.body) != streamEvents[0] || time.Since(began) > 2*time.Second {
		t.Errorf("a silent stream: %s after %v", seen(a), time.Since(began))
	}
	if ev := r.event(1); ev.Status != schemas.StatusTimeout || ev.ErrorType != "idle" {
		t.Errorf("recorded %s %s", ev.Status, ev.ErrorType)
	}
	r.up.handle(func(c *call) { // comments alone, for thrice the bound
		_, _ = io.WriteString(c, head)
		for range 20 {
			_, _ = io.WriteString(c, chunks(": still here\n\n"))
			time.Sleep(45 * time.Millisecond)
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
	if a := ask(t, r.addr, post("/v1/chat/completions", saidStream)); a.err != nil || len(a.body) != 20*len(": still here\n\n") {
		t.Errorf("a lively stream: %s", seen(a))
	}
}

func TestAClientThatReadsSlowlyIsNoFaultOfTheProvider(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.IdleTimeout = 300 * time.Millisecond })
	big := strings.Repeat("x", 16<<20) // more than sockets buffer
	r.up.answers(ok200("application/octet-stream", big))
	conn := dial(t, r.addr, "GET /v1/files/f/content HTTP/1.1\r\nHost: h\r\n\r\n")
	time.Sleep(900 * time.Millisecond) // the client is busy; nothing to poll: nothing must happen
	if a := readAnswer(t, conn, "GET"); a.err != nil || len(a.body) != len(big) {
		t.Errorf("%v, %d bytes", a.err, len(a.body))
	}
	if ev := r.event(1); ev.Status != schemas.StatusOK || int(ev.ResponseBytes) != len(big) {
		t.Errorf("recorded %s, %d bytes", ev.Status, ev.ResponseBytes)
	}
}

func TestAnEventIsNotHeldForTheNextOne(t *testing.T) {
	r := newRig(t)
	next := make(chan struct{})
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _, e := range streamEvents {
			if _, err := io.WriteString(c, chunks(e)); err != nil {
				return
			}
			<-next // not before the client has it
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
	for _, body := range []string{saidStream, unsaidStream} {
		resp, err := http.Post("http://"+r.addr+"/v1/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range streamEvents {
			if i == 3 && body == unsaidStream { // cut
				next <- struct{}{}
				continue
			}
			buf := make([]byte, len(e))
			if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != e {
				t.Fatalf("event %d: %q %v", i, buf, err)
			}
			next <- struct{}{}
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 0 {
			t.Errorf("behind the last event: %q %v", rest, err)
		}
		resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestABodyThatDoesNotComeIsAnsweredAndOthersGoOn(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.BodyTimeout = 300 * time.Millisecond })
	r.up.answers(ok200("application/json", chatAnswer))
	slow := dial(t, r.addr, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"model\"")
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.StatusCode != 200 {
		t.Errorf("another client meanwhile: %s", seen(a))
	}
	a := readAnswer(t, slow, "POST")
	if a.err != nil || a.StatusCode != 408 || a.Header.Get("x-gnomon-error") != "body_timeout" {
		t.Errorf("the slow client saw %s", seen(a))
	}
	if ev := r.event(2); ev.Status != schemas.StatusTimeout || ev.UsageSource != schemas.UsageNone {
		t.Errorf("recorded %s %s", ev.Status, ev.UsageSource)
	}
	if n := len(r.up.requests()); n != 1 {
		t.Errorf("the provider got %d requests", n)
	}
}

func TestAnAnswerThatOutlastsTheBodyTimeoutIsLeftAlone(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.BodyTimeout = 50 * time.Millisecond })
	r.up.handle(func(c *call) {
		time.Sleep(200 * time.Millisecond) // a model that thinks
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
	})
	for _, path := range []string{"/v1/chat/completions", "/v1/files"} {
		if a := ask(t, r.addr, post(path, chatBody)); a.err != nil || a.StatusCode != 200 {
			t.Errorf("%s: %s", path, seen(a))
		}
	}
}

func TestPastTheBoundRequestsAreRefusedClearly(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.MaxInFlight = 1 })
	release := make(chan struct{})
	r.up.handle(func(c *call) { <-release; _, _ = io.WriteString(c, ok200("application/json", chatAnswer)) })
	first := dial(t, r.addr, post("/v1/chat/completions", chatBody))
	eventually(t, "the first request is at the provider", func() bool { return len(r.up.requests()) == 1 })
	for path, want := range map[string]string{"/v1/chat/completions": `"code":"overloaded"`, "/v1/messages": `"type":"overloaded_error"`} {
		a := ask(t, r.addr, post(path, chatBody))
		if a.StatusCode != 503 || a.Header.Get("x-gnomon-error") != "overloaded" || !strings.Contains(string(a.body), want) {
			t.Errorf("%s: %s", path, seen(a))
		}
	}
	close(release)
	if a := readAnswer(t, first, "POST"); a.StatusCode != 200 {
		t.Errorf("the first: %s", seen(a))
	}
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.StatusCode != 200 {
		t.Errorf("afterwards: %s", seen(a))
	}
	refused := 0
	for range 4 {
		r.event(4)
	}
	for _, ev := range r.rec.events() {
		if ev.Status == schemas.StatusRefused && ev.HTTPStatus == 503 && ev.UsageSource == schemas.UsageNone {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d requests recorded as refused", refused)
	}
}

func TestStoppingFinishesWhatIsInFlight(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
		<-release
		_, _ = io.WriteString(c, chunks(streamEvents[1:]...)+"0\r\n\r\n")
	})
	conn := dial(t, r.addr, post("/v1/chat/completions", saidStream))
	eventually(t, "the stream runs", func() bool { return len(r.up.requests()) == 1 })
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	eventually(t, "new connections are refused", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(release)
	if a := readAnswer(t, conn, "POST"); a.err != nil || string(a.body) != strings.Join(streamEvents, "") {
		t.Errorf("the stream in flight: %s", seen(a))
	}
	<-stopped
	if ev := r.event(1); ev.Status != schemas.StatusOK {
		t.Errorf("recorded as %s", ev.Status)
	}
}

func TestPastTheDrainBoundStreamsAreCutOffAndRecorded(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.DrainTimeout = 50 * time.Millisecond })
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
		_, _ = io.Copy(io.Discard, c)
	})
	conn := dial(t, r.addr, post("/v1/chat/completions", saidStream))
	eventually(t, "the stream runs", func() bool { return len(r.up.requests()) == 1 })
	r.stop()
	if a := readAnswer(t, conn, "POST"); a.err == nil {
		t.Errorf("a clean end: %s", seen(a))
	}
	evs := r.rec.events() // Serve has returned: every event is there
	if len(evs) != 1 || evs[0].Status != schemas.StatusTimeout || evs[0].ErrorType != "drain" {
		t.Errorf("recorded %+v", evs)
	}
}

// A head that does not come to its end is no request in flight, and holds the drain to
// its bound.
func TestPastTheDrainBoundNoConnectionIsLeft(t *testing.T) {
	for range 8 { // what is over first, requests or time, is chance
		r := newRig(t, func(c *Config, _ *parts) { c.DrainTimeout = 20 * time.Millisecond })
		conn := dial(t, r.addr, "GET /v1/models HTTP/1.1\r\nHost: h\r\nX-Slow: ")
		time.Sleep(5 * time.Millisecond) // so that it is no idle connection
		r.stop()
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the proxy has stopped, and a connection of its is open")
		}
	}
}

func TestAChangedProtocolIsRelayedBothWays(t *testing.T) {
	r := newRig(t)
	r.up.handle(func(c *call) {
		if c.req.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(c.req.Header.Get("Connection"), "upgrade") {
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
		_, _ = io.Copy(c, c) // echo
		c.Close()
	})
	conn := dial(t, r.addr, "GET /v1/realtime?model=gpt HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
	want := "HTTP/1.1 101 Switching Protocols\r\n"
	var got []byte
	for buf := make([]byte, 4096); !bytes.HasSuffix(got, []byte("hello")); {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("%q %v", got, err)
		}
		got = append(got, buf[:n]...)
	}
	if !strings.HasPrefix(string(got), want) || !strings.Contains(string(got), "Sec-Websocket-Accept: x\r\n") || !strings.Contains(string(got), "X-Gnomon-Request-Id:") {
		t.Errorf("switched with %q", got)
	}
	_, _ = io.WriteString(conn, "ping\x00\xff")
	echo := make([]byte, 6)
	if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != "ping\x00\xff" {
		t.Errorf("echo %q %v", echo, err)
	}
	if n := len(r.rec.events()); n != 0 {
		t.Errorf("%d events while it runs", n)
	}
	conn.Close()
	if ev := r.event(1); ev.HTTPStatus != 101 || ev.Status != schemas.StatusOK || ev.Cost.Known || ev.RequestBytes != 6 || ev.ResponseBytes != 11 {
		t.Errorf("recorded %s %d, cost %v, %d bytes there, %d back", ev.Status, ev.HTTPStatus, ev.Cost, ev.RequestBytes, ev.ResponseBytes)
	}
}

func TestADecompressionBombIsForwardedAndNotInflated(t *testing.T) {
	inflated := strings.Repeat("data: "+strings.Repeat("0", 1<<20)+"\n\n", 200) // 200 MB
	for _, tt := range []struct{ packing, encoding, contentType string }{
		{"gzip", "gzip", "text/event-stream"}, {"gzip", "gzip", "application/json"}, {"br", "br", "text/event-stream"}, {"zstd", "zstd", "application/json"}, {"zlib", "deflate", "text/event-stream"},
	} {
		bomb := packed(tt.packing, inflated)
		r := newRig(t)
		r.up.answers(ok200(tt.contentType, bomb, "Content-Encoding: "+tt.encoding))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := cpuTime() // the clock would tell of what else runs
		a := ask(t, r.addr, post("/v1/chat/completions", saidStream))
		if a.err != nil || string(a.body) != bomb {
			t.Errorf("%s, %s: the bytes differ", tt.encoding, tt.contentType)
		}
		r.event(1)
		runtime.ReadMemStats(&after)
		if d := cpuTime() - began; d > time.Second {
			t.Errorf("%s, %s: took %v of processors", tt.encoding, tt.contentType, d)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 100<<20 {
			t.Errorf("%s, %s: took %d MB of memory", tt.encoding, tt.contentType, took>>20)
		}
	}
}

func TestNoSecretIsFoundInWhatIsLoggedOrRecorded(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) {
		c.Providers[0].BaseURL = "http://" + deadAddr(t)
		c.Providers[1].APIKey = "planted-stored"
		c.Keys = ring(map[string]schemas.Key{"planted-own": {ID: "own"}})
	})
	r.up.answers("HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 77\r\n\r\n" + `{"error":{"message":"bad key planted-answer","type":"invalid_request_error"}}`)
	for _, path := range []string{"/v1/chat/completions?key=planted-query", "/plain/v1/chat/completions?key=planted-query", "/v1/messages"} {
		a := ask(t, r.addr, post(path, strings.ReplaceAll(chatBody, "parcel", "planted-prompt"), "Authorization: Bearer planted-bearer", "x-api-key: planted-api", "x-gnomon-key: planted-own", "Cookie: planted-cookie"))
		if a.Header.Get("x-gnomon-error") != "" && bytes.Contains(a.body, []byte("planted")) {
			t.Errorf("our own error holds a secret: %s", a.body)
		}
	}
	for _, ev := range r.rec.events() {
		raw := jsonOf(t, ev)
		if strings.Contains(raw, "planted") {
			t.Errorf("the event holds a secret: %s", raw)
		}
	}
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), "planted") {
			t.Errorf("a metric holds a secret: %s", f)
		}
	}
	if out := r.logs.String(); out == "" || strings.Contains(out, "planted") {
		t.Errorf("logged: %s", out)
	}
}

func TestAPanicInsideIsAnAbortAndAnEvent(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.Upstream = panicking{} })
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.err == nil {
		t.Errorf("answered %s", seen(a))
	}
	if ev := r.event(1); ev.Status != schemas.StatusRefused || ev.ErrorType != "internal" {
		t.Errorf("recorded %s %s", ev.Status, ev.ErrorType)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("a fault of ours") }

func TestServeSaysWhenItCannotListen(t *testing.T) {
	p, err := New(Config{Project: "acme"}, &memory{}, nil, testBook(t), nil, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := p.Serve(context.Background(), ln); err == nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}
