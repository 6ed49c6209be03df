-- Latches: what they have counted, and whom they hold back. The rules are applied to their states
-- outside of SQL, inside the transaction that moves a job.

-- name: read
-- ids as JSON, now -> the states of those that are known, the newest first
SELECT
    id, data, breaks, retention, created_at, total, completed, failed, skipped, guards,
    success_guards, failure_guards, called_off, broken, ended, error, opened_at
FROM {latches}
WHERE id IN (SELECT value FROM json_each(:ids)) AND (expires_at IS NULL OR expires_at > :now)
ORDER BY seq DESC;

-- name: all
SELECT
    id, data, breaks, retention, created_at, total, completed, failed, skipped, guards,
    success_guards, failure_guards, called_off, broken, ended, error, opened_at
FROM {latches} WHERE expires_at IS NULL OR expires_at > :now ORDER BY seq DESC;

-- name: clear
DELETE FROM {latches}
WHERE id IN (SELECT value FROM json_each(:ids)) AND expires_at <= :now;

-- name: insert
INSERT INTO {latches} (
    id, total, completed, failed, skipped, guards, success_guards, failure_guards, called_off,
    broken, ended, error, opened_at, expires_at, data, breaks, retention, created_at
) VALUES :rows;

-- name: write
UPDATE {latches} SET
    total = said.column2,
    completed = said.column3,
    failed = said.column4,
    skipped = said.column5,
    guards = said.column6,
    success_guards = said.column7,
    failure_guards = said.column8,
    called_off = said.column9,
    broken = said.column10,
    ended = said.column11,
    error = said.column12,
    opened_at = said.column13,
    expires_at = said.column14
FROM (VALUES :rows) AS said
WHERE {latches}.id = said.column1;

-- name: let_go
-- What a latch held back waits like any other from now on, and as long as its record says.
UPDATE {jobs} SET
    state = CASE WHEN fair IS NULL THEN available_at > created_at ELSE -3 END,
    available_at = :now + max(0.0, available_at - created_at),
    part = CASE part WHEN :guard THEN 3 END
WHERE seq IN (
    SELECT seq FROM {jobs} INDEXED BY {latch} WHERE latch = :latch AND part IN (:plain, :guard)
)
RETURNING queue;

-- name: drop
DELETE FROM {jobs} WHERE seq IN (
    SELECT seq FROM {jobs} INDEXED BY {latch} WHERE latch = :latch AND part IN (:plain, :guard)
)
RETURNING id;

-- name: drop_all
-- latches as JSON -> the jobs that they held back
DELETE FROM {jobs} WHERE seq IN (
    SELECT seq FROM {jobs} INDEXED BY {latch}
    WHERE latch IN (SELECT value FROM json_each(?)) AND part BETWEEN 4 AND 9
)
RETURNING id;

-- name: parts
-- rows as JSON -> what those that have a latch are to it
SELECT seq, latch, part FROM {jobs}
WHERE seq IN (SELECT value FROM json_each(?)) AND latch IS NOT NULL;

-- name: forget
DELETE FROM {latches}
WHERE id IN (SELECT value FROM json_each(:ids)) AND (expires_at IS NULL OR expires_at > :now);

-- name: prune
DELETE FROM {latches} WHERE seq IN (
    SELECT seq FROM {latches} INDEXED BY {latches_over}
    WHERE expires_at <= :now ORDER BY expires_at LIMIT :room
);
