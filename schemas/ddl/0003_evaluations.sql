-- One row per graded pair. sampling_probability NULL: a team's own grade, shown and kept out of verdicts.
CREATE TABLE IF NOT EXISTS gnomon.evaluations
(
    project                LowCardinality(String),
    workload               LowCardinality(String),
    request_model          LowCardinality(String),
    candidate              LowCardinality(String),
    request_ts             DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    graded_at              DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    request_id             UUID,
    evaluation_id          UUID,
    cluster                String CODEC(ZSTD(1)),
    grader                 LowCardinality(String),
    grader_version         LowCardinality(String),
    judge_model            LowCardinality(String),
    baseline_snapshot      LowCardinality(String),
    candidate_snapshot     LowCardinality(String),
    prompt_version         UInt64,
    stratum                LowCardinality(String),
    sampling_probability   Nullable(Float64),
    would_route            LowCardinality(String),
    score                  Float32,
    quality_baseline       Float32,
    quality_candidate      Float32,
    outcome                LowCardinality(String),
    candidate_cost         Nullable(Decimal(18, 9)),
    grading_cost           Nullable(Decimal(18, 9)),
    input_tokens           UInt32,
    output_tokens          UInt32,
    baseline_output_tokens UInt32,
    latency_ms             UInt32,
    simulated              Bool,
    schema_version         LowCardinality(String),
    extra                  String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(request_ts)
ORDER BY (project, workload, request_model, candidate, toStartOfHour(request_ts), request_id, evaluation_id)
TTL toDateTime(request_ts) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000
