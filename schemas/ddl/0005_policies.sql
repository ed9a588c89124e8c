-- Every policy record ever written. Accepted is derived by readers: of one version the first holds.
CREATE TABLE IF NOT EXISTS gnomon.policies
(
    project LowCardinality(String), workload LowCardinality(String), version UInt32, replaces UInt32, at DateTime64(3, 'UTC'),
    mode LowCardinality(String), candidate LowCardinality(String), share Decimal(9, 4), override Bool, actor String, reason String,
    record String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, workload, version, at, actor)
SETTINGS non_replicated_deduplication_window = 1000
