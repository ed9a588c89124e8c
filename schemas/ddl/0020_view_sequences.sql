-- One row per proxy life, as the two views of completeness need it; not a promise. Rows are counted by their sequence number, so that a
-- row delivered twice counts once, and a declared one whose true row came counts as stored. gone_ranges: the declared ones, made
-- disjoint. heard: per hour, the highest sequence that a heartbeat spoke of.
CREATE OR REPLACE VIEW gnomon.sequences AS
SELECT
    boot_id, argMaxIf(u.proxy, last_at, said) AS proxy, minIf(first_at, said) AS first_heartbeat, maxIf(last_at, said) AS last_heartbeat,
    maxIf(hi, said) AS said_seq, max(u.ended) AS said_ended, max(u.dropped) AS said_dropped,
    groupBitmapStateIf(lo, kept) AS known_seqs,
    groupBitmapStateIf(lo, kept AND status != 'lost') AS stored_seqs,
    arraySort(groupUniqArrayIf((lo, hi), declared)) AS ranges,
    arrayFilter(r -> r.1 <= r.2, arrayMap((r, before) -> (greatest(r.1, before + 1), r.2), ranges,
        arrayPopBack(arrayFold((ends, r) -> arrayPushBack(ends, greatest(ends[-1], r.2)), ranges, [toUInt64(0)])))) AS gone_ranges,
    arraySort(groupArrayIf((toStartOfHour(last_at), hi), said)) AS heard
FROM
(
    SELECT boot_id, true AS said, false AS kept, false AS declared, argMax(h.proxy, h.at) AS proxy, min(h.at) AS first_at, max(h.at) AS last_at,
        toUInt64(0) AS lo, max(h.last_seq) AS hi, max(h.ended) AS ended, max(h.dropped) AS dropped, '' AS status
    FROM gnomon.heartbeats AS h GROUP BY boot_id, toStartOfHour(h.at)
    UNION ALL
    SELECT boot_id, false, true, false, '', ts, ts, seq, seq, 0, 0, status FROM gnomon.requests
    UNION ALL
    SELECT boot_id, false, false, true, '', at, at, first_seq, last_seq, 0, 0, '' FROM gnomon.declared
) AS u
GROUP BY boot_id
