package schemas

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// AppendJSON appends the event as encoding/json writes it, byte for byte: a proxy
// writes one for each request, and reflection costs several times as much. It
// fails where encoding/json does: on a share that is no number, and on a time
// that RFC 3339 cannot say. A field that is added to RequestEvent is added here;
// a test holds the two against each other.
func (e *RequestEvent) AppendJSON(b []byte) ([]byte, error) {
	w := writer{b: b}
	e.appendIdentity(&w)
	e.appendRoute(&w)
	e.appendCosts(&w)
	e.appendDecision(&w)
	if w.err != nil {
		return b, fmt.Errorf("schemas: event: %w", w.err)
	}
	return append(w.b, '}'), nil
}

func (e *RequestEvent) appendIdentity(w *writer) {
	w.text(`{"schema_version":`, e.Version)
	w.text(`,"project":`, e.Project)
	w.time(`,"ts":`, e.Ts)
	w.text(`,"request_id":`, e.RequestID)
	w.uint(`,"revision":`, uint64(e.Revision))
	w.uint(`,"boot_id":`, e.BootID)
	w.uint(`,"seq":`, e.Seq)
	w.text(`,"status":`, string(e.Status))
	w.text(`,"workload":`, e.Workload)
	w.optional(`,"feature":`, e.Feature)
	w.optional(`,"team":`, e.Team)
	w.optional(`,"user_id":`, e.UserID)
	w.optional(`,"session":`, e.Session)
	w.optional(`,"trace_id":`, e.TraceID)
	w.tags(`,"tags":`, e.Tags)
	w.optional(`,"key_id":`, e.KeyID)
	if e.ClientRetry != 0 {
		w.uint(`,"client_retry":`, uint64(e.ClientRetry))
	}
}

func (e *RequestEvent) appendRoute(w *writer) {
	w.text(`,"dialect":`, e.Dialect)
	w.text(`,"operation":`, e.Operation)
	w.text(`,"provider":`, e.Provider)
	w.text(`,"request_model":`, e.RequestModel)
	w.text(`,"served_model":`, e.ServedModel)
	w.optional(`,"response_model":`, e.ResponseModel)
	w.optional(`,"response_id":`, e.ResponseID)
	w.optional(`,"service_tier":`, e.ServiceTier)
	w.optional(`,"baseline_provider":`, e.BaselineProvider)
	w.text(`,"mode":`, string(e.Mode))
	w.text(`,"arm":`, string(e.Arm))
	w.flag(`,"bypassed":true`, e.Bypassed)
	w.flag(`,"fallback":true`, e.Fallback)
	if e.Stream {
		w.b = append(w.b, `,"stream":true`...)
	} else {
		w.b = append(w.b, `,"stream":false`...)
	}
	w.uint(`,"http_status":`, uint64(e.HTTPStatus))
	w.optional(`,"error_type":`, e.ErrorType)
	w.optional(`,"finish_reason":`, e.FinishReason)
}

func (e *RequestEvent) appendCosts(w *writer) {
	w.uint(`,"input_tokens":`, uint64(e.InputTokens))
	w.uint(`,"cache_read_tokens":`, uint64(e.CacheReadTokens))
	w.uint(`,"cache_write_tokens":`, uint64(e.CacheWriteTokens))
	w.uint(`,"cache_write_1h_tokens":`, uint64(e.CacheWrite1hTokens))
	w.uint(`,"audio_input_tokens":`, uint64(e.AudioInputTokens))
	w.uint(`,"output_tokens":`, uint64(e.OutputTokens))
	w.uint(`,"reasoning_tokens":`, uint64(e.ReasoningTokens))
	w.uint(`,"audio_output_tokens":`, uint64(e.AudioOutputTokens))
	w.text(`,"usage_source":`, string(e.UsageSource))
	w.uint(`,"price_version":`, uint64(e.PriceVersion))
	w.money(`,"cost":`, e.Cost)
	w.money(`,"list_cost":`, e.ListCost)
	w.money(`,"baseline_cost":`, e.BaselineCost)
	w.text(`,"would_route":`, e.WouldRoute)
	w.money(`,"would_cost":`, e.WouldCost)
	w.money(`,"would_output_cost":`, e.WouldOutputCost)
	w.money(`,"expected_cost":`, e.ExpectedCost)
}

