-- Why candidates were not chosen, by hour, as gnomon.requests_1h keeps it and written before it. would: another candidate was chosen.
CREATE TABLE IF NOT EXISTS gnomon.rejects_1h
(
    project   LowCardinality(String),
    hour      DateTime('UTC'),
    delivered UInt64,
    cells Nested
    (
        workload LowCardinality(String),
        from_provider LowCardinality(String),
        request_model LowCardinality(String),
        candidate LowCardinality(String),
        rank UInt16,
        would Bool,
        reject UInt16,
        requests UInt64
    )
)
ENGINE = ReplacingMergeTree(delivered)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour)
SETTINGS index_granularity = 64
