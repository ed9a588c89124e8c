-- Of each project and UTC day: how much of it the hours have summed, and how much the day has. Where the two agree and no hour is behind, the day's row says
-- what the hours say. Not a promise.
CREATE OR REPLACE VIEW gnomon.days AS
SELECT project, day, sum(u.by_hours) AS hours_summed, max(u.by_day) AS summed
FROM
(
    SELECT project, toStartOfDay(hour) AS day, h.delivered AS by_hours, toUInt64(0) AS by_day FROM gnomon.requests_1h AS h FINAL
    UNION ALL
    SELECT project, day, 0, d.summed FROM gnomon.requests_1d AS d
) AS u
GROUP BY project, day
