package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/schemas"
)

var _ analyzer.Log = (*Store)(nil)

// query reads rows with one scan function each.
func query[T any](ctx context.Context, s *Store, what, sql string, scan func(scanner) (T, error), args ...any) ([]T, error) {
	rows, err := s.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", what, err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return all, nil
}

// baseProvider is where the requested model would have been served.
const baseProvider = "if(baseline_provider = '', provider, baseline_provider)"

// between bounds a query in time, so that whole partitions are passed over.
const between = "project = ? AND ts >= fromUnixTimestamp64Milli(?) AND ts < fromUnixTimestamp64Milli(?)"

// Members implements analyzer.Log.
func (s *Store) Members(ctx context.Context, project string) (map[string][]analyzer.Member, error) {
	g, err := s.named(ctx, project)
	if err != nil {
		return nil, err
	}
	left, err := s.left(ctx, project, g)
	members := map[string][]analyzer.Member{}
	for i, name := range g.names { // found are sorted
		if g.carried[i] {
			continue
		}
		since := g.since[i]
		if left[name].After(since) {
			since = left[name]
		}
		members[name] = append(members[name], analyzer.Member{Found: g.found[i], Since: since})
	}
	return members, err
}

// left is when a workload last ceased to go by a name: what was recorded under it
// until then is of others, too.
func (s *Store) left(ctx context.Context, project string, g given) (map[string]time.Time, error) {
	type naming struct {
		workload, name string
		at             time.Time
	}
	const sql = `SELECT workload, r.1, r.2 FROM (SELECT workload, version, argMin((l.name, l.at), (l.offset, l.at, l.actor)) AS r
    FROM gnomon.names AS l WHERE project = ? GROUP BY workload, version) ORDER BY workload, version`
	all, err := query(ctx, s, "who left a name", sql, func(row scanner) (n naming, err error) {
		return n, row.Scan(&n.workload, &n.name, &n.at)
	}, project)
	left := map[string]time.Time{}
	for i := 1; i < len(all); i++ {
		before, n := all[i-1], all[i]
		if name := g.called(before.name); n.workload == before.workload && n.name != before.name && n.at.After(left[name]) {
			left[name] = n.at.UTC()
		}
	}
	return left, err
}

// Evaluations implements analyzer.Log. What the records do not say is looked up
// of the request, and of the snapshot that decided about it.
func (s *Store) Evaluations(ctx context.Context, project string, from, to time.Time) ([]schemas.Evaluation, error) {
	const period = "project = ? AND request_ts >= fromUnixTimestamp64Milli(?) AND request_ts < fromUnixTimestamp64Milli(?)"
	var names []string
	for i := range evaluationColumns {
		names = append(names, evaluationColumns[i].name)
	}
	g, err := s.named(ctx, project)
	if err != nil {
		return nil, err
	}
	columns := "e." + strings.Join(names, ", e.")
	columns = strings.Replace(columns, "e.workload", g.of("e.workload")+" AS called", 1)
	columns = strings.Replace(columns, "e.provider", "if(e.provider = '', r.of_provider, e.provider) AS from_provider", 1)
	sql := "SELECT " + columns + `, e.workload, s.version, s.model, r.expected FROM (SELECT * FROM gnomon.evaluations FINAL WHERE ` + period + `) AS e
LEFT JOIN (SELECT request_id, ` + baseProvider + ` AS of_provider, snapshot_hash, p_adequate AS expected FROM gnomon.requests FINAL PREWHERE ` + between + `
    AND request_id IN (SELECT request_id FROM gnomon.evaluations WHERE ` + period + `)) AS r ON r.request_id = e.request_id
LEFT JOIN (SELECT hash, any(classifier_version) AS version, any(model_hash) AS model FROM gnomon.snapshots WHERE kind = '` + schemas.KindSnapshot + `' GROUP BY hash) AS s ON s.hash = r.snapshot_hash`
	since, until := from.UnixMilli(), to.UnixMilli()
	return query(ctx, s, "evaluations", sql, scanEvaluation, project, since, until, project, since, until, project, since, until)
}

func scanEvaluation(row scanner) (e schemas.Evaluation, err error) {
	var request, id uuid.UUID
	var outcome string
	err = row.Scan(&request, &id, &e.Project, &e.Workload, &e.Provider, &e.RequestModel, &e.Candidate, &e.RequestTs, &e.GradedAt, &e.Cluster, &e.Grader, &e.GraderVersion, &e.JudgeModel,
		&e.BaselineSnapshot, &e.CandidateSnapshot, &e.PromptVersion, &e.Stratum, &e.SamplingProbability, &e.WouldRoute, &e.Score, &e.QualityBaseline, &e.QualityCandidate,
		&outcome, (*amount)(&e.CandidateCost), (*amount)(&e.GradingCost), &e.InputTokens, &e.OutputTokens, &e.BaselineOutputTokens, &e.LatencyMS, &e.Simulated, &e.Version, &e.Extra,
		&e.Recorded, &e.Scorer.Version, &e.Scorer.Weights, &e.PAdequate)
	e.RequestID, e.EvaluationID, e.Outcome = request.String(), id.String(), schemas.Outcome(outcome)
	e.RequestTs, e.GradedAt = e.RequestTs.UTC(), e.GradedAt.UTC()
	return e, err
}

