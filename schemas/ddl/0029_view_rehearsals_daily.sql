-- One row per project, workload, requested model, candidate, grader and UTC day of the observed requests: pairs, how they were graded, and what
-- they cost. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.rehearsals_daily AS
SELECT
    project, /*called*/ AS workload, request_model, candidate, grader, toDate(request_ts) AS day,
    count() AS pairs, countIf(outcome = 'graded') AS graded, countIf(outcome = 'ungraded') AS ungraded, countIf(outcome IN ('failed', 'refused', 'truncated')) AS failed,
    countIf(sampling_probability IS NULL) AS own_grades,
    avgIf(toFloat64(e.quality_candidate) - toFloat64(e.quality_baseline), outcome != 'ungraded' AND grader != '') AS mean_difference,
    countIf(e.candidate_cost IS NULL) AS unpriced_pairs, sum(ifNull(e.candidate_cost, 0) + ifNull(e.grading_cost, 0)) AS cost
FROM gnomon.evaluations AS e FINAL
GROUP BY project, workload, request_model, candidate, grader, day
