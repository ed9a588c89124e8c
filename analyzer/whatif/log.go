package whatif

import (
	"context"
	"time"

	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Log is the store as what-if reads it.
type Log interface {
	// WhatIf returns the rows of a project's period [from, to), summed by Cell's
	// key. scores and sizes are the upper bounds of buckets and classes, ascending.
	WhatIf(ctx context.Context, project string, from, to time.Time, scores []uint16, sizes []uint32) ([]Cell, error)
	// Evaluations returns every evaluation whose request falls in the period.
	Evaluations(ctx context.Context, project string, from, to time.Time) ([]schemas.Evaluation, error)
}

// Cell sums requests that any policy decides alike, but for its threshold: they
// differ in nothing that a gate reads.
type Cell struct {
	Workload, Provider, RequestModel string
	Dialect, Operation, Tier         string
	Bypassed                         bool
	Failed                           bool // the classifier did: never routed
	Gates                            schemas.Gate
	Bucket                           uint16 // of the score: index of the first bound that admits it
	Class                            uint16 // of the prompt's length: index of the first size that holds it
	Day                              time.Time
	Lost                             bool
	Novel                            bool // recorded as held for being novel: by the evidence of then
	Priced                           bool // its baseline has a price, and nothing in it was audio

	Requests  uint64
	Longest   uint32 // prompt, in tokens
	Tokens    savings.Tokens
	Baseline  schemas.NanoUSD
	Simulated bool
}
