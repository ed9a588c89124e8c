package dashboards

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	rules "github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/schemas"
)

const (
	maxActionBody     = 64 << 10
	maxEvaluationBody = 16 << 20
	maxEvaluations    = 10_000
	maxReason         = 1000
)

// activateBody is what POST …/activate takes.
type activateBody struct {
	Candidate    string          `json:"candidate"`
	RequestModel string          `json:"request_model"`
	Share        json.RawMessage `json:"share"`
	Threshold    *float64        `json:"threshold"`
	Override     bool            `json:"override"`
	Unseen       bool            `json:"unseen"`
	Reason       string          `json:"reason"`
	Actor        string          `json:"actor"`
}

type rollbackBody struct {
	Reason string `json:"reason"`
	Actor  string `json:"actor"`
}

type resultAnswer struct {
	Policy   schemas.Policy    `json:"policy"`
	Previous *schemas.Policy   `json:"previous"` // null when it is the first
	Warnings []schemas.Warning `json:"warnings"`
	Undo     string            `json:"undo"` // the command that undoes it
}

func answerOf(r Result) resultAnswer {
	a := resultAnswer{Policy: publicPolicies([]schemas.Policy{r.Policy})[0], Warnings: orEmpty(r.Warnings), Undo: undo(r)}
	if r.Previous != nil {
		a.Previous = &publicPolicies([]schemas.Policy{*r.Previous})[0]
	}
	return a
}

// undo is the command that takes a result back.
func undo(r Result) string {
	if r.Policy.Mode != schemas.ModeObserve {
		return "gnomon rollback " + shellWord(r.Policy.Workload) + ` --reason "…"`
	}
	if p := r.Previous; p != nil && p.Candidate != "" && p.Mode != schemas.ModeObserve {
		override := ""
		if p.Override {
			override = " --override --threshold " + strconv.FormatFloat(p.Threshold, 'f', -1, 64)
		}
		return "gnomon activate " + shellWord(p.Workload) + " --candidate " + shellWord(p.Candidate) + " --share " + p.Share.Percent() + override + ` --reason "…"`
	}
	return ""
}

// shellWord quotes a name that a shell would take apart.
func shellWord(s string) string {
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-:", c)) {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}

func (s *server) apiAction(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	if s.Actions == nil {
		return nil, errReadOnly
	}
	if w, ok := strings.CutSuffix(r.PathValue("w"), "/activate"); ok && w != "" {
		var b activateBody
		if err := readJSON(r, maxActionBody, &b); err != nil {
			return nil, err
		}
		return s.apiActivate(r, p, w, b)
	}
	if w, ok := strings.CutSuffix(r.PathValue("w"), "/rollback"); ok && w != "" {
		var b rollbackBody
		if err := readJSON(r, maxActionBody, &b); err != nil {
			return nil, err
		}
		req := RollbackRequest{Project: p, Workload: w, Reason: strings.TrimSpace(b.Reason), Actor: orWord(b.Actor, "api")}
		if err := checkReason(req.Reason); err != nil {
			return nil, err
		}
		res, err := s.Actions.Rollback(r.Context(), req)
		if err != nil {
			return nil, err
		}
		return answerOf(res), nil
	}
	return nil, &Error{Kind: NotFound, Message: "POST " + r.URL.Path + " is not part of this API.", Hint: "POST to /api/v1/workloads/{workload}/activate or …/rollback."}
}

var errReadOnly = &Error{Kind: Unavailable, Code: "read_only", Message: "This console cannot change anything.", Hint: "Ask a gnomon that reaches the broker."}

func (s *server) apiActivate(r *http.Request, project, w string, b activateBody) (any, error) {
	share, err := parseShare(b.Share)
	if err != nil {
		return nil, err
	}
	req := ActivateRequest{Project: project, Workload: w, Candidate: b.Candidate, RequestModel: b.RequestModel, Share: share,
		Threshold: b.Threshold, Override: b.Override, Unseen: b.Unseen, Reason: strings.TrimSpace(b.Reason), Actor: orWord(b.Actor, "api")}
	if err := checkActivate(req); err != nil {
		return nil, err
	}
	res, err := s.Actions.Activate(r.Context(), req)
	if err != nil {
		return nil, err
	}
	return answerOf(res), nil
}

// checkActivate refuses what no policy could say; whether the evidence supports
// it is for Actions to judge.
func checkActivate(r ActivateRequest) error {
	if provider, model, ok := strings.Cut(r.Candidate, "/"); !ok || provider == "" || model == "" {
		return &Error{Code: "bad_candidate", Message: "The candidate is " + strconv.Quote(r.Candidate) + ".", Hint: "Name it as provider/model, for example openai/gpt-4o-mini."}
	}
	if r.Threshold != nil && !(*r.Threshold >= 0 && *r.Threshold <= 1) {
		return &Error{Code: "bad_threshold", Message: "The threshold is not between 0 and 1.", Hint: "Requests are routed whose score is at most the threshold; 1 admits all."}
	}
	return checkReason(r.Reason)
}

func checkReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return &Error{Code: "reason_missing", Message: "This change needs a reason.", Hint: "Say in a sentence why; it is kept for ever."}
	}
	if len(reason) > maxReason {
		return &Error{Code: "reason_too_long", Message: fmt.Sprintf("The reason has %d bytes.", len(reason)), Hint: fmt.Sprintf("Keep it to %d.", maxReason)}
	}
	return nil
}

