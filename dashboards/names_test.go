package dashboards

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// fakeNames is a log of names in memory.
type fakeNames struct{ names []schemas.Naming }

func (f *fakeNames) List(project string) (list []schemas.Naming) {
	for _, n := range f.names {
		if n.Project == project {
			list = append(list, n)
		}
	}
	return list
}

func (f *fakeNames) Rename(_ context.Context, r NameRequest) (NameResult, error) {
	if r.Name == "taken" && !r.Into {
		return NameResult{}, &Error{Code: "invalid", Message: "In use.", Hint: "Merge."}
	}
	for _, w := range r.Workloads {
		f.names = append(f.names, schemas.Naming{Project: r.Project, Workload: w, Name: r.Name, Actor: r.Actor, Reason: r.Reason, Version: 1})
	}
	return NameResult{Names: f.names}, nil
}

func (f *fakeNames) Unname(_ context.Context, project, workload, actor, reason string) (NameResult, error) {
	return NameResult{Names: []schemas.Naming{{Project: project, Workload: workload, Actor: actor, Reason: reason, Version: 2, Replaces: 1}}}, nil
}

func TestDiscoveredWorkloadsAreNamedByTheAPI(t *testing.T) {
	f := &fakeNames{}
	h, _ := newServer(t, func(c *Config, k *fake) {
		c.Names = f
		k.traffic = append(k.traffic, Traffic{Workload: "mail", Day: fixedNow.Truncate(24 * time.Hour), Requests: 3})
	})
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		holds                    string
	}{
		{"a name is given", "POST", "/names", `{"workloads":["~a","~b"],"name":" mail ","into":true,"reason":"one template","actor":"ann"}`, 200, `"workload":"~b","name":"mail"`},
		{"they are listed", "GET", "/names", "", 200, `"actor":"ann"`},
		{"a refusal says why", "POST", "/names", `{"workloads":["~c"],"name":"taken","reason":"r"}`, 400, "Merge."},
		{"without a reason nothing is named", "POST", "/names", `{"workloads":["~c"],"name":"x"}`, 400, "reason_missing"},
		{"a misspelt member is refused", "POST", "/names", `{"workload":"~c","name":"x","reason":"r"}`, 400, "bad_json"},
		{"a name is taken back", "POST", "/names/undo", `{"workload":"~a","reason":"wrong"}`, 200, `"version":2`},
		{"not without a reason", "POST", "/names/undo", `{"workload":"~a"}`, 400, "reason_missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, body := call(t, h, tt.method, "/api/v1"+tt.path, tt.body); status != tt.status || !strings.Contains(body, tt.holds) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	for path, want := range map[string][]string{
		"/workloads":               {"n.name = ", "gnomon.workload_names"},
		"/workloads/mail":          {"workload IN (&#39;mail&#39;, &#39;~a&#39;, &#39;~b&#39;)", "A person&#39;s name for"},
		"/workloads/~triage-agent": {"gnomon workloads rename"},
	} {
		page := get(t, h, path).Body.String()
		for _, w := range want {
			if !strings.Contains(page, w) && !strings.Contains(page, strings.ReplaceAll(w, "person&#39;s", "person's")) {
				t.Errorf("%s lacks %s", path, w)
			}
		}
	}
	if sql := sqlRequests(RequestFilter{Workload: "mail", Recorded: []string{"mail", "~a"}}); !strings.Contains(sql, "workload IN ('mail', '~a')") {
		t.Error(sql)
	}
	h, _ = newServer(t, nil)
	if status, body := call(t, h, "GET", "/api/v1/names", ""); status != 503 || !strings.Contains(body, "read_only") {
		t.Errorf("without a log: %d %s", status, body)
	}
}

func TestAPersonNamesADiscoveredWorkloadOnItsPageAndTakesTheNameBack(t *testing.T) {
	f := &fakeNames{}
	h, _ := newServer(t, func(c *Config, k *fake) {
		c.Names = f
		k.traffic = append(k.traffic, Traffic{Workload: "mail", Day: fixedNow.Truncate(24 * time.Hour), Requests: 3})
	})
	post := func(path, origin string, form url.Values) (int, string) {
		r := httptest.NewRequest(http.MethodPost, "http://localhost:8081"+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const own, found = "http://localhost:8081", "/workloads/~triage-agent"
	name := func(kv ...string) url.Values {
		v := url.Values{"action": {"name"}, "found": {"~triage-agent"}, "name": {"mail"}, "reason": {"one template"}, "actor": {"ann"}}
		for i := 0; i < len(kv); i += 2 {
			v.Set(kv[i], kv[i+1])
		}
		return v
	}
	for _, tt := range []struct {
		name, path, origin string
		form               url.Values
		status             int
		holds              string
		named              int
	}{
		{"another site's form is refused", found, "http://evil.example", name(), 403, "another site", 0},
		{"a form without an origin, too", found, "", name(), 403, "without an Origin", 0},
		{"without a reason nothing is named, and what was typed stays", found, own, name("reason", " ", "name", "typed<b>"), 400, `value="typed&lt;b&gt;"`, 0},
		{"a name in use is refused with what to do", found, own, name("name", "taken"), 400, "Merge.", 0},
		{"a merge takes it", found, own, name("name", "taken", "into", "1"), 200, "gnomon workloads undo &#39;~triage-agent&#39;", 1},
		{"a name is given, and the way back shown", found, own, name(), 200, "Take the name back", 2},
		{"it is taken back on the page of its name", "/workloads/mail", own, url.Values{"action": {"unname"}, "found": {"~triage-agent"}, "reason": {"wrong"}}, 200, "goes by its own name again", 2},
		{"not without a reason", "/workloads/mail", own, url.Values{"action": {"unname"}, "found": {"~triage-agent"}}, 400, "needs a reason", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, body := post(tt.path, tt.origin, tt.form); status != tt.status || !strings.Contains(body, tt.holds) || len(f.names) != tt.named {
				t.Errorf("%d, %d named, %s", status, len(f.names), body)
			}
		})
	}
	if n := f.names[1]; n.Name != "mail" || n.Actor != "ann" || n.Reason != "one template" || n.Project != "acme" {
		t.Errorf("recorded %+v", n)
	}
	if page := get(t, h, "/workloads/mail").Body.String(); !strings.Contains(page, `name="found" value="~triage-agent"`) {
		t.Error("the page of a name has no way back")
	}
}
