-- What is there already. The meta table says which tables this asyncqueue created, so that an
-- application's own table of the same name is never taken for a queue's.

-- name: exists
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE;

-- name: facts
SELECT kind, name, value FROM {meta} WHERE kind IN ('schema', 'failed');

-- name: note
INSERT INTO {meta} (kind, name, value) VALUES (?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value;
