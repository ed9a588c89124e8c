package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestWhatIsLostOfARequestsHeadersIsLostOfItsTrailers(t *testing.T) {
	for _, tt := range []struct{ name, path string }{{"passed on as it comes", "/openai/v1/files"}, {"held", "/v1/chat/completions"}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			got := make(chan http.Header, 1)
			r.up.handle(func(c *call) {
				got <- c.req.Trailer
				_, _ = io.WriteString(c, ok200("application/json", "{}"))
			})
			a := ask(t, r.addr, "POST "+tt.path+" HTTP/1.1\r\nHost: h\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Gnomon-Key, X-Sum, Authorization, X-Hop\r\n\r\n"+chunks(chatBody)+
				"0\r\nX-Gnomon-Key: gnm-secret\r\nX-Sum: 1\r\nAuthorization: Bearer sk-client\r\nX-Hop: 1\r\nX-Gnomon-Unannounced: 1\r\nKeep-Alive: 1\r\n\r\n")
			if a.err != nil || a.StatusCode != 200 {
				t.Fatalf("answered %s", seen(a))
			}
			if trailer := <-got; len(trailer) != 1 || trailer.Get("X-Sum") != "1" {
				t.Errorf("the provider got %v", trailer)
			}
		})
	}
}

// storedKey gives the row openai a stored credential.
func storedKey(c *Config, _ *parts) { c.Providers[0].APIKey = "sk-stored-openai" }

func TestAStoredCredentialComesBackInNoPartOfAnAnswersHead(t *testing.T) {
	for _, tt := range []struct{ name, ask, answer string }{
		{"headers, hints, trailers and the reason phrase", "POST /openai/v1/files HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
			"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Echo: Bearer sk-stored-openai\r\n\r\nHTTP/1.1 200 For sk-stored-openai\r\nX-Echo: sk-stored-openai\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Last\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Last: sk-stored-openai\r\n\r\n"},
		{"a changed protocol", "GET /openai/v1/realtime HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"HTTP/1.1 101 For sk-stored-openai\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Echo: sk-stored-openai\r\nX-Sum: 1\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, storedKey)
			r.up.handle(func(c *call) {
				_, _ = io.WriteString(c, tt.answer)
				c.Close()
			})
			all, err := io.ReadAll(dial(t, r.addr, tt.ask))
			if err != nil || strings.Contains(string(all), "sk-stored") || !strings.Contains(string(all), "X-Sum: 1") {
				t.Errorf("the client got %q, %v", all, err)
			}
			if !strings.Contains(r.logs.String(), "repeats a stored credential") {
				t.Errorf("the log does not say so: %s", r.logs)
			}
		})
	}
}

func TestTheReasonPhraseIsTheProviders(t *testing.T) {
	for _, tt := range []struct{ name, said, want string }{
		{"its own", "429 Slow Down Please", "429 Slow Down Please"},
		{"none of its own", "429 Too Many Requests", "429 Too Many Requests"},
		{"of a status that nobody knows", "599 It Is Late", "599 It Is Late"},
		{"one with a control character", "429 Slow\x01Down", "429 Too Many Requests"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.up.answers("HTTP/1.1 " + tt.said + "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
			line, err := bufio.NewReader(dial(t, r.addr, post("/v1/chat/completions", chatBody))).ReadString('\n')
			if err != nil || line != "HTTP/1.1 "+tt.want+"\r\n" {
				t.Errorf("the client got %q, %v", line, err)
			}
		})
	}
}
