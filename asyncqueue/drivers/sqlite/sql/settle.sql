-- Ending claims: those that completed without a result in one change, which is the usual case.
-- For the others one look for those that are held, then bulk changes by their row.

-- name: complete
-- tokens by id as JSON -> the ids of those that were held
UPDATE {jobs} SET
    state = 3,
    attempts = :attempts,
    exceptions = :exceptions,
    finished_at = :now,
    expires_at = :until,
    result = NULL,
    error = NULL,
    traceback = NULL,
    progress = 100.0,
    leased_until = NULL,
    cancel_keep = NULL,
    key_hold = 0
FROM json_each(:tokens) AS ended
WHERE {jobs}.id = ended.key AND {jobs}.token = ended.value AND {jobs}.state = 2
RETURNING id, limits;

-- name: discard
-- The same for those whose record is not to be kept.
DELETE FROM {jobs} WHERE seq IN (
    SELECT held.seq FROM json_each(:tokens) AS ended CROSS JOIN {jobs} AS held
    ON held.id = ended.key AND held.token = ended.value AND held.state = 2
)
RETURNING id, limits;

-- name: held
-- ids as JSON -> the rows that are being processed
SELECT id, token, seq, queue, cancel_keep, limits FROM {jobs}
WHERE id IN (SELECT value FROM json_each(?)) AND state = 2;

-- name: finish
UPDATE {jobs} SET
    state = ended.column2,
    attempts = ended.column3,
    exceptions = ended.column4,
    finished_at = ended.column5,
    expires_at = ended.column6,
    result = ended.column7,
    error = ended.column8,
    traceback = ended.column9,
    progress = CASE ended.column2 WHEN 3 THEN 100.0 ELSE progress END,
    leased_until = NULL,
    cancel_keep = NULL,
    key_hold = 0
FROM (VALUES :rows) AS ended
WHERE {jobs}.seq = ended.column1;

-- name: give_back
UPDATE {jobs} SET
    state = CASE WHEN fair IS NULL THEN returned.column2 ELSE -3 END,
    attempts = returned.column3,
    exceptions = returned.column4,
    available_at = coalesce(returned.column5, available_at),
    result = returned.column6,
    error = returned.column7,
    traceback = returned.column8,
    worker = NULL,
    leased_until = NULL
FROM (VALUES :rows) AS returned
WHERE {jobs}.seq = returned.column1;

-- name: move
-- A failed job keeps its place in the order of dispatch, unless somebody else took it there.
INSERT OR REPLACE INTO {failed} (
    seq, id, queue, name, priority, attempts, exceptions, token, max_attempts, created_at,
    available_at, started_at, finished_at, worker, key, latch, part, progress, message, payload,
    error, result, traceback, history, limits, fair
)
SELECT
    CASE WHEN EXISTS (SELECT 1 FROM {failed} AS other WHERE other.seq = job.seq)
    THEN NULL ELSE seq END,
    id, queue, name, priority, attempts, exceptions, token, max_attempts, created_at,
    available_at, started_at, finished_at, worker, key, latch, part, progress, message, payload,
    error, result, traceback, history, limits, fair
FROM {jobs} AS job WHERE seq IN (SELECT value FROM json_each(?));

-- name: remove
DELETE FROM {jobs} WHERE seq IN (SELECT value FROM json_each(?));

-- name: histories
SELECT seq, history FROM {jobs} WHERE seq IN (SELECT value FROM json_each(?));

-- name: remember
UPDATE {jobs} SET history = said.column2 FROM (VALUES :rows) AS said
WHERE {jobs}.seq = said.column1;
