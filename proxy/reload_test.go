package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// config is the rig's configuration, to be changed and put in force.
func (r *rig) config() Config { return r.p.current.Load().cfg }

func TestAConfigurationIsReplacedWithoutDroppingAStream(t *testing.T) {
	r := newRig(t)
	other := newStandIn(t)
	t.Cleanup(other.close)
	other.answers(ok200("application/json", `{"from":"other"}`))
	streaming, finish := make(chan struct{}), make(chan struct{})
	r.up.handle(func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
		close(streaming)
		<-finish
		_, _ = io.WriteString(c, chunks(streamEvents[1:]...)+"0\r\n\r\n")
	})
	conn := dial(t, r.addr, post("/v1/chat/completions", streamBody))
	<-streaming

	next := r.config()
	next.Providers = []Provider{{Name: "openai", Dialect: "openai", BaseURL: other.url()}, {Name: "new", Dialect: "openai", BaseURL: other.url()}}
	if err := r.p.Reload(next); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/v1/models": 200, "/new/v1/models": 200, "/anthropic/v1/models": 404} {
		a := ask(t, r.addr, "GET "+path+" HTTP/1.1\r\nHost: h\r\n\r\n")
		if a.err != nil || a.StatusCode != want || (want == 200 && !strings.Contains(string(a.body), "other")) {
			t.Errorf("%s under the new configuration: %v %q %v", path, a.Response, a.body, a.err)
		}
	}
	close(finish)
	if a := readAnswer(t, conn, http.MethodPost); a.err != nil || string(a.body) != wholeStream {
		t.Errorf("the stream that was under way: %q %v", a.body, a.err)
	}
}

func TestAWrongConfigurationLeavesTheOldOneInForce(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"an address that is none", func(c *Config) { c.Providers = []Provider{{Name: "openai", Dialect: "openai", BaseURL: "nowhere"}} }, "base_url"},
		{"a name twice", func(c *Config) { c.Providers = append(c.Providers[:1:1], c.Providers[0]) }, "twice"},
		{"another project", func(c *Config) { c.Project = "other" }, "project"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t)
			r.up.answers(ok200("application/json", chatAnswer))
			next := r.config()
			row.change(&next)
			if err := r.p.Reload(next); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v", err)
			}
			if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.err != nil || a.StatusCode != 200 {
				t.Errorf("%v %v", a.Response, a.err)
			}
		})
	}
}

func TestANewBoundHoldsForNewRequests(t *testing.T) {
	r := newRig(t)
	there, finish := make(chan struct{}), make(chan struct{})
	r.up.handle(func(c *call) { close(there); <-finish; _, _ = io.WriteString(c, ok200("application/json", chatAnswer)) })
	conn := dial(t, r.addr, post("/v1/chat/completions", chatBody))
	<-there
	next := r.config()
	next.MaxInFlight = 1
	if err := r.p.Reload(next); err != nil {
		t.Fatal(err)
	}
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.err != nil || a.StatusCode != 503 {
		t.Errorf("past the new bound: %v %v", a.Response, a.err)
	}
	close(finish)
	if a := readAnswer(t, conn, http.MethodPost); a.err != nil || a.StatusCode != 200 {
		t.Errorf("the one in flight: %v %v", a.Response, a.err)
	}
}
