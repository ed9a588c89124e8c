package dashboards

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/schemas"
)

// call makes an API call and holds question and answer against openapi.yaml.
func call(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := send(h, method, path, body)
	validate(t, method, path, body, w)
	return w.Code, w.Body.String()
}

func send(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:8081"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var described = sync.OnceValues(func() (routers.Router, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(OpenAPI())
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(loader.Context); err != nil {
		return nil, err
	}
	return legacy.NewRouter(doc)
})

// validate checks an answer. Its address has the workload's slashes escaped: the
// router of the validator knows one segment only, ours knows both forms.
func validate(t *testing.T, method, path, body string, w *httptest.ResponseRecorder) {
	t.Helper()
	router, err := described()
	if err != nil {
		t.Fatalf("openapi.yaml is not valid: %v", err)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	route, params, err := router.FindRoute(r)
	if err != nil {
		t.Fatalf("%s %s is not in openapi.yaml: %v", method, path, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if w.Code == http.StatusOK {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s was answered, but openapi.yaml does not allow it: %v", method, path, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes()))}
	if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
		t.Errorf("%s %s: answer %d is not as described: %v", method, path, w.Code, err)
	}
}

func TestAPIAnswersAsDescribed(t *testing.T) {
	h, f := newServer(t, nil)
	for _, c := range []struct {
		name, path string
		status     int
		holds      string
	}{
		{"status tells modes and completeness", "/status", 200, `"state":"lost"`},
		{"workloads come with verdicts and policies", "/workloads", 200, `"readiness":"worse"`},
		{"a workload's name with an escaped slash is one name", "/workloads/support%2Fsummary", 200, `"workload":"support/summary"`},
		{"a discovered workload keeps its tilde", "/workloads/~triage-agent", 200, `"workload":"~triage-agent"`},
		{"an unknown workload is not found, with a hint", "/workloads/nobody", 404, `"unknown_workload"`},
		{"the report has totals and verdicts", "/report", 200, `"spend_month":`},
		{"verdicts can be narrowed to a workload", "/verdicts?workload=docs%2Frag", 200, `"docs/rag"`},
		{"policies are listed without their salts", "/policies/code%2Freview", 200, `"override":true`},
		{"a workload without policies has an empty list", "/policies/docs%2Frag", 200, `"policies":[]`},
		{"requests are a page", "/requests?limit=3", 200, `"next":"3"`},
		{"a request explains its candidates", "/requests/" + f.requests[0].RequestID, 200, `"reject":"context"`},
		{"a request id that is none is refused", "/requests/hello", 400, `"bad_request_id"`},
		{"an unknown request is not found", "/requests/0192b7a4-0000-7000-8000-000000000000", 404, `"unknown_request"`},
		{"an unknown status is refused with the list of them", "/requests?status=fine", 400, "provider_error"},
		{"an unreadable time is refused with an example", "/requests?from=yesterday", 400, "2026-11-21"},
		{"a period that ends before it begins is refused", "/requests?from=2026-11-20&to=2026-11-01", 400, `"bad_period"`},
		{"a limit beyond the bound is refused", "/requests?limit=501", 400, `"bad_limit"`},
		{"a project that is none is refused", "/status?project=NOT%20ONE", 400, `"bad_project"`},
		{"another project has its own, empty, answer", "/workloads?project=other", 200, `"workloads":[]`},
		{"health lists lives and parts", "/health", 200, `"boot_id":"18369614221190020847"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := call(t, h, "GET", "/api/v1"+c.path, "")
			if status != c.status || !strings.Contains(body, c.holds) {
				t.Errorf("status %d, want %d with %s in\n%.600s", status, c.status, c.holds, body)
			}
			if strings.Contains(body, "bmV2ZXIgdG8gYmUgc2Vlbg") {
				t.Error("the answer holds a salt")
			}
		})
	}
}

func TestWorkloadNamesArriveHoweverTheirSlashIsWritten(t *testing.T) {
	h, f := newServer(t, nil)
	for _, path := range []string{"/api/v1/workloads/support/summary", "/api/v1/workloads/support%2Fsummary", "/api/v1/workloads/support%2fsummary", "/workloads/support/summary", "/workloads/support%2Fsummary"} {
		if w := get(t, h, path); w.Code != 200 || !strings.Contains(w.Body.String(), "support/summary") {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	for _, name := range []string{"a/../b", "//", "x//y", "50% off?", "tab\there", "ünï/ço∂é", "a b/c#d", "x/activate", hostile} {
		f.traffic = append(f.traffic, Traffic{Workload: name, Day: fixedNow.Truncate(24 * time.Hour), Requests: 1})
		for _, prefix := range []string{"", "/api/v1"} {
			if w := get(t, h, prefix+workloadPath(name)); w.Code != 200 {
				t.Errorf("%q at %s: status %d", name, prefix+workloadPath(name), w.Code)
			}
		}
		status, body := call(t, h, "POST", "/api/v1/workloads/"+pathEscapeWhole(name)+"/activate", `{"candidate":"openai/gpt-4o-mini","share":"5%","reason":"name test","override":true}`)
		if status != 200 || f.policies[name] == nil {
			t.Errorf("activate %q: status %d %s", name, status, body)
		}
	}
}

func pathEscapeWhole(s string) string { return strings.ReplaceAll(escapeName(s), "/", "%2F") }

func TestActivateAndRollbackAnswerWithPolicyAndUndo(t *testing.T) {
	h, f := newServer(t, nil)
	status, body := call(t, h, "POST", "/api/v1/workloads/support%2Fsummary/activate", `{"candidate":"openai/gpt-4o-mini","share":"25%","reason":"ready","actor":"maria"}`)
	var a struct {
		Policy schemas.Policy
		Undo   string
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != 200 {
		t.Fatalf("status %d %v %s", status, err, body)
	}
	if a.Policy.Share != 2500 || a.Policy.Actor != "maria" || len(a.Policy.Salt) != 0 || a.Undo != `gnomon rollback support/summary --reason "…"` {
		t.Errorf("answer is %s", body)
	}
	status, body = call(t, h, "POST", "/api/v1/workloads/support%2Fsummary/rollback", `{"reason":"enough seen"}`)
	if status != 200 || !strings.Contains(body, `"mode":"observe"`) || !strings.Contains(body, "gnomon activate support/summary --candidate openai/gpt-4o-mini --share 25%") {
		t.Errorf("rollback: %d %s", status, body)
	}
	if n := len(f.policies["support/summary"]); n != 2 || f.policies["support/summary"][1].Actor != "api" {
		t.Errorf("%d policies: %+v", n, f.policies["support/summary"])
	}
}

func TestAShareIsTakenAsItIsWrittenAndGivenBackExactly(t *testing.T) {
	for share, want := range map[string]schemas.BasisPoints{`"25%"`: 2500, `"25 %"`: 2500, `0.25`: 2500, `"0.25"`: 2500, `"1%"`: 100, `"100%"`: 10000, `"12.34%"`: 1234, `0.0001`: 1} {
		h, f := newServer(t, nil)
		const path = "/api/v1/workloads/support%2Fsummary/"
		status, body := call(t, h, "POST", path+"activate", `{"candidate":"openai/gpt-4o-mini","reason":"x","share":`+share+`}`)
		if got := f.policies["support/summary"]; status != 200 || got[0].Share != want {
			t.Errorf("%s: %d %s", share, status, body)
		}
		if _, body = call(t, h, "POST", path+"rollback", `{"reason":"x"}`); !strings.Contains(body, "--share "+want.Percent()+" ") {
			t.Errorf("%s is undone by %s", share, body)
		}
	}
}

func TestAnOverrideIsUndoneWithItsThreshold(t *testing.T) {
	was := schemas.Policy{Workload: "w", Mode: schemas.ModeCanary, Candidate: "openai/gpt-4o-mini", Share: 2500, Threshold: 0.7, Override: true}
	if got, want := undo(Result{Policy: schemas.Policy{Mode: schemas.ModeObserve}, Previous: &was}), `gnomon activate w --candidate openai/gpt-4o-mini --share 25% --override --threshold 0.7 --reason "…"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestActionsAreRefusedWithWhatToDo(t *testing.T) {
	h, f := newServer(t, nil)
	const ok = `"candidate":"openai/gpt-4o-mini","reason":"why not",`
	for _, c := range []struct {
		name, path, body, code string
		status                 int
	}{
		{"a bare 25 could mean either and is refused", "activate", `{` + ok + `"share":25}`, "bad_share", 400},
		{"a bare 1 could be 1 % or everything and is refused", "activate", `{` + ok + `"share":1}`, "bad_share", 400},
		{"a bare 1 is refused however it is written", "activate", `{` + ok + `"share":"1.0"}`, "bad_share", 400},
		{"a share that is neither text nor number is refused", "activate", `{` + ok + `"share":[0.25]}`, "bad_share", 400},
		{"a share of zero moves nothing and is refused", "activate", `{` + ok + `"share":"0%"}`, "bad_share", 400},
		{"a share above everything is refused", "activate", `{` + ok + `"share":"101%"}`, "bad_share", 400},
		{"a share that is no number is refused", "activate", `{` + ok + `"share":"NaN%"}`, "bad_share", 400},
		{"a missing share is refused", "activate", `{"candidate":"openai/gpt-4o-mini","reason":"x"}`, "bad_share", 400},
		{"a missing reason is refused", "activate", `{"candidate":"openai/gpt-4o-mini","share":0.25,"reason":"  "}`, "reason_missing", 400},
		{"a candidate without its provider is refused", "activate", `{"candidate":"gpt-4o-mini","share":0.25,"reason":"x"}`, "bad_candidate", 400},
		{"a threshold above one is refused", "activate", `{` + ok + `"share":"100%","threshold":1.5}`, "bad_threshold", 400},
		{"a misspelt field is refused, not dropped", "activate", `{` + ok + `"share":"100%","overide":true}`, "bad_json", 400},
		{"two objects are refused", "activate", `{` + ok + `"share":"100%"}{}`, "bad_json", 400},
		{"what the verdict does not support is refused", "activate", `{"candidate":"openai/other","share":0.05,"reason":"x"}`, "verdict_not_ready", 409},
		{"a record that came second is a conflict", "activate", `{"candidate":"openai/gpt-4o-mini","share":0.05,"reason":"conflict"}`, "policy_conflict", 409},
		{"a rollback without a reason is refused", "rollback", `{}`, "reason_missing", 400},
		{"a rollback of what has no policy is not found", "rollback", `{"reason":"x"}`, "no_policy", 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := call(t, h, "POST", "/api/v1/workloads/support%2Fsummary/"+c.path, c.body)
			var e apiError
			if err := json.Unmarshal([]byte(body), &e); err != nil || status != c.status || e.Error.Code != c.code || e.Error.Hint == "" {
				t.Errorf("status %d, want %d %s: %s", status, c.status, c.code, body)
			}
		})
	}
	if len(f.policies["support/summary"]) != 0 {
		t.Error("a refused action left a policy")
	}
}

func TestOwnGradesAreTakenAndMarkedAsOwn(t *testing.T) {
	h, f := newServer(t, nil)
	id := f.requests[0].RequestID
	grade := func(more string) string {
		return fmt.Sprintf(`{"request_id":%q,"workload":"support/summary","request_model":"gpt-4o","candidate":"openai/gpt-4o-mini","quality_baseline":1,"quality_candidate":0.5%s}`, id, more)
	}
	status, body := call(t, h, "POST", "/api/v1/evaluations", `{"evaluations":[`+grade("")+`,`+grade(`,"sampling_probability":0.1,"grader":"exact_match"`)+`]}`)
	if status != 200 || len(f.posted) != 2 || !strings.Contains(body, "1 evaluation without a sampling_probability") {
		t.Fatalf("status %d, %d posted: %s", status, len(f.posted), body)
	}
	if e := f.posted[0]; e.Grader != "own" || e.Project != "acme" || e.EvaluationID == "" || !e.GradedAt.Equal(fixedNow) || e.Outcome != schemas.OutcomeGraded {
		t.Errorf("completed as %+v", e)
	}
	if g := f.posted[1].Grader; g != "own:exact_match" {
		t.Errorf("a team's grader passes for gnomon's: %s", g)
	}
	for name, more := range map[string]string{"a quality above one": `,"quality_candidate":1.2`, "a sampling probability of zero": `,"sampling_probability":0`, "a request id that is none": `,"request_id":"7"`, "another project": `,"project":"beta"`, "an unknown outcome": `,"outcome":"fine"`} {
		if status, body := call(t, h, "POST", "/api/v1/evaluations", `{"evaluations":[`+grade(more)+`]}`); status != 400 || !strings.Contains(body, "Evaluation 1") {
			t.Errorf("%s: status %d %s", name, status, body)
		}
	}
	if len(f.posted) != 2 {
		t.Errorf("refused grades were posted: %d", len(f.posted))
	}
}

func TestAStoreThatIsAwayIsSaidPlainly(t *testing.T) {
	h, _ := newServer(t, func(_ *Config, f *fake) { f.err = errors.New("dial tcp 127.0.0.1:18123: refused") })
	status, body := call(t, h, "GET", "/api/v1/workloads", "")
	if status != 503 || !strings.Contains(body, `"unavailable"`) {
		t.Errorf("status %d %s", status, body)
	}
	for _, p := range []string{"/", "/workloads/x", "/requests", "/health"} {
		w := get(t, h, p)
		if w.Code != 503 || !strings.Contains(w.Body.String(), "The store did not answer") || !strings.Contains(w.Body.String(), "</html>") {
			t.Errorf("%s: status %d", p, w.Code)
		}
	}
	if w := get(t, h, "/readyz"); w.Code != 503 {
		t.Errorf("readyz is %d", w.Code)
	}
	if w := get(t, h, "/healthz"); w.Code != 200 {
		t.Errorf("healthz is %d: a process that lives is healthy", w.Code)
	}
}

func TestJSONPostsNeedTheirContentType(t *testing.T) {
	h, f := newServer(t, nil)
	r := httptest.NewRequest("POST", "http://localhost:8081/api/v1/workloads/support%2Fsummary/activate", strings.NewReader(`{"candidate":"openai/gpt-4o-mini","share":"100%","reason":"x"}`))
	r.Header.Set("Content-Type", "text/plain")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 400 || len(f.policies["support/summary"]) != 0 {
		t.Errorf("status %d %s", w.Code, w.Body)
	}
}

func TestWhatIfIsAskedAsTheAddressSays(t *testing.T) {
	var asked WhatIf
	c := Config{Project: "acme", Data: newFake(time.Now()), WhatIf: func(_ context.Context, q WhatIf) (*whatif.Result, error) {
		asked = q
		return &whatif.Result{Project: q.Project, Notes: []string{"n"}, TooFew: []whatif.TooFew{}, Workloads: []whatif.Frontier{{Workload: "a/b", Points: []whatif.Point{{Threshold: .3, Evidence: whatif.Nothing}}}}}, nil
	}}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	code, body := call(t, h, http.MethodGet, "/api/v1/whatif?workload=a%2Fb&threshold=0.3&threshold=0.5&ladder=openai%2Fx%3Dopenai%2Fy&from=2026-11-03T00:00:00Z", "")
	if code != http.StatusOK || !strings.Contains(body, `"quality"`) || asked.Workload != "a/b" || len(asked.Thresholds) != 2 || len(asked.Ladders) != 1 || asked.Ladders[0].Candidates[0] != "openai/y" || asked.From.Day() != 3 {
		t.Errorf("%d: %s; asked %+v", code, body, asked)
	}
	for _, wrong := range []string{"threshold=2", "threshold=x", "ladder=x", "from=monday"} {
		if w := send(h, http.MethodGet, "/api/v1/whatif?"+wrong, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", wrong, w.Code, w.Body)
		}
	}
}
