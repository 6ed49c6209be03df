-- Storing new jobs.

-- name: insert
-- Parallel arrays, one element for each job; a whole array may be NULL where no job has a value.
-- -> the ids that were stored, in order. An id that is known stores nothing, unless its record is
-- past its retention: then the new job takes its row.
INSERT INTO {jobs} AS old (
    state, priority, max_attempts, created_at, available_at, id, queue, name, payload
)
SELECT
    CASE WHEN given.delay > 0 THEN 1 ELSE 0 END, given.priority, given.max_attempts, (SELECT {now}),
    CASE WHEN given.delay > 0 THEN (SELECT {now}) + given.delay ELSE (SELECT {now}) END,
    given.id, given.queue, given.name, given.payload
FROM unnest(
    :ids::text[], :queues::text[], :names::text[], :payloads::bytea[], :priorities::smallint[],
    :max_attempts::bigint[], :delays::double precision[]
) WITH ORDINALITY AS given (id, queue, name, payload, priority, max_attempts, delay, place)
WHERE given.id <> ALL (ARRAY(SELECT id FROM {failed} WHERE id = ANY (:ids::text[])))
ORDER BY given.place
ON CONFLICT (id) DO UPDATE SET
    seq = excluded.seq, state = excluded.state, priority = excluded.priority,
    max_attempts = excluded.max_attempts, created_at = excluded.created_at,
    available_at = excluded.available_at, queue = excluded.queue, name = excluded.name,
    payload = excluded.payload, attempts = 0, exceptions = 0, token = 0, key_hold = 0, key = NULL,
    key_until = NULL, started_at = NULL, finished_at = NULL, expires_at = NULL, progress = NULL,
    worker = NULL, message = NULL, error = NULL, result = NULL, traceback = NULL, latch = NULL,
    part = NULL, held = NULL, history = NULL, limits = NULL, fair = NULL, aside = NULL
WHERE old.state >= 3 AND old.expires_at <= {now}
RETURNING id;

-- name: insert_new
-- The same, less work, for ids that are new most likely: one that is known fails the whole statement.
-- Ids come as one text, payloads as one bytea with where each of them ends, and what is the same for
-- all comes once -> how many were stored; their ids, unless all.
WITH stored AS (
    INSERT INTO {jobs} (
        state, priority, max_attempts, created_at, available_at, id, queue, name, payload
    )
    SELECT
        CASE WHEN coalesce(given.delay, :delay::double precision) > 0 THEN 1 ELSE 0 END,
        coalesce(given.priority, :priority::smallint),
        coalesce(given.max_attempts, :max_attempt::bigint),
        (SELECT {now}),
        CASE WHEN coalesce(given.delay, :delay::double precision) > 0
            THEN (SELECT {now}) + coalesce(given.delay, :delay::double precision)
            ELSE (SELECT {now}) END,
        given.id,
        coalesce(given.queue, :queue::text),
        coalesce(given.name, :name::text),
        substring(
            :payloads::bytea
            FROM ((SELECT :ends::text::integer[]))[given.place::integer] + 1
            FOR ((SELECT :ends::text::integer[]))[given.place::integer + 1]
                - ((SELECT :ends::text::integer[]))[given.place::integer]
        )
    FROM unnest(
        string_to_array(:packed_ids::text, E'\x1f'), :queues::text[], :names::text[],
        :priorities::smallint[], :max_attempts::bigint[], :delays::double precision[]
    ) WITH ORDINALITY AS given (id, queue, name, priority, max_attempts, delay, place)
    WHERE given.id <> ALL (ARRAY(
        SELECT id FROM {failed} WHERE id = ANY (string_to_array(:packed_ids::text, E'\x1f'))
    ))
    ORDER BY given.place
    RETURNING id
)
SELECT count(*), CASE WHEN count(*) < :asked::bigint THEN array_agg(id) END FROM stored;

-- name: insert_one
-- The same for one job, with a notification in the same commit if there is a text -> its id, if it
-- was stored.
INSERT INTO {jobs} (
    state, priority, max_attempts, created_at, available_at, id, queue, name, payload
)
SELECT
    CASE WHEN :delay::double precision > 0 THEN 1 ELSE 0 END,
    :priority::smallint, :max_attempts::bigint, {now},
    {now} + greatest(:delay::double precision, 0),
    :id::text, :queue::text, :name::text, :payload::bytea
WHERE NOT EXISTS (SELECT FROM {failed} WHERE id = :id::text)
RETURNING id, CASE WHEN :text::text IS NOT NULL THEN pg_notify(:channel::text, :text::text) END;

-- name: insert_unique
-- The same for jobs that may have keys, latches and limits; any conflict stores nothing.
INSERT INTO {jobs} (
    state, priority, max_attempts, created_at, available_at, id, queue, name, payload,
    key, key_hold, key_until, latch, part, held, limits, fair
)
SELECT
    CASE
        WHEN given.held IS NOT NULL THEN -1
        WHEN given.delay > 0 THEN 1
        WHEN given.limits IS NULL AND given.fair IS NULL THEN 0
        ELSE -2
    END,
    given.priority, given.max_attempts, {now},
    CASE WHEN given.held IS NULL THEN {now} ELSE 0 END + greatest(given.delay, 0),
    given.id, given.queue, given.name, given.payload, given.key, given.key_hold,
    {now} + given.key_ttl, given.latch, given.part, given.held, given.limits, given.fair
FROM unnest(
    :ids::text[], :queues::text[], :names::text[], :payloads::bytea[], :priorities::smallint[],
    :max_attempts::bigint[], :delays::double precision[], :keys::text[], :key_holds::smallint[],
    :key_ttls::double precision[], :latches::text[], :parts::smallint[], :held::smallint[],
    :limits::text[], :fair::text[]
) WITH ORDINALITY AS given (
    id, queue, name, payload, priority, max_attempts, delay, key, key_hold, key_ttl, latch, part,
    held, limits, fair, place
)
WHERE given.id <> ALL (ARRAY(SELECT id FROM {failed} WHERE id = ANY (:ids::text[])))
ORDER BY given.place
ON CONFLICT DO NOTHING
RETURNING id;

-- name: clear_ids
-- Finished records past their retention make room for a new job of the same id.
DELETE FROM {jobs} WHERE seq = ANY (ARRAY(
    SELECT seq FROM {jobs}
    WHERE id = ANY (:ids::text[]) AND state >= 3 AND expires_at <= {now}
    ORDER BY id FOR UPDATE
));

-- name: clear_keys
-- ``id || ''`` because an index by key is wanted, and not that by id for its order.
UPDATE {jobs} SET key_hold = 0 WHERE seq = ANY (ARRAY(
    SELECT seq FROM {jobs}
    WHERE key = ANY (:keys::text[]) AND key_hold > 0 AND key_until <= {now}
    ORDER BY id || '' FOR UPDATE
));

-- name: ids
SELECT id FROM {jobs} WHERE id = ANY (:ids::text[])
UNION ALL
SELECT id FROM {failed} WHERE id = ANY (:ids::text[]);

-- name: keys
SELECT key, id FROM {jobs} WHERE key = ANY (:keys::text[]) AND key_hold > 0;
