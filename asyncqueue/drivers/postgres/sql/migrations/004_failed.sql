-- The limits of a failed job, and the key by which it takes turns.

-- name: failed
ALTER TABLE {failed}
    ADD COLUMN limits text COLLATE "C",
    ADD COLUMN fair text COLLATE "C";
