-- Reading. ``{where}`` is the condition of a filter, ``{beyond}`` what a cursor leaves.

-- name: jobs
(SELECT
    seq, id, queue, name, payload,
    CASE WHEN state = 1 AND available_at <= {now} THEN 0 ELSE state END AS state,
    priority, attempts, max_attempts, created_at,
    CASE WHEN state = -1 THEN created_at + available_at ELSE available_at END AS available_at,
    started_at, finished_at, progress, message, result, error, traceback, worker, key, latch, held,
    limits, fair, history, CASE WHEN state = 2 THEN leased_until - {now} END AS lease_left
FROM {jobs} WHERE ({where}) AND {beyond} ORDER BY {order} LIMIT :most::bigint)

-- name: failed
(SELECT
    seq, id, queue, name, payload, 5 AS state, priority, attempts, max_attempts, created_at,
    available_at, started_at, finished_at, progress, message, result, error, traceback, worker, key,
    latch, NULL AS held, limits, fair, history, NULL AS lease_left
FROM {failed} WHERE ({where}) AND {beyond} ORDER BY {order} LIMIT :most::bigint)

-- name: page
SELECT * FROM ({selections}) AS job ORDER BY {order} LIMIT :limit::bigint OFFSET :offset::bigint

-- name: count_jobs
SELECT count(*) FROM {jobs} WHERE {where}

-- name: count_failed
SELECT count(*) FROM {failed} WHERE {where}

-- name: counts
-- -> queue, state, how many, and for how long the first of them has waited. Every part reads one
-- index.
SELECT queue, 0, count(*), {now} - min(available_at) FROM {jobs} WHERE state = 0 GROUP BY queue
UNION ALL
SELECT queue, 0, count(*), {now} - min(available_at) FROM {jobs} WHERE state = -2 GROUP BY queue
UNION ALL
SELECT queue, 0, count(*), {now} - min(available_at) FROM {jobs} WHERE state = -3 GROUP BY queue
UNION ALL
SELECT queue, 0, count(*), {now} - min(available_at) FROM {jobs}
WHERE state = 1 AND available_at <= {now} GROUP BY queue
UNION ALL
SELECT queue, 1, count(*), NULL FROM {jobs} WHERE state = 1 AND available_at > {now} GROUP BY queue
UNION ALL
SELECT queue, 2, count(*), NULL FROM {jobs} WHERE state = 2 GROUP BY queue
UNION ALL
SELECT queue, state, count(*), NULL FROM {jobs}
WHERE state >= 3 AND expires_at > {now} GROUP BY queue, state
UNION ALL
SELECT queue, 5, count(*), NULL FROM {failed} GROUP BY queue
UNION ALL
SELECT name, 0, 0, NULL FROM {meta} WHERE kind = 'paused';

-- name: ahead
-- id -> how many jobs of its queue come before it; no row where it is not due.
SELECT
    (
        SELECT count(*) FROM {jobs} AS other
        WHERE (other.state = 0 OR other.state = -2) AND other.queue = job.queue AND other.priority > job.priority
    ) + (
        SELECT count(*) FROM {jobs} AS other
        WHERE (other.state = 0 OR other.state = -2) AND other.queue = job.queue AND other.priority = job.priority
        AND (other.available_at, other.seq) < (job.available_at, job.seq)
    ) + (
        SELECT count(*) FROM {jobs} AS other
        WHERE other.state = 1 AND other.queue = job.queue AND other.available_at <= {now}
        AND (-other.priority::integer, other.available_at, other.seq)
            < (-job.priority::integer, job.available_at, job.seq)
    )
FROM {jobs} AS job
WHERE job.id = :id::text AND (job.state IN (0, -2, -3) OR job.state = 1 AND job.available_at <= {now});

-- name: ping
SELECT 1;
