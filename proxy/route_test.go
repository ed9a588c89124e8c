package proxy

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// live is a policy that routes the workload "mail" to a candidate.
func live(candidate string) schemas.Policy {
	return schemas.Policy{Project: "acme", Workload: "mail", Version: 3, Replaces: 2, Mode: schemas.ModeLive, Candidate: candidate, Share: 10_000, Control: 500, Threshold: 1, Salt: []byte("salt"), Override: true}
}

func withPolicy(candidate string) option {
	return func(_ *Config, p *parts) { p.Policies = []schemas.Policy{live(candidate)} }
}

// session finds one that is in an arm.
func session(t *testing.T, p schemas.Policy, arm schemas.Arm) string {
	t.Helper()
	for i := range 10_000 {
		if s := fmt.Sprintf("s%d", i); classifier.Assign(&p, s) == arm {
			return s
		}
	}
	t.Fatal("no session is in arm " + arm)
	return ""
}

// models answers by the model asked for and lists what was asked.
func (r *rig) models(answers map[string]func(c *call)) {
	r.up.handle(func(c *call) {
		for model, h := range answers {
			if strings.Contains(string(c.body), `"model":"`+model+`"`) {
				h(c)
				return
			}
		}
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
	})
}

func (r *rig) asked() (models []string) {
	for _, raw := range r.up.requests() {
		_, rest, _ := strings.Cut(raw, `"model":"`)
		model, _, _ := strings.Cut(rest, `"`)
		models = append(models, model)
	}
	return models
}

func mail(session, body string, headers ...string) string {
	return post("/v1/chat/completions", body, append(headers, "x-gnomon-feature: mail", "x-gnomon-session: "+session, "Authorization: Bearer sk-client")...)
}

func TestATreatedSessionTakesTheRoute(t *testing.T) {
	p := live("openai/gpt-4o-mini")
	r := newRig(t, withPolicy("openai/gpt-4o-mini"))
	r.up.answers(ok200("application/json", strings.ReplaceAll(chatAnswer, "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18")))
	a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), chatBody))
	if a.StatusCode != 200 || a.Header.Get("x-gnomon-route") != "openai/gpt-4o-mini" {
		t.Errorf("answered %s", seen(a))
	}
	got := r.up.requests()[0]
	if !strings.HasSuffix(got, strings.Replace(chatBody, `"gpt-4o"`, `"gpt-4o-mini"`, 1)) {
		t.Errorf("the provider got %s", got)
	}
	ev := r.event(1)
	if ev.ServedModel != "gpt-4o-mini" || ev.RequestModel != "gpt-4o" || ev.Arm != schemas.ArmTreated || ev.Mode != schemas.ModeLive || ev.PolicyVersion != 3 || ev.Provider != "openai" || ev.BaselineProvider != "" || ev.Fallback {
		t.Errorf("recorded %+v", ev)
	}
	if ev.Cost.Nano >= ev.BaselineCost.Nano || ev.WouldCost != ev.Cost || ev.WouldRoute != "openai/gpt-4o-mini" {
		t.Errorf("cost %v, baseline %v, would-be %v of %s", ev.Cost, ev.BaselineCost, ev.WouldCost, ev.WouldRoute)
	}
}

