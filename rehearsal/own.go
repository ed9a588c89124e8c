package rehearsal

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// OwnGrader is the grader's name of a team's own grades; a team's name for it
// follows after a colon.
const OwnGrader = "own"

// OwnGrades checks a team's own grades and completes them: project, ids, time,
// grader. Grades without a sampling probability keep none: they are shown, and
// stay out of verdicts. The error names the first grade that cannot be used.
func OwnGrades(project string, grades []schemas.Evaluation, now time.Time) ([]schemas.Evaluation, error) {
	out := make([]schemas.Evaluation, len(grades))
	for i, g := range grades {
		if err := checkGrade(project, &g); err != nil {
			return nil, fmt.Errorf("evaluation %d: %w", i+1, err)
		}
		g.Version, g.Project = schemas.SchemaVersion, project
		if g.Outcome == "" {
			g.Outcome = schemas.OutcomeGraded
		}
		// A team's grader never passes for one of gnomon's.
		switch {
		case g.Grader == "":
			g.Grader = OwnGrader
		case g.Grader != OwnGrader && !strings.HasPrefix(g.Grader, OwnGrader+":"):
			g.Grader = OwnGrader + ":" + g.Grader
		}
		if g.GradedAt.IsZero() {
			g.GradedAt = now.UTC().Truncate(time.Millisecond)
		}
		if g.RequestTs.IsZero() {
			g.RequestTs = idTime(g.RequestID, g.GradedAt)
		}
		if g.Cluster == "" {
			g.Cluster = g.RequestID
		}
		if g.EvaluationID == "" {
			g.EvaluationID = uuid.NewSHA1(evaluationSpace, []byte(g.RequestID+" "+g.Candidate+" "+g.Grader+" "+g.GraderVersion)).String()
		}
		out[i] = g
	}
	return out, nil
}

func checkGrade(project string, g *schemas.Evaluation) error {
	unit := func(q float32) bool { return q >= 0 && q <= 1 } // false for NaN
	provider, model := splitRoute(g.Candidate)
	switch {
	case g.Project != "" && g.Project != project:
		return fmt.Errorf("project is %q, not %q", g.Project, project)
	case uuid.Validate(g.RequestID) != nil:
		return fmt.Errorf("request_id %q is not the x-gnomon-request-id of an answer", g.RequestID)
	case g.EvaluationID != "" && uuid.Validate(g.EvaluationID) != nil:
		return fmt.Errorf("evaluation_id %q is not a UUID", g.EvaluationID)
	case g.Workload == "" || g.RequestModel == "":
		return fmt.Errorf("workload and request_model must be given")
	case provider == "" || model == "":
		return fmt.Errorf("candidate %q is not provider/model", g.Candidate)
	case !unit(g.QualityBaseline) || !unit(g.QualityCandidate):
		return fmt.Errorf("quality_baseline and quality_candidate must be from 0 to 1")
	case g.SamplingProbability != nil && !(*g.SamplingProbability > 0 && *g.SamplingProbability <= 1):
		return fmt.Errorf("sampling_probability must be above 0 and at most 1, or left out")
	}
	switch g.Outcome {
	case "", schemas.OutcomeGraded, schemas.OutcomeUngraded, schemas.OutcomeFailed, schemas.OutcomeRefused, schemas.OutcomeTruncated:
		return nil
	}
	return fmt.Errorf("outcome %q is not graded, ungraded, failed, refused or truncated", g.Outcome)
}

// idTime is the time in a UUIDv7, which gnomon's request ids carry; fallback
// for others.
func idTime(id string, fallback time.Time) time.Time {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return fallback
	}
	sec, nsec := u.Time().UnixTime()
	return time.Unix(sec, nsec).UTC().Truncate(time.Millisecond)
}

// splitRoute cuts provider/model; a model's own slashes stay in the model.
func splitRoute(route string) (provider, model string) {
	provider, model, _ = strings.Cut(route, "/")
	return provider, model
}
