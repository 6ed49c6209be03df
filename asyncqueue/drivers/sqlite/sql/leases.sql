-- Leases: longer ones, and what becomes of those that ran out.

-- name: extend
UPDATE {jobs} SET leased_until = :until WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: report
-- What running jobs say of themselves.
UPDATE {jobs} SET
    progress = coalesce(said.column2, progress),
    message = coalesce(said.column3, message)
FROM (VALUES :rows) AS said
WHERE {jobs}.seq = said.column1;

-- name: any_expired
SELECT EXISTS (SELECT 1 FROM {jobs} INDEXED BY {leased} WHERE state = 2 AND leased_until <= ?);

-- name: expired
SELECT id, seq, queue, cancel_keep, limits FROM {jobs} INDEXED BY {leased}
WHERE state = 2 AND leased_until <= :now ORDER BY leased_until LIMIT :limit;

-- name: put_back
-- The place in the queue is the old one, so it is at the front.
UPDATE {jobs} SET
    state = CASE WHEN fair IS NULL THEN 0 ELSE -3 END, attempts = attempts - :given_back, worker = NULL, leased_until = NULL
WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: cancel
UPDATE {jobs} SET
    state = 4, finished_at = :now, expires_at = :now + cancel_keep,
    leased_until = NULL, cancel_keep = NULL, key_hold = 0
WHERE seq IN (SELECT value FROM json_each(:seqs));
