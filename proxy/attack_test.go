package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// What could be read as two requests is answered with 400 by the server, or
// reaches the provider as the one request that gnomon saw.
func TestARequestIsOneRequestToEverybody(t *testing.T) {
	const hidden = "GET /v1/hidden HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, tt := range []struct{ name, request string }{
		{"two lengths that differ", "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 50\r\n\r\n{}" + hidden},
		{"two lengths in one header", "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 50\r\n\r\n{}" + hidden},
		{"a length with a sign", "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\n{}" + hidden},
		{"a length in hexadecimal", "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0x2\r\n\r\n{}" + hidden},
		{"a negative length", "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\n{}" + hidden},
		{"an unknown transfer coding", "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden},
		{"two transfer codings", "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden},
		{"a coding before chunked", "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden},
		{"a space before the colon", "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\n{}" + hidden},
		{"a folded header", "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 12\r\n\r\n2\r\n{}\r\n0\r\n\r\n"},
		{"a line end alone", "POST /v1/x HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}"},
		{"a length beside chunks", "POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"},
		{"a chunk of a wrong size", "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + hidden},
		{"a chunk size with a sign", "POST /v1/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n"},
		{"a carriage return inside a header", "POST /v1/x HTTP/1.1\r\nHost: h\r\nX-A: b\rX-Injected: 1\r\nContent-Length: 2\r\n\r\n{}"},
		{"a NUL inside a header", "POST /v1/x HTTP/1.1\r\nHost: h\r\nX-A: b\x00c\r\nContent-Length: 2\r\n\r\n{}"},
		{"a header without a name", "POST /v1/x HTTP/1.1\r\nHost: h\r\n: b\r\nContent-Length: 2\r\n\r\n{}"},
		{"no host", "POST /v1/x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"},
		{"two hosts", "POST /v1/x HTTP/1.1\r\nHost: h\r\nHost: i\r\nContent-Length: 2\r\n\r\n{}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.up.answers(ok200("application/json", "{}"))
			a := ask(t, r.addr, tt.request)
			got := r.up.requests()
			if a.err == nil && a.StatusCode/100 == 4 && len(got) == 0 {
				return // refused
			}
			for _, raw := range got {
				head, body, _ := strings.Cut(raw, "\r\n\r\n")
				// One of the two framings, the body that it says, and no header that
				// the client did not put on a line of its own.
				framings := strings.Count(strings.ToLower(head), "\r\ncontent-length:") + strings.Count(strings.ToLower(head), "\r\ntransfer-encoding:")
				if strings.Contains(head, "/v1/hidden") || strings.Contains(head, "X-Injected") || framings > 1 || body != "{}" {
					t.Errorf("the provider got %q", raw)
				}
			}
			if len(got) > 1 || a.err != nil && len(got) > 0 {
				t.Errorf("%d requests at the provider, the client saw %v", len(got), a.err)
			}
		})
	}
}

// No byte of a request moves it to another host than its row's.
func TestNothingOfARequestMovesItElsewhere(t *testing.T) {
	r := newRig(t)
	elsewhere := newStandIn(t)
	defer elsewhere.close()
	elsewhere.answers(ok200("application/json", "{}"))
	r.up.answers(ok200("application/json", chatAnswer))
	host := elsewhere.ln.Addr().String()
	body := strings.Replace(chatBody, "{", fmt.Sprintf(`{"api_base":"http://%s","base_url":"http://%s","messages_url":"http://%s/x",`, host, host, host), 1)
	image := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://%s/secret"}}]}]}`, host)
	n := 0
	for _, request := range []string{
		post("/v1/chat/completions", body),
		post("/v1/chat/completions", image),
		post("/v1/chat/completions", chatBody, "X-Forwarded-Host: "+host, "X-Original-Url: http://"+host, "Forwarded: host="+host, "X-Gnomon-Upstream: http://"+host),
		strings.Replace(post("/v1/chat/completions", chatBody), "Host: gnomon.test", "Host: "+host, 1),
		"GET http://" + host + "/v1/models HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"GET /v1/@" + host + "/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /plain/@" + host + "/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /plain//" + host + "/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /plain/http://" + host + "/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /v1/x%23@" + host + "?u=http://" + host + " HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /v1/..%2f..%2f@" + host + " HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		if a := ask(t, r.addr, request); a.err != nil || a.StatusCode != 200 {
			t.Errorf("%.60q: %s", request, seen(a))
		}
		if n++; len(r.up.requests()) != n {
			t.Fatalf("%.60q did not reach its provider", request)
		}
		if got := r.up.requests()[n-1]; !strings.Contains(got, "Host: "+r.up.ln.Addr().String()) {
			t.Errorf("%.60q: the provider was called %q", request, got)
		}
	}
	if got := elsewhere.requests(); len(got) != 0 {
		t.Errorf("another host was asked: %q", got)
	}
}

// A provider cannot write a header of its answer that was not one of its own
// lines, nor one of ours.
func TestAProviderWritesNoHeadersOfOurs(t *testing.T) {
	for _, tt := range []struct{ name, header string }{
		{"ours", "X-Gnomon-Request-Id: theirs\r\nX-Gnomon-Route: x/y\r\nX-Gnomon-Error: overloaded"},
		{"a carriage return inside", "X-A: b\rX-Injected: 1"},
		{"hop-by-hop", "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.up.answers("HTTP/1.1 200 OK\r\n" + tt.header + "\r\nContent-Length: 2\r\n\r\n{}")
			a := ask(t, r.addr, post("/v1/chat/completions", chatBody))
			if a.err != nil {
				t.Fatal(a.err)
			}
			for _, name := range []string{"X-Injected", "X-Gnomon-Route", "X-Hop", "Keep-Alive", "Proxy-Authenticate"} {
				if v, is := a.Header[name]; is {
					t.Errorf("%s: %q reached the client", name, v)
				}
			}
			if id := a.Header.Values("X-Gnomon-Request-Id"); len(id) != 1 || id[0] != r.event(1).RequestID {
				t.Errorf("the request is called %q", id)
			}
			if kind := a.Header.Get("X-Gnomon-Error"); kind == "overloaded" {
				t.Error("the provider's failure is called ours")
			}
		})
	}
}

