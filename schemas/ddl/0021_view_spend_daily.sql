-- One row per project, workload, provider, requested and served model, and UTC day. Promised.
CREATE OR REPLACE VIEW gnomon.spend_daily AS
SELECT
    project, workload, provider, request_model, served_model, toDate(ts) AS day,
    count() AS requests, countIf(status NOT IN ('ok', 'lost')) AS failed, countIf(status = 'lost') AS lost,
    countIf(status != 'lost' AND r.cost IS NULL) AS unpriced_requests, countIf(usage_source = 'estimated') AS estimated_requests,
    sum(r.input_tokens) AS input_tokens, sum(r.cache_read_tokens) AS cache_read_tokens, sum(r.cache_write_tokens) AS cache_write_tokens, sum(r.output_tokens) AS output_tokens,
    sum(r.cost) AS cost, sum(r.baseline_cost) AS baseline_cost, sum(r.would_cost) AS would_cost
FROM gnomon.requests AS r FINAL
GROUP BY project, workload, provider, request_model, served_model, day
