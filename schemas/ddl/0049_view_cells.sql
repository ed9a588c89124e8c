-- What the rollup holds, cell by cell: of days whose sums are made the day's, with its start as hour, of others each hour's, and for hours whose rollup is behind the
-- requests themselves: every request counts once, whenever it is asked. Which hours are behind is asked once, before anything else is read, and which days are
-- summed then. Not a promise; sum it, for the cells of an hour may come in parts.
CREATE OR REPLACE VIEW gnomon.cells AS
WITH
    (SELECT groupArray((project, hour)) FROM gnomon.hours_behind) AS behind,
    (SELECT groupArray((project, day)) FROM gnomon.days WHERE hours_summed = summed AND (project, day) NOT IN (SELECT project, toStartOfDay(hour) FROM gnomon.hours_behind)) AS whole
SELECT project, day AS hour, /*cell columns*/
FROM gnomon.requests_1d AS h FINAL ARRAY JOIN cells AS c
WHERE (project, day) IN (SELECT arrayJoin(whole))
UNION ALL
SELECT project, hour, /*cell columns*/
FROM gnomon.requests_1h AS h FINAL ARRAY JOIN cells AS c
WHERE (project, hour) NOT IN (SELECT arrayJoin(behind)) AND (project, toStartOfDay(hour)) NOT IN (SELECT arrayJoin(whole))
UNION ALL
SELECT project, hour, /*columns*/
FROM gnomon.request_measures
WHERE (project, hour) IN (SELECT arrayJoin(behind)) AND (project, toStartOfDay(hour)) NOT IN (SELECT arrayJoin(whole))
