package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// talker answers its head at once, tells of each letter of the request, and ends its
// answer behind the request's end.
func talker(got chan<- string) func(net.Conn) {
	return func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks("begin"))
		for buf := make([]byte, 1); ; {
			n, err := req.Body.Read(buf)
			if n > 0 {
				got <- string(buf)
			}
			if err != nil {
				got <- err.Error()
				break
			}
		}
		_, _ = io.WriteString(c, chunks("end")+"0\r\n\r\n")
	}
}

// heardAll says letter after letter, each when the one before has arrived, then ends.
func heardAll(t *testing.T, got <-chan string, say func(string), end func()) {
	t.Helper()
	hears := func(want string) {
		t.Helper()
		select {
		case s := <-got:
			if s != want {
				t.Fatalf("the provider got %q, want %q", s, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("the provider never got %q", want)
		}
	}
	for _, letter := range strings.Split("abcdefghij", "") {
		say(letter)
		hears(letter)
	}
	end()
	hears("EOF")
}

// What a provider answers before it has the whole request costs the request nothing:
// whatever comes afterwards arrives, however it is framed.
func TestAnAnswerThatBeginsEarlyCostsNoByteOfItsRequest(t *testing.T) {
	for _, tt := range []struct{ name, framing, before, behind, end string }{
		{"a length", "Content-Length: 10", "", "", ""},
		{"chunks", "Transfer-Encoding: chunked", "1\r\n", "\r\n", "0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, got := newRig(t), make(chan string, 16)
			r.up.raw(talker(got))
			conn := dial(t, r.addr, "POST /v1/files HTTP/1.1\r\nHost: h\r\n"+tt.framing+"\r\n\r\n")
			heardAll(t, got, func(s string) { _, _ = io.WriteString(conn, tt.before+s+tt.behind) }, func() { _, _ = io.WriteString(conn, tt.end) })
			if a := readAnswer(t, conn, "POST"); a.err != nil || string(a.body) != "beginend" {
				t.Errorf("the client saw %s", seen(a))
			}
			if ev := r.event(1); ev.Status != schemas.StatusOK || ev.RequestBytes != 10 {
				t.Errorf("recorded %s, %d bytes", ev.Status, ev.RequestBytes)
			}
		})
	}
	inEachWay(t, func(t *testing.T, w spoken) {
		c, got := w.rig(t), make(chan string, 16)
		c.up.raw(talker(got))
		body, hold := io.Pipe()
		answered := make(chan error, 1)
		go func() {
			resp, err := c.post(t.Context(), "/v1/files", body)
			if err == nil {
				var all []byte
				if all, err = io.ReadAll(resp.Body); err == nil && string(all) != "beginend" {
					err = errors.New(string(all))
				}
				resp.Body.Close()
			}
			answered <- err
		}()
		heardAll(t, got, func(s string) { _, _ = io.WriteString(hold, s) }, func() { hold.Close() })
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

// A provider that refuses an upload at its head is heard at once, and what the client
// sends of it afterwards is no request.
func TestWhatIsLeftOfARefusedUploadIsNoRequest(t *testing.T) {
	const hidden = "GET /v1/hidden HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, tt := range []struct{ name, framing, rest string }{
		{"a length", "Content-Length: 3000\r\n\r\nabc", hidden},
		{"chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "1\r\nd\r\n" + hidden},
		{"chunks that break", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "zz\r\n\r\n" + hidden},
		{"chunks that end", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "0\r\n\r\n" + hidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.up.raw(func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
				}
			})
			ask(t, r.addr, "GET /nowhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n") // all of the rig runs
			open := before()
			conn := dial(t, r.addr, "POST /v1/files HTTP/1.1\r\nHost: h\r\n"+tt.framing)
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			if a := readAnswer(t, conn, "POST"); a.err != nil || a.StatusCode != 413 || !a.Close {
				t.Fatalf("the client saw %s", seen(a))
			}
			_, _ = io.WriteString(conn, tt.rest)
			more, err := io.ReadAll(conn)
			var late net.Error
			if len(more) > 0 || errors.As(err, &late) && late.Timeout() {
				t.Errorf("behind the answer came %q, %v", more, err)
			}
			conn.Close()
			open.check(t, r)
			if n := len(r.rec.events()); n != 1 {
				t.Errorf("%d requests are recorded", n)
			}
		})
	}
}

// An upload that is through before its answer begins leaves the connection to the next.
func TestAnUploadThatIsThroughKeepsItsConnection(t *testing.T) {
	r := newRig(t)
	r.up.answers(ok200("application/json", "{}"))
	for _, request := range []string{post("/v1/files", "abc"), "POST /v1/files HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"} {
		conn := dial(t, r.addr, request)
		for range 2 {
			if a := readAnswer(t, conn, "POST"); a.err != nil || a.StatusCode != 200 || a.Close {
				t.Fatalf("the client saw %s, close %v", seen(a), a.Close)
			}
			_, _ = io.WriteString(conn, request)
		}
	}
}

// Behind any other protocol than WebSocket (h2c) requests could follow that no limit
// and no record sees. Whoever asks for one is answered as by a server that knows none.
func TestOnlyWebSocketIsRelayed(t *testing.T) {
	const settings = "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
	for _, tt := range []struct {
		name, headers, switches string
		status                  int
		asked                   bool // the provider
	}{
		{"websocket", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket", 101, true},
		{"WebSocket, whatever its case", "Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n", "WebSocket", 101, true},
		{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + settings, "h2c", 200, false},
		{"h2c whose settings are not listed", "Connection: Upgrade\r\nUpgrade: h2c\r\n" + settings, "h2c", 200, false},
		{"another beside websocket", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", "h2c", 200, false},
		{"two headers", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", "h2c", 200, false},
		{"TLS", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n", "TLS/1.2", 200, false},
		{"websocket, answered with another", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "h2c", 502, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.up.handle(func(c *call) {
				if c.req.Header.Get("Upgrade") == "" {
					_, _ = io.WriteString(c, ok200("application/json", "{}"))
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "+tt.switches+"\r\nConnection: Upgrade\r\n\r\n")
				c.Close()
			})
			if a := ask(t, r.addr, "GET /v1/models HTTP/1.1\r\nHost: h\r\n"+tt.headers+"\r\n"); a.Response == nil || a.StatusCode != tt.status {
				t.Fatalf("the client saw %s", seen(a))
			}
			got := strings.ToLower(r.up.requests()[0])
			if asked := strings.Contains(got, "upgrade"); asked != tt.asked || strings.Contains(got, "http2-settings") {
				t.Errorf("the provider got %q", got)
			}
			if ev := r.event(1); int(ev.HTTPStatus) != tt.status {
				t.Errorf("recorded %s %d", ev.Status, ev.HTTPStatus)
			}
		})
	}
}
