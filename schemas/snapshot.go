package schemas

import (
	"encoding/json"
	"time"
)

// The kinds of what decisions were taken by.
const (
	KindSnapshot  = "snapshot"   // a sealed classifier.Snapshot
	KindPriceBook = "price_book" // a savings.Book
	KindWeights   = "weights"    // a file of the classifier's weights, as a JSON string in base64
)

// SnapshotRecord is something that decisions were taken by, kept once per hash
// for as long as the decisions are: with the Inputs of an event it is all that
// is needed to take the decision again. Proxies publish it as soon as they
// decide by it.
type SnapshotRecord struct {
	Version string    `json:"schema_version"`
	Kind    string    `json:"kind"`
	Hash    uint64    `json:"hash"`              // as events carry it in snapshot_hash; of a price book or weights, as snapshots name them
	Project string    `json:"project,omitempty"` // empty but of a snapshot
	At      time.Time `json:"at"`                // first decided by, on this proxy

	// Of a snapshot: what else its hash covers, apart.
	ClassifierVer uint32 `json:"classifier_version,omitempty"`
	ModelHash     uint64 `json:"model_hash,omitempty"` // the weights
	RulesHash     uint64 `json:"rules_hash,omitempty"` // the code and the tables of the decision
	PricesHash    uint64 `json:"prices_hash,omitempty"`
	PoliciesHash  uint64 `json:"policies_hash,omitempty"`

	Record json.RawMessage `json:"record"` // whole; without salts, credentials or anything else that is secret
}
