-- Handing out jobs.

-- name: take
-- The lanes as parallel arrays, limit, lease in seconds, worker, number of the call -> the claims in
-- any order, each with what its place in the queue depends on, and in every row the time until the
-- next delayed job of these lanes is due, or somebody may try again to get a permit; how many are
-- due, up to a thousand of each queue; and what the claim came upon. At least one row, which is
-- empty where nothing was claimed.
--
-- It claims those that come before the first one that has limits or takes turns, and tells that
-- one's lane (from 1) and priority. Where such a one was delayed and is due, or somebody may try
-- again by now, it tells that, and claims nothing if these are heeded.
--
-- ``{ready_jobs}`` is one of the two pieces below. Rows that others are claiming are skipped, so a
-- claim waits for nobody. What is due takes its place among the ready ones here: only the first
-- thousand of a queue, for the sake of time.
WITH lane AS MATERIALIZED (
    SELECT lane.queue, lane.low, lane.high, lane.place
    FROM unnest(:queues::text[], :lows::smallint[], :highs::smallint[])
    WITH ORDINALITY AS lane (queue, low, high, place)
    WHERE NOT EXISTS (SELECT FROM {meta} WHERE kind = 'paused' AND name = lane.queue)
),
first_due AS MATERIALIZED (
    SELECT job.seq, job.restricted
    FROM (SELECT DISTINCT queue FROM lane) AS known CROSS JOIN LATERAL (
        SELECT seq, limits IS NOT NULL OR fair IS NOT NULL AS restricted FROM {jobs}
        WHERE state = 1 AND queue = known.queue AND available_at <= {now}
        ORDER BY available_at LIMIT 1000
    ) AS job
),
news AS MATERIALIZED (
    SELECT
        (SELECT min(at) FROM {openings}) AS opens_at,
        EXISTS (SELECT FROM first_due WHERE restricted) AS due
),
hurdle AS MATERIALIZED (
    SELECT lane.place, job.priority
    FROM lane CROSS JOIN LATERAL (
        SELECT priority FROM {jobs}
        WHERE state = -2 AND queue = lane.queue AND priority BETWEEN lane.low AND lane.high
        ORDER BY priority DESC LIMIT 1
    ) AS job
    ORDER BY lane.place LIMIT 1
),
source AS MATERIALIZED (
    SELECT
        lane.queue, lane.high, lane.place,
        CASE WHEN lane.place = hurdle.place THEN hurdle.priority + 1 ELSE lane.low END AS low
    FROM lane CROSS JOIN news LEFT JOIN hurdle ON true
    WHERE (hurdle.place IS NULL OR lane.place <= hurdle.place)
    AND NOT (:heed::boolean AND (coalesce(news.opens_at <= {now}, false) OR news.due))
),
due AS MATERIALIZED (
    SELECT source.place, job.seq, job.priority, job.available_at
    FROM first_due
    JOIN {jobs} AS job ON job.seq = ANY (ARRAY[first_due.seq]) AND job.state + 0 = 1
        AND NOT first_due.restricted
    JOIN source ON source.queue = job.queue AND job.priority BETWEEN source.low AND source.high
    ORDER BY source.place, job.priority DESC, job.available_at, job.seq
    LIMIT :limit::bigint FOR UPDATE OF job SKIP LOCKED
),
ready AS MATERIALIZED (
    SELECT source.place, job.seq, job.priority, job.available_at
    FROM source CROSS JOIN LATERAL ({ready_jobs}) AS job
    LIMIT :limit::bigint
),
chosen AS MATERIALIZED (
    SELECT seq FROM (SELECT * FROM ready UNION ALL SELECT * FROM due) AS candidate
    ORDER BY place, priority DESC, available_at, seq LIMIT :limit::bigint
),
taken AS (
    UPDATE {jobs} SET
        state = 2,
        attempts = least(attempts, 9223372036854775806) + 1,
        -- Above all tokens of an earlier job of this id that is gone: no seq comes twice.
        token = CASE WHEN token BETWEEN seq << 20 AND 1::bigint << 62 THEN token ELSE seq << 20 END + 1,
        started_at = {now},
        leased_until = {now} + :lease::double precision,
        worker = :worker::text,
        handout = :handout::bigint,
        key_hold = CASE key_hold WHEN 2 THEN 0 ELSE key_hold END
    WHERE seq = ANY (ARRAY(SELECT seq FROM chosen))
    RETURNING
        id, token, queue, name, payload, priority, attempts, exceptions, max_attempts, created_at,
        available_at, seq, latch, part, started_at
)
SELECT
    taken.*, upcoming.*, coalesce(news.opens_at <= {now}, false), news.due, hurdle.*
