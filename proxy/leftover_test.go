package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/schemas"
)

// descriptors is how many this process has open; 0 where that cannot be told.
func descriptors() int {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(open)
}

// fault is something that goes wrong between a client, gnomon and a provider.
type fault struct {
	name     string
	provider func(*call)
	request  string
	leaves   bool // the client, when the provider has the request, or at once where it never gets it
	status   schemas.Status
	seen     int // 0: an answer that breaks off, or none
}

// faults are each of them.
func faults() []fault {
	const sse = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	const length = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
	stream, plain := post("/v1/chat/completions", saidStream), post("/v1/chat/completions", chatBody)
	hold := func(c *call) { _, _ = io.Copy(io.Discard, c) }
	says := func(raw string) func(*call) {
		return func(c *call) { _, _ = io.WriteString(c, raw); c.Close() }
	}
	stalls := func(raw string) func(*call) {
		return func(c *call) { _, _ = io.WriteString(c, raw); hold(c) }
	}
	resets := func(raw string) func(*call) {
		return func(c *call) { _, _ = io.WriteString(c, raw); _ = c.Conn.(*net.TCPConn).SetLinger(0); c.Close() }
	}
	zipped := packed("gzip", strings.Join(streamEvents, ""))
	bad, cut, late, left := schemas.StatusProviderError, schemas.StatusTruncated, schemas.StatusTimeout, schemas.StatusClientAbort
	return []fault{
		{"closes before its head", says(""), stream, false, bad, 502},
		{"closes in its head", says("HTTP/1.1 200 OK\r\nCon"), stream, false, bad, 502},
		{"closes behind its head", says(sse), stream, false, cut, 0},
		{"closes in a chunk", says(sse + "40\r\ndata: {"), stream, false, cut, 0},
		{"closes in the length of a chunk", says(sse + chunks(streamEvents[0]) + "4"), stream, false, cut, 0},
		{"closes before its last chunk", says(sse + chunks(streamEvents...)), stream, false, cut, 0},
		{"closes in its trailers", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + chunks("{}") + "0\r\nX-Su"), plain, false, cut, 0},
		{"closes inside a rune", says(sse + chunks("data: \"\xc3")), stream, false, cut, 0},
		{"closes in a compressed stream", says(strings.Replace(sse, "Transfer", "Content-Encoding: gzip\r\nTransfer", 1) + chunks(zipped[:len(zipped)/2])), stream, false, cut, 0},
		{"resets before its head", resets(""), stream, false, bad, 502},
		{"resets in its stream", resets(sse + chunks(streamEvents[0])), stream, false, cut, 0},
		{"sends garbage for a head", says("\x00\xff\x16\x03\x01 nonsense\r\n\r\n"), stream, false, bad, 502},
		{"sends garbage for a header", says("HTTP/1.1 200 OK\r\n\x00\xff\r\n\r\n"), stream, false, bad, 502},
		{"sends a head without an end", says("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-More: and more\r\n", 1<<17)), stream, false, bad, 502},
		{"speaks HTTP/2 unasked", says("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), stream, false, bad, 502},
		{"changes the protocol unasked", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), plain, false, bad, 502},
		{"sends no chunk where one must be", says(sse + "zz\r\n"), stream, false, cut, 0},
		{"sends less than its length", says(length + "9\r\n\r\n{}"), plain, false, cut, 0},
		{"sends more than its length", says(length + "2\r\n\r\n{}and more"), plain, false, schemas.StatusOK, 200},
		{"sends two lengths", says(length + "2\r\nContent-Length: 3\r\n\r\n{}x"), plain, false, bad, 502},
		{"sends a length below zero", says(length + "-2\r\n\r\n{}"), plain, false, bad, 502},
		{"sends a length that is none", says(length + "two\r\n\r\n{}"), plain, false, bad, 502},
		{"sends a length beside its chunks", says(length + "999\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks("{}") + "0\r\n\r\n"), plain, false, schemas.StatusOK, 200},
		{"sends hints for ever, then leaves", says(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 50)), plain, false, bad, 502},
		{"stalls before its head", stalls(""), stream, false, late, 504},
		{"stalls in its head", stalls("HTTP/1.1 200 OK\r\nCon"), stream, false, late, 504},
		{"stalls behind a hint", stalls("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), stream, false, late, 504},
		{"stalls behind its head", stalls(sse), stream, false, late, 0},
		{"stalls in a chunk", stalls(sse + "40\r\ndata: {"), stream, false, late, 0},
		{"stalls before its last chunk", stalls(sse + chunks(streamEvents...)), stream, false, late, 0},
		{"stalls in a body of known length", stalls(length + "9\r\n\r\n{}"), plain, false, late, 0},
		{"is left before its head", hold, stream, true, left, 0},
		{"is left behind its head", stalls(sse), stream, true, left, 0},
		{"is left in its stream", stalls(sse + chunks(streamEvents[0])), stream, true, left, 0},
		{"is left in a body of known length", stalls(length + "9\r\n\r\n{}"), plain, true, left, 0},
		{"never gets the body of a client that leaves", nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{", true, left, 0},
		{"never gets the body of a client that stops in it", nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{", false, late, 408},
		{"never gets the body of a client that sent a head only", nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", false, late, 408},
		{"gets half of what a client that stops sends on", nil, "POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{", false, late, 408},
		{"gets half of what a client that leaves sends on", nil, "POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{", true, left, 0},
	}
}

// bounds are short where waiting for one is the fault, so that others are not
// taken for it on a busy machine.
func (f fault) bounds(c *Config, _ *parts) {
	if f.status == schemas.StatusTimeout {
		c.BodyTimeout, c.HeaderTimeout, c.IdleTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	}
}

// leftover is what is open before a fault, all of which a rig needs for itself.
type leftover struct {
	descriptors int
	goroutines  goleak.Option
}

func before() leftover { return leftover{descriptors(), goleak.IgnoreCurrent()} }

// check waits until nothing more is open than was.
func (l leftover) check(t *testing.T, r *rig) {
	t.Helper()
	r.p.closeIdle(nil)
	left := errors.New("not looked yet")
	for deadline := time.Now().Add(10 * time.Second); descriptors() > l.descriptors || left != nil; {
		if left = goleak.Find(l.goroutines); time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before; %v", descriptors(), l.descriptors, left)
		}
	}
}

// Whatever a provider or a client does, nothing is left open behind it, and the
// event says what it was.
func TestNoFaultLeavesADescriptorBehind(t *testing.T) {
	for _, tt := range faults() {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, tt.bounds)
			r.up.handle(tt.provider)
			ask(t, r.addr, "GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") // all of the rig runs
			open := before()
			times := 3
			if tt.status == schemas.StatusTimeout {
				times = 1
			}
			for i := range times {
				conn := dial(t, r.addr, tt.request)
				if tt.leaves {
					eventually(t, "the request is under way", func() bool { return len(r.up.requests()) > i || tt.provider == nil && r.p.flights.count() > 0 })
					conn.Close()
				} else {
					a := readAnswer(t, conn, "POST")
					if tt.seen == 0 && a.err == nil || tt.seen != 0 && (a.err != nil || a.StatusCode != tt.seen) {
						t.Errorf("the client saw %s", seen(a))
					}
					conn.Close()
				}
				if ev := r.event(i + 1); ev.Status != tt.status {
					t.Errorf("recorded %s %s, want %s", ev.Status, ev.ErrorType, tt.status)
				}
			}
			open.check(t, r)
		})
	}
	// The counts can fail.
	open := before()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	go func() { defer close(accepting); _, _ = ln.Accept() }()
	if open.descriptors > 0 && descriptors() <= open.descriptors {
		t.Error("an open socket is not counted")
	}
	if goleak.Find(open.goroutines) == nil {
		t.Error("a goroutine is not counted")
	}
	ln.Close()
	<-accepting
}

// The same faults for clients over TLS and in HTTP/2: an answer that breaks off is
// a stream that is reset, and a client that leaves resets its own.
func TestNoFaultLeavesADescriptorBehindHoweverTheClientSpeaks(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		for _, tt := range faults() {
			t.Run(tt.name, func(t *testing.T) {
				c := w.rig(t, tt.bounds)
				c.up.handle(tt.provider)
				c.get(t) // the client's connection is there before the count
				open := before()
				c.suffer(t, tt)
				open.check(t, c.rig)
			})
		}
	})
}

// get makes a request that gnomon answers by itself.
func (c *client) get(t *testing.T) {
	t.Helper()
	resp, err := c.http.Get(c.base + "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

// suffer makes the request of a fault and checks what its client sees.
func (c *client) suffer(t *testing.T, tt fault) {
	t.Helper()
	head, sent, _ := strings.Cut(tt.request, "\r\n\r\n")
	path := strings.Fields(head)[1]
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	var body io.Reader = strings.NewReader(sent)
	stop := func() {}
	if tt.provider == nil { // more is announced than comes
		more, hold := io.Pipe()
		if sent != "" {
			sent += strings.Repeat(" ", 64<<10) // or it waits in the client's buffer
		}
		body, stop = io.MultiReader(strings.NewReader(sent), more), func() { _ = hold.CloseWithError(context.Canceled) }
	}
	got := c.p.flights.count()
	if tt.leaves {
		go func() {
			defer stop() // a client waits for its own body to end
			defer leave()
			for range 5000 {
				if len(c.up.requests()) > 0 || tt.provider == nil && c.p.flights.count() > got {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	resp, err := c.post(ctx, path, body)
	stop()
	status := 0
	if err == nil {
		status = resp.StatusCode
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if tt.seen == 0 && err == nil || tt.seen != 0 && (err != nil || status != tt.seen) {
		t.Errorf("the client saw %d, %v", status, err)
	}
	if ev := c.event(1); ev.Status != tt.status {
		t.Errorf("recorded %s %s, want %s", ev.Status, ev.ErrorType, tt.status)
	}
}
