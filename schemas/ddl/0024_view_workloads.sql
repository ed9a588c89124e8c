-- One row per project and workload, over all that is kept. baseline_cost and would_cost are over the same requests. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.workloads AS
SELECT
    project, /*called*/ AS workload, min(ts) AS first_seen, max(ts) AS last_seen, count() AS requests, uniqCombined64(session) AS sessions,
    countIf(status NOT IN ('ok', 'lost')) AS failed_requests, countIf(status = 'lost') AS lost_requests,
    countIf(status != 'lost' AND r.cost IS NULL) AS unpriced_requests, countIf(usage_source IN ('estimated', 'tokenizer')) AS estimated_requests,
    sum(ifNull(r.cost, 0)) AS cost,
    countIf(status != 'lost' AND (r.baseline_cost IS NULL OR r.would_cost IS NULL)) AS uncompared_requests,
    sumIf(ifNull(r.baseline_cost, 0), r.would_cost IS NOT NULL) AS baseline_cost, sumIf(ifNull(r.would_cost, 0), r.baseline_cost IS NOT NULL) AS would_cost,
    topKIf(3)(request_model, request_model != '') AS top_models, max(r.simulated) AS simulated
FROM gnomon.requests AS r FINAL
GROUP BY project, workload
