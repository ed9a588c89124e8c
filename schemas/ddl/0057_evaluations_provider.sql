-- Tables made before there was one. Empty in rows of before: the provider of the baseline is then the request's.
ALTER TABLE gnomon.evaluations ADD COLUMN IF NOT EXISTS provider LowCardinality(String) AFTER workload
