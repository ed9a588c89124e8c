-- Tables made before there was one.
ALTER TABLE gnomon.requests ADD COLUMN IF NOT EXISTS held LowCardinality(String) CODEC(ZSTD(1)) AFTER evidence_state
