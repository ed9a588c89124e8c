-- The rollup: of each project and hour one row, whose arrays are the hour's cells. Computed by ingest from gnomon.requests FINAL and replaced as a whole,
-- so that a re-delivery never counts twice, a cell that is no more leaves nothing behind, and no reader sees half an hour. delivered is the count
-- (gnomon.deliveries) that was read before the rows were. Never expires.
CREATE TABLE IF NOT EXISTS gnomon.requests_1h
(
    project     LowCardinality(String),
    hour        DateTime('UTC'),
    delivered   UInt64,
    computed_at DateTime64(3, 'UTC') DEFAULT now64(3),
    requests    UInt64,
    first_ts    DateTime64(3, 'UTC'),
    last_ts     DateTime64(3, 'UTC'),
    simulated   Bool,
    overhead    AggregateFunction(quantilesTDigest(0.5, 0.99), UInt32),
    cells Nested
    (
        /*cell types*/
    )
)
ENGINE = ReplacingMergeTree(delivered)
PARTITION BY toYYYYMM(hour)
ORDER BY (project, hour)
SETTINGS index_granularity = 64
