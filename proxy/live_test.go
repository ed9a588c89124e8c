package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

const candidate = "openai/gpt-4o-mini"

// at changes a provider's row.
func at(i int, change func(*Provider)) option {
	return func(c *Config, _ *parts) { change(&c.Providers[i]) }
}

// generous is a budget that allows each request one repetition.
var generous = at(0, func(p *Provider) { p.Retry.Budget = 1 })

func notesOf(t *testing.T, ev *schemas.RequestEvent) (n schemas.Notes) {
	t.Helper()
	if ev.Extra != "" {
		if err := json.Unmarshal([]byte(ev.Extra), &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func says(raw string) func(*call) { return func(c *call) { _, _ = io.WriteString(c, raw) } }

func dies(c *call) { _ = c.Conn.(*net.TCPConn).SetLinger(0); c.Close() }

func stalls(raw string) func(*call) {
	return func(c *call) { _, _ = io.WriteString(c, raw); _, _ = io.Copy(io.Discard, c) }
}

// first answers the first call to a model in one way and all others in another.
func first(once, then func(*call)) func(*call) {
	var n atomic.Int32
	return func(c *call) {
		if n.Add(1) == 1 {
			once(c)
			return
		}
		then(c)
	}
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func status(line string, headers ...string) string {
	return "HTTP/1.1 " + line + "\r\n" + strings.Join(append(headers, "Content-Length: 0"), "\r\n") + "\r\n\r\n"
}

func TestWhatIsRecordedOfACandidateThatFailsBeforeTheFirstByte(t *testing.T) {
	mini := ok200("application/json", strings.ReplaceAll(chatAnswer, "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"))
	good := says(mini)
	for _, tt := range []struct {
		name   string
		mini   func(*call)
		asked  string // in order; m the candidate, b the baseline
		reason string
		lost   uint8
	}{
		{"503, asked to come again at once, and then well", first(says(status("503 X", "Retry-After: 0")), good), "mm", "Service Unavailable", 0},
		{"429 in milliseconds, and then well", first(says(status("429 X", "retry-after-ms: 20", "Retry-After: 60")), good), "mm", "Too Many Requests", 0},
		{"529 with a wait that is short, and then well", first(says(status("529 X", "Retry-After: 0.02")), good), "mm", "status 529", 0},
		{"503 twice: once more is enough", says(status("503 X", "Retry-After: 0")), "mmb", "Service Unavailable", 0},
		{"429 with a wait beyond the bound", first(says(status("429 X", "Retry-After: 20")), good), "mb", "Too Many Requests", 0},
		{"429 without a word of when", first(says(status("429 X")), good), "mb", "Too Many Requests", 0},
		{"503, not to be asked again", first(says(status("503 X", "Retry-After: 0", "x-should-retry: false")), good), "mb", "Service Unavailable", 0},
		{"500 with a wait: not known to be safe", first(says(status("500 X", "Retry-After: 0")), good), "mb", "Internal Server Error", 0},
		{"400, what it objects to", first(says(status("400 X", "Retry-After: 0")), good), "mb", "Bad Request", 0},
		{"a reset before any byte, and then well", first(dies, good), "mm", "reset", 1},
		{"a close before any byte, and then well", first(func(c *call) { c.Close() }, good), "mm", "reset", 1},
		{"it dies in the head", first(func(c *call) { _, _ = io.WriteString(c, "HTTP/1.1 200"); c.Close() }, good), "mb", "broken", 1},
		{"it dies after the head", first(func(c *call) { _, _ = io.WriteString(c, streamHead); c.Close() }, good), "mb", "died", 1},
		{"no head in time", first(stalls(""), good), "mb", "first_byte_timeout", 1},
		{"a head, and no byte behind it in time", first(stalls(streamHead), good), "mb", "first_byte_timeout", 1},
		{"an error as the first event", first(says(streamHead+chunks("data: {\"error\":{\"message\":\"overloaded\"}}\n\n")+"0\r\n\r\n"), good), "mb", "error event", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := live(candidate)
			r := newRig(t, withPolicy(candidate), at(0, func(p *Provider) { p.Retry.Budget, p.HeaderTimeout = 1, 400*time.Millisecond }))
			r.models(map[string]func(*call){"gpt-4o-mini": tt.mini})
			a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), chatBody))
			served := strings.HasSuffix(tt.asked, "m")
			if a.err != nil || a.StatusCode != 200 || (a.Header.Get("x-gnomon-route") == candidate) != served || a.Header.Get("Retry-After") != "" {
				t.Errorf("answered %s", seen(a))
			}
			if got := strings.NewReplacer("gpt-4o-mini", "m", "gpt-4o", "b", " ", "", "[", "", "]", "").Replace(fmt.Sprint(r.asked())); got != tt.asked {
				t.Errorf("asked %s, want %s", got, tt.asked)
			}
			ev := r.event(1)
			n := notesOf(t, &ev)
			if int(n.Attempts) != len(tt.asked) || n.AttemptFailed != tt.reason || n.AttemptsLost != tt.lost || ev.Fallback == served {
				t.Errorf("recorded %d attempts, %q, %d lost, fallback %v", n.Attempts, n.AttemptFailed, n.AttemptsLost, ev.Fallback)
			}
			if ev.Status != schemas.StatusOK || ev.InputTokens != 1000 || !ev.Cost.Known || (ev.Cost == ev.BaselineCost) == served {
				t.Errorf("recorded %s, %d tokens, cost %v of %v: the served call, once", ev.Status, ev.InputTokens, ev.Cost, ev.BaselineCost)
			}
			if got := metric(t, r, "gnomon_retries_total"); int(got) != strings.Count(tt.asked, "m")-1 {
				t.Errorf("%v repetitions counted", got)
			}
		})
	}
}

