-- Every record of what a discovered workload is called, also those that lost a race. An empty name takes the one before back. offset is the record's place in
-- its log.
CREATE TABLE IF NOT EXISTS gnomon.names
(
    project  LowCardinality(String),
    workload String,
    version  UInt32,
    replaces UInt32,
    at       DateTime64(3, 'UTC'),
    offset   Int64,
    name     String,
    actor    String,
    reason   String,
    record   String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, workload, version, at, actor)
SETTINGS non_replicated_deduplication_window = 1000
