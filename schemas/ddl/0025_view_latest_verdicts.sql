-- The latest verdict of each workload, requested model and candidate. Promised; record is JSON.
CREATE OR REPLACE VIEW gnomon.latest_verdicts AS
SELECT
    project, workload, request_model, provider, candidate, max(v.computed_at) AS looked_at, argMax(v.readiness, v.computed_at) AS readiness,
    argMax(JSONExtractFloat(v.record, 'quality', 'lower'), v.computed_at) AS quality_lower,
    argMax(JSONExtractUInt(v.record, 'quality', 'pairs'), v.computed_at) AS pairs,
    argMax(JSONExtractInt(v.record, 'savings', 'saving_month'), v.computed_at) / 1e9 AS saving_month_usd,
    argMax(v.record, v.computed_at) AS record
FROM gnomon.verdicts AS v
GROUP BY project, workload, request_model, provider, candidate
