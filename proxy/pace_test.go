package proxy

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// thin connects with a socket that buffers little: what its owner does not read
// is soon felt by the sender.
func thin(t *testing.T, addr string) net.Conn {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		if err != nil {
			return err
		}
		return failed
	}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

// A client that takes one byte a second is waited for: the provider is held back,
// nothing piles up in between, and the idle bound, which such a client exceeds
// with each byte, is not its bound.
func TestAClientThatReadsAByteASecondHoldsItsProviderBack(t *testing.T) {
	const size, atOnce, bytes = 16 << 20, 4, 3
	r := newRig(t, func(c *Config, _ *parts) { c.IdleTimeout = 900 * time.Millisecond })
	var mu sync.Mutex
	most := 0
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
		event := chunks("data: " + strings.Repeat("x", 32<<10-8) + "\n\n")
		for sent := 0; sent < size; sent += 32 << 10 {
			if _, err := io.WriteString(c, event); err != nil {
				return
			}
			mu.Lock()
			most = max(most, sent)
			mu.Unlock()
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
	before := memoryInUse()
	var slow sync.WaitGroup
	conns := make([]net.Conn, atOnce)
	for i := range conns {
		conns[i] = thin(t, r.addr)
		slow.Go(func() {
			_, _ = io.WriteString(conns[i], post("/v1/chat/completions", saidStream))
			for range bytes {
				time.Sleep(time.Second) // this is what is tested
				if _, err := io.ReadFull(conns[i], make([]byte, 1)); err != nil {
					t.Errorf("a byte: %v", err)
				}
			}
		})
	}
	slow.Wait()
	mu.Lock()
	if most > size-1<<20 {
		t.Errorf("the provider could send %d bytes of %d to clients that read %d", most, size, bytes)
	}
	mu.Unlock()
	if grown := (memoryInUse() - before) / atOnce; grown > 1<<20 {
		t.Errorf("%d KB are held for a client that does not read", grown>>10)
	}
	if n := len(r.rec.events()); n != 0 {
		t.Errorf("%d of them have ended", n)
	}
	for _, c := range conns { // and the rest comes whole
		n, err := readOn(c)
		if err != nil || n < size {
			t.Errorf("%d bytes of more than %d, %v", n, size, err)
		}
	}
	for i := range atOnce {
		if ev := r.event(i + 1); ev.Status != schemas.StatusOK {
			t.Errorf("recorded %s %s", ev.Status, ev.ErrorType)
		}
	}
}

// readOn reads a chunked answer to its end, whose head was begun.
func readOn(c net.Conn) (n int, err error) {
	var tail string
	for buf := make([]byte, 64<<10); !strings.HasSuffix(tail, "\r\n0\r\n\r\n"); {
		got, err := c.Read(buf)
		n += got
		tail += string(buf[:got])
		tail = tail[max(0, len(tail)-16):]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// An answer whose every byte is taken a second after the one before.
func TestAShortAnswerReadByteByByteIsWhole(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		t.Parallel()
		c := w.rig(t, func(c *Config, _ *parts) { c.IdleTimeout, c.BodyTimeout = time.Second, time.Second })
		c.up.answers(ok200("application/json", "{ }"))
		resp, err := c.post(t.Context(), "/v1/chat/completions", strings.NewReader(chatBody))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got := ""
		for range 3 {
			time.Sleep(1100 * time.Millisecond) // more than either bound
			buf := make([]byte, 1)
			_, _ = io.ReadFull(resp.Body, buf)
			got += string(buf)
		}
		if rest, err := io.ReadAll(resp.Body); got != "{ }" || err != nil || len(rest) > 0 {
			t.Errorf("%q, then %q %v", got, rest, err)
		}
		if ev := c.event(1); ev.Status != schemas.StatusOK {
			t.Errorf("recorded %s %s", ev.Status, ev.ErrorType)
		}
	})
}

// A body that comes slowly, but comes, is waited for: the bound is between two
// reads, not on the whole.
func TestABodyThatComesSlowlyIsWaitedFor(t *testing.T) {
	inEachWay(t, func(t *testing.T, w spoken) {
		t.Parallel()
		for _, path := range []string{"/v1/chat/completions", "/v1/files"} {
			c := w.rig(t, func(c *Config, _ *parts) { c.BodyTimeout = time.Second })
			c.up.answers(ok200("application/json", chatAnswer))
			slow, hold := io.Pipe()
			const pieces = 12
			go func() {
				for i := range pieces {
					time.Sleep(120 * time.Millisecond) // 1.4 s in all
					_, _ = hold.Write([]byte(chatBody[i*len(chatBody)/pieces : (i+1)*len(chatBody)/pieces]))
				}
				hold.Close()
			}()
			resp, err := c.post(t.Context(), path, slow)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			got := c.up.requests()
			if resp.StatusCode != 200 || len(got) != 1 || !strings.HasSuffix(got[0], "\r\n\r\n"+chatBody) {
				t.Errorf("%s: %d, the provider got %q", path, resp.StatusCode, got)
			}
		}
	})
}

// Wherever an event is cut in two, and however long its second part keeps one
// waiting, the client gets what it would have got directly, as soon as it would
// have: only where usage was asked for on its behalf is an event held until it is
// whole.
func TestAnEventCutAtAnyByteIsTheSameEvent(t *testing.T) {
	whole := strings.Join(streamEvents, "")
	for _, body := range []string{saidStream, unsaidStream} {
		want := whole
		if body == unsaidStream { // without the usage that it did not ask for
			want = strings.Join(streamEvents[:3], "") + streamEvents[4]
		}
		r := newRig(t)
		at, seen := 0, make(chan struct{})
		r.up.handle(func(c *call) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(whole[:at]))
			<-seen
			_, _ = io.WriteString(c, chunks(whole[at:])+"0\r\n\r\n")
		})
		for at = 1; at < len(whole); at++ {
			first := at
			if body == unsaidStream {
				first = len(strings.Join(streamEvents[:min(ended(at), 3)], ""))
			}
			resp, err := http.Post("http://"+r.addr+"/v1/chat/completions", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, first, len(whole))
			_, err = io.ReadFull(resp.Body, got)
			seen <- struct{}{}
			rest, end := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(got)+string(rest) != want || err != nil || end != nil {
				t.Fatalf("cut at byte %d: %q, then %q, %v %v\nwant %q", at, got, rest, err, end, want)
			}
			if ev := r.event(at); ev.Status != schemas.StatusOK || ev.InputTokens != 11 || ev.OutputTokens != 5 || ev.FinishReason != "stop" {
				t.Fatalf("cut at byte %d: recorded %s %+v", at, ev.Status, ev.Usage)
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// ended is how many of streamEvents are whole in the first n bytes of them all.
func ended(n int) (events int) {
	for _, e := range streamEvents {
		if n -= len(e); n < 0 {
			break
		}
		events++
	}
	return events
}
