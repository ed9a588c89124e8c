-- One row per proxy life: accepted (by heartbeat) = stored + declared + difference. Promised.
CREATE OR REPLACE VIEW gnomon.completeness AS
WITH
    said AS (SELECT boot_id, argMax(proxy, at) AS proxy, min(at) AS first, max(at) AS last, max(accepted) AS accepted, max(ended) AS ended, max(dropped) AS dropped FROM gnomon.heartbeats GROUP BY boot_id),
    kept AS (SELECT boot_id, countIf(status != 'lost') AS stored, countIf(status = 'lost') AS lost FROM gnomon.requests FINAL GROUP BY boot_id),
    gone AS (SELECT boot_id, toUInt64(sum(last_seq - first_seq + 1)) AS ranges FROM gnomon.declared FINAL GROUP BY boot_id)
SELECT
    boot_id, s.proxy AS proxy, s.first AS first_heartbeat, s.last AS last_heartbeat,
    s.accepted AS accepted, k.stored AS stored, k.lost + g.ranges AS declared, s.dropped AS dropped,
    toUInt64(greatest(toInt64(s.accepted) - toInt64(s.ended), 0)) AS in_flight,
    toInt64(s.accepted) - toInt64(k.stored) - toInt64(k.lost) - toInt64(g.ranges) AS difference
FROM (SELECT boot_id FROM said UNION DISTINCT SELECT boot_id FROM kept) AS lives
LEFT JOIN said AS s USING (boot_id)
LEFT JOIN kept AS k USING (boot_id)
LEFT JOIN gone AS g USING (boot_id)
