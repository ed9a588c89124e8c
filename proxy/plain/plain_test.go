package plain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts the server in front of net/http, and net/http alone, with the same
// handler.
func serve(t *testing.T, h http.HandlerFunc, bounds ...time.Duration) (s *Server, plain, alone string) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	made := func() *http.Server {
		srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second, ReadTimeout: time.Second, IdleTimeout: time.Minute, ErrorLog: slog.NewLogLogger(quiet.Handler(), slog.LevelDebug)}
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
		return srv
	}
	s = &Server{Handler: h, Base: context.Background(), HeadTimeout: time.Second, BodyTimeout: time.Second, IdleTimeout: time.Minute, Rest: made(), Log: quiet}
	for _, d := range bounds {
		s.HeadTimeout, s.BodyTimeout = d, d
	}
	reference := made()
	for i, serve := range []func(net.Listener) error{s.Serve, reference.Serve} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- serve(ln) }()
		t.Cleanup(func() {
			_ = []func() error{s.Close, reference.Close}[i]()
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("Serve: %v", err)
			}
		})
		if i == 0 {
			plain = ln.Addr().String()
		} else {
			alone = ln.Addr().String()
		}
	}
	return s, plain, alone
}

// say sends bytes and returns all that comes until the other side closes, or falls
// silent; its header lines are in order, a date without its time.
func say(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var out strings.Builder
	r := bufio.NewReader(c)
	for {
		// One answer after the other; what is none is taken as it is.
		method, _, _ := strings.Cut(request, " ")
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			rest, _ := io.ReadAll(r)
			fmt.Fprintf(&out, "end %q", rest)
			return strings.ReplaceAll(strings.ReplaceAll(out.String(), addr, "SERVER"), c.LocalAddr().String(), "CLIENT")
		}
		body, err := io.ReadAll(resp.Body)
		if errors.Is(err, syscall.ECONNRESET) { // which a refusal may come to, or not
			err = nil
		}
		if resp.Header.Get("Date") != "" {
			resp.Header.Set("Date", "now")
		}
		var lines []string
		for name, values := range resp.Header {
			lines = append(lines, fmt.Sprint(name, values))
		}
		slices.Sort(lines)
		fmt.Fprintf(&out, "%s %d %v %v close=%v %q %v trailer=%v\n", resp.Status, resp.ContentLength, resp.TransferEncoding, lines, resp.Close, body, err, resp.Trailer)
	}
}

// echo answers with what it was told to, and says what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	h := w.Header()
	switch q.Get("as") {
	case "unread":
		h.Set("X-Left", "1")
		w.WriteHeader(http.StatusForbidden)
		return
	case "known":
		h["Date"], h["Content-Length"] = nil, []string{"5"}
		_, _ = io.WriteString(w, "12")
		_, _ = io.WriteString(w, "345")
		if n, err := io.WriteString(w, "6"); n != 0 || !errors.Is(err, http.ErrContentLength) {
			panic("more than was said is taken")
		}
		return
	case "short":
		h["Content-Length"] = []string{"50"}
		_, _ = io.WriteString(w, "12")
		return
	case "stream":
		h["Trailer"] = []string{"X-Sum"}
		h["Content-Type"] = []string{"text/event-stream"}
		for range 3 {
			_, _ = io.WriteString(w, "data: 1\n\n")
			_ = http.NewResponseController(w).Flush()
		}
		h[http.TrailerPrefix+"X-Sum"] = []string{"abc"}
		return
	case "hint", "304":
		bodyless(w, q.Get("as"))
		return
	case "large":
		_, _ = w.Write([]byte(strings.Repeat("x", 100<<10)))
		return
	case "large known":
		h["Content-Length"] = []string{"102400"}
		_, _ = w.Write([]byte(strings.Repeat("x", 100<<10)))
		return
	case "close":
		h.Set("Connection", "close")
	case "odd":
		h["X-Line"] = []string{" a\r\nSet-Cookie: b "}
		h["No Name"] = []string{"x"}
		h["X!"] = []string{"y"}
		w.WriteHeader(799)
		return
	case "abort":
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "12")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "fault":
		panic("a fault in the handler")
	case "nothing":
		return
	}
	body, err := io.ReadAll(r.Body)
	var lines []string
	for name, values := range r.Header {
		lines = append(lines, fmt.Sprintf("%s=%q", name, values))
	}
	slices.Sort(lines)
	fmt.Fprintf(w, "%s %s %s %s %d %v %q %v", r.Method, r.RequestURI, r.Host, r.Proto, r.ContentLength, lines, body, err)
}

