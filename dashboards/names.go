package dashboards

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Names says what discovered workloads are called.
type Names interface {
	// List returns the accepted record of each workload of a project that was
	// ever named.
	List(project string) []schemas.Naming
	// Rename calls discovered workloads by a name, and returns once that is
	// accepted. Into permits a name that is in use.
	Rename(ctx context.Context, r NameRequest) (NameResult, error)
	// Unname takes a name back.
	Unname(ctx context.Context, project, workload, actor, reason string) (NameResult, error)
}

// NameRequest asks for a name for discovered workloads.
type NameRequest struct {
	Project       string
	Workloads     []string // as they were discovered
	Name          string
	Into          bool
	Unseen        bool // of workloads that no request was seen of, too
	Actor, Reason string
}

// NameResult is what was accepted.
type NameResult struct {
	Names    []schemas.Naming
	Warnings []schemas.Warning
}

type nameBody struct {
	Workloads []string `json:"workloads"`
	Name      string   `json:"name"`
	Into      bool     `json:"into"`
	Unseen    bool     `json:"unseen"`
	Reason    string   `json:"reason"`
	Actor     string   `json:"actor"`
}

type unnameBody struct {
	Workload string `json:"workload"`
	Reason   string `json:"reason"`
	Actor    string `json:"actor"`
}

// nameAnswer is what a discovered workload is called, as the API shows it.
type nameAnswer struct {
	Workload string    `json:"workload"`
	Name     string    `json:"name"` // empty: the name was taken back
	Version  uint32    `json:"version"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

func namesOf(list []schemas.Naming) []nameAnswer {
	out := make([]nameAnswer, len(list))
	for i, n := range list {
		out[i] = nameAnswer{n.Workload, n.Name, n.Version, n.Actor, n.Reason, n.At}
	}
	return out
}

func (s *server) nameRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/names", s.api(s.apiNames))
	mux.HandleFunc("POST /api/v1/names", s.api(s.apiRename))
	mux.HandleFunc("POST /api/v1/names/undo", s.api(s.apiUnname))
}

// recordedAs returns the names under which a workload's requests were recorded,
// its own first.
func (s *server) recordedAs(project, workload string) []string {
	if workload == "" {
		return nil
	}
	all := []string{workload}
	if s.Names != nil {
		for _, n := range s.Names.List(project) {
			if n.Name == workload {
				all = append(all, n.Workload)
			}
		}
	}
	return all
}

// called is what a workload goes by now: what a person calls it, or its own name.
func (s *server) called(project, workload string) string {
	if s.Names != nil && workload != "" {
		for _, n := range s.Names.List(project) {
			if n.Workload == workload && n.Name != "" {
				return n.Name
			}
		}
	}
	return workload
}

// named says whether any workload of a project has been named.
func (s *server) named(project string) bool {
	return s.Names != nil && slices.ContainsFunc(s.Names.List(project), func(n schemas.Naming) bool { return n.Name != "" })
}

func (s *server) names(r *http.Request) (Names, string, error) {
	p, err := s.project(r)
	if err == nil && s.Names == nil {
		err = errReadOnly
	}
	return s.Names, p, err
}

func (s *server) apiNames(r *http.Request) (any, error) {
	names, project, err := s.names(r)
	if err != nil {
		return nil, err
	}
	return map[string]any{"project": project, "names": namesOf(names.List(project))}, nil
}

func (s *server) apiRename(r *http.Request) (any, error) {
	names, project, err := s.names(r)
	if err != nil {
		return nil, err
	}
	var b nameBody
	if err := readJSON(r, maxActionBody, &b); err != nil {
		return nil, err
	}
	req := NameRequest{Project: project, Workloads: b.Workloads, Name: strings.TrimSpace(b.Name), Into: b.Into, Unseen: b.Unseen, Actor: orWord(b.Actor, "api"), Reason: strings.TrimSpace(b.Reason)}
	if err := checkReason(req.Reason); err != nil {
		return nil, err
	}
	return nameResult(names.Rename(r.Context(), req))
}

func (s *server) apiUnname(r *http.Request) (any, error) {
	names, project, err := s.names(r)
	if err != nil {
		return nil, err
	}
	var b unnameBody
	if err := readJSON(r, maxActionBody, &b); err != nil {
		return nil, err
	}
	reason := strings.TrimSpace(b.Reason)
	if err := checkReason(reason); err != nil {
		return nil, err
	}
	return nameResult(names.Unname(r.Context(), project, b.Workload, orWord(b.Actor, "api"), reason))
}

func nameResult(r NameResult, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return map[string]any{"names": namesOf(r.Names), "warnings": orEmpty(r.Warnings)}, nil
}

// naming is the form that gives a discovered workload a name or takes it back, as a
// person filled it in.
type naming struct {
	Action, Found, Name, Reason, Actor string
	Into                               bool
	Problem                            *errorBody
}

// namedData is what was done, with the way back. The store hears of a name a
// moment later, so that neither workload's page could be shown at once.
type namedData struct {
	Found, Name string // Name is empty where it was taken back
	Undo        string
	Warnings    []schemas.Warning
}

// nameAction takes the forms for names of a workload's page.
func (s *server) nameAction(w http.ResponseWriter, r *http.Request, project, action string) {
	name, q := r.PathValue("w"), r.PostForm
	form := naming{Action: action, Found: q.Get("found"), Name: strings.TrimSpace(q.Get("name")), Reason: strings.TrimSpace(q.Get("reason")), Actor: q.Get("actor"), Into: q.Get("into") != ""}
	res, err := s.takeName(r.Context(), project, form)
	forget(r.Context())
	if err != nil {
		status, body := statusOf(err)
		d, dataErr := s.workloadData(r.Context(), project, name, url.Values{})
		if dataErr != nil {
			s.fail(w, r, project, errors.Join(err, dataErr))
			return
		}
		form.Problem = &body
		d.Naming = form
		f := s.newFrame(r.Context(), r, project, name, "workloads")
		f.Status, f.Page = s.status(r.Context(), project), d
		s.render(w, status, "workload", f)
		return
	}
	done := namedData{Found: form.Found, Warnings: res.Warnings}
	if action == "name" {
		done.Name, done.Undo = form.Name, "gnomon workloads undo "+shellWord(form.Found)+` --reason "…"`
	}
	f := s.newFrame(r.Context(), r, project, form.Found, "workloads")
	f.Status, f.Page = s.status(r.Context(), project), done
	s.render(w, http.StatusOK, "named", f)
}

func (s *server) takeName(ctx context.Context, project string, f naming) (NameResult, error) {
	if s.Names == nil {
		return NameResult{}, errReadOnly
	}
	if err := checkReason(f.Reason); err != nil {
		return NameResult{}, err
	}
	actor := orWord(f.Actor, "console")
	if f.Action == "unname" {
		return s.Names.Unname(ctx, project, f.Found, actor, f.Reason)
	}
	return s.Names.Rename(ctx, NameRequest{Project: project, Workloads: []string{f.Found}, Name: f.Name, Into: f.Into, Actor: actor, Reason: f.Reason})
}
