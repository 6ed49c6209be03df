-- Latches and histories of failed jobs.

-- name: failed_latch_column
ALTER TABLE {failed} ADD COLUMN latch TEXT;

-- name: failed_part
ALTER TABLE {failed} ADD COLUMN part INTEGER;

-- name: failed_history
ALTER TABLE {failed} ADD COLUMN history BLOB;

-- name: failed_latch
CREATE INDEX {failed_latch} ON {failed} (latch) WHERE latch IS NOT NULL;