func TestNobodyIsAskedForAClientThatHasLeft(t *testing.T) {
	p := live(candidate)
	r := newRig(t, withPolicy(candidate), at(0, func(p *Provider) { p.Retry.Budget, p.Retry.MaxWait = 1, time.Minute }))
	r.models(map[string]func(*call){"gpt-4o-mini": says(status("503 X", "Retry-After: 30"))})
	began := time.Now()
	conn := dial(t, r.addr, mail(session(t, p, schemas.ArmTreated), chatBody))
	eventually(t, "the candidate has refused", func() bool { return len(r.up.requests()) == 1 })
	conn.Close()
	ev := r.event(1)
	if n := notesOf(t, &ev); ev.Status != schemas.StatusClientAbort || ev.UsageSource != schemas.UsageNone || ev.Cost.Nano != 0 || n.Attempts != 0 || n.AttemptFailed != "Service Unavailable" || time.Since(began) > 10*time.Second {
		t.Errorf("recorded %s, %s of %v, %+v", ev.Status, ev.UsageSource, ev.Cost, n)
	}
	if got := r.asked(); len(got) != 1 {
		t.Errorf("asked %v", got)
	}
}

func TestACandidatesCallIsAnotherRequestThanItsBaselines(t *testing.T) {
	p := live(candidate)
	r := newRig(t, withPolicy(candidate), generous)
	r.models(map[string]func(*call){"gpt-4o-mini": says("HTTP/1.1 103 Early Hints\r\nLink: </candidate>\r\n\r\n" + status("503 X", "Retry-After: 0"))})
	a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), chatBody, "Idempotency-Key: k-1"))
	if a.StatusCode != 200 || len(a.hints) != 0 {
		t.Errorf("answered %s", seen(a))
	}
	var keys []string
	for _, raw := range r.up.requests() {
		_, rest, _ := strings.Cut(raw, "Idempotency-Key: ")
		key, _, _ := strings.Cut(rest, "\r\n")
		keys = append(keys, key)
	}
	if got := fmt.Sprint(keys); got != "[k-1-gpt-4o-mini k-1-gpt-4o-mini k-1]" {
		t.Errorf("the provider was told %s: one key with two bodies is refused", got)
	}
}

// elsewhere makes a candidate at a provider of its own, to which nobody answers.
func elsewhere(t *testing.T, change func(*Provider)) option {
	return func(c *Config, p *parts) {
		cheap := Provider{Name: "cheap", Dialect: "openai", BaseURL: "http://" + deadAddr(t), APIKey: "sk-stored", Retry: Retry{Budget: 1}}
		change(&cheap)
		c.Providers = append(c.Providers, cheap)
		p.Providers = append(p.Providers, classifier.Provider{Name: "cheap", Dialects: []string{"openai.chat"}, Credential: true})
		book, err := p.Prices.(*savings.Book).WithAlias("cheap", "openai")
		if err != nil {
			t.Fatal(err)
		}
		p.Prices, p.Policies = book, []schemas.Policy{live("cheap/gpt-4o-mini")}
	}
}

