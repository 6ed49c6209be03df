-- What operators do. ``:where`` is the condition of a filter.

-- name: met
-- The jobs that a cancellation meets.
SELECT
    seq, id, {look.shown_state}, worker, limits, latch, part
FROM {jobs} INDEXED BY :index WHERE :where

-- name: failed_ids
SELECT id FROM {failed} WHERE :where ORDER BY seq

-- name: cancel_waiting
UPDATE {jobs} SET
    state = 4, finished_at = :now, expires_at = :now + :keep, key_hold = 0,
    part = CASE WHEN part IN (1, 2) THEN part END
WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: call_off
UPDATE {jobs} SET cancel_keep = :keep WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: requeue
-- The token goes on: it is the fence. The key is free for others since the job failed. A member
-- is one that nobody calls off, a guard guards no more.
INSERT INTO {jobs} (
    id, queue, name, state, priority, token, max_attempts, created_at, available_at, latch, part,
    limits, fair, payload
)
SELECT
    id, queue, name, CASE WHEN fair IS NULL THEN 0 ELSE -3 END, priority, token, max_attempts, :now,
    :now, latch, CASE WHEN part IN (1, 2) THEN 2 END, limits, fair, payload
FROM {failed} WHERE :where ORDER BY seq
ON CONFLICT DO NOTHING

-- name: requeued_members
SELECT latch FROM {failed} WHERE (:where) AND part IN (1, 2)

-- name: requeued_queues
SELECT DISTINCT queue FROM {failed} WHERE :where

-- name: delete_failed
DELETE FROM {failed} WHERE seq IN (SELECT seq FROM {failed} WHERE :where LIMIT :room)
RETURNING id, limits, seq, latch, part, 5

-- name: delete_jobs
DELETE FROM {jobs} WHERE seq IN (
    SELECT seq FROM {jobs} INDEXED BY :index WHERE :where LIMIT :room
) RETURNING id, limits, seq, latch, part, state

-- name: forget_failed
DELETE FROM {failed} WHERE :where

-- name: prune_jobs
-- The index is ordered by state and queue, for counting; so go from queue to queue.
DELETE FROM {jobs} WHERE seq IN (
    WITH RECURSIVE
    states(state) AS (VALUES (3), (4)),
    queues(state, queue) AS (
        SELECT state, (
            SELECT min(queue) FROM {jobs} INDEXED BY {finished}
            WHERE state = states.state AND state >= 3
        )
        FROM states
        UNION ALL
        SELECT state, (
            SELECT min(queue) FROM {jobs} INDEXED BY {finished}
            WHERE state = queues.state AND state >= 3 AND queue > queues.queue
        )
        FROM queues WHERE queue IS NOT NULL
    )
    SELECT seq FROM queues CROSS JOIN {jobs} AS job INDEXED BY {finished}
    ON job.state = queues.state AND job.state >= 3 AND job.queue = queues.queue
    WHERE expires_at <= :now LIMIT :room
);

-- name: prune_failed
DELETE FROM {failed} WHERE seq IN (
    SELECT seq FROM {failed} INDEXED BY {failed_finished}
    WHERE finished_at <= :before ORDER BY finished_at LIMIT :room
);

-- name: pause
INSERT INTO {meta} (kind, name) VALUES ('paused', ?) ON CONFLICT DO NOTHING;

-- name: resume
DELETE FROM {meta} WHERE kind = 'paused' AND name = ?;

-- name: paused
SELECT name FROM {meta} WHERE kind = 'paused' ORDER BY name;
