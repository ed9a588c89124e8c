package dashboards

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

type apiError struct {
	Error errorBody `json:"error"`
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a NaN or an infinity where finite numbers were promised
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"The answer could not be written as JSON.","hint":"This is a bug of gnomon: please report it."}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

// statusOf maps an error to its HTTP status and the body that tells of it.
func statusOf(err error) (int, errorBody) {
	var e *Error
	if !errors.As(err, &e) {
		return http.StatusServiceUnavailable, errorBody{"unavailable", "The store did not answer: " + err.Error(), "Try again; `gnomon doctor` says what is wrong when it stays so."}
	}
	status, code := http.StatusBadRequest, "invalid"
	switch e.Kind {
	case NotFound:
		status, code = http.StatusNotFound, "not_found"
	case Conflict:
		status, code = http.StatusConflict, "conflict"
	case Unsupported:
		status, code = http.StatusConflict, "unsupported"
	case Unavailable:
		status, code = http.StatusServiceUnavailable, "unavailable"
	}
	if e.Code != "" {
		code = e.Code
	}
	return status, errorBody{code, e.Message, e.Hint}
}

// apiHandler answers with what it returns.
type apiHandler func(*http.Request) (any, error)

func (s *server) api(h apiHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := h(r)
		if err != nil {
			status, body := statusOf(err)
			if status >= 500 {
				s.logFailure(r, "api request failed", err)
			}
			writeJSON(w, status, apiError{body})
			return
		}
		writeJSON(w, http.StatusOK, v)
	}
}

func (s *server) apiRoutes(mux *http.ServeMux) {
	get := func(p string, h apiHandler) { mux.HandleFunc("GET /api/v1"+p, s.api(h)) }
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi)
	})
	get("/status", s.apiStatus)
	get("/workloads", s.apiWorkloads)
	get("/workloads/{w...}", s.apiWorkload)
	get("/report", s.apiReport)
	get("/whatif", s.apiWhatIf)
	get("/requests", s.apiRequests)
	get("/requests/{id}", s.apiRequest)
	get("/verdicts", s.apiVerdicts)
	get("/policies/{w...}", s.apiPolicies)
	get("/health", s.apiHealth)
	mux.HandleFunc("POST /api/v1/workloads/{w...}", s.api(s.apiAction))
	mux.HandleFunc("POST /api/v1/evaluations", s.api(s.apiEvaluations))
	s.keyRoutes(mux)
	s.nameRoutes(mux)
	mux.HandleFunc("/api/", s.api(func(r *http.Request) (any, error) {
		return nil, &Error{Kind: NotFound, Message: r.Method + " " + r.URL.Path + " is not part of this API.", Hint: "See /api/v1/openapi.yaml."}
	}))
}

var projectPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// project is what the request asks for, or the configured one.
func (s *server) project(r *http.Request) (string, error) {
	p := r.URL.Query().Get("project")
	if p == "" {
		return s.Project, nil
	}
	if !projectPattern.MatchString(p) {
		return "", &Error{Code: "bad_project", Message: "The project " + strconv.Quote(p) + " is no project's name.", Hint: "Lower-case letters, digits and dashes."}
	}
	return p, nil
}

type statusAnswer struct {
	Project   string         `json:"project"`
	Version   string         `json:"version"`
	Simulated bool           `json:"simulated"`
	Modes     map[string]int `json:"modes"` // workloads by mode
	Workloads int            `json:"workloads"`
	Complete  completeness   `json:"completeness"`
	At        time.Time      `json:"at"`
}

// completeness is the sum over proxy lives.
type completeness struct {
	State    string `json:"state"` // complete, waiting, lost, unknown
	Accepted uint64 `json:"accepted"`
	Stored   uint64 `json:"stored"`
	Declared uint64 `json:"declared"`
	Dropped  uint64 `json:"dropped"`
	InFlight uint64 `json:"in_flight"`
	Waiting  uint64 `json:"waiting"`
}

