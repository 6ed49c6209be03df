-- The workers, as facts in the meta table that grow old.

-- name: announce
INSERT INTO {meta} (kind, name, value, until) VALUES ('worker', :id, :presence, :until)
ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value, until = excluded.until;

-- name: forget
DELETE FROM {meta} WHERE kind = 'worker' AND (name = :id OR until <= :now);

-- name: workers
SELECT value FROM {meta} WHERE kind = 'worker' AND until > ? ORDER BY name;

-- name: running
SELECT worker, id FROM {jobs} INDEXED BY {leased} WHERE state = 2 ORDER BY seq;

-- name: called_off
SELECT id FROM {jobs} INDEXED BY {called_off} WHERE cancel_keep IS NOT NULL AND worker = ?;
