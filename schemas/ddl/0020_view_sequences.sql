-- One row per proxy life, as the views of completeness need it; no promise. Rows are counted by their sequence number, so that a row
-- delivered twice counts once, and a declared row whose true row came counts as stored. gone: the declared ranges, disjoint.
CREATE OR REPLACE VIEW gnomon.sequences AS
SELECT
    boot_id, argMaxIf(proxy, at, said) AS proxy, minIf(at, said) AS first_heartbeat, maxIf(at, said) AS last_heartbeat,
    maxIf(hi, said) AS accepted, max(ended) AS ended, max(dropped) AS dropped,
    groupBitmapStateIf(lo, kept) AS known,
    groupBitmapStateIf(lo, kept AND status != 'lost') AS stored,
    arraySort(groupUniqArrayIf((lo, hi), gone)) AS declared_as_sent,
    arrayFilter(r -> r.1 <= r.2, arrayMap((r, before) -> (greatest(r.1, before + 1), r.2), declared_as_sent,
        arrayPushFront(arrayPopBack(arrayFold((ends, r) -> arrayPushBack(ends, greatest(ends[-1], r.2)), declared_as_sent, emptyArrayUInt64())), toUInt64(0)))) AS gone_ranges,
    groupUniqArrayIf((toStartOfHour(at), hi), said) AS heard
FROM
(
    SELECT boot_id, true AS said, false AS kept, false AS gone, proxy, at, last_seq AS lo, last_seq AS hi, ended, dropped, '' AS status FROM gnomon.heartbeats
    UNION ALL
    SELECT boot_id, false, true, false, '', ts, seq, seq, 0, 0, status FROM gnomon.requests
    UNION ALL
    SELECT boot_id, false, false, true, '', at, first_seq, last_seq, 0, 0, '' FROM gnomon.declared
)
GROUP BY boot_id
