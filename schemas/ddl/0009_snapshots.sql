-- What decisions were taken by, once per hash: sealed snapshots (gnomon.requests.snapshot_hash) and the price books they name. Never
-- expires: with it and the inputs of a row the decision can be taken again. record is JSON, without salts and credentials.
CREATE TABLE IF NOT EXISTS gnomon.snapshots
(
    kind               LowCardinality(String),
    hash               UInt64,
    project            LowCardinality(String),
    at                 DateTime64(3, 'UTC'),
    classifier_version UInt32,
    model_hash         UInt64,
    rules_hash         UInt64,
    prices_hash        UInt64,
    policies_hash      UInt64,
    schema_version     LowCardinality(String),
    record             String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
ORDER BY (kind, hash)
SETTINGS non_replicated_deduplication_window = 1000
