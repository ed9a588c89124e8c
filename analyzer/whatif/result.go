package whatif

import (
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Evidence says what is behind a point's quality.
type Evidence string

// The words for it.
const (
	Measured Evidence = "measured"        // pairs were graded wherever the policy would route
	Partly   Evidence = "partly measured" // in part of it; the rest is not known, so no quality is given
	Nothing  Evidence = "none"            // no graded pair: the score of the classifier alone
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
	Notes     []string      `json:"notes"`
	Elapsed   time.Duration `json:"-"`
	Seconds   float64       `json:"seconds"`
}

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
	Threshold   float64          `json:"threshold"`
	Routed      uint64           `json:"routed"`
	RoutedShare float64          `json:"routed_share"` // of the workload's requests
	SavingMonth schemas.NanoUSD  `json:"saving_month"`
	SavingLo    *schemas.NanoUSD `json:"saving_month_lo"` // of the interval; null below 7 days
	SavingHi    *schemas.NanoUSD `json:"saving_month_hi"`
	SavingCold  schemas.NanoUSD  `json:"saving_month_cold"` // if the candidates' caches held nothing
	// Quality is the change of mean quality over all requests of the workload, as
	// a share of 1; null unless Evidence is measured.
	Quality  *schemas.Interval `json:"quality"`
	Evidence Evidence          `json:"evidence"`
	// Adequate is the mean chance of a routed request that the candidate's answer
	// is no worse, as the workload's graded pairs are calibrated; null without.
	Adequate *schemas.Interval `json:"adequate"`
	Pairs    int               `json:"pairs"`   // graded, behind Quality
	Covered  float64           `json:"covered"` // share of the routed requests where pairs were graded
	// Beaten: another point saves as much or more and is no worse.
	Beaten bool `json:"beaten"`
	Draft  bool `json:"draft,omitempty"` // the threshold of workloads without a policy
	// Mode and Treated are of Today alone: the share of requests the policy moves.
	Mode    schemas.Mode `json:"mode,omitempty"`
	Treated float64      `json:"treated,omitempty"`
}