func TestAProviderThatEchoesAStoredCredentialIsSilenced(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.Providers[0].APIKey = "sk-stored-0123456789" })
	r.up.answers(ok200("application/json", chatAnswer, "X-Echo: Bearer sk-stored-0123456789", "X-Fine: sk-client"))
	a := ask(t, r.addr, post("/v1/chat/completions", chatBody, "Authorization: Bearer sk-client"))
	if a.Header.Get("X-Echo") != "" || a.Header.Get("X-Fine") != "sk-client" || string(a.body) != chatAnswer {
		t.Errorf("the client saw %s", seen(a))
	}
	if out := r.logs.String(); !strings.Contains(out, "X-Echo") || strings.Contains(out, "sk-stored") {
		t.Errorf("logged %s", out)
	}
}

func TestANameThatResolvesInsideIsNotConnectedTo(t *testing.T) {
	rows := map[string]*row{}
	for _, prov := range []Provider{
		{Name: "outside", Dialect: "openai", BaseURL: "https://api.example.com"},
		{Name: "ported", Dialect: "openai", BaseURL: "https://ported.example.com:8443"},
		{Name: "allowed", Dialect: "openai", BaseURL: "https://llm.corp.example", AllowPrivate: true},
		{Name: "plain", Dialect: "openai", BaseURL: "http://vllm:8000"},
		{Name: "local", Dialect: "openai", BaseURL: "https://localhost:8443"},
		{Name: "literal", Dialect: "openai", BaseURL: "https://10.0.0.7"},
	} {
		row, err := newRow(prov)
		if err != nil {
			t.Fatal(err)
		}
		rows[row.Name] = row
	}
	for _, tt := range []struct {
		name, row, host, to string
		refused             bool
	}{
		{"a public address", "outside", "api.example.com", "93.184.216.34", false},
		{"the machine itself", "outside", "api.example.com", "127.0.0.1", true},
		{"the machine itself, in six", "outside", "api.example.com", "::1", true},
		{"four in six", "outside", "api.example.com", "::ffff:10.0.0.1", true},
		{"a private network", "ported", "ported.example.com", "192.168.1.1", true},
		{"a unique local address", "outside", "api.example.com", "fd00::1", true},
		{"cloud metadata", "outside", "api.example.com", "169.254.169.254", true},
		{"carrier-grade NAT", "outside", "api.example.com", "100.64.0.1", true},
		{"nowhere", "outside", "api.example.com", "0.0.0.0", true},
		{"a row that allows it", "allowed", "llm.corp.example", "10.0.0.1", false},
		{"a row behind plain http", "plain", "vllm", "10.0.0.1", false},
		{"localhost", "local", "localhost", "127.0.0.1", false},
		{"an address as it is written", "literal", "10.0.0.7", "10.0.0.7", false},
		{"a forward proxy of the environment", "outside", "proxy.corp", "10.0.0.9", false},
	} {
		if err := rows[tt.row].permit(tt.host, netip.MustParseAddr(tt.to), rows[tt.row].AllowPrivate); (err != nil) != tt.refused {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// The check stands in the dialer: a name that an attacker's name server points
// inside is refused at the socket.
func TestTheDialerRefusesANameThatPointsInside(t *testing.T) {
	inside := newStandIn(t)
	defer inside.close()
	r := newRig(t, func(c *Config, _ *parts) {
		// A name for the loopback that is not written as such: what /etc/hosts and
		// resolvers answer for it is 127.0.0.1 or ::1.
		_, port, _ := strings.Cut(inside.ln.Addr().String(), ":")
		c.Providers = append(c.Providers, Provider{Name: "rebound", Dialect: "openai", BaseURL: "https://localhost.:" + port})
	})
	a := ask(t, r.addr, post("/rebound/v1/chat/completions", chatBody, "Authorization: Bearer sk-1"))
	if a.StatusCode != 502 || a.Header.Get("X-Gnomon-Error") != "upstream_unreachable" {
		t.Errorf("the client saw %s", seen(a))
	}
	if n := len(inside.connections()); n != 0 {
		t.Errorf("%d connections were made inside", n)
	}
	if ev := r.event(1); ev.Status != schemas.StatusProviderError || ev.UsageSource != schemas.UsageNone {
		t.Errorf("recorded %s %s", ev.Status, ev.UsageSource)
	}
}

// A request that began under a configuration is held to its row, also when a
// reload has taken the row away before the connection is made.
func TestARowThatAReloadTookAwayStillRefusesAddressesInside(t *testing.T) {
	inside := newStandIn(t)
	defer inside.close()
	r := newRig(t, func(c *Config, _ *parts) {
		_, port, _ := strings.Cut(inside.ln.Addr().String(), ":")
		c.Providers = append(c.Providers, Provider{Name: "rebound", Dialect: "openai", BaseURL: "https://localhost.:" + port})
		c.BodyTimeout = 5 * time.Second
	})
	conn := dial(t, r.addr, "POST /rebound/v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{")
	eventually(t, "the request has begun", func() bool { return r.p.flights.count() == 1 })
	next := r.config()
	next.Providers = next.Providers[:3]
	if err := r.p.Reload(next); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "}")
	if a := readAnswer(t, conn, "POST"); a.StatusCode != 502 {
		t.Errorf("the client saw %s", seen(a))
	}
	if n := len(inside.connections()); n != 0 {
		t.Errorf("%d connections were made inside", n)
	}
}

func TestALargeUploadIsNotHeldInMemory(t *testing.T) {
	const size = 64 << 20
	r := newRig(t)
	got := make(chan int64, 1)
	r.up.raw(rawUpload(got))
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conn := dial(t, r.addr, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	piece := strings.Repeat("x", 1<<20)
	for i := range size >> 20 {
		if _, err := io.WriteString(conn, chunks(piece)); err != nil {
			t.Fatal(err)
		}
		if i%16 == 15 {
			var now runtime.MemStats
			runtime.GC() // what other tests left is not ours
			runtime.ReadMemStats(&now)
			peak.HeapInuse = max(peak.HeapInuse, now.HeapInuse)
		}
	}
	_, _ = io.WriteString(conn, "0\r\n\r\n")
	if a := readAnswer(t, conn, "POST"); a.err != nil || a.StatusCode != 200 {
		t.Fatalf("the client saw %s", seen(a))
	}
	if n := <-got; n < size {
		t.Errorf("%d bytes arrived", n)
	}
	if grown := int64(peak.HeapInuse) - int64(before.HeapInuse); grown > 40<<20 { // the capture bound, its doubling, pieces of the test
		t.Errorf("the heap grew by %d MB", grown>>20)
	}
	if ev := r.event(1); ev.RequestBytes != size || ev.BaselineReject != schemas.RejectUnreadable {
		t.Errorf("recorded %d bytes, %s", ev.RequestBytes, ev.BaselineReject.Code())
	}
}

func TestALineOf32MegabytesIsIdentical(t *testing.T) {
	r := newRig(t)
	line := "data: " + strings.Repeat("é", 16<<20) + "\n\n"
	for _, request := range []string{saidStream, unsaidStream} {
		r.up.answers(chunked("text/event-stream", []string{line[:7], line[7 : 5<<20], line[5<<20:], streamEvents[3]}))
		if a := ask(t, r.addr, post("/v1/chat/completions", request)); a.err != nil || !strings.HasPrefix(string(a.body), line) {
			t.Errorf("%d bytes of %d, %v", len(a.body), len(line), a.err)
		}
	}
	if ev := r.event(1); ev.InputTokens != 11 { // read behind the long line
		t.Errorf("recorded %d input tokens", ev.InputTokens)
	}
}

// Nothing that is pooled is shared by two requests, and the primary key is ours:
// every answer repeats one id.
func TestNoTwoRequestsMeet(t *testing.T) {
	r := newRig(t)
	r.up.handle(func(c *call) {
		nonce := c.req.Header.Get("X-Nonce")
		if !strings.Contains(string(c.body), nonce) {
			nonce = "swapped"
		}
		_, _ = io.WriteString(c, chunked("text/event-stream", []string{
			"data: {\"id\":\"same\",\"model\":\"m-" + nonce + "\",\"choices\":[{\"delta\":{\"content\":\"" + nonce + "\"}}]}\n\n", "data: [DONE]\n\n"}))
	})
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			nonce := fmt.Sprintf("nonce-%03d-%s", i, strings.Repeat("z", i))
			a := ask(t, r.addr, post("/v1/chat/completions", strings.Replace(saidStream, "hi", nonce, 1)+strings.Repeat(" ", i), "X-Nonce: "+nonce, "x-gnomon-feature: "+nonce[:9]))
			if a.err != nil || !strings.Contains(string(a.body), `"`+nonce+`"`) {
				t.Errorf("%s saw %v %q", nonce, a.err, a.body)
			}
		})
	}
	wg.Wait()
	r.event(n)
	ids := map[string]bool{}
	for _, ev := range r.rec.events() {
		ids[ev.RequestID] = true
		if ev.ResponseID != "same" || !strings.HasPrefix(ev.ResponseModel, "m-"+ev.Feature) {
			t.Errorf("%s was answered by %s (%s)", ev.Feature, ev.ResponseModel, ev.ResponseID)
		}
	}
	if len(ids) != n {
		t.Errorf("%d ids of %d requests", len(ids), n)
	}
}

