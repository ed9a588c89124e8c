-- Sequence ranges whose events are gone, ids and all, with the reason. Ranges may overlap, and a true row may still come.
CREATE TABLE IF NOT EXISTS gnomon.declared
(
    boot_id        UInt64,
    first_seq      UInt64,
    last_seq       UInt64,
    reason         LowCardinality(String),
    at             DateTime64(3, 'UTC'),
    schema_version LowCardinality(String)
)
ENGINE = ReplacingMergeTree
ORDER BY (boot_id, first_seq, last_seq)
SETTINGS non_replicated_deduplication_window = 1000
