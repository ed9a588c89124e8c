-- The whole of what proxies were told, as JSON: what the other columns leave out.
ALTER TABLE gnomon.evidence ADD COLUMN IF NOT EXISTS record String CODEC(ZSTD(3))
