package schemas

import "time"

// Usage is what a request consumed, normalised over vendors: InputTokens
// includes what was read from and written to a prompt cache (Anthropic reports
// them apart, OpenAI includes them), OutputTokens includes reasoning.
type Usage struct {
	InputTokens        uint32 `json:"input_tokens"`
	CacheReadTokens    uint32 `json:"cache_read_tokens"`     // part of InputTokens
	CacheWriteTokens   uint32 `json:"cache_write_tokens"`    // part of InputTokens; all lifetimes together
	CacheWrite1hTokens uint32 `json:"cache_write_1h_tokens"` // part of CacheWriteTokens, priced higher
	AudioInputTokens   uint32 `json:"audio_input_tokens"`    // part of InputTokens
	OutputTokens       uint32 `json:"output_tokens"`
	ReasoningTokens    uint32 `json:"reasoning_tokens"`    // part of OutputTokens
	AudioOutputTokens  uint32 `json:"audio_output_tokens"` // part of OutputTokens
}

// RequestEvent is the record of one accepted request: written by the proxy when
// the request has ended, or declared (StatusLost, revision 0) when it never did.
//
// Nothing in the store's sorting key (Project, Ts, RequestID) changes between
// begin and end, so that one request can never be two rows.
type RequestEvent struct {
	Version   string    `json:"schema_version"`
	Project   string    `json:"project"`
	Ts        time.Time `json:"ts"` // accepted at, UTC, to the millisecond; its own field, never taken from the id
	RequestID string    `json:"request_id"`
	Revision  uint8     `json:"revision"` // 0 declared, 1 ended, 2 ended and its tokens counted since: the highest wins whenever it comes
	BootID    uint64    `json:"boot_id"`  // one per proxy life; with Seq it makes a gap visible
	Seq       uint64    `json:"seq"`      // from 1 within a boot id, without holes
	Status    Status    `json:"status"`

	Workload    string            `json:"workload"` // the feature as sent, or ~name when discovered
	Feature     string            `json:"feature,omitempty"`
	Team        string            `json:"team,omitempty"`
	UserID      string            `json:"user_id,omitempty"`
	Session     string            `json:"session,omitempty"` // as sent, or derived (see DESIGN.md, Words)
	TraceID     string            `json:"trace_id,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	KeyID       string            `json:"key_id,omitempty"` // never the key
	ClientRetry uint8             `json:"client_retry,omitempty"`

	Dialect       string `json:"dialect"`   // openai.chat, anthropic.messages, … or "other"
	Operation     string `json:"operation"` // gen_ai.operation.name
	Provider      string `json:"provider"`  // of the served route, the configured row's name
	RequestModel  string `json:"request_model"`
	ServedModel   string `json:"served_model"` // the model it was sent to
	ResponseModel string `json:"response_model,omitempty"`
	ResponseID    string `json:"response_id,omitempty"`
	ServiceTier   string `json:"service_tier,omitempty"`

	// BaselineProvider is where RequestModel would have been served; it differs
	// from Provider only when a route was changed across providers.
	BaselineProvider string `json:"baseline_provider,omitempty"`

	Mode     Mode `json:"mode"`
	Arm      Arm  `json:"arm"`
	Bypassed bool `json:"bypassed,omitempty"`
	Fallback bool `json:"fallback,omitempty"` // the candidate failed and the baseline answered
	Stream   bool `json:"stream"`

	HTTPStatus   uint16 `json:"http_status"`
	ErrorType    string `json:"error_type,omitempty"`
	FinishReason string `json:"finish_reason,omitempty"`

	Usage
	UsageSource UsageSource `json:"usage_source"`

	PriceVersion uint32 `json:"price_version"`
	Cost         OptUSD `json:"cost"`          // of what was served, at the negotiated price, else list
	ListCost     OptUSD `json:"list_cost"`     // the same at list price
	BaselineCost OptUSD `json:"baseline_cost"` // what RequestModel costs for this usage

	WouldRoute string `json:"would_route"` // provider/model the decision chose, acted on or not; the baseline's when none
	// WouldCost is WouldRoute's price for the usage seen, its cache state as a
	// router would have left it; WouldOutputCost is the part that scales with
	// the candidate's output length. Where WouldRoute is the baseline it
	// differs from BaselineCost only by a cache that routed neighbours leave colder.
	WouldCost       OptUSD  `json:"would_cost"`
	WouldOutputCost OptUSD  `json:"would_output_cost"`
	ExpectedCost    OptUSD  `json:"expected_cost"` // of WouldRoute, predicted before the answer
	TaskClass       string  `json:"task_class,omitempty"`
	Score           float32 `json:"score"` // how much the strong model is needed, 0 to 1
	Novelty         float32 `json:"novelty"`
	// PAdequate is the chance, 0 to 1, that the answer of WouldRoute (where that is
	// the baseline: of the first candidate that nothing but its score kept back) is
	// no worse than the baseline's, by the workload's own graded pairs; null without any.
	PAdequate      *float32      `json:"p_adequate"`
	EvidenceState  EvidenceState `json:"evidence_state"`
	Held           Held          `json:"held,omitempty"` // why WouldRoute is not acted on
	Gates          Gate          `json:"gates"`
	Candidates     []string      `json:"candidates,omitempty"` // provider/model, in ladder order
	Rejects        []Reject      `json:"rejects,omitempty"`    // one per candidate, same order
	BaselineReject Reject        `json:"baseline_reject,omitempty"`
	Inputs         []byte        `json:"inputs,omitempty"` // packed classifier.Inputs, versioned
	ClassifierVer  uint32        `json:"classifier_version"`
	PolicyVersion  uint32        `json:"policy_version"`
	SnapshotHash   uint64        `json:"snapshot_hash"`

	PromptHash    uint64  `json:"prompt_hash"` // xxhash64 of the normalised prompt: duplicates cluster
	RequestBytes  uint32  `json:"request_bytes"`
	ResponseBytes uint32  `json:"response_bytes"`
	LatencyMS     uint32  `json:"latency_ms"`
	TTFTMS        *uint32 `json:"ttft_ms"` // to the first byte of the answer's body; null when none came
	OverheadUS    uint32  `json:"overhead_us"`

	Simulated bool   `json:"simulated,omitempty"`
	Extra     string `json:"extra,omitempty"` // JSON object: Notes, and fields this version does not know
}

// Notes are facts of a request that have no column of their own. The proxy writes
// them as members of RequestEvent.Extra; absent means no.
type Notes struct {
	// UsageMended: the provider's counts contradicted each other, or some were no
	// counts. What was taken is the sanest reading.
	UsageMended bool `json:"usage_mended,omitempty"`
	// CostStated: Cost is what the provider says that it charged; ListCost is the
	// book's.
	CostStated bool `json:"cost_stated,omitempty"`
	// ServerTools is how many calls of the provider's own tools are billed beside
	// the tokens. No list price holds them.
	ServerTools uint32 `json:"server_tool_calls,omitempty"`
	// Idempotency is a hash of the caller's credential and idempotency key: two
	// requests that share it are one and its repetition.
	Idempotency string `json:"idempotency,omitempty"`
	// Attempts is how many calls to providers were made for a routed request whose
	// candidate failed before anything had reached the client; absent: one.
	Attempts uint8 `json:"attempts,omitempty"`
	// AttemptFailed is why the last call to the candidate did not serve; "ejected":
	// none was made.
	AttemptFailed string `json:"attempt_failed,omitempty"`
	// AttemptsLost is how many of the failed calls a provider may have worked for.
	// What it charges for them nobody states: it is in no cost.
	AttemptsLost uint8 `json:"attempts_lost,omitempty"`
	// Tokenizer is the vocabulary that the tokens were counted by, where
	// UsageSource is UsageTokenizer.
	Tokenizer string `json:"tokenizer,omitempty"`
	// TokenizerForeign: the model's own vocabulary is not published.
	TokenizerForeign bool `json:"tokenizer_foreign,omitempty"`
	// TokenizerScaled: the text was longer than what is counted.
	TokenizerScaled bool `json:"tokenizer_scaled,omitempty"`
}

// Heartbeat is what a proxy life says of itself, on another road than its
// events: the number the rows are held against.
type Heartbeat struct {
	Version  string    `json:"schema_version"`
	BootID   uint64    `json:"boot_id"`
	Proxy    string    `json:"proxy"` // a name for people: host and data folder
	At       time.Time `json:"at"`
	Accepted uint64    `json:"accepted"`
	Ended    uint64    `json:"ended"`
	Dropped  uint64    `json:"dropped"` // ended, but past the spool's bound
	LastSeq  uint64    `json:"last_seq"`
}

// ReasonDiskLost is the reason of what a person declared with gnomon declare-lost:
// the disk of a proxy is gone, and what only its spool held with it. Such a range is
// never acknowledged: should the disk come back, its spool still has its events.
const ReasonDiskLost = "disk_lost"

// Declared says that the events of a sequence range are gone, ids and all.
type Declared struct {
	Version  string    `json:"schema_version"`
	BootID   uint64    `json:"boot_id"`
	FirstSeq uint64    `json:"first_seq"`
	LastSeq  uint64    `json:"last_seq"` // inclusive
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// Ack says which sequences of a boot id the store has, so that the spool may
// free them. Ranges are inclusive; acks are cumulative by union.
type Ack struct {
	Version string      `json:"schema_version"`
	BootID  uint64      `json:"boot_id"`
	Ranges  [][2]uint64 `json:"ranges"`
}

// Payload is a request and its answer, kept for a short while on its own topic
// when a workload's data policy permits it, for rehearsal.
type Payload struct {
	Version      string       `json:"schema_version"`
	Event        RequestEvent `json:"event"`
	Path         string       `json:"path"` // at the provider, e.g. /v1/chat/completions
	RequestBody  []byte       `json:"request_body"`
	ResponseBody []byte       `json:"response_body"`
}
