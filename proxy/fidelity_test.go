package proxy

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/gnomon-llm/gnomon/schemas"
)

// packed is s as fast as it can be packed: the race detector makes that slow.
func packed(kind, s string) string {
	var b bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case "gzip":
		w, _ = gzip.NewWriterLevel(&b, gzip.BestSpeed)
	case "br":
		w = brotli.NewWriterLevel(&b, brotli.BestSpeed)
	case "zstd":
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest))
	case "zlib":
		w, _ = zlib.NewWriterLevel(&b, zlib.BestSpeed)
	case "raw":
		w, _ = flate.NewWriter(&b, flate.BestSpeed)
	}
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

const streamBody = `{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`

var streamEvents = []string{
	"data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n",
	": keep-alive\n\n",
	"data: {\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\r\n",
	"data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":5}}\n\n",
	"data: [DONE]\n\n",
}

const dated = "Date: Fri, 20 Nov 2026 10:00:00 GMT\r\n"

// seen is what a client can observe of an answer.
func seen(a answer) string {
	if a.err != nil && a.Response == nil {
		return "no answer: " + a.err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q %d length %d\n", a.hints, a.StatusCode, a.ContentLength)
	h := a.Header.Clone()
	h.Del("X-Gnomon-Request-Id")
	h.Del("Connection")
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fmt.Fprintf(&b, "%s: %q\n", name, h[name])
	}
	fmt.Fprintf(&b, "trailer %v\nerror %v\n%q", a.Trailer, a.err, a.body)
	return b.String()
}

const errBody = `{"error":{"message":"no","type":"x"}}`

var wholeStream = strings.Join(streamEvents, "")