// bodyless answers with statuses that have no body.
func bodyless(w http.ResponseWriter, as string) {
	h := w.Header()
	if as == "304" {
		h.Set("Content-Type", "text/plain")
		h.Set("Content-Length", "7")
		h.Set("ETag", "x")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Link", "</x>")
	w.WriteHeader(http.StatusEarlyHints)
	w.WriteHeader(http.StatusNoContent)
	if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
		panic("a body goes with 204")
	}
}

func TestAClientSeesWhatNetHTTPWouldAnswer(t *testing.T) {
	_, plain, alone := serve(t, echo)
	last := "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	requests := map[string]string{
		"a body":                            "POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-a: 1\r\nx-A: 2\r\n\r\nhello" + last,
		"many in one write":                 strings.Repeat("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", 50) + last,
		"a plain one, then chunks":          "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + last,
		"a line end behind a body":          "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab\r\n" + last,
		"line ends behind a body":           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab\r\n\r\n" + last,
		"more line ends than are taken":     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab\r\n\r\n\r\n" + last,
		"a line end behind a GET":           "GET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n" + last,
		"a line end, then chunks":           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab\r\nPOST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + last,
		"two lengths":                       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" + last,
		"chunks and a length":               "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + last,
		"a body longer than its length":     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nabGARBAGE\r\n\r\n",
		"a body that breaks off":            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nab",
		"an expectation":                    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\nab",
		"HTTP/1.0":                          "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
		"many headers":                      "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", 200) + "\r\n" + last,
		"a long header":                     "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", 40<<10) + "\r\n\r\n" + last,
		"a header too long for a plain one": "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("y", 100<<10) + "\r\n\r\n" + last,
		"no host":                           "GET / HTTP/1.1\r\n\r\n",
		"a line that is none":               "hello\r\n\r\n",
		"a bad escape":                      "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
		"a small body that nobody reads":    "POST /?as=unread HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello" + last,
		"a large body that nobody reads":    "POST /?as=unread HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000) + last,
	}
	for _, as := range []string{"known", "short", "stream", "hint", "304", "large", "large%20known", "close", "odd", "abort", "fault", "nothing"} {
		for _, method := range []string{"GET", "HEAD"} {
			requests[method+" answered "+as] = method + " /?as=" + as + " HTTP/1.1\r\nHost: h\r\n\r\n" + strings.Replace(last, "GET", method, 1)
		}
	}
	for i, odd := range oddHeads {
		if !strings.HasPrefix(odd, "PRI") && !strings.HasPrefix(odd, "\x16") && !strings.Contains(odd, "Content-Length: 5\r\n\r\n") { // no requests, or their bodies do not come
			requests[fmt.Sprintf("odd %d", i)] = odd + "abc" + last
		}
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			for try := 1; ; try++ { // who is refused in the middle of writing may see a reset instead
				got, want := say(t, plain, request), say(t, alone, request)
				if got == want {
					return
				}
				if try == 5 {
					t.Fatalf("%.200q\nhere     %.1000s\nnet/http %.1000s", request, got, want)
				}
			}
		})
	}
}

func TestHTTP2IsSpokenByPriorKnowledge(t *testing.T) {
	_, addr, _ := serve(t, echo)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Post("http://"+addr+"/x", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `HTTP/2.0`) || !strings.Contains(string(body), `"hello"`) {
		t.Errorf("%s %v", body, err)
	}
}

// open sends a request and returns the connection.
func open(t *testing.T, addr, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_, err = io.WriteString(c, request)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAClientThatLeavesIsNoticedWhileItsAnswerIsAwaited(t *testing.T) {
	for name, request := range map[string]string{
		"without a body":                     "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"with one":                           "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
		"with a body longer than the buffer": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000),
		"with a head as long as the buffer":  "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("x", firstBuf-len("GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n")) + "\r\n\r\n",
		"as the second":                      "POST /quick HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			asked, left := make(chan struct{}), make(chan struct{})
			_, addr, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if r.URL.Path == "/quick" {
					return
				}
				close(asked)
				<-r.Context().Done()
				close(left)
			})
			c := open(t, addr, request)
			<-asked
			c.Close()
			select {
			case <-left:
			case <-time.After(5 * time.Second):
				t.Fatal("nobody noticed")
			}
		})
	}
}

