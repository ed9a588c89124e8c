package dashboards

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// fakeKeys is a keyring in memory.
type fakeKeys struct{ keys []schemas.Key }

func (f *fakeKeys) List(project string) (list []schemas.Key) {
	for _, k := range f.keys {
		if k.Project == project {
			list = append(list, k)
		}
	}
	return list
}

func (f *fakeKeys) Create(_ context.Context, k schemas.Key) (schemas.Key, error) {
	k = k.Next(time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC))
	f.keys = append(f.keys, k)
	return k, nil
}

func (f *fakeKeys) Revoke(_ context.Context, project, id, actor, reason string) (schemas.Key, error) {
	for i := range f.keys {
		if k := &f.keys[i]; k.Project == project && k.ID == id {
			k.Version, k.Replaces, k.Revoked, k.Actor, k.Reason = 2, 1, true, actor, reason
			return *k, nil
		}
	}
	return schemas.Key{}, &Error{Kind: NotFound, Message: "No such key.", Hint: "List them."}
}

func keyServer(t *testing.T) (http.Handler, *fakeKeys) {
	f := &fakeKeys{}
	h, _ := newServer(t, func(c *Config, _ *fake) { c.Keys = f })
	return h, f
}

const aSum = `"sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"`

func TestKeysAreMadeListedAndRevoked(t *testing.T) {
	h, f := keyServer(t)
	status, body := call(t, h, "POST", "/api/v1/keys", `{"id":"0123456789abcdef",`+aSum+`,"name":"backend","feature":"support/summary","team":"support","providers":["openai"],"requests_per_minute":60,"in_flight":4,"expires":"2099-01-01T00:00:00Z","actor":"maria"}`)
	if status != 200 || !strings.Contains(body, `"id":"0123456789abcdef"`) || strings.Contains(body, "9f86") {
		t.Errorf("%d %s", status, body)
	}
	if k := f.keys[0]; len(k.SHA256) != 32 || k.SHA256[0] != 0x9f || k.Feature != "support/summary" || k.Providers[0] != "openai" || k.RequestsPerMinute != 60 || k.InFlight != 4 || k.Expires.Year() != 2099 || k.Actor != "maria" {
		t.Errorf("created %+v", k)
	}
	if status, body = call(t, h, "GET", "/api/v1/keys", ""); status != 200 || !strings.Contains(body, `"name":"backend"`) || strings.Contains(body, "sha256") || strings.Contains(body, "n4bQ") {
		t.Errorf("%d %s", status, body)
	}
	if status, body = call(t, h, "POST", "/api/v1/keys/0123456789abcdef/revoke", `{"reason":"leaked"}`); status != 200 || !strings.Contains(body, `"revoked":true`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body = call(t, h, "POST", "/api/v1/keys/ffffffffffffffff/revoke", `{"reason":"leaked"}`); status != 404 {
		t.Errorf("%d %s", status, body)
	}
}

func TestAKeyThatCannotBeIsRefused(t *testing.T) {
	h, f := keyServer(t)
	for name, body := range map[string]string{
		"bad_sha256":   `{"id":"0123456789abcdef","sha256":"gk_the_key_itself","name":"x"}`,
		"bad_id":       `{"id":"A b",` + aSum + `,"name":"x"}`,
		"name_missing": `{"id":"0123456789abcdef",` + aSum + `,"name":" "}`,
		"expired":      `{"id":"0123456789abcdef",` + aSum + `,"name":"x","expires":"2001-01-01T00:00:00Z"}`,
		"bad_feature":  `{"id":"0123456789abcdef",` + aSum + `,"name":"x","feature":"a\nb"}`,
		"bad_json":     `{"id":"0123456789abcdef",` + aSum + `,"name":"x","rpm":5}`,
	} {
		if w := send(h, "POST", "/api/v1/keys", body); w.Code != 400 || !strings.Contains(w.Body.String(), `"`+name+`"`) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := send(h, "POST", "/api/v1/keys/0123456789abcdef/revoke", `{"reason":" "}`); w.Code != 400 {
		t.Errorf("revoked without a reason: %d %s", w.Code, w.Body)
	}
	if len(f.keys) != 0 {
		t.Errorf("made %+v", f.keys)
	}
	readOnly, _ := newServer(t, nil)
	if w := send(readOnly, "GET", "/api/v1/keys", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "read_only") {
		t.Errorf("without keys: %d %s", w.Code, w.Body)
	}
}
