-- What operators do. ``{where}`` is the condition of a filter. Rows are locked in the order of
-- their ids, as everywhere.

-- name: concerned
-- -> the latches and limits of jobs that wait, or may soon.
SELECT DISTINCT latch, limits FROM {jobs}
WHERE ({where}) AND (latch IS NOT NULL OR limits IS NOT NULL) AND state < 3

-- name: cancel
-- keep; latches, and limits whose keys are locked -> id, the state that was met, worker, limits, seq,
-- latch, part, held. Jobs of others came just now: too late to be meant.
WITH met AS MATERIALIZED (
    SELECT
        seq, id, CASE WHEN state = 1 AND available_at <= {now} THEN 0 ELSE state END AS state,
        worker, limits, latch, part, held
    FROM {jobs}
    WHERE ({where}) AND (latch IS NULL OR latch = ANY (:latches::text[]) OR state >= 2)
    AND (limits IS NULL OR limits = ANY (:limits::text[]) OR state >= 2)
    ORDER BY id FOR UPDATE
),
cancelled AS (
    UPDATE {jobs} SET
        state = 4, finished_at = {now}, expires_at = {now} + :keep::double precision, key_hold = 0,
        available_at = CASE WHEN state = -1 THEN created_at ELSE 0 END + available_at, held = NULL,
        aside = NULL
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
SELECT id, state, worker, limits, seq, latch, part, held FROM met;

-- name: failed_ids
SELECT id FROM {failed} WHERE {where}

-- name: requeue
-- latches that are locked -> id, queue, and the latch if it is a member, in the order in which they
-- were dispatched. The token goes on: it is the fence. The key is free for others since the job
-- failed. A member is one that nobody calls off, and a guard guards no more.
WITH failed AS MATERIALIZED (
    SELECT * FROM {failed}
    WHERE ({where}) AND (latch IS NULL OR latch = ANY (:latches::text[])) ORDER BY id FOR UPDATE
),
back AS (
    INSERT INTO {jobs} (
        state, priority, token, max_attempts, created_at, available_at, id, queue, name, payload,
        latch, part, limits, fair
    )
    SELECT
        CASE WHEN limits IS NULL AND fair IS NULL THEN 0 ELSE -2 END, priority, token, max_attempts, {now}, {now}, id, queue, name, payload, latch,
        CASE WHEN part IN (1, 2) THEN 2 END, limits, fair
    FROM failed ORDER BY seq
    ON CONFLICT DO NOTHING
),
gone AS (
    DELETE FROM {failed} WHERE id = ANY (ARRAY(SELECT id FROM failed))
)
SELECT id, queue, CASE WHEN part IN (1, 2) THEN latch END FROM failed ORDER BY seq;

-- name: failed_latches
SELECT DISTINCT latch FROM {failed} WHERE ({where}) AND latch IS NOT NULL

-- name: delete_failed
WITH meant AS MATERIALIZED (
    SELECT id FROM {failed} WHERE {where} LIMIT :room::bigint FOR UPDATE SKIP LOCKED
)
DELETE FROM {failed} WHERE id = ANY (ARRAY(SELECT id FROM meant)) RETURNING id;

-- name: delete_jobs
WITH meant AS MATERIALIZED (
    SELECT seq FROM {jobs}
    WHERE ({where}) AND (latch IS NULL AND limits IS NULL OR state >= 3)
    LIMIT :room::bigint FOR UPDATE SKIP LOCKED
)
DELETE FROM {jobs} WHERE seq = ANY (ARRAY(SELECT seq FROM meant)) RETURNING id;

-- name: linked
-- -> the latches and limits of some of the jobs that this leaves.
SELECT latch, limits FROM {jobs}
WHERE ({where}) AND (latch IS NOT NULL OR limits IS NOT NULL) AND state < 2 LIMIT :room::bigint

-- name: delete_linked
-- latches, and limits whose keys are locked -> id, limits, seq, latch, part, held.
WITH meant AS MATERIALIZED (
    SELECT seq FROM {jobs} WHERE ({where}) AND state < 2
    AND (latch IS NOT NULL OR limits IS NOT NULL)
    AND (latch IS NULL OR latch = ANY (:latches::text[]))
    AND (limits IS NULL OR limits = ANY (:limits::text[]))
    LIMIT :room::bigint FOR UPDATE SKIP LOCKED
)
DELETE FROM {jobs} WHERE seq = ANY (ARRAY(SELECT seq FROM meant))
RETURNING id, limits, seq, latch, part, held;

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