// Where the path names the model, the path is what is rewritten; the body, whose
// model such a host does not read, stays as it is.
func TestADeploymentIsRoutedByItsPath(t *testing.T) {
	p := live("azure/gpt-4o-mini")
	book, err := testBook(t).WithAlias("azure", "openai")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, withPolicy("azure/gpt-4o-mini"), func(c *Config, p *parts) {
		p.Prices = book
		c.Providers = append(c.Providers, Provider{Name: "azure", Dialect: "openai", BaseURL: c.Providers[0].BaseURL})
	})
	r.up.answers(ok200("application/json", strings.ReplaceAll(chatAnswer, "gpt-4o-2024-08-06", "gpt-4o-mini")))
	request := strings.Replace(mail(session(t, p, schemas.ArmTreated), chatBody), "/v1/chat/completions", "/azure/openai/deployments/gpt-4o/chat/completions?api-version=1", 1)
	a := ask(t, r.addr, request)
	if a.StatusCode != 200 || a.Header.Get("x-gnomon-route") != "azure/gpt-4o-mini" {
		t.Errorf("answered %s", seen(a))
	}
	if got := r.up.requests()[0]; !strings.HasPrefix(got, "POST /openai/deployments/gpt-4o-mini/chat/completions?api-version=1 HTTP/1.1") || !strings.HasSuffix(got, chatBody) {
		t.Errorf("the provider got %s", got)
	}
	if ev := r.event(1); ev.RequestModel != "gpt-4o" || ev.ServedModel != "gpt-4o-mini" || ev.Cost.Nano >= ev.BaselineCost.Nano || ev.Dialect != "azure.chat" {
		t.Errorf("recorded %s %s for %s, cost %v, baseline %v", ev.Dialect, ev.ServedModel, ev.RequestModel, ev.Cost, ev.BaselineCost)
	}
}

func TestWhoIsNotTreatedIsServedAsAsked(t *testing.T) {
	p := live("openai/gpt-4o-mini")
	treated := session(t, p, schemas.ArmTreated)
	for _, tt := range []struct {
		name, request string
		policy        func(*schemas.Policy)
		arm           schemas.Arm
	}{
		{"the control arm", mail(session(t, p, schemas.ArmControl), chatBody), nil, schemas.ArmControl},
		{"another workload", post("/v1/chat/completions", chatBody, "x-gnomon-feature: other", "x-gnomon-session: "+treated), nil, schemas.ArmNone},
		{"a caller who asked for bypass", mail(treated, chatBody, "x-gnomon-bypass: 1"), nil, schemas.ArmTreated},
		{"while observing", mail(treated, chatBody), func(p *schemas.Policy) { p.Mode = schemas.ModeObserve }, schemas.ArmNone},
		{"while paused", mail(treated, chatBody), func(p *schemas.Policy) { p.Mode = schemas.ModePaused }, schemas.ArmNone},
		{"without evidence and override", mail(treated, chatBody), func(p *schemas.Policy) { p.Override = false }, schemas.ArmTreated},
		{"a repeated key", mail(treated, `{"model":"gpt-4o","model":"gpt-4o","messages":[]}`), nil, schemas.ArmTreated},
		{"an escaped key", mail(treated, strings.Replace(chatBody, "model", `mod\u0065l`, 1)), nil, schemas.ArmTreated},
		{"a body beyond the bound", mail(treated, strings.Replace(chatBody, "parcel", strings.Repeat("x", 5<<20), 1)), nil, schemas.ArmTreated},
		{"no session to be had", post("/v1/chat/completions", `{"model":"gpt-4o"}`, "x-gnomon-feature: mail"), nil, schemas.ArmNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pol := p
			if tt.policy != nil {
				tt.policy(&pol)
			}
			r := newRig(t, func(_ *Config, parts *parts) { parts.Policies = []schemas.Policy{pol} })
			r.up.answers(ok200("application/json", chatAnswer))
			a := ask(t, r.addr, tt.request)
			if a.StatusCode != 200 || a.Header.Get("x-gnomon-route") != "" {
				t.Errorf("answered %s", seen(a))
			}
			_, sent, _ := strings.Cut(tt.request, "\r\n\r\n")
			if got := r.up.requests(); len(got) != 1 || !strings.HasSuffix(got[0], "\r\n\r\n"+sent) {
				t.Errorf("the provider got %d requests", len(got))
			}
			ev := r.event(1)
			if ev.ServedModel != ev.RequestModel || ev.Arm != tt.arm || ev.Fallback {
				t.Errorf("recorded model %s of %s, arm %s, fallback %v", ev.ServedModel, ev.RequestModel, ev.Arm, ev.Fallback)
			}
		})
	}
}

