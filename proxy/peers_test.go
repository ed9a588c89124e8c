package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// What is sent in place of a key is looked up by its hash, and by nothing else.
func TestAKeyIsAValueWhateverIsWrittenInIt(t *testing.T) {
	r := newRig(t, withKeys(map[string]schemas.Key{ownKey: {ID: "abc"}}), func(c *Config, _ *parts) { c.RequireKey = true })
	r.up.answers(ok200("application/json", chatAnswer))
	for _, tt := range []struct {
		name, key string
		status    int
	}{
		{"SQL", "gk_' OR 1=1--", 401},
		{"SQL alone", "' OR 1=1--", 401},
		{"a zero byte", "gk_abc\x00", 400}, // the server takes no such header
		{"a long one", "gk_" + strings.Repeat("a", 512<<10), 401},
		{"one beyond what a head may have", "gk_" + strings.Repeat("a", 1<<20+8<<10), 431},
		{"another script", "gk_ключ", 401},
		{"a mark alone", "gk_", 401},
		{"the right one, cut", ownKey[:len(ownKey)-1], 401},
		{"the right one, and more", ownKey + "0", 401},
		{"the right one, in capitals", strings.ToUpper(ownKey), 401},
	} {
		for _, header := range []string{"Authorization: Bearer ", "x-api-key: ", "api-key: ", "x-goog-api-key: ", "x-gnomon-key: "} {
			if a := ask(t, r.addr, post("/v1/chat/completions", chatBody, header+tt.key, "Connection: close")); a.Response == nil || a.StatusCode != tt.status {
				t.Errorf("%s as %s: %.300s", tt.name, header, seen(a))
			}
		}
	}
	if got := r.up.requests(); len(got) != 0 {
		t.Errorf("the provider got %.300q", got)
	}
}

// Two keys are two, however much of them is the same.
func TestKeysThatBeginAlikeAreTwoIdentities(t *testing.T) {
	begin := "gk_abc_" + strings.Repeat("0", 60)
	r := newRig(t, withKeys(map[string]schemas.Key{begin + "1": {ID: "one", Team: "a"}, begin + "2": {ID: "two", Team: "b"}}))
	r.up.answers(ok200("application/json", chatAnswer))
	for i, want := range []string{"one", "two", "one"} {
		ask(t, r.addr, post("/v1/chat/completions", chatBody, fmt.Sprintf("Authorization: Bearer %s%d", begin, i%2+1)))
		if ev := r.event(i + 1); ev.KeyID != want {
			t.Errorf("request %d is %s's (team %s), want %s", i, ev.KeyID, ev.Team, want)
		}
	}
}

// A limit is one limit: of many at once no more pass than one after the other
// would, whichever header the key comes in.
func TestAKeysLimitIsOneLimitForManyAtOnce(t *testing.T) {
	const at, bound = 100, 10
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	r := newRig(t, withKeys(map[string]schemas.Key{ownKey: {ID: "abc", RequestsPerMinute: bound}}), func(c *Config, _ *parts) { c.Now = func() time.Time { return now } })
	r.up.answers(ok200("application/json", chatAnswer))
	var all sync.WaitGroup
	var passed, refused atomic.Int64
	for i := range at {
		header := []string{"Authorization: Bearer ", "x-api-key: ", "x-gnomon-key: "}[i%3]
		all.Go(func() {
			switch a := ask(t, r.addr, post("/v1/chat/completions", chatBody, header+ownKey)); a.StatusCode {
			case 200:
				passed.Add(1)
			case 429:
				refused.Add(1)
			}
		})
	}
	all.Wait()
	if passed.Load() != bound || refused.Load() != at-bound || len(r.up.requests()) != bound {
		t.Errorf("%d passed and %d were refused, the provider got %d; the limit is %d", passed.Load(), refused.Load(), len(r.up.requests()), bound)
	}
}

// Two at once are two, in whichever headers.
func TestAKeysRequestsInFlightAreBoundedInEveryHeader(t *testing.T) {
	headers := []string{"Authorization: Bearer ", "x-api-key: ", "api-key: ", "x-gnomon-key: "}
	for i, first := range headers {
		r := newRig(t, withKeys(map[string]schemas.Key{ownKey: {ID: "abc", InFlight: 1}}))
		release := make(chan struct{})
		r.up.handle(func(c *call) { <-release; _, _ = io.WriteString(c, ok200("application/json", chatAnswer)) })
		one := dial(t, r.addr, post("/v1/chat/completions", chatBody, first+ownKey))
		eventually(t, "the first is at the provider", func() bool { return len(r.up.requests()) == 1 })
		second := headers[(i+1)%len(headers)]
		if a := ask(t, r.addr, post("/v1/chat/completions", chatBody, second+ownKey)); a.StatusCode != 429 {
			t.Errorf("%sbeside %s: %s", first, second, seen(a))
		}
		close(release)
		if a := readAnswer(t, one, "POST"); a.StatusCode != 200 {
			t.Errorf("the first: %s", seen(a))
		}
	}
}

