-- One row per project, provider, served model, streamed or not, and hour: how long answers took, and gnomon's own part. Times are of requests
-- that ended well; NULL where there is none. Promised.
CREATE OR REPLACE VIEW gnomon.latency_hourly AS
SELECT
    project, provider, served_model, stream, hour, q.requests AS requests, q.failed AS failed_requests, q.limited AS rate_limited_requests,
    if(isNaN(q.latency[1]), NULL, q.latency[1]) AS latency_ms_p50, if(isNaN(q.latency[2]), NULL, q.latency[2]) AS latency_ms_p90, if(isNaN(q.latency[3]), NULL, q.latency[3]) AS latency_ms_p99,
    if(isNaN(q.first[1]), NULL, q.first[1]) AS ttft_ms_p50, if(isNaN(q.first[2]), NULL, q.first[2]) AS ttft_ms_p90, if(isNaN(q.first[3]), NULL, q.first[3]) AS ttft_ms_p99,
    q.ours[1] AS overhead_us_p50, q.ours[2] AS overhead_us_p99
FROM
(
    SELECT
        project, provider, served_model, stream, toStartOfHour(ts) AS hour,
        count() AS requests, countIf(status != 'ok') AS failed, countIf(http_status = 429) AS limited,
        quantilesTDigestIf(0.5, 0.9, 0.99)(r.latency_ms, status = 'ok') AS latency,
        quantilesTDigestIf(0.5, 0.9, 0.99)(ifNull(r.ttft_ms, 0), status = 'ok' AND r.ttft_ms IS NOT NULL) AS first,
        quantilesTDigest(0.5, 0.99)(r.overhead_us) AS ours
    FROM gnomon.requests AS r FINAL
    WHERE status != 'lost'
    GROUP BY project, provider, served_model, stream, hour
) AS q
