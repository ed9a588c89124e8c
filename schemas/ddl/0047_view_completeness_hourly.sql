-- One row per proxy life and hour with a heartbeat: what was accepted since the hour before, and what became of it. Rows are told to an
-- hour by their sequence, not by their time, so that the sums agree to the last request. Promised.
CREATE OR REPLACE VIEW gnomon.completeness_hourly AS
SELECT
    boot_id, proxy, one.1 AS hour, toUInt64(one.3 - one.2) AS accepted,
    bitmapCardinality(bitmapSubsetInRange(stored_seqs, one.2 + 1, one.3 + 1)) AS stored,
    toUInt64(bitmapCardinality(bitmapSubsetInRange(known_seqs, one.2 + 1, one.3 + 1)) - stored
        + arraySum(r -> if(r.1 > one.3 OR r.2 <= one.2, 0, least(r.2, one.3) - greatest(r.1, one.2 + 1) + 1
            - bitmapCardinality(bitmapSubsetInRange(known_seqs, greatest(r.1, one.2 + 1), least(r.2, one.3) + 1))), gone_ranges)) AS declared,
    toInt64(accepted) - toInt64(stored) - toInt64(declared) AS difference
FROM
(
    SELECT *, arrayJoin(arrayMap((h, before) -> (h.1, before, h.2), heard, arrayPopBack(arrayPushFront(heard.2, toUInt64(0))))) AS one
    FROM gnomon.sequences
)