func TestAWorkloadFoundByItsPromptIsRoutedToo(t *testing.T) {
	name := classifier.DiscoverName("openai.chat", []byte(chatBody))
	r := newRig(t, func(_ *Config, p *parts) {
		pol := live("openai/gpt-4o-mini")
		pol.Workload, pol.Control = name, 0
		p.Policies = []schemas.Policy{pol}
	})
	r.up.answers(ok200("application/json", chatAnswer))
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.Header.Get("x-gnomon-route") != "openai/gpt-4o-mini" {
		t.Errorf("answered %s", seen(a))
	}
	if ev := r.event(1); ev.Workload != name || ev.Session == "" {
		t.Errorf("recorded %s, session %q", ev.Workload, ev.Session)
	}
}

func TestAWorkloadThatAPersonNamedIsRoutedUnderItsName(t *testing.T) {
	r := newRig(t, func(_ *Config, p *parts) {
		pol := live("openai/gpt-4o-mini")
		pol.Workload, pol.Control = "sorting", 0
		p.Policies = []schemas.Policy{pol}
		p.Names = []classifier.Name{{Found: classifier.DiscoverName("openai.chat", []byte(chatBody)), Name: "sorting"}}
	})
	r.up.answers(ok200("application/json", chatAnswer))
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.Header.Get("x-gnomon-route") != "openai/gpt-4o-mini" {
		t.Errorf("answered %s", seen(a))
	}
	var in classifier.Inputs
	if ev := r.event(1); ev.Workload != "sorting" || in.UnmarshalBinary(ev.Inputs) != nil || in.Workload != "sorting" {
		t.Errorf("recorded %s, decided for %s", ev.Workload, in.Workload)
	}
}

func TestAFailingCandidateIsReplacedBeforeTheFirstByte(t *testing.T) {
	write := func(raw string) func(c *call) { return func(c *call) { _, _ = io.WriteString(c, raw) } }
	shut := func(raw string) func(c *call) {
		return func(c *call) { _, _ = io.WriteString(c, raw); c.Close() }
	}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct {
		name    string
		handler func(c *call)
	}{
		{"500", write("HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\noops")},
		{"429", write("HTTP/1.1 429 X\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")},
		{"529, which has no name", write("HTTP/1.1 529 X\r\nContent-Length: 0\r\n\r\n")},
		{"404", write("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")},
		{"400, what it objects to", write("HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n")},
		{"no answer", shut("")},
		{"a head and nothing more", shut(head)},
		{"an error as the first event", write(head + chunks("data: {\"error\":{\"message\":\"overloaded\"}}\n\n") + "0\r\n\r\n")},
		{"a head too late", func(c *call) { _, _ = io.Copy(io.Discard, c) }},
	} {
		for _, body := range []string{chatBody, unsaidStream} {
			t.Run(tt.name, func(t *testing.T) {
				p := live("openai/gpt-4o-mini")
				r := newRig(t, withPolicy("openai/gpt-4o-mini"), func(c *Config, _ *parts) { c.HeaderTimeout = 500 * time.Millisecond })
				r.models(map[string]func(*call){"gpt-4o-mini": tt.handler})
				a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), body))
				if a.err != nil || a.StatusCode != 200 || string(a.body) != chatAnswer || a.Header.Get("x-gnomon-route") != "" || a.Header.Get("Retry-After") != "" {
					t.Errorf("answered %s", seen(a))
				}
				if got := r.asked(); fmt.Sprint(got) != "[gpt-4o-mini gpt-4o]" {
					t.Errorf("asked %v", got)
				}
				ev := r.event(1)
				if !ev.Fallback || ev.ServedModel != "gpt-4o" || ev.WouldRoute != "openai/gpt-4o-mini" || ev.Status != schemas.StatusOK || ev.Cost != ev.BaselineCost {
					t.Errorf("recorded fallback %v, %s, would-be %s, %s", ev.Fallback, ev.ServedModel, ev.WouldRoute, ev.Status)
				}
			})
		}
	}
}

