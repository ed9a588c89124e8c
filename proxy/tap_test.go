package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestAnAnswerThatCannotBeReadCostsItsReadingOnly(t *testing.T) {
	for _, tt := range []struct{ name, encoding, body string }{
		{"by the reader, as it passes", "", openAIStream(`"one"`) + wholeStream},
		{"by the reader, behind a decoder", "gzip", packed("gzip", openAIStream(`"one"`)+wholeStream)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, counting(func(string, []byte) (int, string, bool, error) { return 1, "v", true, nil }))
			r.p.recounts.texts.pool.New = func() any { panic("no memory of this kind") } // asked for by the reader when text comes
			answer := chunked("text/event-stream", []string{tt.body[:40], tt.body[40:]})
			if tt.encoding != "" {
				answer = chunked("text/event-stream", []string{tt.body[:40], tt.body[40:]}, "Content-Encoding: "+tt.encoding)
			}
			r.up.answers(answer)
			if a := ask(t, r.addr, post("/v1/chat/completions", saidStream)); a.err != nil || a.StatusCode != 200 || string(a.body) != tt.body {
				t.Errorf("answered %s", seen(a))
			}
			if ev := r.event(1); ev.Status != schemas.StatusOK || ev.UsageSource != schemas.UsageNone || ev.Cost.Known {
				t.Errorf("recorded %s, usage %s, cost %v", ev.Status, ev.UsageSource, ev.Cost)
			}
			if got := r.counted("gnomon_unread_total"); got != 1 || !strings.Contains(r.logs.String(), "no memory of this kind") {
				t.Errorf("counted %v, logged %s", got, r.logs)
			}
		})
	}
}

// counted is what a counter without labels has come to.
func (r *rig) counted(name string) float64 {
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return -1
}

func TestAnswersThatMustBeWholeToBeTranslatedAreWithinTheBoundOfAllBodies(t *testing.T) {
	for _, tt := range []struct{ name, head string }{
		{"of a length that is said", "Content-Length: %d\r\n\r\n"},
		{"of none", "Connection: close\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const bound, n, size = 256 << 10, 30, 2 << 20
			r := newRig(t, bilingual(haiku), func(c *Config, _ *parts) { c.CaptureTotal = bound })
			long := strings.Replace(haikuSays, "On its way.", strings.Repeat("x", size), 1)
			head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + tt.head
			if strings.Contains(head, "%d") {
				head = fmt.Sprintf(head, len(long))
			}
			var most atomic.Int64
			r.up.handle(func(c *call) {
				if strings.HasPrefix(c.head, "POST /v1/messages") {
					_, _ = io.WriteString(c, head+long[:len(long)-1])
					most.Store(max(most.Load(), r.p.captured.held.Load()))
					_, _ = io.Copy(io.Discard, c) // the last byte never comes
					return
				}
				_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
			})
			var conns []net.Conn
			for i := range n {
				conns = append(conns, dial(t, r.addr, mailTo("/v1/chat/completions", fmt.Sprint("s", i), chatBody)))
			}
			for _, conn := range conns {
				if a := readAnswer(t, conn, "POST"); a.err != nil || string(a.body) != chatAnswer {
					t.Fatalf("answered %s", seen(a))
				}
			}
			r.event(n)
			without := 0
			for _, ev := range r.rec.events() {
				if ev.Fallback && strings.Contains(ev.Extra, `"attempt_failed":"memory"`) {
					without++
				}
			}
			if without < n/2 || most.Load() > bound {
				t.Errorf("%d of %d had no room, %d bytes were held at most", without, n, most.Load())
			}
			eventually(t, "all memory is given back", func() bool { return r.p.captured.held.Load() == 0 })
		})
	}
}

func TestAnEventTooLongForTheBoundOfAllBodiesPassesUnread(t *testing.T) {
	long := "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("x", 300<<10) + "\"}}],\"usage\":null}\n\n"
	for _, tt := range []struct{ name, request, want string }{
		{"to a client that asked for usage", saidStream, streamEvents[0] + long + strings.Join(streamEvents[1:], "")},
		{"to one on whose behalf it was asked for", unsaidStream, long},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, func(c *Config, _ *parts) { c.CaptureTotal = 64 << 10 })
			body := streamEvents[0] + long + strings.Join(streamEvents[1:], "")
			r.up.answers(chunked("text/event-stream", []string{body[:9000], body[9000:200000], body[200000:]}))
			a := ask(t, r.addr, post("/v1/chat/completions", tt.request))
			if a.err != nil || !strings.Contains(string(a.body), tt.want) || !strings.HasSuffix(string(a.body), "data: [DONE]\n\n") {
				t.Errorf("answered %d bytes, %v", len(a.body), a.err)
			}
			if ev := r.event(1); ev.Status != schemas.StatusOK || ev.UsageSource != schemas.UsageNone {
				t.Errorf("recorded %s, usage %s", ev.Status, ev.UsageSource)
			}
			if n := r.counted("gnomon_unheld_total"); n != 1 {
				t.Errorf("%v counted as not held", n)
			}
			eventually(t, "all memory is given back", func() bool { return r.p.captured.held.Load() == 0 })
		})
	}
}
