package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Inserter is the store as ingest needs it. Rows of one call are one batch; the
// same token comes with the same rows and none other, so that a store that has
// seen it may pass. An error means unknown, and the call is repeated, unless it wraps a
// RowError: then that row goes to the dead letters.
type Inserter interface {
	InsertRequests(ctx context.Context, token string, evs []schemas.RequestEvent) error
	InsertDeclared(ctx context.Context, token string, ds []schemas.Declared) error
	InsertHeartbeats(ctx context.Context, token string, hs []schemas.Heartbeat) error
	InsertEvaluations(ctx context.Context, token string, evs []schemas.Evaluation) error
	InsertVerdicts(ctx context.Context, token string, vs []schemas.Verdict) error
	InsertEvidence(ctx context.Context, token string, es []schemas.EvidenceRecord) error
	InsertPolicies(ctx context.Context, token string, ps []schemas.Policy) error
	InsertNames(ctx context.Context, token string, ns []schemas.Naming) error
	InsertSnapshots(ctx context.Context, token string, ss []schemas.SnapshotRecord) error
}

// RowError is an error about one row that no repetition can mend.
type RowError interface {
	error
	RowIndex() int // of the row, in the call's slice
}

// road is a topic on its way into the store.
type road[T any] struct {
	topic  string
	linger time.Duration             // 0: the configured one
	check  func(*T) string           // why the record cannot be stored; "" when it can
	extra  func(*T, string)          // takes unknown fields; nil where the record has no place for them
	place  func(*T, int64)           // takes the offset; nil where it says nothing
	seq    func(*T) (boot, n uint64) // for acknowledgements; nil where there are none
	insert func(Inserter, context.Context, string, []T) error
}

// starter is a road of any type.
type starter interface {
	name() string
	worker(*ingest) func(context.Context, *assignment)
}

func (r *road[T]) name() string { return r.topic }

// roads are all ways into the store.
func roads() []starter {
	return []starter{
		&road[schemas.RequestEvent]{
			topic: schemas.TopicRequests, check: checkRequest, insert: Inserter.InsertRequests,
			extra: func(e *schemas.RequestEvent, s string) { e.Extra = s },
			seq:   func(e *schemas.RequestEvent) (uint64, uint64) { return e.BootID, e.Seq },
		},
		&road[schemas.Heartbeat]{
			topic: schemas.TopicHeartbeats, linger: 2 * time.Second, insert: Inserter.InsertHeartbeats,
			check: func(h *schemas.Heartbeat) string { return first(missing("boot_id", h.BootID != 0), when("at", h.At)) },
		},
		&road[schemas.Evaluation]{
			topic: schemas.TopicEvaluations, insert: Inserter.InsertEvaluations,
			extra: func(e *schemas.Evaluation, s string) { e.Extra = s },
			check: func(e *schemas.Evaluation) string {
				return first(missing("project", e.Project != ""), missing("workload", e.Workload != ""), missing("candidate", e.Candidate != ""),
					id("request_id", e.RequestID), id("evaluation_id", e.EvaluationID), when("request_ts", e.RequestTs), when("graded_at", e.GradedAt))
			},
		},
		&road[schemas.Verdict]{
			topic: schemas.TopicVerdicts, insert: Inserter.InsertVerdicts,
			check: func(v *schemas.Verdict) string {
				return first(missing("project", v.Project != ""), missing("workload", v.Workload != ""), when("computed_at", v.ComputedAt))
			},
		},
		&road[schemas.EvidenceRecord]{
			topic: schemas.TopicEvidence, insert: Inserter.InsertEvidence,
			check: func(e *schemas.EvidenceRecord) string {
				return first(missing("project", e.Project != ""), missing("workload", e.Workload != ""), when("at", e.At))
			},
		},
		&road[schemas.Policy]{
			// Of two records of one version the earlier in the topic was accepted.
			topic: schemas.TopicPolicies, insert: Inserter.InsertPolicies, place: func(p *schemas.Policy, offset int64) { p.Offset = offset },
			check: func(p *schemas.Policy) string {
				return first(missing("project", p.Project != ""), missing("workload", p.Workload != ""), missing("version", p.Version > 0), when("at", p.At))
			},
		},
		&road[schemas.Naming]{
			topic: schemas.TopicNames, insert: Inserter.InsertNames, place: func(n *schemas.Naming, offset int64) { n.Offset = offset },
			check: func(n *schemas.Naming) string {
				return first(missing("project", n.Project != ""), missing("workload", n.Workload != ""), missing("version", n.Version > 0), when("at", n.At))
			},
		},
		&road[schemas.SnapshotRecord]{
			topic: schemas.TopicSnapshots, insert: Inserter.InsertSnapshots,
			check: func(s *schemas.SnapshotRecord) string {
				return first(missing("kind", s.Kind != ""), missing("hash", s.Hash != 0), missing("record", len(s.Record) > 0), when("at", s.At))
			},
		},
	}
}

func checkRequest(e *schemas.RequestEvent) string {
	return first(missing("project", e.Project != ""), id("request_id", e.RequestID), when("ts", e.Ts), missing("status", e.Status != ""))
}

func first(reasons ...string) string {
	for _, r := range reasons {
		if r != "" {
			return r
		}
	}
	return ""
}

func missing(field string, there bool) string {
	if there {
		return ""
	}
	return field + " is missing"
}

func id(field, value string) string {
	if value == "" {
		return field + " is missing"
	}
	if err := uuid.Validate(value); err != nil {
		return fmt.Sprintf("%s %.60q is not a UUID", field, value)
	}
	return ""
}

// The store's times end where a 64-bit count of nanoseconds does.
var (
	earliest = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2261, 1, 1, 0, 0, 0, 0, time.UTC)
)

func when(field string, t time.Time) string {
	if t.IsZero() {
		return field + " is missing"
	}
	if t.Before(earliest) || t.After(latest) {
		return fmt.Sprintf("%s %s is out of range", field, t.Format(time.RFC3339))
	}
	return ""
}
