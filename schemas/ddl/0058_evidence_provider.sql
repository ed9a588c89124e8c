-- One model may be served by several providers, and what is told of each is told at one moment. Rows of before have none.
ALTER TABLE gnomon.evidence ADD COLUMN IF NOT EXISTS provider LowCardinality(String), MODIFY ORDER BY (project, workload, request_model, candidate, at, provider)