func TestACandidateThatCannotBeReachedIsReplaced(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tt := range []struct {
		name     string
		change   func(*Provider)
		attempts uint8
		reason   string
	}{
		{"nobody listens", func(*Provider) {}, 3, "connect"},
		{"no answer to the handshake", func(p *Provider) {
			p.BaseURL, p.ConnectTimeout = "https://"+silent.Addr().String(), 50*time.Millisecond
		}, 2, "connect_timeout"},
		{"no repetitions wanted", func(p *Provider) { p.Retry.Attempts = -1 }, 2, "connect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, elsewhere(t, tt.change))
			r.up.answers(ok200("application/json", chatAnswer))
			a := ask(t, r.addr, mail(session(t, live("cheap/gpt-4o-mini"), schemas.ArmTreated), chatBody))
			ev := r.event(1)
			n := notesOf(t, &ev)
			if a.StatusCode != 200 || !ev.Fallback || n.Attempts != tt.attempts || n.AttemptFailed != tt.reason || n.AttemptsLost != 0 || ev.OverheadUS > 50_000 {
				t.Errorf("answered %s, recorded %+v, overhead %d µs", seen(a), n, ev.OverheadUS)
			}
		})
	}
}

func TestOnlyWhatGnomonRoutedIsRepeated(t *testing.T) {
	p := live(candidate)
	for name, request := range map[string]string{
		"the control arm":  mail(session(t, p, schemas.ArmControl), chatBody),
		"another workload": post("/v1/chat/completions", chatBody, "x-gnomon-feature: other"),
		"a bypassed one":   mail(session(t, p, schemas.ArmTreated), chatBody, "x-gnomon-bypass: 1"),
		"an upload":        post("/v1/files", "x"),
	} {
		for _, fault := range []func(*call){says(status("503 X", "Retry-After: 0")), dies} {
			r := newRig(t, withPolicy(candidate), generous)
			r.up.handle(fault)
			a := ask(t, r.addr, request)
			if a.err != nil || a.StatusCode != 503 && a.StatusCode != 502 || len(r.up.requests()) != 1 {
				t.Errorf("%s: %s after %d calls", name, seen(a), len(r.up.requests()))
			}
			if ev := r.event(1); notesOf(t, &ev).Attempts != 0 {
				t.Errorf("%s: recorded %s", name, ev.Extra)
			}
		}
	}
	// The baseline behind a failed candidate is the caller's own call, too.
	r := newRig(t, withPolicy(candidate), generous)
	r.up.answers(status("503 X", "Retry-After: 0"))
	a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), chatBody))
	if got := fmt.Sprint(r.asked()); a.StatusCode != 503 || a.Header.Get("Retry-After") != "0" || got != "[gpt-4o-mini gpt-4o-mini gpt-4o]" {
		t.Errorf("answered %s after %s", seen(a), got)
	}
}

func TestTheBudgetBoundsRepetitions(t *testing.T) {
	p := live(candidate)
	treated := session(t, p, schemas.ArmTreated)
	r := newRig(t, withPolicy(candidate), at(0, func(p *Provider) { p.Retry.Budget, p.Breaker = 0.1, Breaker{Failures: 1000, Rate: 1} }))
	var n atomic.Int32
	r.models(map[string]func(*call){"gpt-4o-mini": func(c *call) {
		if n.Add(1)%5 == 0 { // so that not every call of a window fails
			says(ok200("application/json", chatAnswer))(c)
			return
		}
		says(status("503 X", "Retry-After: 0"))(c)
	}})
	const requests = 60
	for i := range requests {
		if a := ask(t, r.addr, mail(treated, chatBody)); a.StatusCode != 200 {
			t.Fatalf("answered %s", seen(a))
		}
		if again := metric(t, r, "gnomon_retries_total"); again > 0.1*float64(i+1)+1e-6 {
			t.Fatalf("%v repetitions after %d requests", again, i+1)
		}
	}
	if again, refused := metric(t, r, "gnomon_retries_total"), metric(t, r, "gnomon_retries_refused_total"); again < 4 || refused < 30 {
		t.Errorf("%v repetitions, %v refused: the budget is not what bounds them", again, refused)
	}
}

// probes trips the candidate's breaker and returns the rig.
func tripped(t *testing.T, pause time.Duration) (r *rig, treated string) {
	p := live(candidate)
	treated = session(t, p, schemas.ArmTreated)
	r = newRig(t, withPolicy(candidate), at(0, func(p *Provider) { p.Breaker.Pause = pause }))
	r.models(map[string]func(*call){"gpt-4o-mini": says(status("503 X"))})
	for range 3 {
		ask(t, r.addr, mail(treated, chatBody))
	}
	if metric(t, r, "gnomon_ejections_total") != 1 {
		t.Fatal("the candidate was not ejected")
	}
	return r, treated
}