func sumLives(c Completeness) completeness {
	t := completeness{State: "unknown"}
	for _, l := range c.Lives {
		t.Accepted += l.Accepted
		t.Stored += l.Stored
		t.Declared += l.Declared
		t.Dropped += l.Dropped
		t.InFlight += l.InFlight
		t.Waiting += l.Waiting()
	}
	switch {
	case len(c.Lives) == 0:
	case t.Waiting > 0:
		t.State = "waiting"
	case t.Declared > 0:
		t.State = "lost"
	default:
		t.State = "complete"
	}
	return t
}

func (s *server) apiStatus(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	ws, err := s.workloads(r.Context(), p)
	if err != nil {
		return nil, err
	}
	c, err := s.data(r.Context()).Completeness(r.Context(), p)
	if err != nil {
		return nil, err
	}
	a := statusAnswer{Project: p, Version: s.Version, Simulated: s.Simulated, Modes: map[string]int{}, Workloads: len(ws), Complete: sumLives(c), At: s.Now().UTC()}
	for _, w := range ws {
		a.Modes[string(w.Mode)]++
	}
	return a, nil
}

type workloadsAnswer struct {
	Project   string      `json:"project"`
	From      time.Time   `json:"from"`
	To        time.Time   `json:"to"`
	Workloads []*workload `json:"workloads"`
}

func (s *server) apiWorkloads(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	ws, err := s.workloads(r.Context(), p)
	if err != nil {
		return nil, err
	}
	from, to := s.window()
	return workloadsAnswer{p, from, to, orEmpty(ws)}, nil
}

func (s *server) apiWorkload(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	w, err := s.workload(r.Context(), p, r.PathValue("w"))
	if err != nil {
		return nil, err
	}
	return w, nil
}

type verdictsAnswer struct {
	Project  string            `json:"project"`
	Verdicts []schemas.Verdict `json:"verdicts"`
}

func (s *server) apiVerdicts(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	vs, err := s.data(r.Context()).Verdicts(r.Context(), p)
	if err != nil {
		return nil, err
	}
	if w := s.called(p, r.URL.Query().Get("workload")); w != "" {
		kept := vs[:0:0]
		for _, v := range vs {
			if v.Workload == w {
				kept = append(kept, v)
			}
		}
		vs = kept
	}
	return verdictsAnswer{p, orEmpty(vs)}, nil
}

type reportAnswer struct {
	Project   string            `json:"project"`
	Simulated bool              `json:"simulated"`
	At        time.Time         `json:"at"`
	Totals    totals            `json:"totals"`
	Verdicts  []schemas.Verdict `json:"verdicts"`
}

func (s *server) apiReport(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	if s.Report != nil {
		return s.Report(r.Context(), p)
	}
	ws, err := s.workloads(r.Context(), p)
	if err != nil {
		return nil, err
	}
	vs, err := s.data(r.Context()).Verdicts(r.Context(), p)
	if err != nil {
		return nil, err
	}
	return reportAnswer{p, s.Simulated, s.Now().UTC(), s.totals(ws), orEmpty(vs)}, nil
}

type policiesAnswer struct {
	Project  string           `json:"project"`
	Workload string           `json:"workload"`
	Policies []schemas.Policy `json:"policies"`
}

func (s *server) apiPolicies(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	ps, err := s.data(r.Context()).Policies(r.Context(), p, r.PathValue("w"))
	if err != nil {
		return nil, err
	}
	return policiesAnswer{p, r.PathValue("w"), orEmpty(publicPolicies(ps))}, nil
}

// publicPolicies leaves the salts out: who knows one can tell, and choose, the
// arm of a session.
func publicPolicies(ps []schemas.Policy) []schemas.Policy {
	out := make([]schemas.Policy, len(ps))
	for i, p := range ps {
		p.Salt = nil
		out[i] = p
	}
	return out
}

type requestsAnswer struct {
	Requests []schemas.RequestEvent `json:"requests"`
	Next     string                 `json:"next"` // "" at the end
}

