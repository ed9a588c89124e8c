-- The rollup by day: of each project and UTC day that is over one row, whose arrays are the sums of the cells of gnomon.requests_1h. summed is the sum of those
-- hours' delivered, read before the cells were: while it is another one than theirs, the hours are read. Never expires.
CREATE TABLE IF NOT EXISTS gnomon.requests_1d
(
    project LowCardinality(String),
    day     DateTime('UTC'),
    summed  UInt64,
    cells Nested
    (
        /*cell types*/
    )
)
ENGINE = ReplacingMergeTree(summed)
PARTITION BY toYear(day)
ORDER BY (project, day)
SETTINGS index_granularity = 64