func TestAnEjectedCandidateIsARecordedInputOfTheDecision(t *testing.T) {
	r, treated := tripped(t, time.Minute)
	ask(t, r.addr, mail(treated, chatBody))
	ask(t, r.addr, post("/v1/chat/completions", chatBody, "x-gnomon-feature: other")) // of the built-in ladder
	if metric(t, r, "gnomon_breaker_state") != 2 {
		t.Errorf("breaker state %v", metric(t, r, "gnomon_breaker_state"))
	}
	for i := 1; i <= 5; i++ {
		ev := r.event(i)
		var in classifier.Inputs
		if err := in.UnmarshalBinary(ev.Inputs); err != nil {
			t.Fatal(err)
		}
		again := classifier.Decide(&in, r.snapshot())
		if fmt.Sprint(again.Rejects, again.Route) != fmt.Sprint(ev.Rejects, ev.WouldRoute) {
			t.Errorf("event %d: decided %v %s, replayed %v %s", i, ev.Rejects, ev.WouldRoute, again.Rejects, again.Route)
		}
		if refused := strings.Contains(fmt.Sprint(ev.Rejects), fmt.Sprint(uint16(schemas.RejectUnhealthy))); refused != (i > 3) || (in.Unhealthy != 0) != (i > 3) {
			t.Errorf("event %d: rejects %v, unhealthy %b", i, ev.Rejects, in.Unhealthy)
		}
	}
}

func TestABaselineIsNeverRefusedByABreaker(t *testing.T) {
	r, treated := tripped(t, time.Minute)
	for _, request := range []string{
		post("/v1/chat/completions", strings.Replace(chatBody, "gpt-4o", "gpt-4o-mini", 1)),
		mail(treated, strings.Replace(chatBody, "gpt-4o", "gpt-4o-mini", 1)),
	} {
		before := len(r.up.requests())
		if a := ask(t, r.addr, request); a.StatusCode != 503 || a.Header.Get("x-gnomon-error") != "" || len(r.up.requests()) != before+1 {
			t.Errorf("what the ejected model itself was asked: %s", seen(a))
		}
	}
}

func TestAfterThePauseFewTryTheCandidate(t *testing.T) {
	r, treated := tripped(t, 30*time.Millisecond)
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	r.models(map[string]func(*call){"gpt-4o-mini": func(c *call) {
		<-release
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
	}})
	calls := func() int { return strings.Count(fmt.Sprint(r.asked()), "gpt-4o-mini") }
	eventually(t, "the pause is over", func() bool { return metric(t, r, "gnomon_breaker_state") == 1 })
	probe := dial(t, r.addr, mail(treated, chatBody))
	eventually(t, "one request tries the candidate", func() bool { return calls() == 4 })
	for range 5 { // nobody else waits for it
		if a := ask(t, r.addr, mail(treated, chatBody)); a.StatusCode != 200 || a.Header.Get("x-gnomon-route") != "" {
			t.Errorf("beside the probe: %s", seen(a))
		}
	}
	if calls() != 4 {
		t.Errorf("%d calls while one was allowed", calls())
	}
	// The prober leaves: that says nothing of the candidate, and its place is free.
	probe.Close()
	r.event(9)
	again := dial(t, r.addr, mail(treated, chatBody))
	eventually(t, "another one tries it", func() bool { return calls() == 5 })
	free()
	if a := readAnswer(t, again, "POST"); a.Header.Get("x-gnomon-route") != candidate {
		t.Errorf("the probe: %s", seen(a))
	}
	if a := ask(t, r.addr, mail(treated, chatBody)); a.Header.Get("x-gnomon-route") != candidate || metric(t, r, "gnomon_breaker_state") != 0 {
		t.Errorf("once it has answered: %s", seen(a))
	}
}

