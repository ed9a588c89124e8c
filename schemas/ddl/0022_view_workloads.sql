-- One row per project and workload, over all that is kept. Promised.
CREATE OR REPLACE VIEW gnomon.workloads AS
SELECT
    project, workload, min(ts) AS first_seen, max(ts) AS last_seen, count() AS requests, uniqExact(session) AS sessions,
    countIf(status NOT IN ('ok', 'lost')) AS failed, countIf(status != 'lost' AND r.cost IS NULL) AS unpriced_requests,
    sum(r.cost) AS cost, sum(r.baseline_cost) AS baseline_cost, sum(r.would_cost) AS would_cost,
    topK(3)(request_model) AS top_models
FROM gnomon.requests AS r FINAL
GROUP BY project, workload
