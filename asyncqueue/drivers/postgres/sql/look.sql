-- Reading. ``{where}`` is the condition of a filter, ``{beyond}`` what a cursor leaves.

-- name: jobs
(SELECT
    seq, id, queue, name, payload,
    CASE WHEN state = 1 AND available_at <= {now} THEN 0 ELSE state END AS state,
    priority, attempts, max_attempts, created_at,
    available_at, started_at, finished_at, progress, message, result, error, traceback, worker, key
FROM {jobs} WHERE ({where}) AND {beyond} ORDER BY {order} LIMIT :most::bigint)

-- name: failed
(SELECT
    seq, id, queue, name, payload, 5 AS state, priority, attempts, max_attempts, created_at,
    available_at, started_at, finished_at, progress, message, result, error, traceback, worker, key
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

-- name: ping
SELECT 1;