func TestNeverTwoModelsInOneStream(t *testing.T) {
	p := live("openai/gpt-4o-mini")
	r := newRig(t, withPolicy("openai/gpt-4o-mini"))
	r.models(map[string]func(*call){"gpt-4o-mini": func(c *call) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks(streamEvents[0]))
		c.Close()
	}})
	a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), saidStream))
	if a.err == nil || !strings.HasPrefix(streamEvents[0], string(a.body)) {
		t.Errorf("answered %s", seen(a))
	}
	if got := r.asked(); len(got) != 1 {
		t.Errorf("asked %v", got)
	}
	if ev := r.event(1); ev.Status != schemas.StatusTruncated || ev.Fallback || ev.ServedModel != "gpt-4o-mini" {
		t.Errorf("recorded %s %v %s", ev.Status, ev.Fallback, ev.ServedModel)
	}
}

func TestACandidateThatKeepsFailingIsLeftAlone(t *testing.T) {
	p := live("openai/gpt-4o-mini")
	r := newRig(t, withPolicy("openai/gpt-4o-mini"))
	r.models(map[string]func(*call){"gpt-4o-mini": func(c *call) { _, _ = io.WriteString(c, "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n") }})
	for range 3 + 2 {
		if a := ask(t, r.addr, mail(session(t, p, schemas.ArmTreated), chatBody)); a.StatusCode != 200 {
			t.Errorf("answered %s", seen(a))
		}
	}
	n := strings.Count(fmt.Sprint(r.asked()), "gpt-4o-mini")
	ev := r.event(3 + 2)
	if n != 3 || ev.Fallback || len(ev.Rejects) != 1 || ev.Rejects[0] != schemas.RejectUnhealthy {
		t.Errorf("asked %d times; the last event: fallback %v, rejects %v", n, ev.Fallback, ev.Rejects)
	}
}

func TestCredentialsGoOnlyWhereTheyBelong(t *testing.T) {
	other := func(key string) option {
		return func(c *Config, p *parts) {
			c.Providers = append(c.Providers, Provider{Name: "cheap", Dialect: "openai", BaseURL: c.Providers[0].BaseURL + "/cheap", APIKey: key})
			p.Providers = append(p.Providers, classifier.Provider{Name: "cheap", Dialects: []string{"openai.chat"}, Credential: key != ""})
			book := testBook(t)
			aliased, err := book.WithAlias("cheap", "openai")
			if err != nil {
				t.Fatal(err)
			}
			p.Prices = aliased
			p.Policies = []schemas.Policy{live("cheap/gpt-4o-mini")}
		}
	}
	p := live("cheap/gpt-4o-mini")
	treated := session(t, p, schemas.ArmTreated)
	full := mail(treated, chatBody, "OpenAI-Organization: org-client", "Cookie: c=client", "x-api-key: sk-client-2", "x-some-gateway-key: client")
	full = strings.Replace(full, "completions HTTP", "completions?key=sk-client HTTP", 1)
	anonymous := post("/v1/chat/completions", chatBody, "x-gnomon-feature: mail", "x-gnomon-session: "+treated)
	for _, tt := range []struct {
		name, key, request, path, auth string
		leaks                          bool // the client's own goes along
	}{
		{"a candidate elsewhere gets the stored one, and nothing of the client's", "sk-stored", full, "/cheap/v1/chat/completions", "Bearer sk-stored", false},
		{"without a stored one the baseline serves, with the client's", "", full, "/v1/chat/completions?key=sk-client", "Bearer sk-client", true},
		{"an anonymous request stays anonymous", "sk-stored", anonymous, "/v1/chat/completions", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, other(tt.key))
			r.up.answers(ok200("application/json", chatAnswer))
			ask(t, r.addr, tt.request)
			got := r.up.requests()
			if len(got) != 1 {
				t.Fatalf("the provider got %q", got)
			}
			head, _, _ := strings.Cut(got[0], "\r\n\r\n")
			auth := ""
			for l := range strings.SplitSeq(head, "\r\n") {
				if v, ok := strings.CutPrefix(l, "Authorization: "); ok {
					auth = v
				}
			}
			if !strings.HasPrefix(head, "POST "+tt.path+" ") || auth != tt.auth || strings.Contains(head, "client") != tt.leaks {
				t.Errorf("the provider got\n%s", head)
			}
			ev := r.event(1)
			if routed := strings.HasPrefix(tt.path, "/cheap"); routed != (ev.Provider == "cheap") || routed != (ev.BaselineProvider == "openai") {
				t.Errorf("recorded at %s, baseline at %q", ev.Provider, ev.BaselineProvider)
			}
		})
	}
}

