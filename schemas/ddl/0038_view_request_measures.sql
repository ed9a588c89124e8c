-- One row per request with what a cell of the rollup sums, so that rollup, views and checks mean the same by each word; not a promise. An amount that is not
-- known adds 0 and is counted. compared_…: over requests whose baseline and would-be cost are both known.
CREATE OR REPLACE VIEW gnomon.request_measures AS
SELECT
    project, toStartOfHour(ts) AS hour, ts,
    workload, team, provider, if(r.baseline_provider = '', r.provider, r.baseline_provider) AS from_provider, request_model, served_model, would_route, evidence_state,
    mode, arm, policy_version, simulated,
    r.baseline_cost IS NOT NULL AND r.would_cost IS NOT NULL AS compared, overhead_us,
    toUInt64(1) AS requests, CAST(status NOT IN ('ok', 'lost'), 'UInt64') AS failed, CAST(status = 'lost', 'UInt64') AS lost, CAST(status != 'lost' AND r.cost IS NULL, 'UInt64') AS unpriced,
    CAST(status != 'lost' AND NOT compared, 'UInt64') AS uncompared, CAST(usage_source IN ('estimated', 'tokenizer'), 'UInt64') AS estimated, CAST(compared AND usage_source IN ('estimated', 'tokenizer'), 'UInt64') AS compared_estimated,
    toUInt64(fallback) AS fallbacks, toUInt64(r.input_tokens) AS input_tokens, toUInt64(r.cache_read_tokens) AS cache_read_tokens, toUInt64(r.cache_write_tokens) AS cache_write_tokens,
    toUInt64(r.output_tokens) AS output_tokens, toUInt64(r.reasoning_tokens) AS reasoning_tokens,
    toDecimal128(ifNull(r.cost, 0), 9) AS cost, toDecimal128(ifNull(r.list_cost, 0), 9) AS list_cost,
    toDecimal128(ifNull(r.baseline_cost, 0), 9) AS baseline_cost, toDecimal128(ifNull(r.would_cost, 0), 9) AS would_cost,
    toDecimal128(if(compared, ifNull(r.baseline_cost, 0), 0), 9) AS compared_baseline_cost, toDecimal128(if(compared, ifNull(r.would_cost, 0), 0), 9) AS compared_would_cost,
    toDecimal128(if(compared, ifNull(r.would_output_cost, 0), 0), 9) AS compared_would_output_cost
FROM gnomon.requests AS r FINAL
