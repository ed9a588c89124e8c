package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"github.com/gnomon-llm/gnomon/schemas"
)

type evaluation = schemas.Evaluation

var evaluationColumns = []column[evaluation]{
	id("request_id", func(e *evaluation) string { return e.RequestID }),
	id("evaluation_id", func(e *evaluation) string { return e.EvaluationID }),
	col("project", func(e *evaluation) string { return e.Project }),
	col("workload", func(e *evaluation) string { return e.Workload }),
	col("provider", func(e *evaluation) string { return e.Provider }),
	col("request_model", func(e *evaluation) string { return e.RequestModel }),
	col("candidate", func(e *evaluation) string { return e.Candidate }),
	at("request_ts", func(e *evaluation) time.Time { return e.RequestTs }),
	at("graded_at", func(e *evaluation) time.Time { return e.GradedAt }),
	col("cluster", func(e *evaluation) string { return e.Cluster }),
	col("grader", func(e *evaluation) string { return e.Grader }),
	col("grader_version", func(e *evaluation) string { return e.GraderVersion }),
	col("judge_model", func(e *evaluation) string { return e.JudgeModel }),
	col("baseline_snapshot", func(e *evaluation) string { return e.BaselineSnapshot }),
	col("candidate_snapshot", func(e *evaluation) string { return e.CandidateSnapshot }),
	col("prompt_version", func(e *evaluation) uint64 { return e.PromptVersion }),
	col("stratum", func(e *evaluation) string { return e.Stratum }),
	col("sampling_probability", func(e *evaluation) *float64 { return e.SamplingProbability }),
	col("would_route", func(e *evaluation) string { return e.WouldRoute }),
	col("score", func(e *evaluation) float32 { return e.Score }),
	col("quality_baseline", func(e *evaluation) float32 { return e.QualityBaseline }),
	col("quality_candidate", func(e *evaluation) float32 { return e.QualityCandidate }),
	col("outcome", func(e *evaluation) string { return string(e.Outcome) }),
	usd("candidate_cost", func(e *evaluation) schemas.OptUSD { return e.CandidateCost }),
	usd("grading_cost", func(e *evaluation) schemas.OptUSD { return e.GradingCost }),
	col("input_tokens", func(e *evaluation) uint32 { return e.InputTokens }),
	col("output_tokens", func(e *evaluation) uint32 { return e.OutputTokens }),
	col("baseline_output_tokens", func(e *evaluation) uint32 { return e.BaselineOutputTokens }),
	col("latency_ms", func(e *evaluation) uint32 { return e.LatencyMS }),
	col("simulated", func(e *evaluation) bool { return e.Simulated }),
	col("schema_version", func(e *evaluation) string { return e.Version }),
	col("extra", func(e *evaluation) string { return e.Extra }),
}

// InsertEvaluations stores graded pairs as one batch.
func (s *Store) InsertEvaluations(ctx context.Context, token string, evs []schemas.Evaluation) error {
	return insert(ctx, s, "evaluations", token, evaluationColumns, evs)
}

var heartbeatColumns = []column[schemas.Heartbeat]{
	col("boot_id", func(h *schemas.Heartbeat) uint64 { return h.BootID }),
	col("proxy", func(h *schemas.Heartbeat) string { return h.Proxy }),
	at("at", func(h *schemas.Heartbeat) time.Time { return h.At }),
	col("accepted", func(h *schemas.Heartbeat) uint64 { return h.Accepted }),
	col("ended", func(h *schemas.Heartbeat) uint64 { return h.Ended }),
	col("dropped", func(h *schemas.Heartbeat) uint64 { return h.Dropped }),
	col("last_seq", func(h *schemas.Heartbeat) uint64 { return h.LastSeq }),
	col("schema_version", func(h *schemas.Heartbeat) string { return h.Version }),
}

// InsertHeartbeats stores what proxies say of themselves.
func (s *Store) InsertHeartbeats(ctx context.Context, token string, hs []schemas.Heartbeat) error {
	return insert(ctx, s, "heartbeats", token, heartbeatColumns, hs)
}

var declaredColumns = []column[schemas.Declared]{
	col("boot_id", func(d *schemas.Declared) uint64 { return d.BootID }),
	col("first_seq", func(d *schemas.Declared) uint64 { return d.FirstSeq }),
	col("last_seq", func(d *schemas.Declared) uint64 { return d.LastSeq }),
	col("reason", func(d *schemas.Declared) string { return d.Reason }),
	at("at", func(d *schemas.Declared) time.Time { return d.At }),
	col("schema_version", func(d *schemas.Declared) string { return d.Version }),
}

