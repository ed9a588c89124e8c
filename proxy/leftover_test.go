package proxy

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

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

// Whatever a provider or a client does, nothing is left open behind it, and the
// event says what it was. Goroutines are counted at the end of all tests.
func TestNoFaultLeavesADescriptorBehind(t *testing.T) {
	const sse = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	hold := func(c *call) { _, _ = io.Copy(io.Discard, c) }
	says := func(raw string) func(*call) {
		return func(c *call) { _, _ = io.WriteString(c, raw); c.Close() }
	}
	for _, tt := range []struct {
		name     string
		provider func(*call)
		request  string
		leaves   bool // the client, when the provider has the request, or at once where it never gets it
		status   schemas.Status
		seen     int // 0: an answer that breaks off, or none
	}{
		{"closes before its head", says(""), post("/v1/chat/completions", saidStream), false, schemas.StatusProviderError, 502},
		{"closes in its head", says("HTTP/1.1 200 OK\r\nCon"), post("/v1/chat/completions", saidStream), false, schemas.StatusProviderError, 502},
		{"closes behind its head", says(sse), post("/v1/chat/completions", saidStream), false, schemas.StatusTruncated, 0},
		{"closes in a chunk", says(sse + "40\r\ndata: {"), post("/v1/chat/completions", saidStream), false, schemas.StatusTruncated, 0},
		{"closes inside a rune", says(sse + chunks("data: \"\xc3")), post("/v1/chat/completions", saidStream), false, schemas.StatusTruncated, 0},
		{"sends no chunk where one must be", says(sse + "zz\r\n"), post("/v1/chat/completions", saidStream), false, schemas.StatusTruncated, 0},
		{"sends less than its length", says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), post("/v1/chat/completions", chatBody), false, schemas.StatusTruncated, 0},
		{"sends more than its length", says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}and more"), post("/v1/chat/completions", chatBody), false, schemas.StatusOK, 200},
		{"sends hints for ever, then leaves", says(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 50)), post("/v1/chat/completions", chatBody), false, schemas.StatusProviderError, 502},
		{"is left before its head", hold, post("/v1/chat/completions", saidStream), true, schemas.StatusClientAbort, 0},
		{"is left in its stream", func(c *call) { _, _ = io.WriteString(c, sse+chunks(streamEvents[0])); hold(c) }, post("/v1/chat/completions", saidStream), true, schemas.StatusClientAbort, 0},
		{"never gets the body of a client that leaves", nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{", true, schemas.StatusClientAbort, 0},
		{"never gets the body of a client that sent a head only", nil, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", false, schemas.StatusTimeout, 408},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(c *Config, _ *parts) { c.BodyTimeout = 300 * time.Millisecond })
			r.up.handle(tt.provider)
			before := descriptors()
			const times = 5
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
			r.p.closeIdle(nil)
			eventually(t, "all descriptors are given back", func() bool { return descriptors() <= before })
		})
	}
	// The count can fail.
	before := descriptors()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if before > 0 && descriptors() <= before {
		t.Error("an open socket is not counted")
	}
}