// answers are raw answers of a provider, to chatBody where no request is named.
var answers = []struct {
	name, request, answer string
	usage                 uint32 // input tokens that must be read
	status                schemas.Status
}{
	{"a plain answer", "", ok200("application/json", chatAnswer), 1000, schemas.StatusOK},
	{"rate limit headers and an id", "", ok200("application/json", chatAnswer, "x-request-id: req_1", "x-ratelimit-remaining-tokens: 5", "openai-processing-ms: 3", "Set-Cookie: a=1", "Set-Cookie: b=2"), 1000, schemas.StatusOK},
	{"odd header values", "", ok200("application/json", chatAnswer, "x-latin: caf\xe9", "x-empty:", "x-long: "+strings.Repeat("v", 5000)), 1000, schemas.StatusOK},
	{"a small answer in chunks gets no length", "", chunked("application/json", []string{chatAnswer[:50], chatAnswer[50:]}), 1000, schemas.StatusOK},
	{"an empty answer in chunks", "", chunked("application/json", nil), 0, schemas.StatusOK},
	{"an answer that ends with the connection", "", "HTTP/1.0 200 OK\r\n" + dated + "Content-Type: application/json\r\n\r\n" + chatAnswer, 1000, schemas.StatusOK},
	{"no content type", "", "HTTP/1.1 200 OK\r\n" + dated + "Content-Length: 6\r\n\r\n<html>", 0, schemas.StatusOK},
	{"no date", "", "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nhi", 0, schemas.StatusOK},
	{"204", "", "HTTP/1.1 204 No Content\r\n" + dated + "\r\n", 0, schemas.StatusOK},
	{"304", "GET /v1/models/x HTTP/1.1\r\nHost: h\r\nIf-None-Match: \"e\"\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n" + dated + "ETag: \"e\"\r\n\r\n", 0, schemas.StatusOK},
	{"HEAD with a length", "HEAD /v1/files/x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n" + dated + "Content-Type: a/b\r\nContent-Length: 12345\r\n\r\n", 0, schemas.StatusOK},
	{"a redirect is the client's to follow", "", "HTTP/1.1 307 Temporary Redirect\r\n" + dated + "Location: https://elsewhere.example/v1\r\nContent-Length: 0\r\n\r\n", 0, schemas.StatusOK},
	{"400", "", "HTTP/1.1 400 Bad Request\r\n" + dated + "Content-Type: application/json\r\nContent-Length: 37\r\n\r\n" + errBody, 0, schemas.StatusProviderError},
	{"429 with the headers that SDKs read", "", "HTTP/1.1 429 Too Many Requests\r\n" + dated + "Retry-After: 2\r\nretry-after-ms: 1500\r\nx-should-retry: true\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n" + errBody, 0, schemas.StatusProviderError},
	{"503", "", "HTTP/1.1 503 Service Unavailable\r\n" + dated + "Retry-After: 1\r\nContent-Length: 0\r\n\r\n", 0, schemas.StatusProviderError},
	{"529", "", "HTTP/1.1 529 Site Overloaded\r\n" + dated + "Content-Type: application/json\r\nContent-Length: 37\r\n\r\n" + errBody, 0, schemas.StatusProviderError},
	{"599", "", "HTTP/1.1 599 Odd\r\n" + dated + "Content-Type: text/plain\r\nContent-Length: 0\r\n\r\n", 0, schemas.StatusProviderError},
	{"a stream", post("/v1/chat/completions", streamBody), chunked("text/event-stream; charset=utf-8", streamEvents), 11, schemas.StatusOK},
	{"a stream, byte by byte", post("/v1/chat/completions", streamBody), chunked("text/event-stream", strings.Split(wholeStream, "")), 11, schemas.StatusOK},
	{"a stream of known length", post("/v1/chat/completions", streamBody), ok200("text/event-stream", wholeStream), 11, schemas.StatusOK},
	{"trailers", "", "HTTP/1.1 200 OK\r\n" + dated + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Other\r\n\r\n" + chunks(chatAnswer) + "0\r\nX-Sum: abc\r\nX-Other: 1\r\n\r\n", 1000, schemas.StatusOK},
	{"gzip", "", ok200("application/json", packed("gzip", chatAnswer), "Content-Encoding: gzip"), 1000, schemas.StatusOK},
	{"brotli", "", ok200("application/json", packed("br", chatAnswer), "Content-Encoding: br"), 1000, schemas.StatusOK},
	{"zstd", "", ok200("application/json", packed("zstd", chatAnswer), "Content-Encoding: zstd"), 1000, schemas.StatusOK},
	{"deflate as zlib", "", ok200("application/json", packed("zlib", chatAnswer), "Content-Encoding: deflate"), 1000, schemas.StatusOK},
	{"deflate without its head", "", ok200("application/json", packed("raw", chatAnswer), "Content-Encoding: deflate"), 1000, schemas.StatusOK},
	{"a gzip stream", post("/v1/chat/completions", streamBody), chunked("text/event-stream", []string{packed("gzip", wholeStream)[:30], packed("gzip", wholeStream)[30:]}, "Content-Encoding: gzip"), 11, schemas.StatusOK},
	{"a brotli stream", post("/v1/chat/completions", streamBody), chunked("text/event-stream", []string{packed("br", wholeStream)}, "Content-Encoding: br"), 11, schemas.StatusOK},
	{"a zstd stream", post("/v1/chat/completions", streamBody), chunked("text/event-stream", []string{packed("zstd", wholeStream)}, "Content-Encoding: zstd"), 11, schemas.StatusOK},
	{"what calls itself gzip and is not", "", ok200("application/json", chatAnswer, "Content-Encoding: gzip"), 0, schemas.StatusOK},
	{"an unknown encoding", "", ok200("application/json", chatAnswer, "Content-Encoding: snappy"), 0, schemas.StatusOK},
	{"bytes that are no UTF-8", "", ok200("application/octet-stream", "\x00\xff\xfe\x80"), 0, schemas.StatusOK},
	{"an event of two megabytes", post("/v1/chat/completions", streamBody), chunked("text/event-stream", []string{"data: " + strings.Repeat("x", 2<<20), "\n\n", streamEvents[3]}), 11, schemas.StatusOK},
	{"an early hint", "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok200("application/json", chatAnswer), 1000, schemas.StatusOK},
}

func TestAnAnswerIsWhatADirectCallWouldHaveSeen(t *testing.T) {
	r := newRig(t)
	n := 0
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			request := tt.request
			if request == "" {
				request = post("/v1/chat/completions", chatBody, "Accept-Encoding: gzip, br")
			}
			once := strings.HasPrefix(tt.answer, "HTTP/1.0")
			r.up.handle(func(c *call) {
				_, _ = io.WriteString(c, tt.answer)
				if once {
					c.Close()
				}
			})
			direct, through := ask(t, r.up.ln.Addr().String(), request), ask(t, r.addr, request)
			n++
			want, got := seen(direct), seen(through)
			if got != want {
				t.Errorf("through gnomon\n%.2000s\ndirect\n%.2000s", got, want)
			}
			ev := r.event(n)
			if ev.InputTokens != tt.usage || ev.Status != tt.status {
				t.Errorf("recorded %s with %d input tokens (%s), want %s with %d", ev.Status, ev.InputTokens, ev.UsageSource, tt.status, tt.usage)
			}
			if int(ev.HTTPStatus) != direct.StatusCode || int(ev.ResponseBytes) != len(direct.body) {
				t.Errorf("recorded status %d and %d bytes, want %d and %d", ev.HTTPStatus, ev.ResponseBytes, direct.StatusCode, len(direct.body))
			}
		})
	}
}