// gradedMost bounds the requests of a workload whose inputs are read: a profile
// of prompts does not get better by more.
const gradedMost = "3000"

// InputsOfGraded implements analyzer.Log, by the newest of each candidate.
func (s *Store) InputsOfGraded(ctx context.Context, project string, from, to time.Time) (map[string][]byte, error) {
	type graded struct{ id, inputs string }
	const sql = `SELECT request_id, inputs FROM gnomon.requests FINAL PREWHERE ` + between + ` AND request_id IN (
    SELECT request_id FROM gnomon.evaluations WHERE project = ? AND request_ts >= fromUnixTimestamp64Milli(?) AND request_ts < fromUnixTimestamp64Milli(?) AND outcome != 'ungraded'
    ORDER BY request_ts DESC LIMIT ` + gradedMost + ` BY workload, request_model, candidate
) WHERE inputs != ''`
	rows, err := query(ctx, s, "the inputs of graded requests", sql, func(row scanner) (g graded, err error) {
		var id uuid.UUID
		err = row.Scan(&id, &g.inputs)
		g.id = id.String()
		return g, err
	}, project, from.UnixMilli(), to.UnixMilli(), project, from.UnixMilli(), to.UnixMilli())
	all := make(map[string][]byte, len(rows))
	for _, g := range rows {
		all[g.id] = []byte(g.inputs)
	}
	return all, err
}

// Period implements analyzer.Log.
func (s *Store) Period(ctx context.Context, project string) (analyzer.Period, error) {
	var p analyzer.Period
	hours, err := s.span(ctx, project, time.UnixMilli(0), latest)
	if err != nil {
		return p, err
	}
	sql, args := hours.of("SELECT requests AS n, first_ts, last_ts, simulated FROM gnomon.requests_1h FINAL WHERE requests > 0 AND {whole}",
		"SELECT count(), min(ts), max(ts), max(simulated) FROM gnomon.requests WHERE {cut} HAVING count() > 0")
	var n uint64
	row := s.conn.QueryRow(ctx, "SELECT sum(n), min(first_ts), max(last_ts), max(simulated) FROM ("+sql+")", args...)
	if err := row.Scan(&n, &p.First, &p.Last, &p.Simulated); err != nil {
		return p, fmt.Errorf("read period: %w", err)
	}
	if n == 0 {
		return analyzer.Period{}, nil
	}
	p.First, p.Last = p.First.UTC(), p.Last.UTC()
	// An hour is covered when a proxy spoke in it, or a request came.
	const covered = `SELECT toStartOfDay(hour) AS day, uniqExact(hour) FROM (
    SELECT hour FROM gnomon.requests_1h WHERE project = ? AND requests > 0
    UNION DISTINCT SELECT hour FROM gnomon.hours_behind WHERE project = ?
    UNION DISTINCT SELECT DISTINCT toStartOfHour(at) AS hour FROM gnomon.heartbeats
    WHERE at >= fromUnixTimestamp64Milli(?) AND at <= fromUnixTimestamp64Milli(?)
) GROUP BY day ORDER BY day`
	days, err := query(ctx, s, "coverage", covered, func(row scanner) (d analyzer.DayCoverage, err error) {
		var hours uint64
		err = row.Scan(&d.Day, &hours)
		d.Day, d.Hours = day(d.Day), int(hours)
		return d, err
	}, project, project, p.First.UnixMilli(), p.Last.UnixMilli())
	if err != nil {
		return p, err
	}
	p.Days = days
	c, err := s.Completeness(ctx, project)
	for _, l := range c.Lives {
		p.Accepted, p.Stored, p.Declared = p.Accepted+l.Accepted, p.Stored+l.Stored, p.Declared+l.Declared
	}
	return p, err
}

// RehearsalSpend returns what rehearsal of a UTC day has cost a project, by
// workload. A team's own grades carry no sampling probability: their cost is
// not ours.
func (s *Store) RehearsalSpend(ctx context.Context, project string, at time.Time) (map[string]schemas.NanoUSD, error) {
	type spend struct {
		workload string
		cost     schemas.NanoUSD
	}
	g, err := s.named(ctx, project)
	if err != nil {
		return nil, err
	}
	rows, err := query(ctx, s, "rehearsal spend", `SELECT `+g.of("workload")+` AS workload, sum(ifNull(candidate_cost, 0) + ifNull(grading_cost, 0)) FROM gnomon.evaluations FINAL
WHERE project = ? AND sampling_probability IS NOT NULL AND graded_at >= fromUnixTimestamp64Milli(?) AND graded_at < fromUnixTimestamp64Milli(?) GROUP BY workload`, func(row scanner) (r spend, err error) {
		err = row.Scan(&r.workload, (*sum)(&r.cost))
		return r, err
	}, project, day(at).UnixMilli(), day(at).AddDate(0, 0, 1).UnixMilli())
	spent := map[string]schemas.NanoUSD{}
	for _, r := range rows {
		spent[r.workload] = r.cost
	}
	return spent, err
}
