-- Rows of before there were rollups: their hours have to be summed once.
INSERT INTO gnomon.deliveries (project, hour, delivered)
SELECT project, toStartOfHour(ts) AS h, count() FROM gnomon.requests WHERE (project, toStartOfHour(ts)) NOT IN (SELECT project, hour FROM gnomon.deliveries) GROUP BY project, h
