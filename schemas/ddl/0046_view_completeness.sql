-- One row per proxy life: accepted (by heartbeat) + newer = stored + declared + difference. Promised.
CREATE OR REPLACE VIEW gnomon.completeness AS
SELECT
    boot_id, proxy, first_heartbeat, last_heartbeat, said_seq AS accepted,
    bitmapCardinality(stored_seqs) AS stored,
    toUInt64(bitmapCardinality(known_seqs) - stored + arraySum(r -> r.2 - r.1 + 1 - bitmapCardinality(bitmapSubsetInRange(known_seqs, r.1, r.2 + 1)), gone_ranges)) AS declared,
    said_dropped AS dropped,
    toUInt64(if(last_heartbeat > now64(3) - INTERVAL 1 MINUTE, least(greatest(toInt64(said_seq) - toInt64(said_ended), 0), greatest(difference, 0)), 0)) AS in_flight,
    toUInt64(stored + declared - said_of) AS newer,
    toInt64(said_seq) - toInt64(said_of) AS difference
FROM
(
    SELECT *, bitmapCardinality(bitmapSubsetInRange(known_seqs, 0, said_seq + 1))
        + arraySum(r -> if(r.1 > said_seq, 0, least(r.2, said_seq) - r.1 + 1 - bitmapCardinality(bitmapSubsetInRange(known_seqs, r.1, least(r.2, said_seq) + 1))), gone_ranges) AS said_of
    FROM gnomon.sequences
)
