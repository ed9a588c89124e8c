package proxy

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// anywhere has a second provider of each dialect, one of them without a stored
// credential, and keys that may spend at all of them or at one.
func anywhere(candidate string, mode schemas.Mode) option {
	return func(c *Config, p *parts) {
		for i := range c.Providers {
			c.Providers[i].APIKey = "sk-stored-" + c.Providers[i].Name
		}
		c.Providers = append(c.Providers, Provider{Name: "cheap", Dialect: "openai", BaseURL: c.Providers[0].BaseURL, APIKey: "sk-stored-cheap"},
			Provider{Name: "keyless", Dialect: "openai", BaseURL: c.Providers[0].BaseURL})
		p.Providers = []classifier.Provider{
			{Name: "openai", Dialects: []string{"openai.chat"}, Credential: true}, {Name: "anthropic", Dialects: []string{"anthropic.messages"}, Credential: true},
			{Name: "cheap", Dialects: []string{"openai.chat"}, Credential: true}, {Name: "keyless", Dialects: []string{"openai.chat"}},
		}
		book, err := p.Prices.(*savings.Book).WithAlias("cheap", "openai")
		if err == nil {
			book, err = book.WithAlias("keyless", "openai")
		}
		if err != nil {
			panic(err)
		}
		p.Prices = book
		pol := live(candidate)
		pol.Mode, pol.Control, pol.Threshold = mode, 0, .5
		p.Policies = []schemas.Policy{pol}
		c.Keys = ring(map[string]schemas.Key{
			ownKey: {ID: "wide", Project: "acme"}, narrowKey: {ID: "narrow", Project: "acme", Providers: []string{"openai"}},
		})
	}
}

const narrowKey = "gk_def_0123456789012345678901234567890123456789012"

// anyRequest is some caller's, of some kind, to a provider of some dialect.
func anyRequest(r *rand.Rand, n int) string {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	path, body := "/v1/chat/completions", pick(chatBody, chatBody, unsaidStream, saidStream)
	if r.IntN(2) == 0 {
		path, body = "/v1/messages", pick(opusBody, strings.Replace(opusBody, `"max_tokens"`, `"stream":true,"max_tokens"`, 1))
	}
	more := pick("", "", "", "", `"n":2,`, `"logprobs":true,`, `"model":"gpt-4o",`, `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],`,
		`"response_format":{"type":"json_object"},`, `"max_completion_tokens":100000,`, `"thinking":{"type":"enabled","budget_tokens":2000},`, `"store":true,`, `"m\u006fdel":"x",`, `"temperature":2,`)
	body = "{" + more + body[1:]
	switch r.IntN(6) {
	case 0:
		body = strings.Replace(body, "Where is my parcel?", strings.Repeat("Prove that every even number above two is the sum of two primes. ", 1+r.IntN(200)), 1)
	case 1:
		body = strings.Replace(body, "gpt-4o", "gpt-9", 1)
	}
	headers := []string{"x-gnomon-feature: mail", fmt.Sprint("x-gnomon-session: s", n)}
	switch r.IntN(5) {
	case 0: // nobody's
	case 1, 2:
		headers = append(headers, "Authorization: Bearer sk-client")
	case 3:
		headers = append(headers, "x-gnomon-key: "+ownKey)
	default:
		headers = append(headers, "x-gnomon-key: "+narrowKey, "x-api-key: sk-client")
	}
	if r.IntN(20) == 0 {
		headers = append(headers, "x-gnomon-bypass: 1")
	}
	return post(path, body, headers...)
}

// answerAll answers in the dialect and the form that was asked for.
func answerAll(c *call) {
	messages, stream := strings.Contains(c.head, "/v1/messages"), strings.Contains(string(c.body), `"stream":true`)
	raw := ok200("application/json", chatAnswer)
	switch {
	case messages && stream:
		raw = chunked("text/event-stream", haikuStream)
	case messages:
		raw = ok200("application/json", haikuSays)
	case stream:
		raw = chunked("text/event-stream", streamEvents)
	}
	_, _ = io.WriteString(c, raw)
}

