package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func testObserver(t testing.TB, change func(*parts)) (*Observer, *classifier.Snapshot) {
	t.Helper()
	book := testBook(t)
	p := parts{Project: "acme", Prices: book, DraftThreshold: 1, Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities()}
	if change != nil {
		change(&p)
	}
	s := classifier.NewSnapshot(p)
	return NewObserver("acme", func() *classifier.Snapshot { return s }, book), s
}

func chatRequest(at time.Time, session string) *Request {
	return &Request{Ts: at, Provider: "openai", Path: "/v1/chat/completions", Dialect: dialect.OpenAIChat, Feature: "mail", Session: session, CredentialHash: "c", Body: []byte(chatBody)}
}

func TestACacheThatTheRouteWouldNotHaveHadIsPricedAsCold(t *testing.T) {
	o, _ := testObserver(t, nil)
	book := testBook(t)
	u := schemas.Usage{InputTokens: 3000, CacheReadTokens: 1200, OutputTokens: 100}
	answer := strings.NewReplacer(`"prompt_tokens":1000`, `"prompt_tokens":3000`, `"cached_tokens":400`, `"cached_tokens":1200`).Replace(chatAnswer)
	price := func(model string, u schemas.Usage) schemas.NanoUSD {
		total, _, err := book.Cost("openai", model, "", u, noon)
		if err != nil {
			t.Fatal(err)
		}
		return total
	}
	cold := schemas.Usage{InputTokens: 3000, OutputTokens: 100}
	for i, tt := range []struct {
		name, session string
		at            time.Duration
		want          schemas.NanoUSD
	}{
		{"the first turn finds nothing there", "a", 0, price("gpt-4o-mini", cold)},
		{"the next one does", "a", time.Minute, price("gpt-4o-mini", u)},
		{"another conversation does not", "b", time.Minute, price("gpt-4o-mini", cold)},
		{"after five minutes it is gone", "a", 7 * time.Minute, price("gpt-4o-mini", cold)},
	} {
		r := chatRequest(noon.Add(tt.at), tt.session)
		d := o.Decide(r)
		ev := o.Event(r, &d, &Answer{HTTPStatus: 200, Body: []byte(answer)})
		if ev.WouldRoute != "openai/gpt-4o-mini" || ev.WouldCost.Nano != tt.want {
			t.Errorf("%d %s: would-be cost %v of %s, want %v", i, tt.name, ev.WouldCost, ev.WouldRoute, tt.want)
		}
		if ev.BaselineCost.Nano != price("gpt-4o", u) || ev.Cost != ev.BaselineCost {
			t.Errorf("%d %s: cost %v, baseline %v", i, tt.name, ev.Cost, ev.BaselineCost)
		}
	}
}