func TestARequestThatComesWhileALongOneIsAnsweredIsTheNext(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan struct{}, 2)
	s, addr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		if r.URL.Path == "/long" {
			<-release
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	for round := range 20 { // a watcher that is told to end as it begins, and one that reads
		c := open(t, addr, "GET /long HTTP/1.1\r\nHost: h\r\n\r\n")
		<-asked
		if round%2 == 0 {
			for watched := false; !watched; time.Sleep(time.Millisecond) {
				s.mu.Lock()
				for _, c := range s.conns {
					c.mu.Lock()
					watched = watched || c.watched != nil
					c.mu.Unlock()
				}
				s.mu.Unlock()
			}
			_, _ = io.WriteString(c, "GET /next HTTP/1.1\r\nHost: h\r\nX-Long: "+strings.Repeat("a", 3*watchBuf)+"\r\nConn") // in two parts, more than is watched for
		}
		release <- struct{}{}
		if round%2 == 0 {
			_, _ = io.WriteString(c, "ection: close\r\n\r\n")
		} else {
			_, _ = io.WriteString(c, "GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		}
		<-asked
		if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), "/long") || !strings.HasSuffix(string(got), "/next") {
			t.Fatalf("%q %v", got, err)
		}
	}
}

func TestTimesAreBounded(t *testing.T) {
	bodyErr := make(chan error, 8)
	_, addr, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		bodyErr <- err
	}, 100*time.Millisecond)
	for name, request := range map[string]string{
		"a head that does not come":      "",
		"a head that does not go on":     "GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ",
		"a body that does not go on":     "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
		"a second head that breaks off":  "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HT",
		"a body of the second, likewise": "GET / HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc",
	} {
		c := open(t, addr, request)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for range strings.Count(request, "Host: h\r\nContent") + strings.Count(request, "Host: h\r\n\r\n") {
			err := <-bodyErr
			var late net.Error
			if strings.HasSuffix(request, "abc") && err != nil && (!errors.As(err, &late) || !late.Timeout()) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestADrainFinishesWhatIsUnderWay(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	s, addr, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			close(asked)
			<-release
		}
		_, _ = io.WriteString(w, "done")
	})
	idle := bufio.NewReader(open(t, addr, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	if resp, err := http.ReadResponse(idle, nil); err != nil {
		t.Fatal(err)
	} else if _, err = io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	long := open(t, addr, "GET /long HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	drained := make(chan error, 1)
	go func() { drained <- s.Shutdown(context.Background()) }()
	if _, err := idle.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the idle connection: %v", err)
	}
	select {
	case err := <-drained:
		t.Fatalf("the drain did not wait: %v", err)
	default:
	}
	close(release)
	if got, err := io.ReadAll(long); err != nil || !strings.HasSuffix(string(got), "done") || !strings.Contains(string(got), "Connection: close") {
		t.Errorf("%q %v", got, err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a connection is accepted after the drain")
	}
}

func TestADrainThatTakesTooLongSaysSo(t *testing.T) {
	asked := make(chan struct{})
	s, addr, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	c := open(t, addr, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-asked
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	_ = s.Close()
	if got, _ := io.ReadAll(c); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// A head is looked at anew after each read: one that comes byte by byte would cost
// the square of its length.
func TestAHeadInManyPiecesIsLeftToNetHTTP(t *testing.T) {
	s, addr, _ := serve(t, echo, 5*time.Second)
	c := open(t, addr, "")
	for _, b := range []byte("GET /slow HTTP/1.1\r\nHost: h\r\n") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // so that it is one read
	}
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		mine := len(s.conns)
		s.mu.Unlock()
		if mine == 0 {
			break
		}
		if time.Now().After(until) {
			t.Fatal("it is still looked at here")
		}
	}
	_, _ = io.WriteString(c, "Connection: close\r\n\r\n")
	if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), "GET /slow h") {
		t.Errorf("%q %v", got, err)
	}
}
