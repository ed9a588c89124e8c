-- Every policy record ever written, also those that lost a race. record is the whole record as JSON, without the salt: who knows the salt
-- can tell, and choose, the arm of a session. offset is the record's place in the policy log; 0 is the first and "not known".
CREATE TABLE IF NOT EXISTS gnomon.policies
(
    project    LowCardinality(String),
    workload   LowCardinality(String),
    version    UInt32,
    replaces   UInt32,
    at         DateTime64(3, 'UTC'),
    offset     Int64,
    mode       LowCardinality(String),
    candidate  LowCardinality(String),
    share      Decimal(9, 4),
    control    Decimal(9, 4),
    overridden Bool,
    actor      String,
    reason     String,
    record     String CODEC(ZSTD(3))
)
ENGINE = ReplacingMergeTree
ORDER BY (project, workload, version, at, actor)
SETTINGS non_replicated_deduplication_window = 1000
