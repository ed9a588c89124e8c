package store

import (
	"context"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

type event = schemas.RequestEvent

// requestColumns are the columns of gnomon.requests, in the order scanRequest
// reads them. A test holds them against the event's fields and the table.
var requestColumns = []column[event]{
	id("request_id", func(e *event) string { return e.RequestID }),
	col("project", func(e *event) string { return e.Project }),
	at("ts", func(e *event) time.Time { return e.Ts }),
	col("revision", func(e *event) uint8 { return e.Revision }),
	col("boot_id", func(e *event) uint64 { return e.BootID }),
	col("seq", func(e *event) uint64 { return e.Seq }),
	col("status", func(e *event) string { return string(e.Status) }),
	col("workload", func(e *event) string { return e.Workload }),
	col("feature", func(e *event) string { return e.Feature }),
	col("team", func(e *event) string { return e.Team }),
	col("user_id", func(e *event) string { return e.UserID }),
	col("session", func(e *event) string { return e.Session }),
	col("trace_id", func(e *event) string { return e.TraceID }),
	col("tags", func(e *event) map[string]string { return tags(e.Tags) }),
	col("key_id", func(e *event) string { return e.KeyID }),
	col("client_retry", func(e *event) uint8 { return e.ClientRetry }),
	col("dialect", func(e *event) string { return e.Dialect }),
	col("operation", func(e *event) string { return e.Operation }),
	col("provider", func(e *event) string { return e.Provider }),
	col("baseline_provider", func(e *event) string { return e.BaselineProvider }),
	col("request_model", func(e *event) string { return e.RequestModel }),
	col("served_model", func(e *event) string { return e.ServedModel }),
	col("response_model", func(e *event) string { return e.ResponseModel }),
	col("response_id", func(e *event) string { return e.ResponseID }),
	col("service_tier", func(e *event) string { return e.ServiceTier }),
	col("mode", func(e *event) string { return string(e.Mode) }),
	col("arm", func(e *event) string { return string(e.Arm) }),
	col("bypassed", func(e *event) bool { return e.Bypassed }),
	col("fallback", func(e *event) bool { return e.Fallback }),
	col("stream", func(e *event) bool { return e.Stream }),
	col("http_status", func(e *event) uint16 { return e.HTTPStatus }),
	col("error_type", func(e *event) string { return e.ErrorType }),
	col("finish_reason", func(e *event) string { return e.FinishReason }),
	col("input_tokens", func(e *event) uint32 { return e.InputTokens }),
	col("cache_read_tokens", func(e *event) uint32 { return e.CacheReadTokens }),
	col("cache_write_tokens", func(e *event) uint32 { return e.CacheWriteTokens }),
	col("cache_write_1h_tokens", func(e *event) uint32 { return e.CacheWrite1hTokens }),
	col("audio_input_tokens", func(e *event) uint32 { return e.AudioInputTokens }),
	col("output_tokens", func(e *event) uint32 { return e.OutputTokens }),
	col("reasoning_tokens", func(e *event) uint32 { return e.ReasoningTokens }),
	col("audio_output_tokens", func(e *event) uint32 { return e.AudioOutputTokens }),
	col("usage_source", func(e *event) string { return string(e.UsageSource) }),
	col("price_version", func(e *event) uint32 { return e.PriceVersion }),
	usd("cost", func(e *event) schemas.OptUSD { return e.Cost }),
	usd("list_cost", func(e *event) schemas.OptUSD { return e.ListCost }),
	usd("baseline_cost", func(e *event) schemas.OptUSD { return e.BaselineCost }),
	col("would_route", func(e *event) string { return e.WouldRoute }),
	usd("would_cost", func(e *event) schemas.OptUSD { return e.WouldCost }),
	usd("would_output_cost", func(e *event) schemas.OptUSD { return e.WouldOutputCost }),
	usd("expected_cost", func(e *event) schemas.OptUSD { return e.ExpectedCost }),
	col("task_class", func(e *event) string { return e.TaskClass }),
	col("score", func(e *event) float32 { return e.Score }),
	col("novelty", func(e *event) float32 { return e.Novelty }),
	col("p_adequate", func(e *event) *float32 { return e.PAdequate }),
	col("evidence_state", func(e *event) string { return string(e.EvidenceState) }),
	col("held", func(e *event) string { return string(e.Held) }),
	col("gates", func(e *event) uint64 { return uint64(e.Gates) }),
	col("candidates", func(e *event) []string { return e.Candidates }),
	col("rejects", func(e *event) []uint16 { return codes(e.Rejects) }),
	col("baseline_reject", func(e *event) uint16 { return uint16(e.BaselineReject) }),
	col("inputs", func(e *event) string { return string(e.Inputs) }),
	col("classifier_version", func(e *event) uint32 { return e.ClassifierVer }),
	col("policy_version", func(e *event) uint32 { return e.PolicyVersion }),
	col("snapshot_hash", func(e *event) uint64 { return e.SnapshotHash }),
	col("prompt_hash", func(e *event) uint64 { return e.PromptHash }),
	col("request_bytes", func(e *event) uint32 { return e.RequestBytes }),
	col("response_bytes", func(e *event) uint32 { return e.ResponseBytes }),
	col("latency_ms", func(e *event) uint32 { return e.LatencyMS }),
	col("ttft_ms", func(e *event) *uint32 { return e.TTFTMS }),
	col("overhead_us", func(e *event) uint32 { return e.OverheadUS }),
	col("simulated", func(e *event) bool { return e.Simulated }),
	col("schema_version", func(e *event) string { return e.Version }),
	col("extra", func(e *event) string { return e.Extra }),
}

// InsertRequests stores events as one batch, and then notes that their hours have
// to be summed. An *ErrRow names a row that can
// never be stored; nothing of the batch is stored then.
func (s *Store) InsertRequests(ctx context.Context, token string, evs []schemas.RequestEvent) error {
	if err := insert(ctx, s, "requests", token, requestColumns, evs); err != nil || len(evs) == 0 {
		return err
	}
	return s.deliver(ctx, evs)
}

func tags(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func codes(rs []schemas.Reject) []uint16 {
	out := make([]uint16, len(rs))
	for i, r := range rs {
		out[i] = uint16(r)
	}
	return out
}
