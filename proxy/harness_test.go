package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// memory is a Recorder that keeps everything.
type memory struct {
	mu    sync.Mutex
	begun [][16]byte
	ended []schemas.RequestEvent
}

func (m *memory) BootID() uint64 { return 7 }

func (m *memory) Begin(_ string, _ time.Time, id [16]byte) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun = append(m.begun, id)
	return uint64(len(m.begun))
}

func (m *memory) End(ev *schemas.RequestEvent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = append(m.ended, *ev)
}

func (m *memory) events() []schemas.RequestEvent {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]schemas.RequestEvent(nil), m.ended...)
}

// rig is a proxy on a real socket in front of a stand-in provider.
type rig struct {
	t     *testing.T
	p     *Proxy
	rec   *memory
	addr  string // of the proxy
	up    *standIn
	parts classifier.Parts
	stop  func()
	reg   *prometheus.Registry
	logs  *logged

	mu       sync.Mutex
	snap     *classifier.Snapshot
	payloads []schemas.Payload
}

type parts = classifier.Parts

// logged is a log that may be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

type option func(*Config, *parts)

func testBook(t testing.TB) *savings.Book {
	t.Helper()
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	return book
}

func newRig(t *testing.T, opts ...option) *rig {
	t.Helper()
	up := newStandIn(t)
	r := &rig{t: t, rec: &memory{}, up: up, reg: prometheus.NewRegistry(), logs: &logged{}}
	book := testBook(t)
	r.parts = classifier.Parts{
		Project: "acme", Prices: book, DraftThreshold: 1, Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities(),
		Providers: []classifier.Provider{{Name: "openai", Dialects: []string{"openai.chat"}}, {Name: "anthropic", Dialects: []string{"anthropic.messages"}}},
	}
	cfg := Config{
		Project: "acme", ClassifyBudget: time.Minute, // a busy machine is no reason to differ
		Providers: []Provider{
			{Name: "openai", Dialect: "openai", BaseURL: up.url(), IncludeUsage: true},
			{Name: "anthropic", Dialect: "anthropic", BaseURL: up.url()},
			{Name: "plain", Dialect: "openai", BaseURL: up.url() + "/base"},
		},
	}
	for _, o := range opts {
		o(&cfg, &r.parts)
	}
	if own, ok := r.parts.Prices.(*savings.Book); ok {
		book = own
	}
	r.set(r.parts)
	var sink PayloadSink
	if cfg.KeepPayload != nil {
		sink = func(p schemas.Payload) { r.mu.Lock(); r.payloads = append(r.payloads, p); r.mu.Unlock() }
	}
	p, err := New(cfg, r.rec, r.snapshot, book, sink, slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})), r.reg)
	if err != nil {
		t.Fatal(err)
	}
	r.p = p
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, ln) }()
	var once sync.Once
	r.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		up.close()
		r.stop()
		if r.rec != nil && len(r.rec.begun) != len(r.rec.ended) {
			t.Errorf("%d requests begun, %d ended", len(r.rec.begun), len(r.rec.ended))
		}
	})
	return r
}

func (r *rig) set(p classifier.Parts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.parts = p
	r.snap = classifier.NewSnapshot(p)
}

func (r *rig) snapshot() *classifier.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.snap
}

// event waits for the n-th event (from 1) and returns it.
func (r *rig) event(n int) schemas.RequestEvent {
	r.t.Helper()
	var evs []schemas.RequestEvent
	eventually(r.t, "an event is recorded", func() bool { evs = r.rec.events(); return len(evs) >= n })
	return evs[n-1]
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s until %s", what)
		}
	}
}