func TestWhatARoutesCacheWouldHoldOfAPrompt(t *testing.T) {
	_, snapshot := testObserver(t, nil)
	for _, tt := range []struct {
		name            string
		kept            uint32 // predicted tokens that the route was sent before
		usage           schemas.Usage
		dialect         string
		provider, model string
		want            schemas.Usage
	}{
		{"a cold cache is written anew where writes are billed", 0, schemas.Usage{InputTokens: 6000, CacheReadTokens: 5000, CacheWriteTokens: 500, CacheWrite1hTokens: 40},
			dialect.AnthropicMessages, "anthropic", "claude-sonnet-4-5", schemas.Usage{InputTokens: 6000, CacheWriteTokens: 5500}},
		{"and is plain input where they are not", 0, schemas.Usage{InputTokens: 6000, CacheReadTokens: 5000}, dialect.OpenAIChat, "openai", "gpt-4o-mini", schemas.Usage{InputTokens: 6000}},
		{"a warm one is read as far as it reaches", 3000, schemas.Usage{InputTokens: 6000, CacheReadTokens: 5000}, dialect.AnthropicMessages, "anthropic", "claude-sonnet-4-5",
			schemas.Usage{InputTokens: 6000, CacheReadTokens: 3000, CacheWriteTokens: 2000}},
		{"a prefix shorter than the model keeps is not kept", 3000, schemas.Usage{InputTokens: 6000, CacheReadTokens: 5000}, dialect.AnthropicMessages, "anthropic", "claude-haiku-4-5",
			schemas.Usage{InputTokens: 6000, CacheWriteTokens: 5000}},
		{"a prompt shorter than the model keeps is not written either", 3000, schemas.Usage{InputTokens: 3000, CacheReadTokens: 2500}, dialect.AnthropicMessages, "anthropic", "claude-haiku-4-5",
			schemas.Usage{InputTokens: 3000}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := Decided{kept: tt.kept, snapshot: snapshot}
			if got := d.left(tt.usage, tt.dialect, tt.provider, tt.model); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestWhatStaysLosesTheWarmthOfWhatIsRouted(t *testing.T) {
	o, _ := testObserver(t, func(p *parts) { p.DraftThreshold = 0 }) // nothing is routed: the baseline stays warm
	stays, _ := testObserver(t, nil)
	answer := strings.NewReplacer(`"prompt_tokens":1000`, `"prompt_tokens":3000`, `"cached_tokens":400`, `"cached_tokens":1200`).Replace(chatAnswer)
	for _, at := range []time.Duration{0, time.Minute} {
		r := chatRequest(noon.Add(at), "a")
		d := o.Decide(r)
		if ev := o.Event(r, &d, &Answer{HTTPStatus: 200, Body: []byte(answer)}); at > 0 && ev.WouldCost != ev.BaselineCost {
			t.Errorf("nothing is routed, and the would-be cost is %v of %v", ev.WouldCost, ev.BaselineCost)
		}
	}
	// The same two turns, the first of which would have been routed away.
	first := chatRequest(noon, "a")
	_ = stays.Decide(first)
	second := chatRequest(noon.Add(time.Minute), "a")
	second.Body = []byte(strings.Replace(chatBody, `"messages"`, `"n":2,"messages"`, 1)) // the candidate does not take it
	second.Bypassed = true
	d := stays.Decide(second)
	ev := stays.Event(second, &d, &Answer{HTTPStatus: 200, Body: []byte(answer)})
	if ev.WouldRoute != "openai/gpt-4o" || ev.WouldCost.Nano <= ev.BaselineCost.Nano {
		t.Errorf("%s would cost %v, and costs %v with the warmth it would not have", ev.WouldRoute, ev.WouldCost, ev.BaselineCost)
	}
}

func TestARecordedDecisionCanBeTakenAgain(t *testing.T) {
	o, s := testObserver(t, func(p *parts) { p.Policies = []schemas.Policy{live("openai/gpt-4o-mini")} })
	for i := range 50 {
		r := chatRequest(noon.Add(time.Duration(i)*time.Second), fmt.Sprintf("s%d", i%7))
		d := o.Decide(r)
		ev := o.Event(r, &d, &Answer{HTTPStatus: 200, Body: []byte(chatAnswer)})
		var in classifier.Inputs
		if err := in.UnmarshalBinary(ev.Inputs); err != nil {
			t.Fatal(err)
		}
		if again := classifier.Decide(&in, s); !reflect.DeepEqual(again, d.Decision) || ev.SnapshotHash != s.Hash() {
			t.Fatalf("decided %+v, again %+v", d.Decision, again)
		}
	}
}

func TestAConversationKeepsItsSessionWithoutSayingSo(t *testing.T) {
	o, _ := testObserver(t, nil)
	turn := func(credential, body string) string {
		r := chatRequest(noon, "")
		r.CredentialHash, r.Body = credential, []byte(body)
		d := o.Decide(r)
		return d.Session
	}
	first := turn("c", chatBody)
	next := turn("c", strings.Replace(chatBody, `parcel?"}`, `parcel?"},{"role":"assistant","content":"Coming."},{"role":"user","content":"When?"}`, 1))
	if first == "" || first != next {
		t.Errorf("two turns of one conversation: %q and %q", first, next)
	}
	if other := turn("d", chatBody); other == first {
		t.Error("two callers share a session")
	}
	if other := turn("c", strings.Replace(chatBody, "parcel", "invoice", 1)); other == first {
		t.Error("two conversations share a session")
	}
}

func TestWorkloadsAreBoundedAndThoseWithAPolicyKeepTheirName(t *testing.T) {
	o, _ := testObserver(t, func(p *parts) { p.Policies = []schemas.Policy{live("openai/gpt-4o-mini")} })
	o.names.max = 3
	seen := map[string]int{}
	for i := range 100 {
		r := chatRequest(noon, "s")
		r.Feature = fmt.Sprintf("f%d", i)
		seen[o.Decide(r).Workload]++
	}
	if len(seen) != 4 || seen[overflow] != 97 {
		t.Errorf("%v", seen)
	}
	if w := o.Decide(chatRequest(noon, "s")).Workload; w != "mail" {
		t.Errorf("a workload with a policy became %q", w)
	}
}

func TestTeamsAreBoundedAndAKeysOwnKeepsItsName(t *testing.T) {
	o, _ := testObserver(t, nil)
	o.teams.max = 3
	recorded := func(team string, key *schemas.Key) string {
		r := chatRequest(noon, "s")
		r.Team, r.Key = team, key
		d := o.Decide(r)
		ev := o.Event(r, &d, &Answer{HTTPStatus: 200, Body: []byte(chatAnswer)})
		return ev.Team
	}
	seen := map[string]int{}
	for i := range 100 {
		seen[recorded(fmt.Sprintf("t%d", i), nil)]++
	}
	if len(seen) != 4 || seen[overflow] != 97 {
		t.Errorf("%v", seen)
	}
	for _, tt := range []struct {
		name, team, want string
		key              *schemas.Key
	}{
		{"one that was there before the bound", "t1", "t1", nil},
		{"none is not one of those past the bound", "", "", nil},
		{"a key's own", "support", "support", &schemas.Key{Team: "support"}},
		{"what a caller says under a key without one", "t99", overflow, &schemas.Key{}},
	} {
		if got := recorded(tt.team, tt.key); got != tt.want {
			t.Errorf("%s: %q, not %q", tt.name, got, tt.want)
		}
	}
}

func TestRememberedConversationsAreBounded(t *testing.T) {
	w := warmth{max: 100}
	for i := range uint64(10_000) {
		w.note(i, i, 1, 2000)
	}
	if n := len(w.young) + len(w.old); n > 100 {
		t.Errorf("%d are remembered", n)
	}
	newest := w.last(9_999)
	if n, ok := newest.of(9_999, 1); !ok || n != 2000 {
		t.Error("the newest is forgotten")
	}
	if _, ok := newest.of(9_999, 1+cacheSeconds+1); ok {
		t.Error("a cache is held for ever")
	}
	old := w.last(1)
	if _, ok := old.of(1, 1); ok {
		t.Error("an old one is remembered")
	}
}

func TestHeadersAreCleanedIntoNames(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "support/summary.v2", "support/summary.v2"},
		{"letters of all scripts", "Überweisung 検索", "Überweisung 検索"},
		{"space around", "  a ", "a"},
		{"control characters", "a\x01b\x7fc\x1b[31m", "a_b_c_[31m"},
		{"line breaks of Unicode", "a\u2028b\u0085c", "a_b_c"},
		{"broken UTF-8", "a\xff\xfeb", "a__b"},
		{"too long", strings.Repeat("x", 8192), strings.Repeat("x", 128)},
		{"too long, cut between letters", strings.Repeat("é", 100), strings.Repeat("é", 64)},
		{"too long, cut inside a letter", "x" + strings.Repeat("é", 100), "x" + strings.Repeat("é", 63)},
	} {
		if got := clean(tt.in, maxName); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAttributionIsReadFromItsHeaders(t *testing.T) {
	h := http.Header{}
	for k, v := range map[string]string{"x-gnomon-feature": "f", "x-gnomon-team": "t", "x-gnomon-user": "u", "x-gnomon-session": "s", "x-gnomon-tags": "env=prod, tier = a=b ,x,=y,", "x-gnomon-bypass": "1",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-stainless-retry-count": "2", "x-api-key": "k"} {
		h.Set(k, v)
	}
	var r Request
	attribution(&r, h)
	want := Request{Feature: "f", Team: "t", User: "u", Session: "s", Tags: map[string]string{"env": "prod", "tier": "a=b", "x": ""}, Bypassed: true, Trace: "0af7651916cd43dd8448eb211c80319c", Retry: 2, CredentialHash: r.CredentialHash}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("%+v", r)
	}
	if r.CredentialHash == "" || strings.Contains(r.CredentialHash, "k") {
		t.Errorf("credential hash %q", r.CredentialHash)
	}
	bearer, key := http.Header{"Authorization": {"Bearer k"}}, http.Header{"X-Api-Key": {"k"}}
	if credentialHash(bearer) != credentialHash(key) {
		t.Error("one key in two headers is two callers")
	}
	long := strings.Repeat("k", 60)
	if credentialHash(http.Header{"X-Api-Key": {long + "a"}}) == credentialHash(http.Header{"X-Api-Key": {long + "b"}}) {
		t.Error("two keys that begin alike are one caller")
	}
	if traceID("00-00000000000000000000000000000000-b7ad6b7169203331-01") != "" || traceID("nonsense") != "" {
		t.Error("a trace was made up")
	}
}

func TestWhatAnEventCostsWhenLittleIsKnown(t *testing.T) {
	o, _ := testObserver(t, nil)
	r := chatRequest(noon, "s")
	d := o.Decide(r)
	for _, tt := range []struct {
		name   string
		answer Answer
		source schemas.UsageSource
		known  bool
		status schemas.Status
	}{
		{"usage stated", Answer{HTTPStatus: 200, Body: []byte(chatAnswer)}, schemas.UsageProvider, true, schemas.StatusOK},
		{"a stream without usage is estimated", Answer{HTTPStatus: 200, Body: []byte("data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\ndata: [DONE]\n\n")}, schemas.UsageEstimated, true, schemas.StatusOK},
		{"a client that left before the head may have cost its prompt", Answer{Status: schemas.StatusClientAbort, Sent: true}, schemas.UsageEstimated, true, schemas.StatusClientAbort},
		{"a client that left before anything was sent cost nothing", Answer{Status: schemas.StatusClientAbort}, schemas.UsageNone, true, schemas.StatusClientAbort},
		{"a refusal of the provider costs nothing", Answer{HTTPStatus: 400, Body: []byte(`{"error":{"type":"x"}}`), Sent: true}, schemas.UsageNone, true, schemas.StatusProviderError},
		{"a page that is no answer is unknown", Answer{HTTPStatus: 200, Body: []byte(`<html>`), Sent: true}, schemas.UsageNone, false, schemas.StatusOK},
		{"an error behind 200", Answer{HTTPStatus: 200, Body: []byte(`{"error":{"type":"x"}}`), Sent: true}, schemas.UsageNone, true, schemas.StatusProviderError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ev := o.Event(r, &d, &tt.answer)
			if ev.UsageSource != tt.source || ev.Cost.Known != tt.known || ev.Status != tt.status {
				t.Errorf("%s, cost %v, %s", ev.UsageSource, ev.Cost, ev.Status)
			}
			if tt.source == schemas.UsageNone && ev.Cost.Nano != 0 {
				t.Errorf("cost %v", ev.Cost)
			}
			if tt.source == schemas.UsageEstimated && ev.InputTokens == 0 {
				t.Error("no prompt is estimated")
			}
		})
	}
}

func TestADeploymentIsPricedByTheModelThatRan(t *testing.T) {
	o, _ := testObserver(t, nil)
	r := chatRequest(noon, "s")
	r.Body = bytes.Replace(r.Body, []byte("gpt-4o"), []byte("our-deployment"), 1)
	d := o.Decide(r)
	ev := o.Event(r, &d, &Answer{HTTPStatus: 200, Body: []byte(chatAnswer)})
	if !ev.Cost.Known || ev.Cost != ev.BaselineCost || !ev.WouldCost.Known || ev.RequestModel != "our-deployment" {
		t.Errorf("cost %v, baseline %v, would-be %v", ev.Cost, ev.BaselineCost, ev.WouldCost)
	}
}

func TestAWrongConfigurationIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    Provider
		want string
	}{
		{"a name with capitals", Provider{Name: "OpenAI", Dialect: "openai", BaseURL: "https://x"}, "lower-case"},
		{"a name that is a path of ours", Provider{Name: "v1", Dialect: "openai", BaseURL: "https://x"}, "v1"},
		{"a dialect nobody speaks", Provider{Name: "x", Dialect: "cohere", BaseURL: "https://x"}, "cohere"},
		{"no address", Provider{Name: "x", Dialect: "openai", BaseURL: "x"}, "base_url"},
		{"an address with a password", Provider{Name: "x", Dialect: "openai", BaseURL: "https://u:secret@x"}, "base_url"},
	} {
		c := Config{Project: "acme", Providers: []Provider{tt.p}}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	twice := Config{Project: "acme", Providers: []Provider{{Name: "x", Dialect: "openai", BaseURL: "https://x"}, {Name: "x", Dialect: "openai", BaseURL: "https://x"}}}
	if err := twice.Validate(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a name twice: %v", err)
	}
}