// Decisions that were taken at one moment all see the place of a probe free.
func TestOfManyAtOnceFewProbe(t *testing.T) {
	m, err := newMetrics(nil, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &health{log: slog.New(slog.DiscardHandler), ejected: m.ejections}
	cfg := Breaker{Probes: 2, Pause: 10 * time.Millisecond}
	cfg.defaults()
	b := h.of("p/m", cfg)
	stale, probe := b.enter() // is under way when the breaker opens
	if !stale || probe {
		t.Fatal("a closed breaker refuses, or probes")
	}
	for range 3 {
		b.enter()
		b.leave(wentWrong, false)
	}
	if ok, _ := b.enter(); ok || !h.unhealthy("p/m", time.Time{}) || h.unhealthy("p/other", time.Time{}) {
		t.Fatal("three failures in a row did not open it")
	}
	eventually(t, "the pause is over", func() bool { return !h.unhealthy("p/m", time.Time{}) })
	in := func() (n int) {
		for range 10 {
			if ok, probe := b.enter(); ok && probe {
				n++
			}
		}
		return n
	}
	if n := in(); n != 2 {
		t.Errorf("%d of ten are let in, want 2", n)
	}
	b.leave(wentWell, false) // the stale one: what it says is of the time before
	if n := in(); n != 0 {
		t.Errorf("%d more are let in on an old call's word", n)
	}
	b.leave(noVerdict, true)
	if n := in(); n != 1 {
		t.Errorf("%d are let in where one place is free", n)
	}
	b.leave(wentWrong, true)
	if ok, _ := b.enter(); ok {
		t.Error("a probe that failed does not open it again")
	}
	b.leave(noVerdict, true)
	eventually(t, "the next pause is over", func() bool { return in() == 2 })
	b.leave(wentWell, true)
	b.leave(wentWell, true)
	if ok, probe := b.enter(); !ok || probe || h.open.Load() != 0 {
		t.Errorf("a probe that went well does not close it: %v %v, %d open", ok, probe, h.open.Load())
	}
}

func TestACandidateThatFailsHalfTheTimeIsEjectedToo(t *testing.T) {
	p := live(candidate)
	treated := session(t, p, schemas.ArmTreated)
	r := newRig(t, withPolicy(candidate))
	var n atomic.Int32
	r.models(map[string]func(*call){"gpt-4o-mini": func(c *call) {
		if n.Add(1)%2 == 0 {
			says(ok200("application/json", chatAnswer))(c)
			return
		}
		says(status("500 X"))(c)
	}})
	for range rateNeeds + 2 {
		ask(t, r.addr, mail(treated, chatBody))
	}
	if got := n.Load(); got != rateNeeds || metric(t, r, "gnomon_ejections_total") != 1 {
		t.Errorf("%d calls, %v ejections", got, metric(t, r, "gnomon_ejections_total"))
	}
}

func TestEachTimeoutIsAProvidersOwnAndHasItsOwnName(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, tt := range []struct {
		name    string
		row     func(*Provider)
		handler func(*call)
		status  int // 0: an answer that was begun, aborted
		kind    string
	}{
		{"to connect", func(p *Provider) {
			p.BaseURL, p.ConnectTimeout = "https://"+silent.Addr().String(), 50*time.Millisecond
		}, nil, 504, "connect_timeout"},
		{"to the head", func(p *Provider) { p.HeaderTimeout = 50 * time.Millisecond }, stalls(""), 504, "upstream_timeout"},
		{"between two reads", func(p *Provider) { p.IdleTimeout = 50 * time.Millisecond }, stalls(streamHead + chunks(streamEvents[0])), 0, "idle"},
		{"in all, before the head", func(p *Provider) { p.TotalTimeout = 50 * time.Millisecond }, stalls(""), 504, "total_timeout"},
		{"in all, of a lively stream", func(p *Provider) { p.TotalTimeout = 100 * time.Millisecond }, func(c *call) {
			_, _ = io.WriteString(c, streamHead)
			for {
				if _, err := io.WriteString(c, chunks(": still here\n\n")); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}, 0, "total_timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, at(0, tt.row))
			r.up.handle(tt.handler)
			a := ask(t, r.addr, post("/v1/chat/completions", saidStream))
			if tt.status == 0 && (a.Response == nil || a.err == nil) || tt.status != 0 && (a.err != nil || a.StatusCode != tt.status || a.Header.Get("x-gnomon-error") != tt.kind) {
				t.Errorf("answered %s", seen(a))
			}
			if ev := r.event(1); ev.Status != schemas.StatusTimeout || ev.ErrorType != tt.kind {
				t.Errorf("recorded %s %s", ev.Status, ev.ErrorType)
			}
			// The others wait as long as before.
			r.up.handle(func(c *call) { time.Sleep(150 * time.Millisecond); says(ok200("application/json", chatAnswer))(c) })
			if a := ask(t, r.addr, post("/plain/v1/chat/completions", chatBody)); a.StatusCode != 200 {
				t.Errorf("another row: %s", seen(a))
			}
		})
	}
}
