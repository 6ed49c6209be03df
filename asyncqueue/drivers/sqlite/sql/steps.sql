-- Steps of the wall clock: what others noted of one, and what moves along with it.

-- name: noted
SELECT value FROM {meta} WHERE kind = 'clock' AND name = 'set';

-- name: note
INSERT INTO {meta} (kind, name, value) VALUES ('clock', 'set', ?)
ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value;

-- name: move_leases
UPDATE {jobs} SET leased_until = leased_until + ? WHERE state = 2;

-- name: move_permits
UPDATE {permits} SET until = until + ?;

-- name: move_openings
UPDATE {openings} SET at = at + ?;

-- name: move_workers
UPDATE {meta} SET until = until + ? WHERE kind = 'worker';