// atProvider is what a provider can observe of a request: its line, headers in
// any order and case, and body.
func atProvider(raw string) string {
	head, body, _ := strings.Cut(raw, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	var headers []string
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		if name = http.CanonicalHeaderKey(name); name == "Host" {
			continue
		}
		headers = append(headers, name+": "+strings.TrimSpace(value))
	}
	slices.Sort(headers)
	return fmt.Sprintf("%s\n%s\n%.300q… %d bytes", lines[0], strings.Join(headers, "\n"), body, len(body))
}

func TestARequestReachesTheProviderAsItWasSent(t *testing.T) {
	chunkedBody := func(pieces ...string) string {
		return "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(pieces...) + "0\r\n\r\n"
	}
	r := newRig(t)
	r.up.answers(ok200("application/json", chatAnswer))
	for _, tt := range []struct {
		name, request, want string // want: "" when the request itself
		reject              schemas.Reject
	}{
		{"a bearer key", post("/v1/chat/completions", chatBody, "Authorization: Bearer sk-1", "User-Agent: OpenAI/Python 2", "X-Stainless-Lang: python", "Idempotency-Key: k"), "", schemas.RejectNone},
		{"an x-api-key", post("/v1/messages", `{"model":"claude-sonnet-4-20250514","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`, "x-api-key: sk-ant", "anthropic-version: 2023-06-01", "anthropic-beta: a,b"), "", schemas.RejectNone},
		{"a bearer key for Anthropic, as its newer SDK sends it", post("/v1/messages", `{"model":"claude-sonnet-4-20250514","max_tokens":9,"messages":[{"role":"user","content":"x"}]}`, "Authorization: Bearer sk-ant"), "", schemas.RejectNone},
		{"gnomon's own headers stay here", post("/v1/chat/completions", chatBody, "x-gnomon-feature: f", "x-gnomon-team: secret", "X-Gnomon-Bypass: 1", "A: b"), post("/v1/chat/completions", chatBody, "A: b"), schemas.RejectBypassed},
		{"hop-by-hop headers stay here", post("/v1/chat/completions", chatBody, "Connection: keep-alive, x-hop", "x-hop: 1", "Keep-Alive: 5", "Proxy-Authorization: p"), post("/v1/chat/completions", chatBody), schemas.RejectNone},
		{"a path in its own escapes", "GET /v1/files/a%2Fb%20c%7Ed//e?x=%41&y=a+b;c&&=# HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n", "", schemas.RejectOperation},
		{"a path that net/url would write otherwise", "GET /v1/a|b\"[c]^{d}`%e4 HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n", "", schemas.RejectOperation},
		{"an empty query", "GET /v1/models? HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n", "", schemas.RejectOperation},
		{"dots in a path", "GET /v1/a/../b/./c HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n", "", schemas.RejectOperation},
		{"absolute form", "GET http://elsewhere.example/v1/models?a=b HTTP/1.1\r\nHost: elsewhere.example\r\nUser-Agent: u\r\n\r\n", "GET /v1/models?a=b HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\n\r\n", schemas.RejectOperation},
		{"no user agent", "GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n", "", schemas.RejectOperation},
		{"a method of its own", "PROPFIND /v1/models HTTP/1.1\r\nHost: h\r\n\r\n", "", schemas.RejectOperation},
		{"DELETE", "DELETE /v1/files/f HTTP/1.1\r\nHost: h\r\n\r\n", "", schemas.RejectOperation},
		{"a provider by its name, below its base", "POST /plain/v1/chat/completions?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", "POST /base/v1/chat/completions?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", schemas.RejectNoLadder},
		{"a provider by its name alone", "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n", "GET /base HTTP/1.1\r\nHost: h\r\n\r\n", schemas.RejectOperation},
		{"a chunked body", chunkedBody(chatBody[:10], chatBody[10:]), chunkedBody(chatBody), schemas.RejectNone},
		{"an empty body", post("/v1/chat/completions", ""), "", schemas.RejectUnreadable},
		{"a repeated model", post("/v1/chat/completions", `{"model":"gpt-4o","model":"gpt-4o-mini","stream":true}`), "", schemas.RejectRepeatedKey},
		{"an escaped key", post("/v1/chat/completions", `{"mod\u0065l":"gpt-4o","stream":true}`), "", schemas.RejectUnreadable},
		{"broken JSON", post("/v1/chat/completions", `{"model":"gpt-4o",`), "", schemas.RejectUnreadable},
		{"no JSON", post("/v1/chat/completions", "\x00\xff\r\n\r\n"), "", schemas.RejectUnreadable},
		{"a byte order mark", post("/v1/chat/completions", "\xef\xbb\xbf"+chatBody), "", schemas.RejectUnreadable},
		{"ten thousand brackets", post("/v1/chat/completions", `{"model":"gpt-4o","messages":`+strings.Repeat("[", 10000)+strings.Repeat("]", 10000)+`}`), "", schemas.RejectUnreadable},
		{"numbers beyond reason", post("/v1/chat/completions", `{"model":"gpt-4o","n":1000000000,"max_tokens":-1,"max_completion_tokens":1e18,"messages":[{"role":"user","content":"x"}]}`), "", schemas.RejectNone},
		{"a compressed body", post("/v1/chat/completions", packed("gzip", strings.Repeat("0", 1<<20)), "Content-Encoding: gzip"), "", schemas.RejectUnreadable},
		{"a body beyond the capture bound", post("/v1/chat/completions", `{"model":"gpt-4o","x":"`+strings.Repeat("y", 5<<20)+`"}`), "", schemas.RejectUnreadable},
		{"a chunked body beyond the capture bound", chunkedBody(`{"model":"gpt-4o","x":"`, strings.Repeat("y", 5<<20), `"}`), "", schemas.RejectUnreadable},
		{"usage asked for where the client did not say", post("/v1/chat/completions", `{"model":"gpt-4o","stream":true }`), post("/v1/chat/completions", `{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true} }`, "Accept-Encoding: identity"), schemas.RejectNone},
		{"never under bypass", post("/v1/chat/completions", `{"model":"gpt-4o","stream":true }`, "x-gnomon-bypass: 1"), post("/v1/chat/completions", `{"model":"gpt-4o","stream":true }`), schemas.RejectBypassed},
		{"never at a row that is not known to take it", post("/plain/v1/chat/completions", `{"model":"gpt-4o","stream":true }`), post("/base/v1/chat/completions", `{"model":"gpt-4o","stream":true }`), schemas.RejectNoLadder},
		{"two lengths that agree", "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", schemas.RejectNoLadder},
		{"a length beside chunks is re-framed", "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", schemas.RejectNoLadder},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, events := len(r.up.requests()), len(r.rec.events())
			if a := ask(t, r.addr, tt.request); a.err != nil || a.StatusCode != 200 {
				t.Fatalf("answered %+v", seen(a))
			}
			want := tt.want
			if want == "" {
				want = tt.request
			}
			// The wanted form goes to the stand-in directly, so that both are framed alike.
			ask(t, r.up.ln.Addr().String(), want)
			got := r.up.requests()[before:]
			if len(got) != 2 || atProvider(got[0]) != atProvider(got[1]) {
				t.Errorf("the provider got\n%s\nwant\n%s", atProvider(got[0]), atProvider(got[len(got)-1]))
			}
			if len(got) == 2 && got[0][strings.Index(got[0], "\r\n\r\n"):] != got[1][strings.Index(got[1], "\r\n\r\n"):] {
				t.Error("the bodies differ")
			}
			if ev := r.event(events + 1); ev.BaselineReject != tt.reject {
				t.Errorf("recorded as %s, want %s", ev.BaselineReject.Code(), tt.reject.Code())
			}
		})
	}
}