func (s *server) apiRequests(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	f, err := parseFilter(p, r.URL.Query())
	f.Workload = s.called(p, f.Workload)
	if err != nil {
		return nil, err
	}
	page, err := s.data(r.Context()).Requests(r.Context(), f)
	if err != nil {
		return nil, err
	}
	return requestsAnswer{orEmpty(page.Requests), page.Next}, nil
}

type requestAnswer struct {
	Request     schemas.RequestEvent `json:"request"`
	Explanation Explanation          `json:"explanation"`
}

func (s *server) apiRequest(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	return s.request(r.Context(), p, r.PathValue("id"))
}

type healthAnswer struct {
	Project      string       `json:"project"`
	Total        completeness `json:"total"`
	Completeness Completeness `json:"completeness"`
	Parts        []Part       `json:"parts"`
}

func (s *server) apiHealth(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	c, err := s.data(r.Context()).Completeness(r.Context(), p)
	if err != nil {
		return nil, err
	}
	c.Lives = orEmpty(c.Lives)
	a := healthAnswer{Project: p, Total: sumLives(c), Completeness: c, Parts: []Part{}}
	if s.Health != nil {
		a.Parts = orEmpty(s.Health.Parts(r.Context()))
		for i := range a.Parts {
			a.Parts[i].Figures = orEmpty(a.Parts[i].Figures)
		}
	}
	return a, nil
}

// orEmpty makes a list that is [] in JSON, never null.
func orEmpty[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// parseFilter reads the filter as it stands in an address: the console's and
// the API's are the same words.
func parseFilter(project string, q url.Values) (RequestFilter, error) {
	f := RequestFilter{Project: project, Workload: q.Get("workload"), RequestModel: q.Get("model"), ServedModel: q.Get("served"), Provider: q.Get("provider"),
		Team: q.Get("team"), User: q.Get("user"), Session: q.Get("session"), Trace: q.Get("trace"), Status: schemas.Status(q.Get("status")),
		Arm: schemas.Arm(q.Get("arm")), Route: q.Get("route"), Reject: q.Get("reject"), Cursor: q.Get("cursor"), Limit: 50}
	var err error
	if f.From, err = parseTime(q.Get("from"), false); err != nil {
		return f, err
	}
	if f.To, err = parseTime(q.Get("to"), true); err != nil {
		return f, err
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return f, &Error{Code: "bad_period", Message: "The period ends before it begins.", Hint: "Give a from that lies before to."}
	}
	if l := q.Get("limit"); l != "" {
		if f.Limit, err = strconv.Atoi(l); err != nil || f.Limit < 1 || f.Limit > 500 {
			return f, &Error{Code: "bad_limit", Message: "limit is " + strconv.Quote(l) + ".", Hint: "Give a whole number from 1 to 500."}
		}
	}
	for _, c := range []struct{ name, value, words string }{
		{"status", string(f.Status), statusWords}, {"arm", string(f.Arm), armWords}, {"route", f.Route, routeWords}, {"reject", f.Reject, rejectWords()},
	} {
		if c.value != "" && !oneOf(c.value, c.words) {
			return f, &Error{Code: "bad_" + c.name, Message: c.name + " is " + strconv.Quote(c.value) + ".", Hint: "Give one of: " + c.words + "."}
		}
	}
	return f, nil
}

const (
	statusWords = "ok, provider_error, client_abort, truncated, timeout, refused, lost"
	armWords    = "none, control, treated"
	routeWords  = "would, kept, routed"
)

func oneOf(v, words string) bool {
	for w := range strings.SplitSeq(words, ", ") {
		if v == w {
			return true
		}
	}
	return false
}

// parseTime reads RFC 3339, or a day in UTC; the day of an end is inclusive.
func parseTime(v string, end bool) (time.Time, error) {
	if v == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, v); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse("2006-01-02", v)
	if err != nil {
		return time.Time{}, &Error{Code: "bad_time", Message: "The time " + strconv.Quote(v) + " cannot be read.", Hint: "Write 2026-11-21 or 2026-11-21T14:00:00Z."}
	}
	if end {
		t = t.AddDate(0, 0, 1)
	}
	return t, nil
}
