-- The latest verdict of each workload, requested model and candidate. Amounts are US dollars a month; NULL where the verdict has none. What was said of a workload under a name that
-- a person has replaced is left out. Promised.
CREATE OR REPLACE VIEW gnomon.latest_verdicts AS
SELECT
    project, workload, request_model, provider, candidate, v.at AS computed_at, v.readiness AS readiness, JSONExtractString(v.record, 'brief') AS brief,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'saving_month'), 9) / 1000000000 AS saving_month,
    toDecimal128(JSONExtract(v.record, 'savings', 'saving_month_lo', 'Nullable(Int64)'), 9) / 1000000000 AS saving_month_lo,
    toDecimal128(JSONExtract(v.record, 'savings', 'saving_month_hi', 'Nullable(Int64)'), 9) / 1000000000 AS saving_month_hi,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'baseline_month'), 9) / 1000000000 AS baseline_month,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'would_month'), 9) / 1000000000 AS would_month,
    toDecimal128(JSONExtractInt(v.record, 'savings', 'rehearsal_spend'), 9) / 1000000000 AS rehearsal_spend,
    JSONExtractUInt(v.record, 'savings', 'days') AS days, JSONExtractFloat(v.record, 'savings', 'routed_share') AS routed_share,
    JSONExtractFloat(v.record, 'savings', 'unpriced_share') AS unpriced_share, JSONExtractFloat(v.record, 'savings', 'estimated_share') AS estimated_share,
    JSONExtractUInt(v.record, 'quality', 'pairs') AS pairs, JSONExtractFloat(v.record, 'quality', 'mean') AS quality_mean,
    JSONExtractFloat(v.record, 'quality', 'lower') AS quality_lower, JSONExtractFloat(v.record, 'quality', 'upper') AS quality_upper,
    JSONExtract(v.record, 'reasons', 'Array(String)') AS reasons,
    arrayMap(w -> JSONExtractString(w, 'text'), JSONExtractArrayRaw(v.record, 'warnings')) AS warnings,
    JSONExtractBool(v.record, 'simulated') AS simulated, v.record AS record
FROM
(
    SELECT project, workload, request_model, provider, candidate, max(l.computed_at) AS at, argMax(l.readiness, l.computed_at) AS readiness, argMax(l.record, l.computed_at) AS record
    FROM gnomon.verdicts AS l WHERE (project, workload) NOT IN (SELECT project, workload FROM gnomon.workload_names) GROUP BY project, workload, request_model, provider, candidate
) AS v