func TestAHeadThatDoesNotComeIsGivenUp(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.HeadTimeout = 200 * time.Millisecond })
	r.up.answers(ok200("application/json", chatAnswer))
	slow := dial(t, r.addr, "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nX-Slow: ")
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.StatusCode != 200 {
		t.Errorf("another client meanwhile: %s", seen(a))
	}
	if left, err := io.ReadAll(slow); err != nil || len(left) > 0 && !strings.HasPrefix(string(left), "HTTP/1.1 408") {
		t.Errorf("the slow client saw %q, %v", left, err)
	}
	if n := len(r.rec.events()); n != 1 {
		t.Errorf("%d events: a head that never came was accepted", n)
	}
}

// rawUpload counts a chunked upload as it comes, keeping none of it.
func rawUpload(got chan<- int64) func(net.Conn) {
	return func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			got <- -1
			return
		}
		n, _ := io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer, "Connection: close"))
		got <- n
	}
}

// Where bodies would take too much memory, looking at them is given up first and
// traffic never.
func TestPastTheBoundOfCaptureBodiesStreamBy(t *testing.T) {
	r := newRig(t, withPolicy("openai/gpt-4o-mini"), func(c *Config, _ *parts) { c.CaptureTotal = 300 << 10 })
	started, release := make(chan struct{}, 8), make(chan struct{})
	r.up.handle(func(c *call) {
		started <- struct{}{}
		<-release
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
	})
	large := strings.Replace(chatBody, "parcel", strings.Repeat("x", 200<<10), 1)
	done := make(chan answer, 4)
	for range 4 {
		go func() { done <- ask(t, r.addr, post("/v1/chat/completions", large)) }()
		<-started // each reaches the provider while the others are held
	}
	close(release)
	for range 4 {
		if a := <-done; a.err != nil || a.StatusCode != 200 || string(a.body) != chatAnswer {
			t.Errorf("answered %s", seen(a))
		}
	}
	for _, raw := range r.up.requests() {
		if !strings.HasSuffix(raw, large) {
			t.Error("a body differs")
		}
	}
	r.event(4)
	unread := 0
	for _, ev := range r.rec.events() {
		if ev.BaselineReject == schemas.RejectUnreadable {
			unread++
		}
		if int(ev.RequestBytes) != len(large) {
			t.Errorf("recorded %d bytes of %d", ev.RequestBytes, len(large))
		}
	}
	if unread < 2 || unread == 4 {
		t.Errorf("%d of 4 were not looked at", unread)
	}
	eventually(t, "all memory is given back", func() bool { return r.p.captured.held.Load() == 0 })
	if a := ask(t, r.addr, post("/v1/chat/completions", large)); a.StatusCode != 200 {
		t.Errorf("behind it: %s", seen(a))
	}
	if ev := r.event(5); ev.BaselineReject == schemas.RejectUnreadable || ev.UsageSource != schemas.UsageProvider {
		t.Errorf("behind it: %s, usage %s", ev.BaselineReject.Code(), ev.UsageSource)
	}
}