func TestAClassifierThatFailsLeavesTheBaseline(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(*Proxy)
	}{
		{"it panics", func(p *Proxy) {
			p.observer.judge.assess = func(*classifier.Model, string, []byte) (classifier.Features, classifier.Assessment) { panic("boom") }
		}},
		{"it takes too long", func(p *Proxy) {
			wait := make(chan struct{})
			t.Cleanup(func() { close(wait) })
			p.cfg.ClassifyBudget = 20 * time.Millisecond
			p.observer.judge.assess = func(*classifier.Model, string, []byte) (classifier.Features, classifier.Assessment) {
				<-wait
				return classifier.Features{}, classifier.Assessment{}
			}
		}},
	} {
		for _, policy := range []bool{false, true} { // decided beside the provider's work, and before it
			t.Run(tt.name, func(t *testing.T) {
				var opts []option
				if policy {
					opts = append(opts, withPolicy("openai/gpt-4o-mini"))
				}
				r := newRig(t, opts...)
				tt.fail(r.p)
				r.up.answers(ok200("application/json", chatAnswer))
				pol := live("")
				if a := ask(t, r.addr, mail(session(t, pol, schemas.ArmTreated), chatBody)); a.StatusCode != 200 || string(a.body) != chatAnswer {
					t.Errorf("answered %s", seen(a))
				}
				ev := r.event(1)
				if ev.BaselineReject != schemas.RejectClassifier || ev.WouldRoute != "openai/gpt-4o" || ev.ServedModel != "gpt-4o" || ev.InputTokens != 1000 || ev.Workload != "mail" {
					t.Errorf("recorded %s, would-be %s, served %s", ev.BaselineReject.Code(), ev.WouldRoute, ev.ServedModel)
				}
				if n := metric(t, r, "gnomon_classifier_failures_total"); n != 1 {
					t.Errorf("counted %v", n)
				}
			})
		}
	}
}

func TestAPolicyIsObeyedByTheNextRequest(t *testing.T) {
	r := newRig(t)
	p := live("openai/gpt-4o-mini")
	treated := session(t, p, schemas.ArmTreated)
	r.up.answers(ok200("application/json", chatAnswer))
	for i, policies := range [][]schemas.Policy{nil, {p}, nil, {p}} {
		parts := r.parts
		parts.Policies = policies
		r.set(parts)
		ask(t, r.addr, mail(treated, chatBody))
		want := "gpt-4o"
		if policies != nil {
			want = "gpt-4o-mini"
		}
		if got := r.asked(); got[i] != want {
			t.Errorf("request %d went to %s, want %s", i, got[i], want)
		}
	}
}

