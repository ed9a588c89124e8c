-- One row per project, workload, team, provider, requested and served model, and UTC day: what was spent. Promised.
CREATE OR REPLACE VIEW gnomon.spend_daily AS
SELECT
    project, workload, team, provider, request_model, served_model, toDate(ts) AS day,
    count() AS requests, countIf(status NOT IN ('ok', 'lost')) AS failed_requests, countIf(status = 'lost') AS lost_requests,
    countIf(status != 'lost' AND r.cost IS NULL) AS unpriced_requests, countIf(usage_source = 'estimated') AS estimated_requests,
    sum(r.input_tokens) AS input_tokens, sum(r.cache_read_tokens) AS cache_read_tokens, sum(r.cache_write_tokens) AS cache_write_tokens,
    sum(r.output_tokens) AS output_tokens, sum(r.reasoning_tokens) AS reasoning_tokens,
    sum(ifNull(r.cost, 0)) AS cost, sum(ifNull(r.list_cost, 0)) AS list_cost
FROM gnomon.requests AS r FINAL
GROUP BY project, workload, team, provider, request_model, served_model, day
