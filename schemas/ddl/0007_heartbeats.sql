-- What proxies say they accepted: another road than the rows it is held against. Counts only grow within a proxy life, so of each minute
-- the last is kept.
CREATE TABLE IF NOT EXISTS gnomon.heartbeats
(
    boot_id        UInt64,
    proxy          LowCardinality(String),
    at             DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    accepted       UInt64 CODEC(Delta(8), ZSTD(1)),
    ended          UInt64 CODEC(Delta(8), ZSTD(1)),
    dropped        UInt64 CODEC(Delta(8), ZSTD(1)),
    last_seq       UInt64 CODEC(Delta(8), ZSTD(1)),
    schema_version LowCardinality(String)
)
ENGINE = ReplacingMergeTree(at)
ORDER BY (boot_id, toStartOfMinute(at))
TTL toDateTime(at) + INTERVAL 400 DAY DELETE
SETTINGS non_replicated_deduplication_window = 1000
