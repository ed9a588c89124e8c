-- The hours whose rollup is not what their rows give, of those that are not behind: none, ever. Bound it by hour, or it reads every row. An hour that changes
-- while it is read may stand here for a moment: look twice. Not a promise.
CREATE OR REPLACE VIEW gnomon.rollup_differences AS
WITH (SELECT groupArray((project, hour)) FROM gnomon.hours_behind) AS behind
SELECT project, hour, sumIf(u.requests, of_rows) AS requests, sumIf(u.requests, NOT of_rows) AS in_rollup, sumIf(u.cost, of_rows) AS cost, sumIf(u.cost, NOT of_rows) AS cost_in_rollup
FROM
(
    SELECT false AS of_rows, project, hour, /*cell columns*/ FROM gnomon.requests_1h AS h FINAL ARRAY JOIN cells AS c
    WHERE (project, hour) NOT IN (SELECT arrayJoin(behind))
    UNION ALL
    SELECT true, project, hour, /*dims*/, /*sums*/ FROM gnomon.request_measures AS u
    WHERE (project, hour) NOT IN (SELECT arrayJoin(behind)) AND hour > now('UTC') - INTERVAL 399 DAY
    GROUP BY project, hour, /*dims*/
) AS u
WHERE hour > now('UTC') - INTERVAL 399 DAY
GROUP BY project, hour
HAVING groupBitXor(cityHash64(/*dims*/, /*unsummed*/)) != 0
