package proxy

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func poolOf(weights ...int64) pool {
	var p pool
	for i, w := range weights {
		p = append(p, &member{name: fmt.Sprint(i), weight: w})
	}
	return p
}

func TestAPoolIsDrawnFromByWeightAndWork(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		name  string
		pool  pool
		stays bool // what is drawn stays at work, so that least outstanding decides
		want  []float64
	}{
		{"equal weights, equal work", poolOf(1, 1, 1, 1), true, []float64{.25, .25, .25, .25}},
		{"by weight, while calls go on", poolOf(6, 3, 1), true, []float64{.6, .3, .1}},
		{"by weight, while calls are short", poolOf(6, 3, 1), false, []float64{.6, .3, .1}},
		{"one alone", poolOf(5), false, []float64{1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 20_000
			got := map[*member]float64{}
			for range n {
				m := tt.pool.draw(now, nil)
				got[m]++
				if tt.stays {
					m.busy.Add(1)
				}
			}
			for i, m := range tt.pool {
				if share := got[m] / n; math.Abs(share-tt.want[i]) > .02 {
					t.Errorf("member %d has %.3f of the calls, want %.2f", i, share, tt.want[i])
				}
			}
		})
	}
	p := poolOf(1, 1, 1)
	p[0].busy.Store(1000)
	for range 300 {
		if p.draw(now, nil) == p[0] { // of two it always has more to do
			t.Fatal("the busiest was taken")
		}
	}
	p = poolOf(1, 1, 1)
	p[1].leaveAlone(now, time.Minute)
	for range 300 {
		if m := p.draw(now, p[2]); m != p[0] {
			t.Fatalf("drew %s: one is left alone and one to be avoided", m.name)
		}
	}
	for _, m := range p {
		m.leaveAlone(now, time.Minute)
	}
	if p.draw(now, p[0]) == nil || p.draw(now, nil) == nil {
		t.Error("with all left alone there is none: a call would have to be refused")
	}
	if m := p.draw(now.Add(2*time.Minute), nil); m == nil {
		t.Error("after the pause there is none")
	}
	if pool(nil).draw(now, nil) != nil {
		t.Error("a member out of nothing")
	}
}

// farm is a rig whose openai row has stored keys and two hosts beside base_url.
func farm(t *testing.T, keys []string, opts ...option) (r *rig, hosts [2]*standIn) {
	for i := range hosts {
		hosts[i] = newStandIn(t)
		hosts[i].answers(ok200("application/json", chatAnswer))
		t.Cleanup(hosts[i].close)
	}
	r = newRig(t, append([]option{func(c *Config, p *parts) {
		c.Providers[0].APIKeys = keys
		c.Providers[0].Hosts = []Host{{BaseURL: hosts[0].url() + "/a"}, {BaseURL: hosts[1].url() + "/b", Weight: 1}}
		c.Keys = ring(map[string]schemas.Key{ownKey: {ID: "own"}})
	}}, opts...)...)
	r.up.answers(ok200("application/json", chatAnswer))
	return r, hosts
}

func authOf(raw string) string {
	_, rest, _ := strings.Cut(raw, "Authorization: Bearer ")
	key, _, _ := strings.Cut(rest, "\r\n")
	return key
}

func TestOnlyCallsOnStoredCredentialsAreSpread(t *testing.T) {
	r, hosts := farm(t, []string{"sk-1", "sk-2", "sk-3"})
	for range 60 {
		if a := ask(t, r.addr, post("/v1/chat/completions?x=1", chatBody, "Authorization: Bearer "+ownKey)); a.StatusCode != 200 {
			t.Fatalf("answered %s", seen(a))
		}
	}
	used := map[string]int{}
	for i, path := range []string{"/a", "/b"} {
		got := hosts[i].requests()
		if len(got) < 10 {
			t.Errorf("host %d has %d of 60 calls", i, len(got))
		}
		for _, raw := range got {
			used[authOf(raw)]++
			if !strings.HasPrefix(raw, "POST "+path+"/v1/chat/completions?x=1 ") || !strings.HasSuffix(raw, chatBody) {
				t.Fatalf("host %d got %s", i, raw)
			}
		}
	}
	if len(used) != 3 || used["sk-1"] == 0 || used["sk-2"] == 0 || used["sk-3"] == 0 {
		t.Errorf("credentials used: %v", used)
	}
	// A caller's own key goes to base_url, and with no other.
	for range 20 {
		ask(t, r.addr, post("/v1/chat/completions", chatBody, "Authorization: Bearer sk-client"))
	}
	for _, raw := range r.up.requests() {
		if authOf(raw) != "sk-client" {
			t.Errorf("base_url got %s", raw)
		}
	}
	if got := len(r.up.requests()); got != 20 {
		t.Errorf("base_url had %d calls", got)
	}
	eventually(t, "no call is counted as under way", func() bool {
		for _, m := range append(append(pool{}, r.p.rows["openai"].hosts...), r.p.rows["openai"].keys...) {
			if m.busy.Load() != 0 {
				return false
			}
		}
		return true
	})
}