FROM (
    SELECT CASE WHEN (SELECT count(*) FROM chosen) < :limit::bigint THEN least((
        SELECT min(CASE WHEN lane.low = -32768 AND lane.high = 32767 THEN (
            SELECT available_at FROM {jobs}
            WHERE state = 1 AND queue = lane.queue AND available_at > {now}
            ORDER BY available_at LIMIT 1
        ) ELSE (
            -- Exact if it is among the next thousand of the queue, else a time before it.
            SELECT coalesce(
                min(CASE WHEN near.priority BETWEEN lane.low AND lane.high
                    THEN near.available_at END),
                CASE WHEN count(*) = 1000 THEN max(near.available_at) END
            ) FROM (
                SELECT available_at, priority FROM {jobs}
                WHERE state = 1 AND queue = lane.queue AND available_at > {now}
                ORDER BY available_at LIMIT 1000
            ) AS near
        ) END) FROM lane
    ), (SELECT opens_at FROM news)) END - {now} AS due_in,
    (SELECT count(*) FROM first_due) AS due
) AS upcoming
CROSS JOIN news LEFT JOIN hurdle ON true LEFT JOIN taken ON true;

-- name: take_plain
-- Less work for a whole queue in which nothing has limits or takes turns, and nothing delayed is due:
-- the same columns up to started_at, then the time until something delayed is due or somebody may try to
-- get a permit, and whether the queue is such a one. At least one row; where it is none, or is
-- paused, nothing is claimed.
WITH news AS MATERIALIZED (
    SELECT least(
        (
            SELECT available_at FROM {jobs} WHERE state = 1 AND queue = :queue::text
            ORDER BY available_at LIMIT 1
        ),
        (SELECT min(at) FROM {openings})
    ) - {now} AS due_in
),
found AS MATERIALIZED (
    SELECT
        due_in,
        coalesce(due_in > 0, true)
        AND NOT EXISTS (SELECT FROM {meta} WHERE kind = 'paused' AND name = :queue::text)
        AND NOT EXISTS (SELECT FROM {jobs} WHERE state = -2 AND queue = :queue::text) AS plain
    FROM news
),
taken AS (
    UPDATE {jobs} SET
        state = 2,
        attempts = least(attempts, 9223372036854775806) + 1,
        token = CASE WHEN token BETWEEN seq << 20 AND 1::bigint << 62 THEN token ELSE seq << 20 END + 1,
        started_at = (SELECT {now}),
        leased_until = (SELECT {now} + :lease::double precision),
        worker = :worker::text,
        handout = :handout::bigint,
        key_hold = CASE key_hold WHEN 2 THEN 0 ELSE key_hold END
    WHERE seq = ANY (ARRAY(
        SELECT job.seq
        FROM (SELECT :queue::text AS queue, -32768 AS low, 32767 AS high) AS source
        CROSS JOIN LATERAL ({ready_jobs}) AS job
        WHERE (SELECT plain FROM found)
        LIMIT :limit::bigint
    ))
    RETURNING
        id, token, queue, name, payload, priority, attempts, exceptions, max_attempts, created_at,
        available_at, seq, latch, part, started_at
)
SELECT taken.*, found.due_in, found.plain FROM found LEFT JOIN taken ON true;

-- name: take_next
-- Less work for the common case: one lane, from which the last claim got all it had asked for. ->
-- the same columns up to started_at; no row where something delayed is due, or the queue is paused, or
-- there is anything with limits or turns.
-- By ctid, which needs no index. A row that was changed in the instant before it was locked stands
-- elsewhere by now: it is not found there, so it is left for the next claim.
UPDATE {jobs} SET
    state = 2,
    attempts = least(attempts, 9223372036854775806) + 1,
    token = CASE WHEN token BETWEEN seq << 20 AND 1::bigint << 62 THEN token ELSE seq << 20 END + 1,
    started_at = (SELECT {now}),
    leased_until = (SELECT {now} + :lease::double precision),
    worker = :worker::text,
    handout = :handout::bigint,
    key_hold = CASE key_hold WHEN 2 THEN 0 ELSE key_hold END