func TestARequestThatBringsAnExpectationIsServed(t *testing.T) {
	r := newRig(t)
	r.up.answers(ok200("application/json", chatAnswer))
	for _, path := range []string{"/v1/chat/completions", "/v1/files"} {
		conn := dial(t, r.addr, "POST "+path+" HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		buf := make([]byte, 25)
		if _, err := io.ReadFull(conn, buf); err != nil || string(buf) != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%s: %q %v", path, buf, err)
		}
		_, _ = io.WriteString(conn, "{}")
		if a := readAnswer(t, conn, "POST"); a.err != nil || string(a.body) != chatAnswer {
			t.Errorf("%s: %s", path, seen(a))
		}
	}
}

func TestPathsOutsideOfEverySurfaceGoNowhere(t *testing.T) {
	r := newRig(t)
	r.up.answers(ok200("application/json", "{}"))
	for _, line := range []string{"GET / ", "GET /favicon.ico ", "POST /chat/completions ", "POST /grok/v1/chat/completions ", "GET /openai%2Fv1/models ", "GET //v1/models ", "CONNECT api.openai.com:443 ", "OPTIONS * "} {
		a := ask(t, r.addr, line+"HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sk-1\r\nConnection: close\r\n\r\n")
		if strings.HasPrefix(line, "OPTIONS") { // answered by the server itself
			continue
		}
		if a.StatusCode != 404 || a.Header.Get("x-gnomon-error") != "no_surface" {
			t.Errorf("%s: %s", line, seen(a))
		}
	}
	if got := r.up.requests(); len(got) != 0 {
		t.Errorf("the provider was told %q", got)
	}
	if evs := r.rec.events(); len(evs) != 0 {
		t.Errorf("recorded %+v", evs)
	}
}
