package proxy

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

const endless = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

// pours answers with events for as long as they are taken.
func pours(c *call) {
	piece := chunks("data: " + strings.Repeat("x", 64<<10) + "\n\n")
	for _, err := io.WriteString(c, endless); err == nil; {
		_, err = io.WriteString(c, piece)
	}
}

func sendWithin(d time.Duration) option { return func(c *Config, _ *parts) { c.SendTimeout = d } }

// A client that asks for much and takes nothing of it is left when the bound is over:
// its place, its descriptors and its provider's connection are free again.
func TestAClientThatNeverReadsIsLeft(t *testing.T) {
	timedOut := func(t *testing.T, r *rig) {
		t.Helper()
		if ev := r.event(1); ev.Status != schemas.StatusTimeout || ev.ErrorType != "send_timeout" {
			t.Errorf("recorded %s %s", ev.Status, ev.ErrorType)
		}
		eventually(t, "its place is free", func() bool { return r.p.flights.count() == 0 })
	}
	long := "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000000\r\n\r\n" + strings.Repeat("x", 64<<20)
	for _, tt := range []struct {
		name, request string
		provider      func(*call)
	}{
		{"a stream", post("/v1/chat/completions", saidStream), pours},
		{"a long body", "GET /v1/files/f/content HTTP/1.1\r\nHost: h\r\n\r\n", func(c *call) { _, _ = io.WriteString(c, long) }},
		{"a stream, served by net/http", "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(saidStream) + "0\r\n\r\n", pours},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sendWithin(300*time.Millisecond))
			r.up.handle(tt.provider)
			ask(t, r.addr, "GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") // all of the rig runs
			open := before()
			conn := thin(t, r.addr)
			_, _ = io.WriteString(conn, tt.request)
			timedOut(t, r)
			if n, err := io.Copy(io.Discard, conn); err == nil {
				t.Errorf("a clean end behind %d bytes", n)
			}
			conn.Close()
			open.check(t, r)
		})
	}
	inEachWay(t, func(t *testing.T, w spoken) {
		c := w.rig(t, sendWithin(300*time.Millisecond))
		c.up.handle(pours)
		c.get(t)
		open := before()
		resp, err := c.post(t.Context(), "/v1/chat/completions", strings.NewReader(saidStream))
		if err != nil {
			t.Fatal(err)
		}
		timedOut(t, c.rig)
		if n, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Errorf("a clean end behind %d bytes", n)
		}
		resp.Body.Close()
		if w.proto == "HTTP/2.0" {
			c.get(t) // other streams of the connection go on
			open.check(t, c.rig)
		}
	})
}

// The bound is on taking nothing: whoever takes a little at a time has its whole
// answer, however long that lasts.
func TestAClientThatTakesALittleAtATimeIsWaitedFor(t *testing.T) {
	const limit, size = time.Second, 24 << 20
	r := newRig(t, sendWithin(limit))
	r.up.answers(ok200("application/octet-stream", strings.Repeat("x", size)))
	conn := thin(t, r.addr)
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	_, _ = io.WriteString(conn, "GET /v1/files/f/content HTTP/1.1\r\nHost: h\r\n\r\n")
	got := int64(0)
	for began := time.Now(); time.Since(began) < 3*limit; time.Sleep(limit / 10) { // this is what is tested
		n, err := io.CopyN(io.Discard, conn, 128<<10)
		if got += n; err != nil {
			t.Fatalf("behind %d bytes: %v", got, err)
		}
	}
	rest, err := io.CopyN(io.Discard, conn, size-got)
	if err != nil {
		t.Errorf("behind %d bytes: %v", got+rest, err)
	}
	if ev := r.event(1); ev.Status != schemas.StatusOK || ev.ResponseBytes != size {
		t.Errorf("recorded %s %s, %d bytes", ev.Status, ev.ErrorType, ev.ResponseBytes)
	}
}
