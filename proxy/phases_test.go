package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// unbreakable keeps breakers out of tests that let candidates fail for long.
func unbreakable(c *Config, _ *parts) {
	for i := range c.Providers {
		c.Providers[i].Breaker = Breaker{Failures: 1 << 30, Rate: 1, Window: 10 * time.Microsecond}
		c.Providers[i].Retry.Attempts = -1
	}
}

// Wherever a candidate's stream breaks off, the client has either the whole of the
// baseline's answer or the beginning of the candidate's, which it cannot take for
// complete: never both, and never a clean end.
func TestACandidateThatDiesAtAnyByteIsReplacedOrSeenAsAnAbort(t *testing.T) {
	baseline := strings.ReplaceAll(strings.Join(streamEvents, ""), "gpt-4o", "the-baseline")
	named := func(model string) string { return `"model":"` + model + `"` }
	for _, tt := range []struct {
		name, candidate, path, body string
		events                      []string
		failed                      string // the error event that must come before the abort
	}{
		{"in the client's dialect", candidate, "/v1/chat/completions", saidStream, streamEvents, ""},
		{"in another, to chat completions", haiku, "/v1/chat/completions", saidStream, haikuStream, `data: {"error":`},
		{"in another, to messages", mini, "/v1/messages", strings.Replace(opusBody, `"max_tokens"`, `"stream":true,"max_tokens"`, 1), streamEvents, "event: error\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := chunked("text/event-stream", tt.events)
			head := strings.Index(raw, "\r\n\r\n") + 4
			p := live(tt.candidate)
			treated := session(t, p, schemas.ArmTreated)
			r := newRig(t, bilingual(tt.candidate), unbreakable)
			_, model, _ := cutRoute(tt.candidate)
			for i, at := range everyByte(len(raw), head) {
				r.up.handle(func(c *call) {
					if !bytes.Contains(c.body, []byte(named(model))) {
						_, _ = io.WriteString(c, chunked("text/event-stream", []string{baseline}))
						return
					}
					_, _ = io.WriteString(c, raw[:at])
					if at%2 == 0 { // FIN and RST by turns
						_ = c.Conn.(*net.TCPConn).SetLinger(0)
					}
					c.Close()
				})
				a := ask(t, r.addr, mailTo(tt.path, treated, tt.body))
				ev := r.event(i + 1)
				whole := a.err == nil && string(a.body) == baseline
				switch {
				case a.Response == nil || a.StatusCode != 200:
					t.Fatalf("died at byte %d: %s", at, seen(a))
				case ev.Fallback && !whole, !ev.Fallback && a.err == nil:
					t.Fatalf("died at byte %d of %d, fallback %v: %s", at, len(raw), ev.Fallback, seen(a))
				case at < head && !ev.Fallback:
					t.Fatalf("died at byte %d of the head: %s", at, seen(a))
				case ev.Fallback:
					continue // an RST may overtake what was sent before it
				}
				if strings.Contains(string(a.body), "the-baseline") || ev.Status != schemas.StatusTruncated || ev.Provider+"/"+ev.ServedModel != tt.candidate || a.Header.Get("x-gnomon-route") != tt.candidate {
					t.Fatalf("died at byte %d: recorded %s of %s, %s", at, ev.Status, ev.ServedModel, seen(a))
				}
				// Behind the last event nothing is missing but the transport's own end.
				over := strings.HasSuffix(string(a.body), "data: [DONE]\n\n") || strings.HasSuffix(string(a.body), "\"message_stop\"}\n\n")
				if tt.failed != "" && strings.Contains(string(a.body), tt.failed) == over {
					t.Fatalf("died at byte %d: no error event before the abort: %s", at, seen(a))
				}
			}
		})
	}
}

// everyByte are the places to die at: each around the first byte of the body, and
// every third of the rest.
func everyByte(n, head int) (at []int) {
	for i := range n {
		if i >= head-8 && i < head+64 || i%3 == 0 {
			at = append(at, i)
		}
	}
	return at
}

// A flood costs each refused connection what a connection costs, and no more:
// nothing of what it sends is held.
func TestAFloodIsRefusedAtOnceAndHoldsNoMemory(t *testing.T) {
	const held, flood = 4, 400
	r := newRig(t, func(c *Config, _ *parts) { c.MaxInFlight = held })
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	r.up.handle(func(c *call) { <-release; _, _ = io.WriteString(c, ok200("application/json", chatAnswer)) })
	var first []net.Conn
	for range held {
		first = append(first, dial(t, r.addr, post("/v1/chat/completions", chatBody)))
	}
	eventually(t, "the first are at the provider", func() bool { return len(r.up.requests()) == held })
	captured := r.p.captured.held.Load()
	before := memoryInUse()
	var conns []net.Conn
	for i := range flood {
		path, shape := "/v1/chat/completions", `"code":"overloaded"`
		if i%2 == 1 {
			path, shape = "/v1/messages", `"type":"overloaded_error"`
		}
		// A head that claims a body which does not come: the refusal does not wait for it.
		c := dial(t, r.addr, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, 200<<10, strings.Repeat("{", 1000)))
		a := readAnswer(t, c, "POST")
		if a.err != nil || a.StatusCode != 503 || a.Header.Get("Retry-After") != "1" || a.Header.Get("x-gnomon-error") != "overloaded" || !strings.Contains(string(a.body), shape) {
			t.Fatalf("answered %s", seen(a))
		}
		conns = append(conns, c)
	}
	if grown := (memoryInUse() - before) / flood; grown > 64<<10 {
		t.Errorf("%d KB a refused connection", grown>>10)
	}
	if now := r.p.captured.held.Load(); now != captured {
		t.Errorf("%d bytes of bodies are held, %d before the flood", now, captured)
	}
	for _, c := range conns {
		c.Close()
	}
	free()
	for _, c := range first {
		if a := readAnswer(t, c, "POST"); a.StatusCode != 200 {
			t.Errorf("one that was let in: %s", seen(a))
		}
	}
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.StatusCode != 200 {
		t.Errorf("afterwards: %s", seen(a))
	}
	r.event(held + flood + 1) // and each has its record
}

func memoryInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