func TestObservingAddsNoWaiting(t *testing.T) {
	r := newRig(t)
	classified := make(chan struct{})
	inner := r.p.observer.judge.assess
	r.p.observer.judge.assess = func(m *classifier.Model, d string, b []byte) (classifier.Features, classifier.Assessment) {
		<-classified // the classifier is not done before the provider has the request
		return inner(m, d, b)
	}
	r.up.handle(func(c *call) {
		close(classified)
		_, _ = io.WriteString(c, ok200("application/json", chatAnswer))
	})
	if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.StatusCode != 200 {
		t.Errorf("answered %s", seen(a))
	}
	if ev := r.event(1); ev.BaselineReject != schemas.RejectNone {
		t.Errorf("recorded %s: the request waited for the classifier", ev.BaselineReject.Code())
	}
}

func TestTheEventIsRecordedBeforeTheLastByte(t *testing.T) {
	for name, raw := range map[string]string{"of known length": ok200("application/json", chatAnswer), "in chunks": chunked("application/json", []string{chatAnswer})} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.up.answers(raw)
			for i := range 20 {
				if a := ask(t, r.addr, post("/v1/chat/completions", chatBody)); a.err != nil {
					t.Fatal(a.err)
				}
				if n := len(r.rec.events()); n != i+1 { // no waiting: it must be there
					t.Fatalf("answer %d is complete, %d events are recorded", i+1, n)
				}
			}
		})
	}
}

func TestPayloadsAreHandedOverOnlyWherePermitted(t *testing.T) {
	r := newRig(t, func(c *Config, _ *parts) { c.KeepPayload = func(w string) bool { return w == "mail" } })
	whole := strings.Join(streamEvents, "")
	for _, raw := range []string{
		ok200("application/json", chatAnswer),
		ok200("application/json", packed("gzip", chatAnswer), "Content-Encoding: gzip"),
		chunked("text/event-stream", streamEvents),
		chunked("text/event-stream", []string{packed("br", whole)}, "Content-Encoding: br"),
		"HTTP/1.1 500 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
	} {
		r.up.answers(raw)
		for _, feature := range []string{"mail", "secret"} {
			ask(t, r.addr, post("/v1/chat/completions?x=1", saidStream, "x-gnomon-feature: "+feature))
		}
	}
	r.event(10)
	r.mu.Lock()
	defer r.mu.Unlock()
	want := []string{chatAnswer, chatAnswer, whole, whole}
	if len(r.payloads) != len(want) {
		t.Fatalf("%d payloads", len(r.payloads))
	}
	for i, p := range r.payloads {
		if p.Event.Workload != "mail" || string(p.ResponseBody) != want[i] || string(p.RequestBody) != saidStream || p.Path != "/v1/chat/completions" || p.Event.RequestID == "" {
			t.Errorf("payload %d: %s %q %q", i, p.Event.Workload, p.Path, p.ResponseBody)
		}
	}
}

func metric(t *testing.T, r *rig, name string) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func TestFiguresAreCounted(t *testing.T) {
	r := newRig(t)
	r.up.answers(ok200("application/json", chatAnswer))
	for i := range 300 {
		ask(t, r.addr, post("/v1/chat/completions", strings.Replace(chatBody, "gpt-4o", fmt.Sprintf("made-up-%d", i), 1)))
	}
	ask(t, r.addr, "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n")
	for name, want := range map[string]float64{"gnomon_requests_total": 300, "gnomon_request_duration_seconds": 300, "gnomon_proxy_overhead_seconds": 300, "gnomon_time_to_first_token_seconds": 300, "gnomon_tokens_total": 300 * (1000 + 400 + 100), "gnomon_unrouted_total": 1} {
		if got := metric(t, r, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	families, _ := r.reg.Gather()
	for _, f := range families {
		if f.GetName() == "gnomon_requests_total" && len(f.GetMetric()) > maxModels+1 {
			t.Errorf("%d series: clients can make as many as they like", len(f.GetMetric()))
		}
	}
	eventually(t, "nothing is in flight", func() bool { return metric(t, r, "gnomon_requests_in_flight") == 0 })
}
