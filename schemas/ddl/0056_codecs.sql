-- Codecs as gnomon.requests has them since version 3, for tables that were made before: parts take them as they are written and merged. Measured column by
-- column (make bench-store): amounts are smaller without T64, random ids and inputs with a longer search.
ALTER TABLE gnomon.requests
    MODIFY COLUMN request_id CODEC(ZSTD(3)),
    MODIFY COLUMN user_id CODEC(ZSTD(3)),
    MODIFY COLUMN session CODEC(ZSTD(3)),
    MODIFY COLUMN response_id CODEC(ZSTD(3)),
    MODIFY COLUMN cost CODEC(ZSTD(3)),
    MODIFY COLUMN list_cost CODEC(ZSTD(3)),
    MODIFY COLUMN baseline_cost CODEC(ZSTD(3)),
    MODIFY COLUMN would_cost CODEC(ZSTD(3)),
    MODIFY COLUMN would_output_cost CODEC(ZSTD(3)),
    MODIFY COLUMN expected_cost CODEC(ZSTD(3)),
    MODIFY COLUMN inputs CODEC(ZSTD(6))
