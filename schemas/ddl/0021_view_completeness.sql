-- One row per proxy life: accepted (by heartbeat) + newer = stored + declared + difference. Promised.
CREATE OR REPLACE VIEW gnomon.completeness AS
SELECT
    boot_id, proxy, first_heartbeat, last_heartbeat, s.accepted AS accepted,
    bitmapCardinality(s.stored) AS stored,
    toUInt64(bitmapCardinality(s.known) - stored + arraySum(r -> r.2 - r.1 + 1 - bitmapCardinality(bitmapSubsetInRange(s.known, r.1, r.2 + 1)), s.gone)) AS declared,
    s.dropped AS dropped,
    toUInt64(if(last_heartbeat > now64(3) - INTERVAL 1 MINUTE, least(greatest(toInt64(s.accepted) - toInt64(s.ended), 0), greatest(difference, 0)), 0)) AS in_flight,
    toUInt64(stored + declared - said_of) AS newer,
    toInt64(s.accepted) - toInt64(said_of) AS difference
FROM
(
    SELECT *, bitmapCardinality(bitmapSubsetInRange(known, 0, accepted + 1))
        + arraySum(r -> if(r.1 > accepted, 0, least(r.2, accepted) - r.1 + 1 - bitmapCardinality(bitmapSubsetInRange(known, r.1, least(r.2, accepted) + 1))), gone) AS said_of
    FROM gnomon.sequences
) AS s
