-- One row per project, workload, policy version, mode, arm and UTC day, where a policy was in force: what treated and control requests cost and how
-- they fared. Both sums are over the same requests. workload is as recorded: a version is one of its policy. Promised.
CREATE OR REPLACE VIEW gnomon.arms_daily AS
SELECT
    project, workload, policy_version, mode, arm, toDate(ts) AS day,
    count() AS requests, uniqExact(session) AS sessions,
    countIf(served_model != request_model OR (r.baseline_provider != '' AND r.baseline_provider != r.provider)) AS routed_requests,
    countIf(fallback) AS fallback_requests, countIf(status != 'ok') AS failed_requests,
    countIf(r.cost IS NULL OR r.baseline_cost IS NULL) AS unpriced_requests, countIf(usage_source IN ('estimated', 'tokenizer')) AS estimated_requests,
    sumIf(ifNull(r.cost, 0), r.baseline_cost IS NOT NULL) AS cost, sumIf(ifNull(r.baseline_cost, 0), r.cost IS NOT NULL) AS baseline_cost,
    quantileTDigest(0.5)(latency_ms) AS latency_ms_p50, quantileTDigest(0.99)(latency_ms) AS latency_ms_p99
FROM gnomon.requests AS r FINAL
WHERE policy_version > 0 AND status != 'lost'
GROUP BY project, workload, policy_version, mode, arm, day
