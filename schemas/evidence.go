package schemas

import (
	"fmt"
	"time"
)

// Outcome says what became of one rehearsal.
type Outcome string

// The outcomes of a rehearsal. Failed, refused and truncated candidates have
// quality 0; ungraded pairs have none.
const (
	OutcomeGraded    Outcome = "graded"
	OutcomeUngraded  Outcome = "ungraded" // no grader applies
	OutcomeFailed    Outcome = "failed"
	OutcomeRefused   Outcome = "refused"
	OutcomeTruncated Outcome = "truncated"
)

// Scorer is what a score is by: other weights, or features that are read
// otherwise, give other scores. The zero value is of nobody known.
type Scorer struct {
	Version uint32 `json:"classifier_version,omitempty"` // of the features and the rules beside the weights
	Weights uint64 `json:"model_hash,omitempty"`         // hash of the weights
}

// ScorerName names it for people.
func (s Scorer) ScorerName() string { return fmt.Sprintf("%016x of version %d", s.Weights, s.Version) }

// Evaluation is one graded pair for (project, workload, baseline's provider,
// requested model, candidate): the baseline's answer and the candidate's to the
// same request.
type Evaluation struct {
	Version      string    `json:"schema_version"`
	Project      string    `json:"project"`
	Workload     string    `json:"workload"`
	Provider     string    `json:"provider,omitempty"` // of the baseline; empty in records of before there was one: readers look at the request
	RequestModel string    `json:"request_model"`
	Candidate    string    `json:"candidate"`  // provider/model; the baseline itself in a baseline-against-baseline check
	RequestTs    time.Time `json:"request_ts"` // of the observed request: its day
	GradedAt     time.Time `json:"graded_at"`
	RequestID    string    `json:"request_id"`
	EvaluationID string    `json:"evaluation_id"`

	// Cluster is the unit of one bet: the session, user or duplicate group.
	Cluster           string `json:"cluster"`
	Grader            string `json:"grader"` // exact_match, own, …; empty when ungraded
	GraderVersion     string `json:"grader_version"`
	JudgeModel        string `json:"judge_model,omitempty"`
	BaselineSnapshot  string `json:"baseline_snapshot"`  // the model version that answered
	CandidateSnapshot string `json:"candidate_snapshot"` // likewise
	PromptVersion     uint64 `json:"prompt_version"`     // hash of the system prompt's template

	Stratum string `json:"stratum"`
	// SamplingProbability is the chance with which the request was drawn, null
	// for a team's own grades without one: shown, kept out of verdicts.
	SamplingProbability *float64 `json:"sampling_probability"`
	// WouldRoute is the decision recorded with the request: a verdict's quality
	// is over the requests the policy would route.
	WouldRoute       string  `json:"would_route"`
	Score            float32 `json:"score"`
	QualityBaseline  float32 `json:"quality_baseline"`  // 0 to 1
	QualityCandidate float32 `json:"quality_candidate"` // 0 to 1
	Outcome          Outcome `json:"outcome"`

	CandidateCost OptUSD `json:"candidate_cost"` // our own spend: netted from savings
	GradingCost   OptUSD `json:"grading_cost"`

	InputTokens          uint32 `json:"input_tokens"`
	OutputTokens         uint32 `json:"output_tokens"`
	BaselineOutputTokens uint32 `json:"baseline_output_tokens"`
	LatencyMS            uint32 `json:"latency_ms"`
	Simulated            bool   `json:"simulated,omitempty"`
	Extra                string `json:"extra,omitempty"`

	// What a reader looks up of the request, and no record says.

	Recorded  string   `json:"-"` // the workload's name when it came; Workload is what it is called now
	Scorer    Scorer   `json:"-"` // what scored it; zero where its snapshot was not kept
	PAdequate *float32 `json:"-"` // what was expected of it before it was graded
}

