-- One row per request and candidate, in ladder order, with the reason as a word: 'chosen', or why not. A request for which no candidate was
-- looked at has one row with an empty candidate. A workload that a person has named has its name. Promised. The two lists are filled in from the codes of package schemas.
CREATE OR REPLACE VIEW gnomon.rejects AS
SELECT
    project, /*called*/ AS workload, ts, request_id, if(baseline_provider = '', provider, baseline_provider) AS from_provider, request_model, would_route,
    one.1 AS candidate, one.3 AS rank, transform(one.2, [/*codes*/], [/*words*/], 'unknown') AS reason
FROM
(
    SELECT project, workload, ts, request_id, baseline_provider, provider, request_model, would_route,
        arrayJoin(if(empty(candidates), [('', baseline_reject, toUInt32(0))],
            arrayZip(arrayMap(c -> toString(c), candidates), arrayResize(rejects, length(candidates), 65535), arrayEnumerate(candidates)))) AS one
    FROM gnomon.requests FINAL WHERE status != 'lost'
)
