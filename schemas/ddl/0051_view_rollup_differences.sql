-- The hours whose rollup is not what their rows give, of those that are not behind, and the days (by their first hour) that are not what their hours give: none, ever. Bound it by hour, or it reads every row. An hour that changes
-- while it is read may stand here for a moment: look twice. Not a promise.
CREATE OR REPLACE VIEW gnomon.rollup_differences AS
WITH
    (SELECT groupArray((project, hour)) FROM gnomon.hours_behind) AS behind,
    (SELECT groupArray((project, day)) FROM gnomon.days WHERE hours_summed = summed) AS whole
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
UNION ALL
SELECT project, day AS hour, sumIf(u.requests, of_hours) AS requests, sumIf(u.requests, NOT of_hours) AS in_rollup, sumIf(u.cost, of_hours) AS cost, sumIf(u.cost, NOT of_hours) AS cost_in_rollup
FROM
(
    SELECT false AS of_hours, project, day, /*cell columns*/ FROM gnomon.requests_1d AS h FINAL ARRAY JOIN cells AS c
    WHERE (project, day) IN (SELECT arrayJoin(whole))
    UNION ALL
    SELECT true, project, toStartOfDay(hour) AS day, /*dims*/, /*sums*/
    FROM (SELECT project, hour, /*cell columns*/ FROM gnomon.requests_1h AS h FINAL ARRAY JOIN cells AS c) AS u
    WHERE (project, toStartOfDay(hour)) IN (SELECT arrayJoin(whole))
    GROUP BY project, day, /*dims*/
) AS u
GROUP BY project, day
HAVING groupBitXor(cityHash64(/*dims*/, /*unsummed*/)) != 0
