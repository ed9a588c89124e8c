package dashboards

import (
	"context"
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