// TestADerivedSessionIsTheSameInEveryBuild: a conversation keeps its arm because it
// keeps its session, and of one that was not sent that is a hash of the features'
// sums. Features may be of another version; these sums may not, or every client
// without a session header changes arm with a new build.
func TestADerivedSessionIsTheSameInEveryBuild(t *testing.T) {
	o, _ := testObserver(t, nil)
	for _, row := range []struct{ name, dialect, body, want string }{
		{"texts", dialect.OpenAIChat, chatBody, "h-2e6e4e3465913686"},
		{"parts of texts, and later turns", dialect.OpenAIChat, `{"model":"gpt-4o","messages":[{"role":"system","content":"A"},{"role":"system","content":"B"},{"role":"user","content":[{"type":"text","text":"C"},{"type":"text","text":"D"}]},{"role":"assistant","content":"E"},{"role":"user","content":"F"}]}`, "h-a968b320a0d314f1"},
		{"messages", dialect.AnthropicMessages, `{"model":"claude-sonnet-4-5","max_tokens":9,"system":"You sort support mail.","messages":[{"role":"user","content":"Where is my parcel?"}]}`, "h-2e6e4e3465913686"},
	} {
		r := chatRequest(noon, "")
		r.Dialect, r.Body = row.dialect, []byte(row.body)
		if d := o.Decide(r); d.Session != row.want {
			t.Errorf("%s: the session is %q, was %q", row.name, d.Session, row.want)
		}
	}
}