func TestAHostThatFailsIsSkippedAndComesBack(t *testing.T) {
	pause := 50 * time.Millisecond
	r, hosts := farm(t, []string{"sk-1"}, at(0, func(p *Provider) { p.Breaker.Pause = pause }))
	var ill atomic.Bool
	ill.Store(true)
	hosts[0].handle(func(c *call) {
		if ill.Load() {
			_, _ = io.WriteString(c, status("502 X"))
			return
		}
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
	})
	request := post("/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey)
	// An observed call is never repeated: the callers see what the host said.
	for len(hosts[0].requests()) < 3 {
		ask(t, r.addr, request)
	}
	if metric(t, r, "gnomon_members_ejected_total") != 1 {
		t.Fatalf("%v ejected", metric(t, r, "gnomon_members_ejected_total"))
	}
	ill.Store(false)
	eventually(t, "the host is asked again", func() bool { ask(t, r.addr, request); return len(hosts[0].requests()) > 3 })
	// With all hosts failing the caller hears what they say, and no error of ours.
	for _, h := range hosts {
		h.answers(status("503 X", "Retry-After: 7"))
	}
	for range 12 {
		if a := ask(t, r.addr, request); a.StatusCode != 503 || a.Header.Get("Retry-After") != "7" || a.Header.Get("x-gnomon-error") != "" {
			t.Fatalf("answered %s", seen(a))
		}
	}
}

func TestARefusedCredentialIsSkipped(t *testing.T) {
	for name, refusal := range map[string]string{"401": status("401 X"), "429 with a wait": status("429 X", "Retry-After: 60")} {
		t.Run(name, func(t *testing.T) {
			r, hosts := farm(t, []string{"sk-bad", "sk-good"})
			for _, h := range hosts {
				h.handle(func(c *call) {
					if strings.Contains(c.head, "sk-bad") {
						_, _ = io.WriteString(c, refusal)
						return
					}
					_, _ = io.WriteString(c, ok200("application/json", chatAnswer, "X-Echo: sk-good", "X-Other: sk-bad"))
				})
			}
			refused := 0
			for range 40 {
				a := ask(t, r.addr, post("/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey))
				if a.StatusCode != 200 {
					refused++
				} else if a.Header.Get("X-Echo") != "" || a.Header.Get("X-Other") != "" {
					t.Errorf("a credential came back: %s", seen(a))
				}
			}
			if refused > 1 {
				t.Errorf("%d calls were refused: the credential was not left alone", refused)
			}
			if out := r.logs.String(); strings.Contains(out, "sk-bad") || strings.Contains(out, "sk-good") {
				t.Errorf("logged: %s", out)
			}
		})
	}
}

func TestARepetitionGoesToAnotherHost(t *testing.T) {
	p := live("cheap/gpt-4o-mini")
	up := newStandIn(t)
	t.Cleanup(up.close)
	up.answers(ok200("application/json", chatAnswer))
	r := newRig(t, elsewhere(t, func(c *Provider) {
		c.Hosts = []Host{{BaseURL: c.BaseURL, Weight: 1000}, {BaseURL: up.url()}} // the first is dead
	}))
	for i := range 2 {
		a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), chatBody))
		ev := r.event(i + 1)
		if a.Header.Get("x-gnomon-route") != "cheap/gpt-4o-mini" || ev.Fallback || len(r.up.requests()) != 0 {
			t.Errorf("answered %s", seen(a))
		}
	}
	if n := len(up.requests()); n != 2 {
		t.Errorf("the living host had %d calls", n)
	}
}
