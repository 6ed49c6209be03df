-- What operators do. ``{where}`` is the condition of a filter. Rows are locked in the order of
-- their ids, as everywhere.

-- name: cancel
-- keep -> id, the state that was met, worker.
WITH met AS MATERIALIZED (
    SELECT
        seq, id, CASE WHEN state = 1 AND available_at <= {now} THEN 0 ELSE state END AS state, worker
    FROM {jobs} WHERE {where} ORDER BY id FOR UPDATE
),
cancelled AS (
    UPDATE {jobs} SET
        state = 4, finished_at = {now}, expires_at = {now} + :keep::double precision, key_hold = 0
    WHERE :keep::double precision > 0
    AND seq = ANY (ARRAY(SELECT seq FROM met WHERE state < 2))
),
removed AS (
    DELETE FROM {jobs} WHERE :keep::double precision <= 0
    AND seq = ANY (ARRAY(SELECT seq FROM met WHERE state < 2))
),
called_off AS (
    UPDATE {jobs} SET cancel_keep = greatest(:keep::double precision, 0)
    WHERE seq = ANY (ARRAY(SELECT seq FROM met WHERE state = 2))
)
SELECT id, state, worker FROM met;

-- name: failed_ids
SELECT id FROM {failed} WHERE {where}

-- name: requeue
-- -> id, queue, in the order in which they were dispatched. The token goes on: it is the fence.
-- The key is free for others since the job failed.
WITH failed AS MATERIALIZED (
    SELECT * FROM {failed} WHERE {where} ORDER BY id FOR UPDATE
),
back AS (
    INSERT INTO {jobs} (
        state, priority, token, max_attempts, created_at, available_at, id, queue, name, payload
    )
    SELECT 0, priority, token, max_attempts, {now}, {now}, id, queue, name, payload
    FROM failed ORDER BY seq
    ON CONFLICT DO NOTHING
),
gone AS (
    DELETE FROM {failed} WHERE id = ANY (ARRAY(SELECT id FROM failed))
)
SELECT id, queue FROM failed ORDER BY seq;

-- name: delete_failed
WITH meant AS MATERIALIZED (
    SELECT id FROM {failed} WHERE {where} LIMIT :room::bigint FOR UPDATE SKIP LOCKED
)
DELETE FROM {failed} WHERE id = ANY (ARRAY(SELECT id FROM meant)) RETURNING id;

-- name: delete_jobs
WITH meant AS MATERIALIZED (
    SELECT seq FROM {jobs} WHERE {where} LIMIT :room::bigint FOR UPDATE SKIP LOCKED
)
DELETE FROM {jobs} WHERE seq = ANY (ARRAY(SELECT seq FROM meant)) RETURNING id;

-- name: prune_jobs
DELETE FROM {jobs} WHERE seq = ANY (ARRAY(
    SELECT seq FROM {jobs} WHERE state >= 3 AND expires_at <= {now}
    ORDER BY expires_at LIMIT :room::bigint FOR UPDATE SKIP LOCKED
));

-- name: prune_failed
DELETE FROM {failed} WHERE id = ANY (ARRAY(
    SELECT id FROM {failed} WHERE finished_at <= {now} - :age::double precision
    ORDER BY finished_at LIMIT :room::bigint FOR UPDATE SKIP LOCKED
));

-- name: pause
INSERT INTO {meta} (kind, name)
SELECT 'paused', name FROM unnest(:queues::text[]) AS name ORDER BY name
ON CONFLICT DO NOTHING
RETURNING name;

-- name: resume
DELETE FROM {meta} WHERE kind = 'paused' AND name = ANY (:queues::text[]) RETURNING name;

-- name: paused
SELECT name FROM {meta} WHERE kind = 'paused' ORDER BY name;
