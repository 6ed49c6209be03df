-- What a failed job is to its latch, and its history.

-- name: failed
ALTER TABLE {failed}
    ADD COLUMN latch text COLLATE "C",
    ADD COLUMN part smallint,
    ADD COLUMN history bytea;

-- name: failed_latch
CREATE INDEX {failed_latch} ON {failed} (latch) WHERE latch IS NOT NULL;