// TestLiveTakesTheRouteThatWasRecordedWhileObserving sends the same requests
// through a proxy that observes and one whose policy moves every session, and
// holds the route that was served by the second against the first one's record.
func TestLiveTakesTheRouteThatWasRecordedWhileObserving(t *testing.T) {
	const each = 120
	crossed, barred := 0, map[schemas.Reject]int{}
	for seed, candidate := range []string{mini, haiku, "cheap/gpt-4o-mini", "keyless/gpt-4o-mini"} {
		observing, moving := newRig(t, anywhere(candidate, schemas.ModeObserve)), newRig(t, anywhere(candidate, schemas.ModeLive))
		now := func() time.Time { return noon }
		observing.p.cfg.Now, moving.p.cfg.Now = now, now
		r := rand.New(rand.NewPCG(uint64(seed), 5))
		for n := range each {
			raw := anyRequest(r, n)
			for _, rig := range []*rig{observing, moving} {
				rig.up.handle(answerAll)
				ask(t, rig.addr, raw)
			}
			was, is := observing.event(n+1), moving.event(n+1)
			served := is.Provider + "/" + is.ServedModel
			if was.WouldRoute != served || is.WouldRoute != served || was.Provider+"/"+was.ServedModel != was.WouldRoute && was.ServedModel != was.RequestModel || is.Fallback {
				head, _, _ := strings.Cut(raw, "Content-Length")
				t.Fatalf("%s to %s: observing recorded %s (rejects %v), live recorded %s and was served by %s\n%s", was.RequestModel, candidate, was.WouldRoute, was.Rejects, is.WouldRoute, served, head)
			}
			if is.BaselineProvider != "" {
				crossed++
			}
			for _, reject := range was.Rejects {
				barred[reject]++
			}
		}
	}
	for _, reject := range []schemas.Reject{schemas.RejectNone, schemas.RejectAnonymous, schemas.RejectKeyScope, schemas.RejectNoCredential, schemas.RejectScore} {
		if barred[reject] < 5 {
			t.Errorf("only %d candidates are rejected for %q", barred[reject], reject.Code())
		}
	}
	if crossed < 50 {
		t.Errorf("only %d requests went to another provider", crossed)
	}
}

// TestAConversationThatWasHeldHasItsBaselinesCache has three turns of a
// conversation that is moved: the second is held, or its candidate fails.
func TestAConversationThatWasHeldHasItsBaselinesCache(t *testing.T) {
	p := live(candidate)
	p.Control = 0
	moving := parts{Project: "acme", Prices: testBook(t), DraftThreshold: 1, Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities(), Policies: []schemas.Policy{p}}
	held := moving
	p.Override = false // and there is no evidence
	held.Policies = []schemas.Policy{p}
	observed := moving
	p.Mode = schemas.ModeObserve
	observed.Policies = []schemas.Policy{p}
	for _, tt := range []struct {
		name             string
		second           parts
		fails            bool
		gap              time.Duration // before the third turn
		baseline, theirs bool          // what is warm at the third
	}{
		{"all turns moved", moving, false, time.Minute, false, true},
		{"the second held: both hold something", held, false, time.Minute, true, true},
		{"the second held, the first long ago: the baseline alone", held, false, 4 * time.Minute, true, false},
		{"the candidate failed in the second, the first long ago", moving, true, 4 * time.Minute, true, false},
		{"moved, the first long ago", moving, false, 4 * time.Minute, false, true},
		{"while observing, each would-be route is taken to have been acted on", observed, false, 4 * time.Minute, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := classifier.NewSnapshot(moving)
			o := NewObserver("acme", func() *classifier.Snapshot { return s }, testBook(t))
			at := noon
			turn := func(p parts, fails bool) Decided {
				s = classifier.NewSnapshot(p)
				r := chatRequest(at, "a")
				d := o.Decide(r)
				a := Answer{HTTPStatus: 200, Body: []byte(chatAnswer)}
				if d.Route.Model != "" && !fails {
					a.Provider, a.ServedModel = d.Route.Provider, d.Route.Model
				}
				a.Fallback = d.Route.Model != "" && fails
				o.Event(r, &d, &a)
				return d
			}
			turn(moving, false)
			at = at.Add(2 * time.Minute)
			turn(tt.second, tt.fails)
			at = at.Add(tt.gap)
			if d := turn(moving, false); d.Inputs.BaselineWarm != tt.baseline || (d.Inputs.CacheWarm == 1) != tt.theirs {
				t.Errorf("baseline warm %v, candidate %b", d.Inputs.BaselineWarm, d.Inputs.CacheWarm)
			}
		})
	}
}
