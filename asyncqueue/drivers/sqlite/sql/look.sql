-- Reading. These run on the reader's connection and never wait for a writer.

-- name: shown_state
-- Who is delayed is told by the clock; who was set aside or takes turns is pending.
CASE
WHEN state IN (1, -3) THEN available_at > :now
WHEN state IN (-2, -4) THEN 0
ELSE state END;

-- name: jobs
SELECT
    seq, id, queue, name, payload,
    {look.shown_state} AS state,
    priority, attempts, max_attempts, created_at,
    available_at, started_at, finished_at, progress, message, result, error, traceback, worker, key,
    latch, part, history, limits, fair, CASE state WHEN 2 THEN leased_until END
FROM {jobs} WHERE :where

-- name: failed
SELECT
    seq, id, queue, name, payload, 5 AS state, priority, attempts, max_attempts, created_at,
    available_at, started_at, finished_at, progress, message, result, error, traceback, worker, key,
    latch, part, history, limits, fair, NULL
FROM {failed} WHERE :where

-- name: page
:selections ORDER BY :order LIMIT :limit OFFSET :offset

-- name: seqs
-- The rows of one state, by its index alone.
SELECT seq, finished_at FROM {jobs} INDEXED BY :index WHERE :where

-- name: among
-- Of several such selections the rows of one page.
seq IN (SELECT seq FROM (:selections) WHERE :beyond ORDER BY :order LIMIT :most)

-- name: count_jobs
SELECT count(*) FROM {jobs} INDEXED BY :index WHERE :where

-- name: count_failed
SELECT count(*) FROM {failed} WHERE :where

-- name: counts
-- now -> queue, state, how many, and since when the first of them waits. Every part reads one
-- index and no row.
SELECT queue, 0, count(*), min(available_at) FROM {jobs} INDEXED BY {ready}
WHERE state = 0 GROUP BY queue
UNION ALL
SELECT queue, 0, count(*), min(available_at) FROM {jobs} INDEXED BY {delayed}
WHERE state = 1 AND available_at <= :now GROUP BY queue
UNION ALL
SELECT queue, 1, count(*), NULL FROM {jobs} INDEXED BY {delayed}
WHERE state = 1 AND available_at > :now GROUP BY queue
UNION ALL
SELECT queue, 0, count(*), min(available_at) FROM {jobs} INDEXED BY {aside}
WHERE state = -2 GROUP BY queue
UNION ALL
SELECT queue, 0, count(*), min(available_at) FROM {jobs} INDEXED BY {in_turn}
WHERE state = -4 GROUP BY queue
UNION ALL
SELECT queue, 0, count(*), min(available_at) FROM {jobs} INDEXED BY {fair}
WHERE state = -3 AND available_at <= :now GROUP BY queue
UNION ALL
SELECT queue, 1, count(*), NULL FROM {jobs} INDEXED BY {fair}
WHERE state = -3 AND available_at > :now GROUP BY queue
UNION ALL
SELECT queue, 2, count(*), NULL FROM {jobs} INDEXED BY {leased}
WHERE state = 2 GROUP BY queue
UNION ALL
SELECT queue, 3, count(*), NULL FROM {jobs} INDEXED BY {finished}
WHERE state = 3 AND state >= 3 AND expires_at > :now GROUP BY queue
UNION ALL
SELECT queue, 4, count(*), NULL FROM {jobs} INDEXED BY {finished}
WHERE state = 4 AND state >= 3 AND expires_at > :now GROUP BY queue
UNION ALL
SELECT queue, 5, count(*), NULL FROM {failed} GROUP BY queue
UNION ALL
SELECT name, 0, 0, NULL FROM {meta} WHERE kind = 'paused';

-- name: due
-- id, now -> where it stands, if it may be claimed now
SELECT queue, priority, available_at, seq FROM {jobs}
WHERE id = :id AND (state IN (0, -2, -4) OR (state IN (1, -3) AND available_at <= :now));

-- name: ahead
-- How many of its queue are claimed before it: of higher priority, or of its own and earlier. Those
-- who were set aside are not.
SELECT
    (SELECT count(*) FROM {jobs} INDEXED BY {ready}
    WHERE state = 0 AND queue = :queue AND priority > :priority)
    + (SELECT count(*) FROM {jobs} INDEXED BY {ready}
    WHERE state = 0 AND queue = :queue AND priority = :priority
    AND (available_at, seq) < (:available_at, :seq))
    + (SELECT count(*) FROM {jobs} INDEXED BY {delayed}
    WHERE state = 1 AND queue = :queue AND available_at <= :now
    AND (priority > :priority
    OR (priority = :priority AND (available_at, seq) < (:available_at, :seq))))
    + (SELECT count(*) FROM {jobs} INDEXED BY {in_turn}
    WHERE state = -4 AND queue = :queue
    AND (priority > :priority
    OR (priority = :priority AND (available_at, seq) < (:available_at, :seq))))
    + (SELECT count(*) FROM {jobs} INDEXED BY {fair}
    WHERE state = -3 AND queue = :queue AND available_at <= :now
    AND (priority > :priority
    OR (priority = :priority AND (available_at, seq) < (:available_at, :seq))));
