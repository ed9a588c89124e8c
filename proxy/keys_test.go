package proxy

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

const ownKey = "gk_abc_0123456789012345678901234567890123456789012"

// ring knows the keys given, by their text.
func ring(keys map[string]schemas.Key) Keyring {
	bySum := map[[32]byte]*schemas.Key{}
	for text, k := range keys {
		bySum[sha256.Sum256([]byte(text))] = &k
	}
	return func(sum [32]byte) *schemas.Key { return bySum[sum] }
}

func withKeys(keys map[string]schemas.Key, more ...option) option {
	return func(c *Config, p *parts) {
		c.Keys = ring(keys)
		for i := range c.Providers {
			if c.Providers[i].Name != "plain" {
				c.Providers[i].APIKey = "sk-stored-" + c.Providers[i].Name
			}
		}
		for _, o := range more {
			o(c, p)
		}
	}
}

func headerOf(head, name string) string {
	for l := range strings.SplitSeq(head, "\r\n") {
		if k, v, ok := strings.Cut(l, ": "); ok && strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func TestAGnomonKeyStandsForTheStoredCredential(t *testing.T) {
	known := map[string]schemas.Key{ownKey: {ID: "abc", Project: "acme", Feature: "mail", Team: "post"}}
	for _, tt := range []struct{ name, request, header, want, path string }{
		{"as an OpenAI SDK sends it", post("/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey), "Authorization", "Bearer sk-stored-openai", "/v1/chat/completions"},
		{"as an Anthropic SDK sends it", post("/v1/messages", opusBody, "x-api-key: "+ownKey), "X-Api-Key", "sk-stored-anthropic", "/v1/messages"},
		{"as a bearer token to Anthropic, which wants its own header", post("/v1/messages", opusBody, "authorization: bearer "+ownKey), "X-Api-Key", "sk-stored-anthropic", "/v1/messages"},
		{"as Anthropic's header to OpenAI", post("/v1/chat/completions", chatBody, "x-api-key: "+ownKey), "Authorization", "Bearer sk-stored-openai", "/v1/chat/completions"},
		{"OpenAI's surface at Anthropic", post("/anthropic/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey), "Authorization", "Bearer sk-stored-anthropic", "/v1/chat/completions"},
		{"as Azure's header", post("/v1/chat/completions", chatBody, "api-key: "+ownKey), "Api-Key", "sk-stored-openai", "/v1/chat/completions"},
		{"in a header of its own", post("/v1/chat/completions", chatBody, "x-gnomon-key: "+ownKey), "Authorization", "Bearer sk-stored-openai", "/v1/chat/completions"},
		{"in a header of its own, to Anthropic", post("/v1/messages", opusBody, "x-gnomon-key: "+ownKey), "X-Api-Key", "sk-stored-anthropic", "/v1/messages"},
		{"beside the caller's own credential", post("/v1/chat/completions", chatBody, "x-gnomon-key: "+ownKey, "Authorization: Bearer sk-client"), "Authorization", "Bearer sk-client", "/v1/chat/completions"},
		{"the caller's own, at a provider without a stored one", post("/plain/v1/chat/completions", chatBody, "x-gnomon-key: "+ownKey, "Authorization: Bearer sk-client"), "Authorization", "Bearer sk-client", "/base/v1/chat/completions"},
		{"in the query", post("/v1/chat/completions?a=%20b&key="+strings.Replace(ownKey, "_", "%5F", 1)+"&c", chatBody), "Authorization", "Bearer sk-stored-openai", "/v1/chat/completions?a=%20b&c"},
		{"in two places", post("/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey, "x-api-key: "+ownKey), "Authorization", "Bearer sk-stored-openai", "/v1/chat/completions"},
		{"on a path that is not read", "GET /v1/models HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + ownKey + "\r\n\r\n", "Authorization", "Bearer sk-stored-openai", "/v1/models"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, withKeys(known))
			r.up.answers(ok200("application/json", chatAnswer))
			if a := ask(t, r.addr, tt.request); a.StatusCode != 200 {
				t.Fatalf("answered %s", seen(a))
			}
			head, _, _ := strings.Cut(r.up.requests()[0], "\r\n\r\n")
			for _, name := range credentialHeaders {
				if own := headerOf(head, name); name != tt.header && strings.Contains(own, "sk-stored") {
					t.Errorf("%s: %s, too", name, own)
				}
			}
			if _, target, _ := strings.Cut(head, " "); headerOf(head, tt.header) != tt.want || !strings.HasPrefix(target, tt.path+" ") || strings.Contains(head, "gk_") || strings.Contains(head, "gk%5F") {
				t.Errorf("the provider got\n%s", head)
			}
			ev := r.event(1)
			if ev.KeyID != "abc" || ev.Feature != "mail" || ev.Team != "post" || ev.Status != schemas.StatusOK {
				t.Errorf("recorded key %q, feature %q, team %q, %s", ev.KeyID, ev.Feature, ev.Team, ev.Status)
			}
			if raw, err := json.Marshal(&ev); err != nil || strings.Contains(string(raw)+r.logs.String(), "0123456789") {
				t.Errorf("the key is recorded or logged: %v", err)
			}
		})
	}
}

func TestAStoredCredentialStandsWhereItsProviderLooks(t *testing.T) {
	for _, tt := range []struct{ name, dialect, url, path, in, header string }{
		{"Gemini, for a caller with a bearer token", "gemini", "https://generativelanguage.googleapis.com", "/v1beta/models/g:generateContent", "Authorization", "X-Goog-Api-Key"},
		{"Gemini's compatible surface", "gemini", "https://generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "Authorization", "Authorization"},
		{"a path that nobody reads has its row's", "gemini", "https://generativelanguage.googleapis.com", "/v1beta/files", "Authorization", "X-Goog-Api-Key"},
		{"Vertex", "gemini", "https://europe-west1-aiplatform.googleapis.com", "/v1/projects/p/locations/l/publishers/google/models/g:generateContent", "X-Goog-Api-Key", "Authorization"},
		{"Bedrock", "anthropic", "https://bedrock-runtime.eu-central-1.amazonaws.com", "/model/anthropic.claude/invoke", "X-Api-Key", "Authorization"},
		{"Bedrock behind a name of one's own", "anthropic", "https://llm.corp.example", "/model/anthropic.claude/converse", "X-Api-Key", "Authorization"},
		{"Azure, for a caller with a bearer token", "openai", "https://our.openai.azure.com:443", "/openai/v1/chat/completions", "Authorization", "Api-Key"},
		{"Claude at Azure", "anthropic", "https://our.services.ai.azure.com/anthropic", "/v1/messages", "Authorization", "X-Api-Key"},
	} {
		at, err := newRow(Provider{Name: "p", Dialect: tt.dialect, BaseURL: tt.url, APIKey: "sk"})
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		at.spend(h, &at.address, at.APIKey, dialect.Of("POST", tt.path), tt.in)
		if len(h) != 1 || !strings.HasSuffix(h.Get(tt.header), "sk") {
			t.Errorf("%s: %v, want %s", tt.name, h, tt.header)
		}
	}
}

func TestAKeyThatDoesNotHoldIsRefusedInTheDialectsOwnShape(t *testing.T) {
	known := map[string]schemas.Key{
		ownKey:       {ID: "abc", Feature: "mail"},
		"gk_revoked": {ID: "rev", Revoked: true},
		"gk_expired": {ID: "exp", Expires: time.Now().Add(-time.Second)},
		"gk_narrow":  {ID: "nar", Providers: []string{"anthropic"}},
	}
	required := func(c *Config, _ *parts) { c.RequireKey = true }
	const unknown = "gk_never_seen"
	for _, tt := range []struct {
		name, request string
		option        option
		status        int
		kind, body    string
	}{
		{"unknown, OpenAI", post("/v1/chat/completions", chatBody, "Authorization: Bearer "+unknown), nil, 401, "unknown_key", `"code":"unknown_key"`},
		{"unknown, Anthropic", post("/v1/messages", opusBody, "x-api-key: "+unknown), nil, 401, "unknown_key", `"type":"authentication_error"`},
		{"unknown, while no keys are configured", post("/v1/chat/completions", chatBody, "Authorization: Bearer "+unknown), func(c *Config, _ *parts) { c.Keys = nil }, 401, "unknown_key", `"error"`},
		{"unknown, in gnomon's header, beside a good credential", post("/v1/chat/completions", chatBody, "Authorization: Bearer sk-client", "x-gnomon-key: nonsense"), nil, 401, "unknown_key", `"error"`},
		{"revoked", post("/v1/chat/completions", chatBody, "Authorization: Bearer gk_revoked"), nil, 401, "revoked_key", `"code":"revoked_key"`},
		{"expired", post("/v1/messages", opusBody, "x-api-key: gk_expired"), nil, 401, "expired_key", `"type":"authentication_error"`},
		{"none, where one is required", post("/v1/chat/completions", chatBody, "Authorization: Bearer sk-client"), required, 401, "missing_key", `"code":"missing_key"`},
		{"none at all, where one is required", post("/v1/messages", opusBody), required, 401, "missing_key", `"authentication_error"`},
		{"a provider whose credential it may not spend", post("/v1/chat/completions", chatBody, "Authorization: Bearer gk_narrow"), nil, 403, "no_credential", `"code":"no_credential"`},
		{"a provider without a stored credential", post("/plain/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey), nil, 403, "no_credential", `"error"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := []option{withKeys(known)}
			if tt.option != nil {
				opts = append(opts, tt.option)
			}
			r := newRig(t, opts...)
			r.up.answers(ok200("application/json", chatAnswer))
			a := ask(t, r.addr, tt.request)
			if a.StatusCode != tt.status || a.Header.Get("x-gnomon-error") != tt.kind || !strings.Contains(string(a.body), tt.body) {
				t.Errorf("answered %s", seen(a))
			}
			if n := len(r.up.requests()); n != 0 {
				t.Errorf("the provider got %d requests", n)
			}
			if ev := r.event(1); ev.Status != schemas.StatusRefused || ev.ErrorType != tt.kind || ev.HTTPStatus != uint16(tt.status) || ev.OutputTokens != 0 || ev.Cost != schemas.KnownUSD(0) || ev.WouldCost != schemas.KnownUSD(0) {
				t.Errorf("recorded %s %s %d", ev.Status, ev.ErrorType, ev.HTTPStatus)
			}
		})
	}
}

func TestWithoutAKeyTheCallersOwnPassesThrough(t *testing.T) {
	for _, keys := range []map[string]schemas.Key{nil, {ownKey: {ID: "abc"}}} {
		r := newRig(t, withKeys(keys))
		r.up.answers(ok200("application/json", chatAnswer))
		ask(t, r.addr, post("/v1/chat/completions", chatBody, "Authorization: Bearer sk-client"))
		ask(t, r.addr, post("/v1/chat/completions", chatBody))
		got := r.up.requests()
		if headerOf(got[0], "Authorization") != "Bearer sk-client" || headerOf(got[1], "Authorization") != "" {
			t.Errorf("the provider got %q", got)
		}
	}
}

func TestAKeyIsRoutedOnlyToProvidersWhoseCredentialItMaySpend(t *testing.T) {
	p := live(haiku)
	p.Control = 0
	for _, tt := range []struct {
		providers []string
		route     string
	}{{nil, haiku}, {[]string{"openai", "anthropic"}, haiku}, {[]string{"openai"}, ""}} {
		r := newRig(t, withKeys(map[string]schemas.Key{ownKey: {ID: "abc", Feature: "mail", Providers: tt.providers}}, func(_ *Config, parts *parts) {
			parts.Providers[0].Credential, parts.Providers[1].Credential = true, true
			parts.Policies = []schemas.Policy{p}
		}))
		byPath(r, map[string]string{"/v1/messages": ok200("application/json", haikuSays), "/v1/chat/completions": ok200("application/json", chatAnswer)})
		a := ask(t, r.addr, post("/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey))
		if a.StatusCode != 200 || a.Header.Get("x-gnomon-route") != tt.route {
			t.Errorf("%v: answered %s", tt.providers, seen(a))
		}
		want := "sk-stored-openai"
		if tt.route != "" {
			want = "sk-stored-anthropic"
		}
		if head := r.up.requests()[0]; !strings.Contains(head, want) || strings.Contains(head, "gk_") {
			t.Errorf("the provider got %s", head)
		}
	}
}

func TestAKeysLimitsHold(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	r := newRig(t, withKeys(map[string]schemas.Key{ownKey: {ID: "abc", RequestsPerMinute: 2}, "gk_other": {ID: "oth"}}), func(c *Config, _ *parts) { c.Now = clock })
	r.up.answers(ok200("application/json", chatAnswer))
	with := func(key string) answer {
		return ask(t, r.addr, post("/v1/messages", opusBody, "x-api-key: "+key))
	}
	var got []int
	for range 3 {
		got = append(got, with(ownKey).StatusCode)
	}
	if got[0] != 200 || got[1] != 200 || got[2] != 429 {
		t.Errorf("answered %v", got)
	}
	a := with(ownKey)
	if a.Header.Get("Retry-After") != "30" || !strings.Contains(string(a.body), "rate_limit_error") {
		t.Errorf("answered %s", seen(a))
	}
	if a := with("gk_other"); a.StatusCode != 200 {
		t.Errorf("another key: %s", seen(a))
	}
	mu.Lock()
	now = now.Add(30 * time.Second)
	mu.Unlock()
	if a := with(ownKey); a.StatusCode != 200 {
		t.Errorf("after the wait: %s", seen(a))
	}
}

func TestAKeysRequestsInFlightAreBounded(t *testing.T) {
	r := newRig(t, withKeys(map[string]schemas.Key{ownKey: {ID: "abc", InFlight: 1}}))
	arrived, release := make(chan struct{}), make(chan struct{})
	r.up.handle(func(c *call) {
		if c.n == 1 {
			close(arrived)
			<-release
		}
		_, _ = c.Write([]byte(ok200("application/json", chatAnswer)))
	})
	request := post("/v1/chat/completions", chatBody, "Authorization: Bearer "+ownKey)
	first := dial(t, r.addr, request)
	<-arrived
	if a := ask(t, r.addr, request); a.StatusCode != 429 || a.Header.Get("x-gnomon-error") != "key_limit" {
		t.Errorf("answered %s", seen(a))
	}
	close(release)
	if a := readAnswer(t, first, "POST"); a.StatusCode != 200 {
		t.Errorf("the first: %s", seen(a))
	}
	eventually(t, "another request is let in", func() bool { return ask(t, r.addr, request).StatusCode == 200 })
}

func TestACallersKeyInTheAddressIsTheCallersCredential(t *testing.T) {
	known := map[string]schemas.Key{ownKey: {ID: "abc", Project: "acme"}}
	r := newRig(t, withKeys(known, func(c *Config, _ *parts) {
		c.Providers = append(c.Providers, Provider{Name: "google", Dialect: "gemini", BaseURL: c.Providers[0].BaseURL, APIKey: "sk-stored-google"})
	}))
	r.up.answers(ok200("application/json", "{}"))
	if a := ask(t, r.addr, post("/google/v1beta/models/gemini-2.5-flash:generateContent?key=client-own", `{"contents":[]}`, "x-gnomon-key: "+ownKey)); a.StatusCode != 200 {
		t.Fatalf("status %d", a.StatusCode)
	}
	if got := r.up.requests(); len(got) != 1 || !strings.Contains(got[0], "key=client-own") || strings.Contains(got[0], "sk-stored-google") {
		t.Errorf("the provider got %q", got)
	}
}
