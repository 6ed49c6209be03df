-- Ending claims. The driver gives them in the order of their ids, which is the order in which
-- everything here locks rows: no two calls wait for each other. ``state + 0`` because an index by
-- id is wanted, and not that of all running jobs. ``= ANY (ARRAY[x])`` instead of ``= x``, here and
-- in the other files, because for the latter a plan made on a nearly empty table reads all of it in
-- order, once for each of those that are given, and keeps to that however many jobs come later.
--
-- -> how many were held; the places (from 1) of those that were, unless all; the queues to which
-- jobs went back; whether anybody waits for jobs to finish. Claims of jobs with limits count as not
-- held, where their keys are not locked.

-- name: complete
-- Ids come as one text, if no id has the separator in it, and tokens as another; what is the same
-- for all comes once.
WITH ended AS (
    UPDATE {jobs} SET
        state = 3,
        attempts = coalesce(given.attempts, :attempt::bigint),
        exceptions = coalesce(given.exceptions, :exception::bigint),
        finished_at = (SELECT {now}),
        expires_at = (SELECT {now}) + coalesce(given.retention, :retention::double precision),
        result = given.result,
        error = given.error,
        traceback = given.traceback,
        progress = 100,
        leased_until = NULL,
        cancel_keep = NULL,
        key_hold = 0
    FROM unnest(
        coalesce(:ids::text[], string_to_array(:packed_ids::text, E'\x1f')),
        :tokens::text::bigint[], :attempts::bigint[], :exceptions::bigint[],
        :retentions::double precision[], :results::bytea[], :errors::text[], :tracebacks::text[]
    ) WITH ORDINALITY AS given (
        id, token, attempts, exceptions, retention, result, error, traceback, place
    )
    WHERE {jobs}.id = ANY (ARRAY[given.id]) AND {jobs}.token = given.token
    AND {jobs}.state + 0 = 2
    AND {jobs}.limits IS NULL
    RETURNING given.place
)
SELECT
    count(*),
    CASE WHEN count(*) < :asked::bigint THEN array_agg(place) END,
    NULL::text[],
    EXISTS (SELECT FROM {meta} WHERE kind = 'awaited' AND until > {now})
FROM ended;

-- name: remove
-- The same for completed and cancelled jobs of which nothing is to be kept.
WITH ended AS (
    DELETE FROM {jobs}
    USING unnest(
        coalesce(:ids::text[], string_to_array(:packed_ids::text, E'\x1f')), :tokens::text::bigint[]
    ) WITH ORDINALITY AS given (id, token, place)
    WHERE {jobs}.id = ANY (ARRAY[given.id]) AND {jobs}.token = given.token
    AND {jobs}.state + 0 = 2
    AND {jobs}.limits IS NULL
    RETURNING given.place
)
SELECT
    count(*),
    CASE WHEN count(*) < :asked::bigint THEN array_agg(place) END,
    NULL::text[],
    EXISTS (SELECT FROM {meta} WHERE kind = 'awaited' AND until > {now})
FROM ended;