// Interval is an estimate with its bounds. Lo and Hi may be infinite in
// principle, but records carry finite numbers: an absent interval is nil.
type Interval struct {
	Point float64 `json:"point"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
	Level float64 `json:"level"` // .95
}

// Warning belongs next to the numbers it qualifies.
type Warning struct {
	Code string `json:"code"` // unpriced_share, thin_days, output_length_unmeasured, …
	Text string `json:"text"` // a sentence
}

// SavingsFinding is the projection of a verdict.
type SavingsFinding struct {
	Days            int       `json:"days"`             // observed, with traffic
	BaselineMonth   NanoUSD   `json:"baseline_month"`   // spend of 30 days at the baseline
	WouldMonth      NanoUSD   `json:"would_month"`      // spend of 30 days under the policy
	SavingMonth     NanoUSD   `json:"saving_month"`     // the difference
	SavingMonthLo   *NanoUSD  `json:"saving_month_lo"`  // null below 7 days
	SavingMonthHi   *NanoUSD  `json:"saving_month_hi"`  // null below 7 days
	Share           *Interval `json:"share"`            // of the baseline's cost, the mean's interval
	ShareNext       *Interval `json:"share_next"`       // widened for the next 30 days
	OutputRatio     *Interval `json:"output_ratio"`     // candidate's output tokens per baseline's; null = unmeasured, 1.0 taken
	RoutedShare     float64   `json:"routed_share"`     // of requests
	UnpricedShare   float64   `json:"unpriced_share"`   // of requests
	EstimatedShare  float64   `json:"estimated_share"`  // of requests whose usage is estimated
	RehearsalSpend  NanoUSD   `json:"rehearsal_spend"`  // so far
	Method          string    `json:"method"`           // in words
	DailyBaseline   []float64 `json:"daily_baseline"`   // USD a day, for the chart
	DailyWould      []float64 `json:"daily_would"`      // USD a day
	DailyDates      []string  `json:"daily_dates"`      // YYYY-MM-DD
	RejectRequests  []Count   `json:"reject_requests"`  // why requests were not routed, most first
	EvidenceSummary string    `json:"evidence_summary"` // a sentence
	RoutedRequests  uint64    `json:"routed_requests"`
	Requests        uint64    `json:"requests"`
	Early           bool      `json:"early,omitempty"` // the interval rests on fewer than 14 days
}

// Count is a labelled count.
type Count struct {
	Name string `json:"name"`
	N    uint64 `json:"n"`
}

// QualityFinding is the evidence on quality of a verdict: candidate minus
// baseline, in points from −1 to 1.
type QualityFinding struct {
	Pairs       int       `json:"pairs"`    // graded, with a sampling probability
	Clusters    int       `json:"clusters"` // bets made
	Ungraded    int       `json:"ungraded"`
	OwnGrades   int       `json:"own_grades"` // a team's, without a probability: shown only
	Mean        float64   `json:"mean"`
	Lower       float64   `json:"lower"`      // anytime-valid lower bound at 1 − alpha; −1 when nothing is excluded
	Upper       float64   `json:"upper"`      // anytime-valid upper bound at 1 − alpha
	Confidence  float64   `json:"confidence"` // 1 − 1/max(1, max K): evidence, not a probability
	LogWealth   float64   `json:"log_wealth"`
	Margin      float64   `json:"margin"`
	Alpha       float64   `json:"alpha"`
	DayGate     string    `json:"day_gate"` // passed, failed, or what it waits for
	DaySD       *float64  `json:"day_sd"`
	Discordance float64   `json:"discordance"`
	PairsNeeded int       `json:"pairs_needed"` // more, about; 0 when decided or unknown
	DaysNeeded  int       `json:"days_needed"`
	USDNeeded   NanoUSD   `json:"usd_needed"`
	Grader      string    `json:"grader"`
	WholeMean   *float64  `json:"whole_mean"` // over the whole workload: unrouted requests count 0
	Restarts    int       `json:"restarts"`   // of the wealth, for a changed snapshot, template, grader
	DailyDates  []string  `json:"daily_dates"`
	DailyLower  []float64 `json:"daily_lower"` // the bound as it stood at each day's end
	DailyMean   []float64 `json:"daily_mean"`
	DailyUpper  []float64 `json:"daily_upper"`

	Method            string   `json:"method"`             // in words
	Tests             int      `json:"tests"`              // candidates and versions of them tested at once: they share Alpha, so that Lower and Upper hold for all together
	Waiting           int      `json:"waiting"`            // pairs of the open hour, not yet bet on
	Late              int      `json:"late"`               // pairs that came to a session already bet on
	Outside           int      `json:"outside"`            // units about a snapshot, template or grader that is not in force
	BaselineChecks    int      `json:"baseline_checks"`    // graded pairs of the baseline against itself
	BaselineAgreement *float64 `json:"baseline_agreement"` // share of them in which it agreed with itself
	GatePassed        bool     `json:"gate_passed"`        // the day gate

	// Adequacy is the calibrated chance that the candidate's answer is no worse;
	// null without graded pairs. It forecasts, and decides no verdict.
	Adequacy *Calibration `json:"adequacy,omitempty"`
	// Forecast holds what it made expect of requests against how they were graded
	// since; null below 20 sessions.
	Forecast *Forecast `json:"forecast,omitempty"`
	// Profile is what the graded prompts look like; null below 30.
	Profile *Profile `json:"profile,omitempty"`
}

// Forecast is how good p_adequate was: of each pair what was recorded with the
// request, before anybody had graded it, against what came. Pairs count by the
// inverse of their sampling probability.
type Forecast struct {
	Pairs    int      `json:"pairs"`
	Sessions int      `json:"sessions"`
	Said     float64  `json:"said"`  // mean chance that was expected
	Came     float64  `json:"came"`  // share in which the candidate's answer was no worse
	Off      Interval `json:"off"`   // came less said, sessions being the unit
	Error    float64  `json:"error"` // mean distance of the two within tenths of what was said: the expected calibration error
}

// Profile is what a workload's graded prompts look like, so that one unlike them
// can be told: means and spreads of figures that are recorded with every
// request, no word of a prompt. Integers throughout. Pairs 0: nothing is known.
type Profile struct {
	Features  uint32   `json:"features"` // version of the figures
	Pairs     uint32   `json:"pairs"`
	Middle    []int32  `json:"middle"`              // mean of each figure, in 1/256
	Scale     []uint32 `json:"scale"`               // 64/spread, in 1/65536
	Task      []uint32 `json:"task"`                // what each task class adds
	Templates []uint64 `json:"templates,omitempty"` // fingerprints of the system prompts; empty: they vary
	Bound     uint32   `json:"bound"`               // a prompt farther away is novel
}

// Calibration is what a candidate's graded pairs in a workload say of a
// request's chance that the candidate's answer is no worse than the baseline's:
// a level, and how it falls with the score. Integers throughout, in 1/65535, so
// that every proxy expects the same. Pairs 0: nothing is known.
type Calibration struct {
	Pairs  uint32 `json:"pairs"`
	Level  uint16 `json:"level"`  // the chance at a score of Centre
	Lower  uint16 `json:"lower"`  // of Level, at 95 %, sessions being the unit; not safe under peeking
	Upper  uint16 `json:"upper"`  // likewise
	Centre uint16 `json:"centre"` // mean score of the pairs
	Slope  uint16 `json:"slope"`  // how much it falls from a score of 0 to one of 1
}

// At is the chance for a request of a score, in 1/65535.
func (c *Calibration) At(score uint16) uint16 {
	const one = 65535
	fall := int64(c.Slope) * (int64(score) - int64(c.Centre)) / one
	return uint16(max(0, min(int64(c.Level)-fall, one)))
}

// Verdict is what the analyzer found for (project, workload, requested model,
// candidate) when it looked.
type Verdict struct {
	Version      string         `json:"schema_version"`
	Project      string         `json:"project"`
	Workload     string         `json:"workload"`
	RequestModel string         `json:"request_model"`
	Provider     string         `json:"provider"`  // of the baseline
	Candidate    string         `json:"candidate"` // provider/model
	ComputedAt   time.Time      `json:"computed_at"`
	From         time.Time      `json:"from"`
	To           time.Time      `json:"to"`
	Readiness    Readiness      `json:"readiness"`
	Reasons      []string       `json:"reasons"`  // sentences, the deciding one first
	Warnings     []Warning      `json:"warnings"` // never empty by omission: [] when there are none
	Threshold    float64        `json:"threshold"`
	DaysObserved int            `json:"days_observed"`
	DaysPlanned  int            `json:"days_planned"`
	Coverage     float64        `json:"coverage"` // share of hours of the period with a proxy alive
	Savings      SavingsFinding `json:"savings"`
	Quality      QualityFinding `json:"quality"`
	Simulated    bool           `json:"simulated,omitempty"`
	Brief        string         `json:"brief"` // the deciding reason in a few words, for tables: "about 1,400 more pairs, $18, 9 days"

	Scorer           // whose scores the pairs stand on: under another nothing of this is known
	Members []string `json:"members,omitempty"` // discovered workloads that went by the name, sorted
}

// EvidenceRecord is what proxies are told of a candidate in a workload: the
// state that gates acting, the measured output length, and what the graded pairs
// make expect of a request.
type EvidenceRecord struct {
	Version      string        `json:"schema_version"`
	Project      string        `json:"project"`
	Workload     string        `json:"workload"`
	Provider     string        `json:"provider,omitempty"` // of the baseline; a record without one is of before there was one, and nothing is acted on by it
	RequestModel string        `json:"request_model"`
	Candidate    string        `json:"candidate"`
	State        EvidenceState `json:"state"`
	OutputRatio  float64       `json:"output_ratio"` // candidate's output tokens per baseline's; 0 = unmeasured
	At           time.Time     `json:"at"`

	// What a proxy of before these fields ignores.

	Adequacy *Calibration `json:"adequacy,omitempty"` // null: nothing is graded
	Profile  *Profile     `json:"profile,omitempty"`  // null: too little is, or of other features

	Scorer           // as in the verdict: without it nothing is acted on
	Members []string `json:"members,omitempty"`
}
