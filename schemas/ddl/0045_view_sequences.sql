-- One row per proxy life, as the two views of completeness need it; not a promise. Rows are counted by their sequence number, so that a
-- row delivered twice counts once, and a declared one whose true row came counts as stored. gone_ranges: the declared ones, made
-- disjoint. Rows come from the rollup and, of hours that are behind or were a moment ago, from gnomon.requests: what is seen twice counts once here.
-- heard: per hour, the highest sequence that a heartbeat spoke of.
CREATE OR REPLACE VIEW gnomon.sequences AS
SELECT
    boot_id, argMaxIf(u.proxy, last_at, said) AS proxy, minIf(first_at, said) AS first_heartbeat, maxIf(last_at, said) AS last_heartbeat,
    maxIf(hi, said) AS said_seq, max(u.ended) AS said_ended, max(u.dropped) AS said_dropped,
    groupBitmapMergeState(u.known) AS known_seqs,
    groupBitmapMergeState(u.stored) AS stored_seqs,
    arraySort(groupUniqArrayIf((lo, hi), declared)) AS ranges,
    arrayFilter(r -> r.1 <= r.2, arrayMap((r, before) -> (greatest(r.1, before + 1), r.2), ranges,
        arrayPopBack(arrayFold((ends, r) -> arrayPushBack(ends, greatest(ends[-1], r.2)), ranges, [toUInt64(0)])))) AS gone_ranges,
    arraySort(groupArrayIf((toStartOfHour(last_at), hi), said)) AS heard
FROM
(
    SELECT boot_id, true AS said, false AS declared, argMax(h.proxy, h.at) AS proxy, min(h.at) AS first_at, max(h.at) AS last_at,
        toUInt64(0) AS lo, max(h.last_seq) AS hi, max(h.ended) AS ended, max(h.dropped) AS dropped, bitmapBuild(CAST([], 'Array(UInt64)')) AS known, bitmapBuild(CAST([], 'Array(UInt64)')) AS stored
    FROM gnomon.heartbeats AS h GROUP BY boot_id, toStartOfHour(h.at)
    UNION ALL
    SELECT boot_id, false, false, '', h.hour, h.hour, 0, 0, 0, 0, h.known, h.stored FROM gnomon.sequences_1h AS h
    UNION ALL
    SELECT boot_id, false, false, '', min(ts), max(ts), 0, 0, 0, 0, groupBitmapState(seq), groupBitmapStateIf(seq, status != 'lost') FROM gnomon.requests
    WHERE (project, toStartOfHour(ts)) IN (SELECT project, hour FROM gnomon.hours_behind UNION ALL SELECT project, hour FROM gnomon.requests_1h WHERE computed_at > now64(3) - INTERVAL 1 MINUTE)
    GROUP BY boot_id
    UNION ALL
    SELECT boot_id, false, true, '', at, at, first_seq, last_seq, 0, 0, bitmapBuild(CAST([], 'Array(UInt64)')), bitmapBuild(CAST([], 'Array(UInt64)')) FROM gnomon.declared
) AS u
GROUP BY boot_id
