-- One row per project, workload, baseline, would-be route, state of its evidence and UTC day. Both sums are over the same requests. Promised.
CREATE OR REPLACE VIEW gnomon.would_routes AS
SELECT
    project, workload, if(r.baseline_provider = '', r.provider, r.baseline_provider) AS from_provider, request_model, would_route, evidence_state, toDate(ts) AS day,
    count() AS requests, countIf(r.baseline_cost IS NULL OR r.would_cost IS NULL) AS unpriced_requests, countIf(usage_source = 'estimated') AS estimated_requests,
    sumIf(ifNull(r.baseline_cost, 0), r.would_cost IS NOT NULL) AS baseline_cost, sumIf(ifNull(r.would_cost, 0), r.baseline_cost IS NOT NULL) AS would_cost
FROM gnomon.requests AS r FINAL
WHERE status != 'lost'
GROUP BY project, workload, from_provider, request_model, would_route, evidence_state, day
