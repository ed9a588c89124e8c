-- How many rows ingest has sent of each hour, repetitions among them. Written after the rows and before their messages are done with, so that a crash
-- between the two sends both again: an hour whose count is not the one its rollup was computed at has to be computed anew. No clock decides it.
CREATE TABLE IF NOT EXISTS gnomon.deliveries
(
    project   LowCardinality(String),
    hour      DateTime('UTC'),
    delivered UInt64
)
ENGINE = SummingMergeTree
ORDER BY (project, hour)
TTL hour + INTERVAL 400 DAY DELETE
