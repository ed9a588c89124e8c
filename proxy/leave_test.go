package proxy

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestTheProviderIsLeftAsSoonAsTheClientLeaves(t *testing.T) {
	const limit, tries = 100 * time.Millisecond, 3 // a busy machine may be late once
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name    string
		request string
		before  string // sent by the provider before the client leaves
		wait    string // what the client reads before it leaves
	}{
		{"before the head", post("/v1/chat/completions", saidStream), "", ""},
		{"before the head, behind a long prompt", post("/v1/chat/completions", strings.Replace(saidStream, `"content":"`, `"content":"`+strings.Repeat("where ", 3000), 1)), "", ""},
		{"behind the head", post("/v1/chat/completions", saidStream), head, "\r\n\r\n"},
		{"in the middle of the stream", post("/v1/chat/completions", saidStream), head + chunks(streamEvents[0]), "Hi"},
		{"in the middle of a body of known length", post("/v1/chat/completions", chatBody), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\"", "{\"id\""},
		{"without a body", "GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n", "", ""},
		{"in the middle of its upload", "POST /v1/files HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for try := 1; ; try++ {
				d := leaveIn(t, tt.request, tt.before, tt.wait)
				if d <= limit {
					return
				}
				if try == tries {
					t.Fatalf("the provider was left after %v", d)
				}
			}
		})
	}
}

// leaveIn lets a client leave in the middle of an exchange and returns how long
// the provider's connection outlived it.
func leaveIn(t *testing.T, request, before, wait string) (late time.Duration) {
	r := newRig(t)
	gone := make(chan time.Time, 1)
	started := make(chan struct{}, 1)
	r.up.raw(func(c net.Conn) {
		buf := make([]byte, 64<<10)
		_, _ = c.Read(buf)
		_, _ = io.WriteString(c, before)
		started <- struct{}{}
		for {
			if _, err := c.Read(buf); err != nil {
				gone <- time.Now()
				return
			}
		}
	})
	conn := dial(t, r.addr, request)
	<-started
	if wait != "" {
		var got []byte
		for buf := make([]byte, 4096); !bytes.Contains(got, []byte(wait)); {
			n, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("%q %v", got, err)
			}
			got = append(got, buf[:n]...)
		}
	}
	left := time.Now()
	conn.Close()
	select {
	case at := <-gone:
		late = at.Sub(left)
	case <-time.After(10 * time.Second):
		t.Fatal("the provider was never left")
	}
	ev := r.event(1)
	if ev.Status != schemas.StatusClientAbort {
		t.Errorf("recorded as %s (%s)", ev.Status, ev.ErrorType)
	}
	if ev.Dialect == "openai.chat" && (ev.UsageSource != schemas.UsageEstimated || ev.InputTokens == 0) {
		t.Errorf("usage %s %+v", ev.UsageSource, ev.Usage)
	}
	if n := len(r.up.connections()); n > 1 {
		t.Errorf("%d connections to the provider: it was asked again", n)
	}
	return late
}

func TestAClientThatLeavesBehindTheEndIsNoAbort(t *testing.T) {
	r := newRig(t)
	r.up.answers(chunked("text/event-stream", streamEvents))
	conn := dial(t, r.addr, post("/v1/chat/completions", saidStream))
	if a := readAnswer(t, conn, "POST"); a.err != nil {
		t.Fatal(a.err)
	}
	conn.Close()
	if ev := r.event(1); ev.Status != schemas.StatusOK || ev.OutputTokens != 5 {
		t.Errorf("recorded %s %+v", ev.Status, ev.Usage)
	}
}
