package dashboards

import (
	"context"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Data is what console and API read. All times are UTC, all money NanoUSD. A
// method returns an *Error of kind NotFound when the thing asked for by name
// does not exist; any other error is the store's and is shown as unavailable.
type Data interface {
	// Traffic returns one row per workload and UTC day with traffic in [from, to).
	Traffic(ctx context.Context, project string, from, to time.Time) ([]Traffic, error)
	// Verdicts returns the latest verdict of each workload, requested model and candidate.
	Verdicts(ctx context.Context, project string) ([]schemas.Verdict, error)
	// Policies returns accepted policies: of one workload all versions, newest
	// first; with workload "" the accepted version of every workload.
	Policies(ctx context.Context, project, workload string) ([]schemas.Policy, error)
	// Requests returns what the filter admits, newest first.
	Requests(ctx context.Context, f RequestFilter) (RequestPage, error)
	// Request returns one request event by its id.
	Request(ctx context.Context, project, id string) (schemas.RequestEvent, error)
	// Completeness holds what proxies say they accepted against what is stored.
	Completeness(ctx context.Context, project string) (Completeness, error)
}

// Actions are what a person may do. Each returns an *Error with its kind when it
// was refused.
type Actions interface {
	// Activate returns once the policy is accepted; Conflict when another
	// record was, Unsupported when the verdict does not support it.
	Activate(ctx context.Context, r ActivateRequest) (Result, error)
	// Rollback sets observe, and returns once the policy is accepted.
	Rollback(ctx context.Context, r RollbackRequest) (Result, error)
	// PostEvaluations publishes a team's own grades. Project, evaluation id,
	// grader and time of grading are filled in; RequestTs may be zero.
	PostEvaluations(ctx context.Context, project string, evs []schemas.Evaluation) error
}

// Health tells how the parts of this process do.
type Health interface {
	// Ready is nil while this process's roles can work, or the one role asked for;
	// else it says what is missing.
	Ready(ctx context.Context, role string) error
	// Parts lists engine, broker, spool, ingest and so on.
	Parts(ctx context.Context) []Part
}

// Traffic is what passed through one workload on one UTC day.
type Traffic struct {
	Workload   string          `json:"workload"`
	Day        time.Time       `json:"day"` // midnight UTC
	Requests   uint64          `json:"requests"`
	Failed     uint64          `json:"failed"` // status neither ok nor lost
	Lost       uint64          `json:"lost"`
	Unpriced   uint64          `json:"unpriced"`    // requests without a cost
	Estimated  uint64          `json:"estimated"`   // requests whose usage is estimated
	WouldRoute uint64          `json:"would_route"` // requests whose would-be route is not the baseline
	Routed     uint64          `json:"routed"`      // requests that a candidate served
	Fallbacks  uint64          `json:"fallbacks"`   // requests whose candidate failed and whose baseline answered
	Cost       schemas.NanoUSD `json:"cost"`        // of what was served; unpriced requests add nothing
	Baseline   schemas.NanoUSD `json:"baseline"`    // what the models asked for cost
	Would      schemas.NanoUSD `json:"would"`       // what the would-be routes cost
	// RoutedBaseline and RoutedCost are sums over requests that a candidate
	// served: what they would have cost at the baseline, and what they cost.
	RoutedBaseline schemas.NanoUSD `json:"routed_baseline"`
	RoutedCost     schemas.NanoUSD `json:"routed_cost"`
}

// RequestFilter narrows the list of requests. Empty fields admit everything.
type RequestFilter struct {
	Recorded     []string // the names under which the workload's requests were recorded; the store finds them
	Project      string
	Workload     string
	RequestModel string
	ServedModel  string
	Provider     string
	Team         string
	User         string
	Session      string
	Trace        string
	Status       schemas.Status
	Arm          schemas.Arm
	Route        string // "would": would-be route is not the baseline; "kept": it is; "routed": a candidate served
	Reject       string // a reject code that one of the candidates, or the baseline, was refused with
	From, To     time.Time
	Cursor       string // opaque, from RequestPage.Next
	Limit        int    // 1 to 500
	Listed       bool   // of each request no more than Listed leaves is wanted
}

// Listed is what a list shows of a request: rows of a page lie far from each other,
// and each field costs a read of its own.
func Listed(e schemas.RequestEvent) schemas.RequestEvent {
	l := schemas.RequestEvent{
		RequestID: e.RequestID, Project: e.Project, Ts: e.Ts, Status: e.Status, Workload: e.Workload,
		Provider: e.Provider, BaselineProvider: e.BaselineProvider, RequestModel: e.RequestModel, ServedModel: e.ServedModel, Arm: e.Arm,
		Cost: e.Cost, WouldRoute: e.WouldRoute, WouldCost: e.WouldCost, LatencyMS: e.LatencyMS,
	}
	l.InputTokens, l.OutputTokens = e.InputTokens, e.OutputTokens
	return l
}

// RequestPage is one page of requests, newest first.
type RequestPage struct {
	Requests []schemas.RequestEvent
	Next     string // cursor of the page after it; "" at the end
}

// Completeness holds the numbers by which anyone can see that nothing is missing.
type Completeness struct {
	At            time.Time   `json:"at"`
	Lives         []ProxyLife `json:"lives"`
	LastEvent     time.Time   `json:"last_event,omitzero"` // the newest stored event's own time
	OverheadP50US *uint32     `json:"overhead_p50_us"`     // gnomon's own part of a request, last 24 h; null without traffic
	OverheadP99US *uint32     `json:"overhead_p99_us"`
}

// ProxyLife is one start of a proxy: what it says it accepted, by heartbeat,
// and what became of that.
type ProxyLife struct {
	BootID   uint64    `json:"boot_id,string"` // a string in JSON: JavaScript rounds numbers of this size
	Proxy    string    `json:"proxy"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"` // last heartbeat
	Accepted uint64    `json:"accepted"`
	Stored   uint64    `json:"stored"`
	Declared uint64    `json:"declared"`  // lost, with a reason
	Dropped  uint64    `json:"dropped"`   // part of Declared: past the spool's bound
	InFlight uint64    `json:"in_flight"` // accepted, not yet ended, of a life that still speaks
}

// Waiting is what is neither stored, declared nor in flight: on its way while
// the life speaks, missing once it has ended and its spool is empty.
func (l ProxyLife) Waiting() uint64 {
	done := l.Stored + l.Declared + l.InFlight
	if done >= l.Accepted {
		return 0
	}
	return l.Accepted - done
}

// PartState is how a part does.
type PartState string

// The states of a part.
const (
	PartOK       PartState = "ok"
	PartDegraded PartState = "degraded"
	PartDown     PartState = "down"
	PartOff      PartState = "off" // not run by this process
)

// Part is one part of this process, for the health page.
type Part struct {
	Name    string    `json:"name"`
	State   PartState `json:"state"`
	Detail  string    `json:"detail"` // a sentence: what it is, or what stands in the way
	Figures []Figure  `json:"figures"`
}

// Figure is a named value with its unit written out, "1,204 messages".
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Explanation says why a request got its route.
type Explanation struct {
	Candidates    []CandidateLine `json:"candidates"`
	Contributions []Contribution  `json:"contributions"` // largest first
	Threshold     *float64        `json:"threshold"`     // of the policy in force; null when unknown
	Note          string          `json:"note,omitempty"`
}

// CandidateLine is one candidate, in ladder order, baseline first.
type CandidateLine struct {
	Model    string         `json:"model"` // provider/model
	Expected schemas.OptUSD `json:"expected"`
	Seen     schemas.OptUSD `json:"seen"` // price of the tokens that were used
	Reject   string         `json:"reject"`
	Why      string         `json:"why"`
	Chosen   bool           `json:"chosen"`
	Baseline bool           `json:"baseline"`
}

// Contribution is what one feature added to the score.
type Contribution struct {
	Feature string  `json:"feature"`
	Value   string  `json:"value"`
	Effect  float64 `json:"effect"` // positive: towards the stronger model
}

// ActivateRequest asks for a policy that routes a share of a workload.
type ActivateRequest struct {
	Project      string
	Workload     string
	Candidate    string // provider/model
	RequestModel string // "" = whatever the verdict or the policy says
	Share        schemas.BasisPoints
	Threshold    *float64 // nil = the verdict's
	Override     bool
	Unseen       bool // of a workload that no request was seen of, too
	Reason       string
	Actor        string
}

// RollbackRequest asks for observe.
type RollbackRequest struct {
	Project, Workload, Reason, Actor string
}

// Result is an accepted policy, and how to undo it.
type Result struct {
	Policy   schemas.Policy
	Previous *schemas.Policy // nil when it is the first
	Warnings []schemas.Warning
}

// Kind says what stood in the way of an action or a question.
type Kind int

// The kinds of errors, and their HTTP status.
const (
	Invalid     Kind = iota // 400
	NotFound                // 404
	Conflict                // 409: another record was accepted first
	Unsupported             // 409: the verdict does not support it; override may
	Unavailable             // 503
)

// Error is a refusal that a person can act on.
type Error struct {
	Kind    Kind
	Code    string // a word for machines: policy_conflict, verdict_not_ready …; "" = the kind's
	Message string // what was wanted and what stood in the way
	Hint    string // what to do
}

// Error returns message and hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " " + e.Hint
}
