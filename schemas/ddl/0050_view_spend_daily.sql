-- One row per project, workload, team, provider, requested and served model, and UTC day: what was spent. A workload that a person has named has its name. Promised.
CREATE OR REPLACE VIEW gnomon.spend_daily AS
SELECT
    project, /*called*/ AS workload, team, provider, request_model, served_model, toDate(hour) AS day,
    sum(c.requests) AS requests, sum(c.failed) AS failed_requests, sum(c.lost) AS lost_requests, sum(c.unpriced) AS unpriced_requests, sum(c.estimated) AS estimated_requests,
    sum(c.input_tokens) AS input_tokens, sum(c.cache_read_tokens) AS cache_read_tokens, sum(c.cache_write_tokens) AS cache_write_tokens,
    sum(c.output_tokens) AS output_tokens, sum(c.reasoning_tokens) AS reasoning_tokens, sum(c.cost) AS cost, sum(c.list_cost) AS list_cost
FROM gnomon.cells AS c
GROUP BY project, workload, team, provider, request_model, served_model, day
