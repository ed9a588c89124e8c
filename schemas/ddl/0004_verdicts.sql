-- What the analyzer found, each time it looked. record is the whole verdict as JSON.
CREATE TABLE IF NOT EXISTS gnomon.verdicts
(
    project       LowCardinality(String),
    workload      LowCardinality(String),
    request_model LowCardinality(String),
    provider      LowCardinality(String),
    candidate     LowCardinality(String),
    computed_at   DateTime64(3, 'UTC'),
    readiness     LowCardinality(String),
    record        String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, workload, request_model, provider, candidate, computed_at)
SETTINGS non_replicated_deduplication_window = 1000