// parseShare reads a share as the command line does, as text or as a number: "25%"
// or 0.25. A bare 1 is refused like a bare 25: it could be meant either way, and
// one of them moves all traffic.
func parseShare(raw json.RawMessage) (schemas.BasisPoints, error) {
	text := strings.TrimSpace(string(raw))
	if text == "" || text == "null" {
		return 0, badShare("the share is missing")
	}
	_ = json.Unmarshal(raw, &text) // what is no text stays as it was written
	share, err := rules.ParseShare(text)
	if err != nil {
		return 0, badShare(err.Error())
	}
	return share, nil
}

func badShare(fault string) *Error {
	return &Error{Code: "bad_share", Message: fault, Hint: `Write it with its sign, "25%", or as a fraction below 1, 0.25; everything is "100%".`}
}

func orWord(v, word string) string {
	if v = strings.TrimSpace(v); v == "" {
		return word
	}
	return v
}

// readJSON reads one JSON object whole, and refuses what it does not know: a
// misspelt "overide" must not pass silently.
func readJSON(r *http.Request, limit int64, v any) error {
	if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		return &Error{Code: "not_json", Message: "The body's Content-Type is " + strconv.Quote(ct) + ".", Hint: "Send application/json."}
	}
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, limit))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after the object")
		}
	}
	if err != nil {
		return &Error{Code: "bad_json", Message: "The body could not be read: " + strings.TrimPrefix(err.Error(), "json: ") + ".", Hint: "See /api/v1/openapi.yaml for what it may hold."}
	}
	return nil
}

type evaluationsBody struct {
	Evaluations []schemas.Evaluation `json:"evaluations"`
}

type evaluationsAnswer struct {
	Accepted      int      `json:"accepted"`
	EvaluationIDs []string `json:"evaluation_ids"`
	Note          string   `json:"note,omitempty"`
}

func (s *server) apiEvaluations(r *http.Request) (any, error) {
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	if s.Actions == nil {
		return nil, errReadOnly
	}
	var b evaluationsBody
	if err := readJSON(r, maxEvaluationBody, &b); err != nil {
		return nil, err
	}
	if len(b.Evaluations) == 0 || len(b.Evaluations) > maxEvaluations {
		return nil, &Error{Code: "bad_count", Message: fmt.Sprintf("The body holds %d evaluations.", len(b.Evaluations)), Hint: fmt.Sprintf("Send 1 to %d.", maxEvaluations)}
	}
	a := evaluationsAnswer{EvaluationIDs: make([]string, 0, len(b.Evaluations))}
	unsampled := 0
	for i := range b.Evaluations {
		if err := completeEvaluation(&b.Evaluations[i], p, s.Now().UTC()); err != nil {
			err.Message = fmt.Sprintf("Evaluation %d: %s", i+1, err.Message)
			return nil, err
		}
		if b.Evaluations[i].SamplingProbability == nil {
			unsampled++
		}
		a.EvaluationIDs = append(a.EvaluationIDs, b.Evaluations[i].EvaluationID)
	}
	if err := s.Actions.PostEvaluations(r.Context(), p, b.Evaluations); err != nil {
		return nil, err
	}
	a.Accepted = len(b.Evaluations)
	if unsampled > 0 {
		a.Note = plural(unsampled, "evaluation", "evaluations") + " without a sampling_probability: shown, and kept out of verdicts."
	}
	return a, nil
}

// completeEvaluation checks a team's own grade and fills in what it may leave out.
func completeEvaluation(e *schemas.Evaluation, project string, now time.Time) *Error {
	bad := func(field, hint string) *Error {
		return &Error{Code: "bad_evaluation", Message: field + " is missing or not usable.", Hint: hint}
	}
	if e.Project != "" && e.Project != project {
		return bad("project", "Name the project in the address (?project=), or leave it out.")
	}
	if _, err := uuid.Parse(e.RequestID); err != nil {
		return bad("request_id", "Give the x-gnomon-request-id of the observed request's answer.")
	}
	if e.Workload == "" || e.RequestModel == "" {
		return bad("workload or request_model", "Give the workload and the model that the observed request asked for.")
	}
	if provider, model, ok := strings.Cut(e.Candidate, "/"); !ok || provider == "" || model == "" {
		return bad("candidate", "Name it as provider/model.")
	}
	unit := func(v float32) bool { return v >= 0 && v <= 1 }
	if !unit(e.QualityBaseline) || !unit(e.QualityCandidate) {
		return bad("quality_baseline or quality_candidate", "Grades are between 0 and 1.")
	}
	if p := e.SamplingProbability; p != nil && !(*p > 0 && *p <= 1) {
		return bad("sampling_probability", "Give the chance with which the request was drawn (above 0, at most 1), or leave it out.")
	}
	switch e.Outcome {
	case "":
		e.Outcome = schemas.OutcomeGraded
	case schemas.OutcomeGraded, schemas.OutcomeFailed, schemas.OutcomeRefused, schemas.OutcomeTruncated, schemas.OutcomeUngraded:
	default:
		return bad("outcome", "Give graded, ungraded, failed, refused or truncated.")
	}
	if e.EvaluationID == "" {
		e.EvaluationID = uuid.Must(uuid.NewV7()).String()
	} else if _, err := uuid.Parse(e.EvaluationID); err != nil {
		return bad("evaluation_id", "Give a UUID, or leave it out.")
	}
	e.Version, e.Project = schemas.SchemaVersion, project
	// A team's grader never passes for one of gnomon's.
	if e.Grader = orWord(e.Grader, "own"); e.Grader != "own" && !strings.HasPrefix(e.Grader, "own:") {
		e.Grader = "own:" + e.Grader
	}
	if e.GradedAt.IsZero() {
		e.GradedAt = now
	}
	if e.Cluster == "" {
		e.Cluster = e.RequestID
	}
	return nil
}
