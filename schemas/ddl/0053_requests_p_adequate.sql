-- Tables made before there was one.
ALTER TABLE gnomon.requests ADD COLUMN IF NOT EXISTS p_adequate Nullable(Float32) CODEC(ZSTD(1)) AFTER novelty
