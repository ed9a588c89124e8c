package store

import (
	"context"
	"math"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// GradedInputs is a graded pair with what was recorded of its request: no prompt
// is in the store.
type GradedInputs struct {
	Workload, RequestModel, Candidate, Cluster string
	Probability                                float64 // with which it was sampled; 0 = unknown
	Baseline, Cheap                            float64 // what the answers were worth, 0 to 1
	Inputs                                     string  // packed
	Model                                      uint64  // hash of the weights that assessed it; 0 where its snapshot was not kept
	Simulated                                  bool
}

// Graded returns the graded pairs of requests of a period, but for those that
// hold a baseline against itself. A failure that no grader judged is no pair: what
// was made of answers beside it nobody knows.
func (s *Store) Graded(ctx context.Context, project string, from, to time.Time) ([]GradedInputs, error) {
	const period = "project = ? AND request_ts >= fromUnixTimestamp64Milli(?) AND request_ts < fromUnixTimestamp64Milli(?)"
	g, err := s.named(ctx, project)
	if err != nil {
		return nil, err
	}
	sql := `SELECT ` + g.of("e.workload") + `, e.request_model, e.candidate, e.cluster, e.probability, e.quality_baseline, e.quality_candidate, r.inputs, s.model, e.simulated
FROM (SELECT request_id, workload, request_model, candidate, cluster, ifNull(sampling_probability, 0) AS probability, quality_baseline, quality_candidate, simulated
    FROM gnomon.evaluations FINAL WHERE ` + period + ` AND grader != '' AND outcome != '` + string(schemas.OutcomeUngraded) + `' AND substring(candidate, position(candidate, '/') + 1) != request_model) AS e
INNER JOIN (SELECT request_id, inputs, snapshot_hash FROM gnomon.requests FINAL WHERE ` + between + ` AND inputs != ''
    AND request_id IN (SELECT request_id FROM gnomon.evaluations WHERE ` + period + `)) AS r ON r.request_id = e.request_id
LEFT JOIN (SELECT hash, any(model_hash) AS model FROM gnomon.snapshots WHERE kind = '` + schemas.KindSnapshot + `' GROUP BY hash) AS s ON s.hash = r.snapshot_hash`
	scan := func(row scanner) (g GradedInputs, err error) {
		var baseline, cheap float32
		err = row.Scan(&g.Workload, &g.RequestModel, &g.Candidate, &g.Cluster, &g.Probability, &baseline, &cheap, &g.Inputs, &g.Model, &g.Simulated)
		round := func(v float32) float64 { return math.Round(float64(v)*1e6) / 1e6 }
		g.Baseline, g.Cheap = round(baseline), round(cheap)
		return g, err
	}
	since, until := from.UnixMilli(), to.UnixMilli()
	return query(ctx, s, "graded pairs", sql, scan, project, since, until, project, since, until, project, since, until)
}