WHERE ctid = ANY (ARRAY(
    SELECT job.ctid
    FROM (SELECT :queue::text AS queue, :low::smallint AS low, :high::smallint AS high) AS source
    CROSS JOIN LATERAL ({ready_jobs}) AS job
    WHERE NOT EXISTS (SELECT FROM {meta} WHERE kind = 'paused' AND name = :queue::text)
    AND NOT EXISTS (
        SELECT FROM {jobs}
        WHERE state = 1 AND queue = :queue::text AND available_at <= {now}
    )
    AND NOT EXISTS (SELECT FROM {jobs} WHERE state = -2 AND queue = :queue::text)
    AND NOT EXISTS (SELECT FROM {openings} WHERE at <= {now})
    LIMIT :limit::bigint
))
RETURNING
    id, token, queue, name, payload, priority, attempts, exceptions, max_attempts, created_at,
    available_at, seq, latch, part, started_at;

-- name: from_the_beginning
SELECT ctid, seq, priority, available_at FROM {jobs}
WHERE state = 0 AND queue = source.queue AND priority BETWEEN source.low AND source.high
ORDER BY priority DESC, available_at, seq
LIMIT :limit::bigint FOR UPDATE SKIP LOCKED

-- name: from_the_mark
-- What is more urgent, then what comes behind the last one that was claimed.
SELECT * FROM (
    SELECT ctid, seq, priority, available_at FROM {jobs}
    WHERE state = 0 AND queue = source.queue
    AND priority BETWEEN :mark_priority::integer + 1 AND source.high
    ORDER BY priority DESC, available_at, seq
    LIMIT :limit::bigint FOR UPDATE SKIP LOCKED
) AS urgent
UNION ALL
SELECT * FROM (
    SELECT ctid, seq, priority, available_at FROM {jobs}
    WHERE state = 0 AND queue = source.queue AND priority = :mark_priority::integer
    AND source.low <= :mark_priority::integer
    AND (available_at, seq) > (:mark_available_at::double precision, :mark_seq::bigint)
    ORDER BY priority DESC, available_at, seq
    LIMIT :limit::bigint FOR UPDATE SKIP LOCKED
) AS behind

-- name: promote
-- Very many are due: put the first of them into the row of the ready ones.
UPDATE {jobs} SET state = CASE WHEN limits IS NULL AND fair IS NULL THEN 0 ELSE -2 END
WHERE seq = ANY (ARRAY(
    SELECT job.seq
    FROM (SELECT DISTINCT queue FROM unnest(:queues::text[]) AS queue) AS known CROSS JOIN LATERAL (
        SELECT seq FROM {jobs}
        WHERE state = 1 AND queue = known.queue AND available_at <= {now}
        ORDER BY available_at LIMIT 5000 FOR UPDATE SKIP LOCKED
    ) AS job
));

-- name: give_back
-- Claims that were never delivered: their attempt does not count -> id, queue, limits. Those with
-- limits are left alone, unless their keys are locked.
UPDATE {jobs} SET
    state = CASE WHEN limits IS NULL AND fair IS NULL THEN 0 ELSE -2 END,
    attempts = attempts - 1, worker = NULL, leased_until = NULL
FROM unnest(:ids::text[], :tokens::bigint[]) AS given (id, token)
WHERE {jobs}.id = ANY (ARRAY[given.id]) AND {jobs}.token = given.token AND {jobs}.state + 0 = 2
AND {jobs}.cancel_keep IS NULL AND (limits IS NULL OR :limited::boolean)
RETURNING {jobs}.id, {jobs}.queue, {jobs}.limits;

-- name: give_back_handouts
-- The same for all claims of some calls, but for those with limits -> their queues.
UPDATE {jobs} SET
    state = CASE WHEN fair IS NULL THEN 0 ELSE -2 END,
    attempts = attempts - 1, worker = NULL, leased_until = NULL
WHERE seq = ANY (ARRAY(
    SELECT seq FROM {jobs}
    WHERE state = 2 AND handout = ANY (:handouts::bigint[]) AND cancel_keep IS NULL
    AND limits IS NULL
    FOR UPDATE SKIP LOCKED
))
RETURNING queue;

-- name: limited_handouts
-- -> id, token of the claims of these calls that are left.
SELECT id, token FROM {jobs}
WHERE state = 2 AND handout = ANY (:handouts::bigint[]) AND cancel_keep IS NULL
AND limits IS NOT NULL;
