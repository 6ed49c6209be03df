-- Leases: longer ones, and what becomes of those that ran out.

-- name: extend
-- Claims in the order of their ids, with what they say of themselves -> the places (from 1) of
-- those that are held, and whether their cancellation was asked for.
WITH held AS MATERIALIZED (
    SELECT job.seq, job.cancel_keep, given.place, given.progress, given.message
    FROM unnest(:ids::text[], :tokens::bigint[], :progress::double precision[], :messages::text[])
    WITH ORDINALITY AS given (id, token, progress, message, place)
    JOIN {jobs} AS job ON job.id = ANY (ARRAY[given.id]) AND job.token = given.token
        AND job.state + 0 = 2
    ORDER BY given.place FOR UPDATE OF job
),
renewed AS (
    UPDATE {jobs} SET
        leased_until = {now} + :lease::double precision,
        progress = coalesce(held.progress, {jobs}.progress),
        message = coalesce(held.message, {jobs}.message)
    FROM held WHERE {jobs}.seq = ANY (ARRAY[held.seq])
)
SELECT place, cancel_keep IS NOT NULL FROM held;

-- name: sweep
-- limit -> id, queue of some of the jobs whose lease ran out, whether they were called off; their
-- latch, if so; their limits. Those that were not keep their place in the queue, so they are at its
-- front; these end. Those with limits, or with such a latch, are left to the statement below. What
-- somebody is settling or extending at this moment is left to him.
WITH expired AS MATERIALIZED (
    SELECT
        seq, id, queue, cancel_keep, limits, CASE WHEN cancel_keep IS NOT NULL THEN latch END AS latch
    FROM {jobs}
    WHERE state = 2 AND leased_until <= {now}
    ORDER BY leased_until LIMIT :limit::bigint FOR UPDATE SKIP LOCKED
),
single AS (
    SELECT seq, cancel_keep FROM expired WHERE latch IS NULL AND limits IS NULL
),
returned AS (
    UPDATE {jobs} SET
        state = CASE WHEN fair IS NULL THEN 0 ELSE -2 END, worker = NULL, leased_until = NULL
    WHERE seq = ANY (ARRAY(SELECT seq FROM single WHERE cancel_keep IS NULL))
),
cancelled AS (
    UPDATE {jobs} SET
        state = 4, finished_at = {now}, expires_at = {now} + cancel_keep,
        leased_until = NULL, cancel_keep = NULL, key_hold = 0
    WHERE seq = ANY (ARRAY(SELECT seq FROM single WHERE cancel_keep > 0))
),
removed AS (
    DELETE FROM {jobs}
    WHERE seq = ANY (ARRAY(SELECT seq FROM single WHERE cancel_keep <= 0))
)
SELECT id, queue, cancel_keep IS NOT NULL, latch, limits FROM expired;

-- name: end
-- ids, latches and limits, of which the latches and keys are locked -> id, queue, whether it was
-- called off, limits, seq, latch, part, held of each.
WITH expired AS MATERIALIZED (
    SELECT seq, id, queue, limits, latch, part, held, cancel_keep FROM {jobs}
    WHERE id = ANY (:ids::text[]) AND state + 0 = 2 AND leased_until <= {now}
    AND (limits IS NULL OR limits = ANY (:limits::text[]))
    AND (latch IS NULL OR cancel_keep IS NULL OR latch = ANY (:latches::text[]))
    ORDER BY id FOR UPDATE SKIP LOCKED
),
returned AS (
    UPDATE {jobs} SET
        state = CASE WHEN limits IS NULL AND fair IS NULL THEN 0 ELSE -2 END,
        worker = NULL, leased_until = NULL
    WHERE seq = ANY (ARRAY(SELECT seq FROM expired WHERE cancel_keep IS NULL))
),
cancelled AS (
    UPDATE {jobs} SET
        state = 4, finished_at = {now}, expires_at = {now} + cancel_keep,
        leased_until = NULL, cancel_keep = NULL, key_hold = 0
    WHERE seq = ANY (ARRAY(SELECT seq FROM expired WHERE cancel_keep > 0))
),
removed AS (
    DELETE FROM {jobs} WHERE seq = ANY (ARRAY(SELECT seq FROM expired WHERE cancel_keep <= 0))
)
SELECT id, queue, cancel_keep IS NOT NULL, limits, seq, latch, part, held FROM expired;