-- name: settle
-- The same for all ends at once. What was called off and would wait again is cancelled instead.
-- ``{answer}`` is one of the two pieces below.
WITH held AS MATERIALIZED (
    SELECT
        job.seq, job.queue, job.part, given.*,
        CASE WHEN given.state < 2 AND job.cancel_keep IS NOT NULL THEN 4 ELSE given.state END
            AS ending,
        CASE WHEN given.state < 2 THEN job.cancel_keep ELSE given.retention END AS keep
    FROM unnest(
        :ids::text[], :tokens::bigint[], :states::smallint[], :attempts::bigint[],
        :exceptions::bigint[], :delays::double precision[], :retentions::double precision[],
        :results::bytea[], :errors::text[], :tracebacks::text[], :notes::bytea[]
    ) WITH ORDINALITY AS given (
        id, token, state, attempts, exceptions, delay, retention, result, error, traceback, note,
        place
    )
    JOIN {jobs} AS job ON job.id = ANY (ARRAY[given.id]) AND job.token = given.token
        AND job.state + 0 = 2
        AND (job.limits IS NULL OR :limited::boolean)
    ORDER BY given.place FOR UPDATE OF job
),
returned AS (
    UPDATE {jobs} SET
        state = CASE
            WHEN held.ending = 1 AND held.delay > 0 THEN 1
            WHEN {jobs}.limits IS NULL AND {jobs}.fair IS NULL THEN 0
            ELSE -2
        END,
        attempts = held.attempts,
        exceptions = held.exceptions,
        available_at = CASE
            WHEN held.ending = 1 THEN {now} + greatest(held.delay, 0)
            ELSE {jobs}.available_at
        END,
        result = held.result,
        error = held.error,
        traceback = held.traceback,
        history = coalesce({jobs}.history || held.note, held.note, {jobs}.history),
        worker = NULL,
        leased_until = NULL
    FROM held WHERE {jobs}.seq = ANY (ARRAY[held.seq]) AND held.ending < 2
),
kept AS (
    UPDATE {jobs} SET
        state = held.ending,
        attempts = held.attempts,
        exceptions = held.exceptions,
        finished_at = {now},
        expires_at = {now} + held.keep,
        result = held.result,
        error = held.error,
        traceback = held.traceback,
        history = coalesce({jobs}.history || held.note, held.note, {jobs}.history),
        progress = CASE held.ending WHEN 3 THEN 100 ELSE {jobs}.progress END,
        leased_until = NULL,
        cancel_keep = NULL,
        key_hold = 0
    FROM held WHERE {jobs}.seq = ANY (ARRAY[held.seq]) AND held.ending IN (3, 4) AND held.keep > 0
),
gone AS (
    DELETE FROM {jobs} USING held
    WHERE {jobs}.seq = ANY (ARRAY[held.seq])
    AND (held.ending = 5 OR held.ending IN (3, 4) AND held.keep <= 0)
    RETURNING
        {jobs}.*, held.ending, held.attempts AS new_attempts, held.exceptions AS new_exceptions,
        held.error AS new_error, held.result AS new_result, held.traceback AS new_traceback,
        held.note
),
moved AS (
    INSERT INTO {failed} (
        seq, priority, attempts, exceptions, token, max_attempts, created_at, available_at,
        started_at, finished_at, progress, id, queue, name, worker, key, payload, message, error,
        result, traceback, latch, part, history, limits, fair
    )
    SELECT
        seq, priority, new_attempts, new_exceptions, token, max_attempts, created_at, available_at,
        started_at, {now}, progress, id, queue, name, worker, key, payload, message, new_error,
        new_result, new_traceback, latch, part, coalesce(history || note, note, history), limits,
        fair
    FROM gone WHERE ending = 5
    ON CONFLICT (id) DO UPDATE SET
        seq = excluded.seq, priority = excluded.priority, attempts = excluded.attempts,
        exceptions = excluded.exceptions, token = excluded.token,
        max_attempts = excluded.max_attempts, created_at = excluded.created_at,
        available_at = excluded.available_at, started_at = excluded.started_at,
        finished_at = excluded.finished_at, progress = excluded.progress, queue = excluded.queue,
        name = excluded.name, worker = excluded.worker, key = excluded.key,
        payload = excluded.payload, message = excluded.message, error = excluded.error,
        result = excluded.result, traceback = excluded.traceback, latch = excluded.latch,
        part = excluded.part, history = excluded.history, limits = excluded.limits,
        fair = excluded.fair
)
{answer};

-- name: all
SELECT
    count(*),
    CASE WHEN count(*) < cardinality(:ids::text[]) THEN array_agg(place) END,
    array_agg(DISTINCT queue) FILTER (WHERE ending < 2),
    EXISTS (SELECT FROM {meta} WHERE kind = 'awaited' AND until > {now})
FROM held

-- name: each
-- -> of each that was held: its place, how it ended, what it is to its latch, the queue to which it
-- went back; whether anybody waits for jobs to finish.
SELECT
    place, ending, part, CASE WHEN ending < 2 THEN queue END,
    EXISTS (SELECT FROM {meta} WHERE kind = 'awaited' AND until > {now})
FROM held

-- name: lock
-- ids -> nothing of use; their jobs are locked.
SELECT 1 FROM {jobs} WHERE id = ANY (:ids::text[]) ORDER BY id FOR UPDATE;

-- name: in_the_way
-- The ids and keys of jobs that follow, the ids of those that end, their latches -> whether one that
-- ends, or that belongs to a latch, has such an id or holds such a key.
SELECT EXISTS (
    SELECT FROM {jobs}
    WHERE id = ANY (:ids::text[])
    AND (id = ANY (:ends::text[]) OR latch = ANY (:latches::text[]))
) OR EXISTS (
    SELECT FROM {jobs}
    WHERE key = ANY (:keys::text[]) AND key_hold > 0
    AND (id = ANY (:ends::text[]) OR latch = ANY (:latches::text[]))
);

-- name: held
-- id, token -> one row if that claim is still held.
SELECT 1 FROM {jobs} WHERE id = :id::text AND token = :token::bigint AND state + 0 = 2;

-- name: were_settled
-- Settlements of which nobody knows whether they were stored -> the places (from 1) of those that
-- were. What nothing is kept of leaves no trace: then there is nothing left that contradicts.
SELECT given.place
FROM unnest(
    :ids::text[], :tokens::bigint[], :states::smallint[], :retentions::double precision[]
) WITH ORDINALITY AS given (id, token, state, retention, place)
LEFT JOIN {jobs} AS job ON job.id = ANY (ARRAY[given.id])
LEFT JOIN {failed} AS failed ON failed.id = ANY (ARRAY[given.id])
WHERE CASE
    WHEN given.state = 5 THEN failed.token = given.token
    WHEN given.state < 2 THEN job.token = given.token AND job.state IN (0, 1, 4, -2, -3)
    ELSE job.token = given.token AND job.state = given.state
        OR given.retention <= 0 AND job.id IS NULL AND failed.id IS NULL
END;
