-- One row per project, workload, baseline, would-be route, state of its evidence and UTC day. Both sums are over the same requests. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.would_routes AS
SELECT
    project, /*called*/ AS workload, from_provider, request_model, would_route, evidence_state, toDate(hour) AS day,
    sum(c.requests) - sum(c.lost) AS requests, sum(c.uncompared) AS unpriced_requests, sum(c.estimated) AS estimated_requests,
    sum(c.compared_baseline_cost) AS baseline_cost, sum(c.compared_would_cost) AS would_cost
FROM gnomon.cells AS c
GROUP BY project, workload, from_provider, request_model, would_route, evidence_state, day
HAVING sum(c.requests) > sum(c.lost)
