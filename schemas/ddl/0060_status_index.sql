-- Tables made before there was one. Rows of before get it in the background, from that column alone.
ALTER TABLE gnomon.requests
    ADD INDEX IF NOT EXISTS idx_status status TYPE bloom_filter(0.001) GRANULARITY 4,
    MATERIALIZE INDEX idx_status
