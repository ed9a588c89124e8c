package whatif

import (
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Evidence says what is behind a point's quality.
type Evidence string

// The words for it.
const (
	Measured     Evidence = "measured"        // pairs were graded at the scores that the policy would route
	Interpolated Evidence = "interpolated"    // some scores without a pair lie between scores with pairs
	Assumed      Evidence = "assumed"         // some lie below all that were graded: taken to be no harder
	Partly       Evidence = "partly measured" // some lie above all that were graded: not known, so no quality is given
	Nothing      Evidence = "none"            // no graded pair: the score of the classifier alone
)

// Result is the frontier of every workload.
type Result struct {
	Project   string        `json:"project"`
	From      time.Time     `json:"from"` // the days the figures rest on; zero without any
	To        time.Time     `json:"to"`
	Requests  uint64        `json:"requests"` // read, of the period asked for
	Simulated bool          `json:"simulated"`
	Ladders   []LadderOf    `json:"ladders"`
	Workloads []Frontier    `json:"frontier"`
	TooFew    []TooFew      `json:"too_few"` // workloads with too little to project from
	Notes     []string      `json:"notes"`
	Elapsed   time.Duration `json:"-"`
	Seconds   float64       `json:"seconds"`
}

// MinRequests is how many requests of a workload a projection takes. Below, one
// long prompt more or less makes the figure.
const MinRequests = 30

// TooFew is a workload of which nothing is projected.
type TooFew struct {
	Workload string `json:"workload"`
	Requests uint64 `json:"requests"`
}

// UnknownError says that the log has no request of the workload asked for.
type UnknownError struct {
	Workload string
	Known    []string // the workloads it has
}

func (e *UnknownError) Error() string { return "the log has no request of a workload " + e.Workload }

// LadderOf is the ladder that was asked about.
type LadderOf struct {
	Baseline   string   `json:"baseline"`
	Candidates []string `json:"candidates"`
}

// Frontier is one workload under each threshold.
type Frontier struct {
	Workload      string          `json:"workload"`
	Requests      uint64          `json:"requests"`
	Unpriced      uint64          `json:"unpriced"` // left out of the amounts
	Routable      uint64          `json:"routable"` // that the gates let through to a candidate
	Days          int             `json:"days"`
	BaselineMonth schemas.NanoUSD `json:"baseline_month"`
	Candidates    []string        `json:"candidates"` // that anything would be routed to
	Points        []Point         `json:"points"`     // by threshold, ascending
	Today         Point           `json:"today"`      // what is in force
	Method        string          `json:"method"`     // of the saving's interval
}

// Point is what one threshold would do, if all sessions were treated.
type Point struct {
	Threshold   float64 `json:"threshold"`
	Routed      uint64  `json:"routed"`
	RoutedShare float64 `json:"routed_share"` // of the workload's requests
	// What is saved hangs on what the candidates' caches hold, which nobody saw. The
	// figure to go by is the lesser one; the interval runs from its lower bound to
	// the upper one of the other.
	SavingMonth schemas.NanoUSD  `json:"saving_month"`      // if they held nothing
	SavingWarm  schemas.NanoUSD  `json:"saving_month_warm"` // if they held what the baseline's did
	SavingLo    *schemas.NanoUSD `json:"saving_month_lo"`   // of the interval; null below 7 days
	SavingHi    *schemas.NanoUSD `json:"saving_month_hi"`
	// Quality is the change of mean quality over all requests of the workload, as
	// a share of 1; null where Evidence is partly measured or none. Where requests
	// have scores that no pair has, the interval runs from all of them answered
	// worse to all of them answered better.
	Quality  *schemas.Interval `json:"quality"`
	Evidence Evidence          `json:"evidence"`
	// Adequate is the mean chance of a routed request that the candidate's answer
	// is no worse, as the workload's graded pairs are calibrated; null without.
	Adequate *schemas.Interval `json:"adequate"`
	Pairs    int               `json:"pairs"`        // graded, behind Quality
	Covered  float64           `json:"covered"`      // share of the routed requests at scores with pairs
	Between  float64           `json:"interpolated"` // at scores between them
	Below    float64           `json:"assumed"`      // at scores below all of them
	// Beaten: another point saves as much or more and is no worse.
	Beaten bool `json:"beaten"`
	Draft  bool `json:"draft,omitempty"` // the threshold of workloads without a policy
	// The others are of Today alone: the share of sessions the policy moves, and the
	// requests it would move but that are held.
	Mode         schemas.Mode `json:"mode,omitempty"`
	Treated      float64      `json:"treated,omitempty"`
	HeldEvidence uint64       `json:"held_evidence,omitempty"` // for want of evidence
	HeldNovel    uint64       `json:"held_novel,omitempty"`    // for being novel, as recorded
}
