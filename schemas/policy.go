package schemas

import (
	"bytes"
	"math"
	"strconv"
	"time"
)

// BasisPoints is a share in units of 0.01 %: 10000 is everything.
type BasisPoints uint16

// Percent is the share as people and commands write it, exactly: "12.5%".
func (b BasisPoints) Percent() string {
	return strconv.FormatFloat(float64(b)/100, 'f', -1, 64) + "%"
}

// Policy is one version of what the proxy does with a workload. Versions are
// never changed: a new record names the version it replaces, and every reader
// accepts the first record, in offset order, that continues the accepted one.
type Policy struct {
	SchemaVersion string `json:"schema_version"`
	Project       string `json:"project"`
	Workload      string `json:"workload"`
	Version       uint32 `json:"version"`  // from 1
	Replaces      uint32 `json:"replaces"` // Version − 1; 0 for the first
	Mode          Mode   `json:"mode"`
	Candidate     string `json:"candidate,omitempty"`     // provider/model
	RequestModel  string `json:"request_model,omitempty"` // the baseline it applies to; empty: any priced one
	// Share of the sessions outside the control arm that takes the decided route.
	Share BasisPoints `json:"share"`
	// Control never moves.
	Control BasisPoints `json:"control"`
	// Threshold: a request is routed when its score is at most this. 1 admits all.
	Threshold float64 `json:"threshold"`
	// Salt keys the assignment to arms; made at the workload's first activation
	// and carried by every later version, so that sessions keep their arm.
	Salt []byte `json:"salt,omitempty"`
	// Override: a person activated what the verdict does not support.
	Override       bool   `json:"override,omitempty"`
	OverrideReason string `json:"override_reason,omitempty"` // what the verdict said
	// Verdict that supported it, by time; zero under an override without one.
	VerdictAt time.Time `json:"verdict_at,omitzero"`
	Actor     string    `json:"actor"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
	// Offset is the record's place in the policy log, where it was read from
	// there: of records that race for a version, the first holds.
	Offset int64 `json:"-"`
}

// Treated is the share of all sessions that may take the decided route, from 0 to
// 1: Share of what Control leaves.
func (p Policy) Treated() float64 {
	return float64(everything-min(p.Control, everything)) * float64(p.Share) / (everything * everything)
}

// ShareInWords says both figures that a share has: a policy of 25 % with a control
// arm of 5 % treats 23.75 % of all sessions.
func (p Policy) ShareInWords() string {
	percent := func(f float64) string { return strconv.FormatFloat(math.Round(1e6*f)/1e4, 'f', -1, 64) + " %" }
	return percent(float64(p.Share)/everything) + " of the sessions outside the control arm (" + percent(p.Treated()) + " of all)"
}

const everything = 10_000 // in basis points

// Key is the policy's key on its topic and in tables: "project/workload".
func (p Policy) Key() string { return p.Project + "/" + p.Workload }

// Noun is what people call the record.
func (Policy) Noun() string { return "policy" }

// Valid reports whether the record says whose policy it is.
func (p Policy) Valid() bool { return p.Project != "" && p.Workload != "" }

// Place is the record's version, and the one it replaces.
func (p Policy) Place() (version, replaces uint32) { return p.Version, p.Replaces }

// Next is the record as the version after the one it replaces, made at a time.
func (p Policy) Next(at time.Time) Policy {
	p.SchemaVersion, p.Version, p.At = SchemaVersion, p.Replaces+1, at
	return p
}

// Same reports whether both records do the same, by the same person.
func (p Policy) Same(o Policy) bool {
	return p.Mode == o.Mode && p.Candidate == o.Candidate && p.Share == o.Share && p.Threshold == o.Threshold && p.At.Equal(o.At) && p.Actor == o.Actor && bytes.Equal(p.Salt, o.Salt)
}

// By is who made the record.
func (p Policy) By() string { return p.Actor }
