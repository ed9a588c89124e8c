-- Which sequence numbers of each proxy life are known, and stored with an end, by hour; written before gnomon.requests_1h. They only grow, so that the
-- union of all rows, older ones among them, is right.
CREATE TABLE IF NOT EXISTS gnomon.sequences_1h
(
    project   LowCardinality(String),
    hour      DateTime('UTC'),
    boot_id   UInt64,
    delivered UInt64,
    known     AggregateFunction(groupBitmap, UInt64) CODEC(ZSTD(1)),
    stored    AggregateFunction(groupBitmap, UInt64) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(delivered)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour, boot_id)
SETTINGS index_granularity = 256