// dial sends raw bytes to an address and returns the connection.
func dial(t testing.TB, addr, raw string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answer is what a client saw: the head as parsed, the body's bytes, and how it
// ended.
type answer struct {
	*http.Response
	body  []byte
	err   error
	hints []string // 1xx answers before it
}

// ask sends a raw request and reads the whole answer.
func ask(t testing.TB, addr, raw string) answer {
	t.Helper()
	conn := dial(t, addr, raw)
	method, _, _ := strings.Cut(raw, " ")
	return readAnswer(t, conn, method)
}

func readAnswer(t testing.TB, conn net.Conn, method string) answer {
	t.Helper()
	req, _ := http.NewRequest(method, "http://x/", nil)
	br := bufio.NewReader(conn)
	var a answer
	for {
		if a.Response, a.err = http.ReadResponse(br, req); a.err != nil {
			return a
		}
		if a.StatusCode >= 200 || a.StatusCode == http.StatusSwitchingProtocols {
			break
		}
		a.hints = append(a.hints, a.Status+" "+a.Header.Get("Link"))
	}
	a.body, a.err = io.ReadAll(a.Body)
	return a
}

// post is a raw request with a JSON body.
func post(path, body string, headers ...string) string {
	var b strings.Builder
	b.WriteString("POST " + path + " HTTP/1.1\r\nHost: gnomon.test\r\nContent-Type: application/json\r\n")
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	return b.String()
}

// ok200 is a raw answer.
func ok200(contentType, body string, headers ...string) string {
	h := "HTTP/1.1 200 OK\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: " + contentType + "\r\n"
	for _, x := range headers {
		h += x + "\r\n"
	}
	return h + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

// chunked is a raw answer in chunks, one per piece.
func chunked(contentType string, pieces []string, headers ...string) string {
	h := "HTTP/1.1 200 OK\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: " + contentType + "\r\nTransfer-Encoding: chunked\r\n"
	for _, x := range headers {
		h += x + "\r\n"
	}
	return h + "\r\n" + chunks(pieces...) + "0\r\n\r\n"
}

func chunks(pieces ...string) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(strconv.FormatInt(int64(len(p)), 16) + "\r\n" + p + "\r\n")
	}
	return b.String()
}

// standIn is a provider that answers with raw bytes and keeps what it was sent.
type standIn struct {
	t  testing.TB
	ln net.Listener

	mu      sync.Mutex
	got     []string // each request, raw as framed on the wire
	conns   map[net.Conn]bool
	handler func(c *call)
	whole   func(net.Conn)
	taken   []net.Conn
	wg      sync.WaitGroup
}

// raw makes the stand-in hand over connections as they are.
func (s *standIn) raw(h func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = h
}

func (s *standIn) connections() []net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

// call is one request at the stand-in.
type call struct {
	net.Conn
	head string // request line and headers
	req  *http.Request
	body []byte
	n    int // from 1
}

func newStandIn(t testing.TB) *standIn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{t: t, ln: ln, conns: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	return s
}

func (s *standIn) url() string { return "http://" + s.ln.Addr().String() }

// answers makes the stand-in send raw bytes to every request.
func (s *standIn) answers(raw string) {
	s.handle(func(c *call) { _, _ = io.WriteString(c, raw) })
}

func (s *standIn) handle(h func(*call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func (s *standIn) accept() {
	for {
		conn, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.taken = append(s.taken, conn)
		h := s.whole
		s.mu.Unlock()
		if h != nil {
			s.wg.Go(func() { defer conn.Close(); h(conn) })
			continue
		}
		s.wg.Go(func() { s.serve(conn) })
	}
}

func (s *standIn) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	var seen bytes.Buffer
	br := bufio.NewReaderSize(io.TeeReader(conn, &seen), 64)
	for {
		consumed := seen.Len() - br.Buffered()
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		headEnd := bytes.Index(seen.Bytes()[consumed:], []byte("\r\n\r\n"))
		head := string(seen.Bytes()[consumed : consumed+headEnd])
		if req.Header.Get("Expect") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.got = append(s.got, head+"\r\n\r\n"+string(body))
		c := &call{Conn: conn, head: head, req: req, body: body, n: len(s.got)}
		h := s.handler
		s.mu.Unlock()
		if h == nil {
			return
		}
		h(c)
	}
}

func (s *standIn) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got...)
}

func (s *standIn) close() {
	s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func jsonOf(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
