-- What the rollup holds, cell by cell, and for hours whose rollup is behind the requests themselves: every request counts once, whenever it is asked. Which hours
-- are behind is asked once, before either side is read. Not a promise; sum it, for the cells of an hour may come in parts.
CREATE OR REPLACE VIEW gnomon.cells AS
WITH (SELECT groupArray((project, hour)) FROM gnomon.hours_behind) AS behind
SELECT project, hour, /*cell columns*/
FROM gnomon.requests_1h AS h FINAL ARRAY JOIN cells AS c
WHERE (project, hour) NOT IN (SELECT arrayJoin(behind))
UNION ALL
SELECT project, hour, /*columns*/
FROM gnomon.request_measures
WHERE (project, hour) IN (SELECT arrayJoin(behind))
