-- Handing out jobs.

-- name: take
-- The lanes as parallel arrays, limit, lease in seconds, worker -> the claims in any order, each
-- with what its place in the queue depends on, and in every row the time until the next delayed
-- job of these lanes is due. At least one row, which is empty where nothing was claimed.
--
-- Rows that others are claiming are skipped, so a claim waits for nobody. What is due takes part:
-- as much as is wanted is claimed, the rest of it takes its place among the ready ones.
WITH source AS MATERIALIZED (
    SELECT lane.queue, lane.low, lane.high, lane.place
    FROM unnest(:queues::text[], :lows::smallint[], :highs::smallint[])
    WITH ORDINALITY AS lane (queue, low, high, place)
    WHERE NOT EXISTS (SELECT FROM {meta} WHERE kind = 'paused' AND name = lane.queue)
),
due AS MATERIALIZED (
    SELECT job.*
    FROM (SELECT DISTINCT queue FROM source) AS known CROSS JOIN LATERAL (
        SELECT seq, queue, priority, available_at FROM {jobs}
        WHERE state = 1 AND queue = known.queue AND available_at <= {now}
        ORDER BY available_at LIMIT 1000 FOR UPDATE SKIP LOCKED
    ) AS job
),
ready AS MATERIALIZED (
    SELECT source.place, job.*
    FROM source CROSS JOIN LATERAL (
        SELECT seq, priority, available_at FROM {jobs}
        WHERE state = 0 AND queue = source.queue AND priority BETWEEN source.low AND source.high
        ORDER BY priority DESC, available_at, seq
        LIMIT :limit::bigint FOR UPDATE SKIP LOCKED
    ) AS job
    LIMIT :limit::bigint
),
chosen AS MATERIALIZED (
    SELECT seq FROM (
        SELECT place, seq, priority, available_at FROM ready
        UNION ALL
        SELECT source.place, due.seq, due.priority, due.available_at FROM due JOIN source
        ON source.queue = due.queue AND due.priority BETWEEN source.low AND source.high
    ) AS candidate
    ORDER BY place, priority DESC, available_at, seq LIMIT :limit::bigint
),
promoted AS (
    UPDATE {jobs} SET state = 0
    WHERE seq = ANY (ARRAY(SELECT seq FROM due EXCEPT SELECT seq FROM chosen))
),
taken AS (
    UPDATE {jobs} SET
        state = 2,
        attempts = attempts + 1,
        -- Above all tokens of an earlier job of this id that is gone: no seq comes twice.
        token = greatest(token, seq << 20) + 1,
        started_at = {now},
        leased_until = {now} + :lease::double precision,
        worker = :worker::text,
        handout = :handout::bigint,
        key_hold = CASE key_hold WHEN 2 THEN 0 ELSE key_hold END
    WHERE seq = ANY (ARRAY(SELECT seq FROM chosen))
    RETURNING
        id, token, queue, name, payload, priority, attempts, exceptions, max_attempts, created_at,
        -priority::integer AS rank, available_at, seq
)
SELECT taken.*, upcoming.due_in
FROM (
    SELECT CASE WHEN (SELECT count(*) FROM chosen) < :limit::bigint THEN (
        SELECT min(CASE WHEN source.low = -32768 AND source.high = 32767 THEN (
            SELECT available_at FROM {jobs}
            WHERE state = 1 AND queue = source.queue AND available_at > {now}
            ORDER BY available_at LIMIT 1
        ) ELSE (
            -- Exact if it is among the next thousand of the queue, else a time before it.
            SELECT coalesce(
                min(CASE WHEN near.priority BETWEEN source.low AND source.high
                    THEN near.available_at END),
                CASE WHEN count(*) = 1000 THEN max(near.available_at) END
            ) FROM (
                SELECT available_at, priority FROM {jobs}
                WHERE state = 1 AND queue = source.queue AND available_at > {now}
                ORDER BY available_at LIMIT 1000
            ) AS near
        ) END) FROM source
    ) END - {now} AS due_in
) AS upcoming
LEFT JOIN taken ON true;

-- name: give_back
-- Claims that were never delivered: their attempt does not count -> their queues.
UPDATE {jobs} SET state = 0, attempts = attempts - 1, worker = NULL, leased_until = NULL
FROM unnest(:ids::text[], :tokens::bigint[]) AS given (id, token)
WHERE {jobs}.id = given.id AND {jobs}.token = given.token AND {jobs}.state + 0 = 2
AND {jobs}.cancel_keep IS NULL
RETURNING {jobs}.queue;

-- name: give_back_handouts
-- The same for all claims of some calls.
UPDATE {jobs} SET state = 0, attempts = attempts - 1, worker = NULL, leased_until = NULL
WHERE seq = ANY (ARRAY(
    SELECT seq FROM {jobs}
    WHERE state = 2 AND handout = ANY (:handouts::bigint[]) AND cancel_keep IS NULL
    FOR UPDATE SKIP LOCKED
))
RETURNING queue;
