-- What proxies were told of a candidate, each time.
CREATE TABLE IF NOT EXISTS gnomon.evidence
(
    project        LowCardinality(String),
    workload       LowCardinality(String),
    request_model  LowCardinality(String),
    candidate      LowCardinality(String),
    at             DateTime64(3, 'UTC'),
    state          LowCardinality(String),
    output_ratio   Float64,
    schema_version LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (project, workload, request_model, candidate, at)
SETTINGS non_replicated_deduplication_window = 1000