// Where a key is required, it is on every road to a provider.
func TestNoRoadLeadsRoundAKeyThatIsRequired(t *testing.T) {
	r := newRig(t, withKeys(map[string]schemas.Key{ownKey: {ID: "abc"}, "gk_expired": {ID: "exp", Expires: time.Now().Add(-time.Second)}}), func(c *Config, _ *parts) { c.RequireKey = true })
	r.up.answers(ok200("application/json", chatAnswer))
	for _, line := range []string{
		"POST /v1/chat/completions", "POST /v1/messages", "POST /v1/messages/count_tokens", "POST /v1/responses", "POST /v1/embeddings", "POST /v1/completions", "GET /v1/models", "POST /v1/files",
		"DELETE /v1/files/f", "GET /v1/unknown/path", "PROPFIND /v1/models", "GET /v1", "GET /openai", "POST /openai/v1/chat/completions", "POST /anthropic/v1/messages", "GET /plain//v1/models",
		"POST /v1/models/gemini:generateContent", "GET http://elsewhere.example/v1/models", "GET /v1/realtime", "HEAD /v1/models", "OPTIONS /v1/chat/completions",
	} {
		for _, with := range []string{"", "Authorization: Bearer sk-client\r\n", "Authorization: Bearer gk_\r\n", "x-api-key: gk_expired\r\n", "Authorization: Bearer " + ownKey[:20] + "\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n"} {
			a := ask(t, r.addr, line+" HTTP/1.1\r\nHost: h\r\n"+with+"\r\n")
			if a.Response == nil || a.StatusCode != 401 {
				t.Errorf("%s with %q: %s", line, with, seen(a))
			}
		}
	}
	if got := r.up.requests(); len(got) != 0 {
		t.Errorf("the provider got %q", got)
	}
}

// A client that leaves after any event is one record, with the usage that was
// last stated, and an estimate where that is less than what has passed.
func TestLeavingAfterEachEventIsOneRecord(t *testing.T) {
	events := []string{
		"data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":1}}\n\n",
		"data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\" all\"}}],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2}}\n\n",
		"data: {\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":2}}\n\n",
		"data: [DONE]\n\n",
	}
	r := newRig(t)
	upTo := 0
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(events[:upTo]...))
		_, _ = io.Copy(io.Discard, c)
	})
	for upTo = range len(events) + 1 {
		resp, err := http.Post("http://"+r.addr+"/v1/chat/completions", "application/json", strings.NewReader(saidStream))
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Join(events[:upTo], "")
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("%q %v", got, err)
		}
		resp.Body.Close() // before its end: the connection is closed
		ev := r.event(upTo + 1)
		source := schemas.UsageEstimated
		if upTo >= 3 { // the answer was over but for its end: what was stated is all
			source = schemas.UsageProvider
		}
		if ev.Status != schemas.StatusClientAbort || ev.UsageSource != source || ev.InputTokens == 0 || int(ev.ResponseBytes) != len(want) {
			t.Errorf("after %d events: recorded %s %s %+v, %d bytes", upTo, ev.Status, ev.UsageSource, ev.Usage, ev.ResponseBytes)
		}
		if upTo > 0 && (ev.InputTokens != 11 || ev.OutputTokens < uint32(min(upTo, 2))) {
			t.Errorf("after %d events: recorded %+v, less than was stated", upTo, ev.Usage)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if n := len(r.rec.events()); n != len(events)+1 {
		t.Errorf("%d records of %d requests", n, len(events)+1)
	}
}

// Told to stop with five hundred streams running: no new one is taken, those that
// end within the bound end whole, the rest is cut off and recorded as that.
func TestStoppingWithFiveHundredStreams(t *testing.T) {
	const streams = 500
	r := newRig(t, func(c *Config, _ *parts) { c.DrainTimeout = 2 * time.Second })
	finish := make(chan struct{})
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
		if c.req.Header.Get("X-Stays") != "" {
			_, _ = io.Copy(io.Discard, c)
			return
		}
		<-finish
		_, _ = io.WriteString(c, chunks(streamEvents[1:]...)+"0\r\n\r\n")
	})
	ends := make(chan bool, streams) // whether it ended whole
	for i := range streams {
		headers := []string{}
		if i%2 == 1 {
			headers = append(headers, "X-Stays: 1")
		}
		conn := dial(t, r.addr, post("/v1/chat/completions", saidStream, headers...))
		go func() {
			a := readAnswer(t, conn, "POST")
			if whole := a.err == nil; whole != (i%2 == 0) || whole && string(a.body) != strings.Join(streamEvents, "") {
				t.Errorf("stream %d: %s", i, seen(a))
			}
			ends <- a.err == nil
		}()
	}
	eventually(t, "all streams run", func() bool { return len(r.up.requests()) == streams })
	began := time.Now()
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	eventually(t, "it drains", func() bool { return strings.Contains(r.logs.String(), "draining") })
	close(finish)
	whole := 0
	for range streams {
		if <-ends {
			whole++
		}
	}
	<-stopped
	took := time.Since(began)
	byStatus := map[schemas.Status]int{}
	for _, ev := range r.rec.events() {
		byStatus[ev.Status]++
		if ev.Status == schemas.StatusTimeout && ev.ErrorType != "drain" {
			t.Errorf("recorded %s", ev.ErrorType)
		}
	}
	if whole != streams/2 || byStatus[schemas.StatusOK] != streams/2 || byStatus[schemas.StatusTimeout] != streams/2 {
		t.Errorf("%d of %d ended whole, recorded %v", whole, streams, byStatus)
	}
	t.Logf("%d streams, half of which end, stopped in %v with a bound of 2s", streams, took.Round(time.Millisecond))
}