// InsertDeclared stores sequence ranges whose events are gone.
func (s *Store) InsertDeclared(ctx context.Context, token string, ds []schemas.Declared) error {
	return insert(ctx, s, "declared", token, declaredColumns, ds)
}

// record is the whole of a record as JSON: what the other columns leave out.
func record(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		// These records came in as JSON a moment ago.
		return fmt.Sprintf(`{"error":%q}`, err)
	}
	return string(raw)
}

var verdictColumns = []column[schemas.Verdict]{
	col("project", func(v *schemas.Verdict) string { return v.Project }),
	col("workload", func(v *schemas.Verdict) string { return v.Workload }),
	col("request_model", func(v *schemas.Verdict) string { return v.RequestModel }),
	col("provider", func(v *schemas.Verdict) string { return v.Provider }),
	col("candidate", func(v *schemas.Verdict) string { return v.Candidate }),
	at("computed_at", func(v *schemas.Verdict) time.Time { return v.ComputedAt }),
	col("readiness", func(v *schemas.Verdict) string { return string(v.Readiness) }),
	col("record", func(v *schemas.Verdict) string { return record(v) }),
}

// InsertVerdicts stores what the analyzer found.
func (s *Store) InsertVerdicts(ctx context.Context, token string, vs []schemas.Verdict) error {
	return insert(ctx, s, "verdicts", token, verdictColumns, vs)
}

var evidenceColumns = []column[schemas.EvidenceRecord]{
	col("project", func(e *schemas.EvidenceRecord) string { return e.Project }),
	col("workload", func(e *schemas.EvidenceRecord) string { return e.Workload }),
	col("provider", func(e *schemas.EvidenceRecord) string { return e.Provider }),
	col("request_model", func(e *schemas.EvidenceRecord) string { return e.RequestModel }),
	col("candidate", func(e *schemas.EvidenceRecord) string { return e.Candidate }),
	at("at", func(e *schemas.EvidenceRecord) time.Time { return e.At }),
	col("state", func(e *schemas.EvidenceRecord) string { return string(e.State) }),
	col("output_ratio", func(e *schemas.EvidenceRecord) float64 { return e.OutputRatio }),
	col("schema_version", func(e *schemas.EvidenceRecord) string { return e.Version }),
	col("record", func(e *schemas.EvidenceRecord) string { return record(e) }),
}

// InsertEvidence stores what proxies were told.
func (s *Store) InsertEvidence(ctx context.Context, token string, es []schemas.EvidenceRecord) error {
	return insert(ctx, s, "evidence", token, evidenceColumns, es)
}

var policyColumns = []column[schemas.Policy]{
	col("project", func(p *schemas.Policy) string { return p.Project }),
	col("workload", func(p *schemas.Policy) string { return p.Workload }),
	col("version", func(p *schemas.Policy) uint32 { return p.Version }),
	col("replaces", func(p *schemas.Policy) uint32 { return p.Replaces }),
	at("at", func(p *schemas.Policy) time.Time { return p.At }),
	col("offset", func(p *schemas.Policy) int64 { return p.Offset }),
	col("mode", func(p *schemas.Policy) string { return string(p.Mode) }),
	col("candidate", func(p *schemas.Policy) string { return p.Candidate }),
	col("share", func(p *schemas.Policy) decimal.Decimal { return decimal.New(int64(p.Share), -4) }),
	col("control", func(p *schemas.Policy) decimal.Decimal { return decimal.New(int64(p.Control), -4) }),
	col("overridden", func(p *schemas.Policy) bool { return p.Override }),
	col("actor", func(p *schemas.Policy) string { return p.Actor }),
	col("reason", func(p *schemas.Policy) string { return p.Reason }),
	col("record", func(p *schemas.Policy) string { public := *p; public.Salt = nil; return record(&public) }),
}

// InsertPolicies stores policy records. The salt stays on the policy topic:
// who knows it can tell, and choose, the arm of a session.
func (s *Store) InsertPolicies(ctx context.Context, token string, ps []schemas.Policy) error {
	return insert(ctx, s, "policies", token, policyColumns, ps)
}
