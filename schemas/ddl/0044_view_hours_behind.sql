-- The hours whose rollup was not computed from all that was delivered: read them from the rows. Empty a few seconds after traffic stops. Hours near the end
-- of the rows' life are left as they are: their rows may be gone. Not a promise.
CREATE OR REPLACE VIEW gnomon.hours_behind AS
SELECT project, hour, sum(u.sent) AS delivered, max(u.seen) AS summed
FROM
(
    SELECT project, hour, d.delivered AS sent, toUInt64(0) AS seen FROM gnomon.deliveries AS d
    UNION ALL
    SELECT project, hour, 0, c.delivered FROM gnomon.requests_1h AS c
) AS u
WHERE hour > now('UTC') - INTERVAL 399 DAY
GROUP BY project, hour
HAVING delivered != summed AND delivered > 0