func (e *RequestEvent) appendDecision(w *writer) {
	w.optional(`,"task_class":`, e.TaskClass)
	w.share(`,"score":`, e.Score)
	w.share(`,"novelty":`, e.Novelty)
	if e.PAdequate != nil {
		w.share(`,"p_adequate":`, *e.PAdequate)
	} else {
		w.b = append(w.b, `,"p_adequate":null`...)
	}
	w.text(`,"evidence_state":`, string(e.EvidenceState))
	w.optional(`,"held":`, string(e.Held))
	w.uint(`,"gates":`, uint64(e.Gates))
	for i, c := range e.Candidates {
		w.text(first(i, `,"candidates":[`), c)
	}
	w.flag("]", len(e.Candidates) > 0)
	for i, r := range e.Rejects {
		w.uint(first(i, `,"rejects":[`), uint64(r))
	}
	w.flag("]", len(e.Rejects) > 0)
	if e.BaselineReject != 0 {
		w.uint(`,"baseline_reject":`, uint64(e.BaselineReject))
	}
	if len(e.Inputs) > 0 {
		w.b = append(base64.StdEncoding.AppendEncode(append(w.b, `,"inputs":"`...), e.Inputs), '"')
	}
	w.uint(`,"classifier_version":`, uint64(e.ClassifierVer))
	w.uint(`,"policy_version":`, uint64(e.PolicyVersion))
	w.uint(`,"snapshot_hash":`, e.SnapshotHash)
	w.uint(`,"prompt_hash":`, e.PromptHash)
	w.uint(`,"request_bytes":`, uint64(e.RequestBytes))
	w.uint(`,"response_bytes":`, uint64(e.ResponseBytes))
	w.uint(`,"latency_ms":`, uint64(e.LatencyMS))
	if e.TTFTMS != nil {
		w.uint(`,"ttft_ms":`, uint64(*e.TTFTMS))
	} else {
		w.b = append(w.b, `,"ttft_ms":null`...)
	}
	w.uint(`,"overhead_us":`, uint64(e.OverheadUS))
	w.flag(`,"simulated":true`, e.Simulated)
	w.optional(`,"extra":`, e.Extra)
}

// first is what stands before a list's element.
func first(i int, open string) string {
	if i == 0 {
		return open
	}
	return ","
}

// writer appends members, each with what stands before its value.
type writer struct {
	b   []byte
	err error
}

func (w *writer) uint(before string, n uint64) {
	w.b = strconv.AppendUint(append(w.b, before...), n, 10)
}

func (w *writer) flag(text string, on bool) {
	if on {
		w.b = append(w.b, text...)
	}
}

func (w *writer) optional(before, s string) {
	if s != "" {
		w.text(before, s)
	}
}

func (w *writer) text(before, s string) {
	w.b = append(w.b, before...)
	if isPlain(s) {
		w.b = append(append(append(w.b, '"'), s...), '"')
		return
	}
	raw, err := json.Marshal(s) // escapes are rare: encoding/json knows them best
	if err != nil {
		w.err = err
	}
	w.b = append(w.b, raw...)
}

// isPlain reports whether a text stands in JSON as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func (w *writer) tags(before string, tags map[string]string) {
	var usual [16]string // as many as a proxy keeps
	keys := slices.AppendSeq(usual[:0], maps.Keys(tags))
	slices.Sort(keys)
	for i, k := range keys {
		w.text(first(i, before+"{"), k)
		w.text(":", tags[k])
	}
	w.flag("}", len(tags) > 0)
}

func (w *writer) time(before string, t time.Time) {
	w.b = append(append(w.b, before...), '"')
	b, err := t.AppendText(w.b)
	if err != nil {
		w.err = err
		return
	}
	w.b = append(b, '"')
}

func (w *writer) money(before string, o OptUSD) {
	w.b = append(w.b, before...)
	if !o.Known {
		w.b = append(w.b, "null"...)
		return
	}
	w.b = strconv.AppendInt(w.b, int64(o.Nano), 10)
}

// share appends a float in the form of ECMAScript, as encoding/json does.
func (w *writer) share(before string, f float32) {
	w.b = append(w.b, before...)
	if abs := math.Abs(float64(f)); abs == 0 || abs >= 1e-6 && abs < 1e6 {
		w.b = strconv.AppendFloat(w.b, float64(f), 'f', -1, 32)
		return
	}
	raw, err := json.Marshal(f)
	if err != nil {
		w.err = err
	}
	w.b = append(w.b, raw...)
}
