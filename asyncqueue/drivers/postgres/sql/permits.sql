-- Permits: who holds which, who waits for one, and who may try again.
--
-- Whoever changes permits of a key, or a job that is set aside for it or may be, locks the key
-- first: after latches, and before jobs. Keys share a bounded number of locks, which are taken in
-- one order.

-- name: lock
-- store, keys.
SELECT pg_advisory_xact_lock(:store::integer, ordered.part) FROM (
    SELECT DISTINCT (hashtextextended(key, 0) & 511)::integer AS part
    FROM unnest(:keys::text[]) AS key ORDER BY part
) AS ordered;

-- name: taken
-- keys, which are locked -> the time, and key, holder, until of the permits that are taken.
WITH over AS (
    DELETE FROM {permits} WHERE key = ANY (:keys::text[]) AND until <= {now}
)
SELECT known.now, taken.key, taken.holder, taken.until
FROM (SELECT {now} AS now) AS known
LEFT JOIN {permits} AS taken ON taken.key = ANY (:keys::text[]) AND taken.until > known.now;

-- name: take
INSERT INTO {permits} (key, holder, until)
SELECT key, holder, until
FROM unnest(:keys::text[], :holders::text[], :untils::double precision[])
AS given (key, holder, until)
ON CONFLICT (key, holder) DO UPDATE SET until = excluded.until;

-- name: give_back
DELETE FROM {permits} USING unnest(:keys::text[], :holders::text[]) AS given (key, holder)
WHERE {permits}.key = ANY (ARRAY[given.key]) AND {permits}.holder = ANY (ARRAY[given.holder]);

-- name: holders
SELECT holder, until - {now} FROM {permits} WHERE key = :key::text AND until > {now}
ORDER BY until;

-- name: prune
DELETE FROM {permits} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {permits} WHERE until <= {now}
    ORDER BY until LIMIT :room::bigint FOR UPDATE SKIP LOCKED
));

-- name: of_jobs
-- ids -> id, limits of those that have any.
SELECT id, limits FROM {jobs} WHERE id = ANY (:ids::text[]) AND limits IS NOT NULL;

-- name: claims
-- ids, tokens -> the places (from 1) of claims that are held by jobs with limits.
SELECT given.place
FROM unnest(:ids::text[], :tokens::bigint[]) WITH ORDINALITY AS given (id, token, place)
JOIN {jobs} AS job ON job.id = ANY (ARRAY[given.id]) AND job.token = given.token
    AND job.state + 0 = 2
WHERE job.limits IS NOT NULL;

-- name: set_aside
UPDATE {jobs} SET state = -3, aside = given.key
FROM unnest(:seqs::bigint[], :keys::text[]) AS given (seq, key)
WHERE {jobs}.seq = ANY (ARRAY[given.seq]);

-- name: first_aside
-- keys -> of each for which anybody is set aside, the limits of one of them.
SELECT given.key, job.limits
FROM unnest(:keys::text[]) AS given (key) CROSS JOIN LATERAL (
    SELECT limits FROM {jobs} WHERE state = -3 AND aside = given.key LIMIT 1
) AS job;

-- name: refill
-- keys, which are locked, and how many permits of each are left -> the queues of those who may try:
-- as many of each queue and priority.
WITH RECURSIVE place AS (
    SELECT given.key, given.room, first.queue, first.priority
    FROM unnest(:keys::text[], :rooms::bigint[]) AS given (key, room) CROSS JOIN LATERAL (
        SELECT queue, priority FROM {jobs} WHERE state = -3 AND aside = given.key
        ORDER BY queue, priority LIMIT 1
    ) AS first
    UNION ALL
    SELECT place.key, place.room, next.queue, next.priority
    FROM place CROSS JOIN LATERAL (
        SELECT queue, priority FROM {jobs} WHERE state = -3 AND aside = place.key
        AND (queue, priority) > (place.queue, place.priority)
        ORDER BY queue, priority LIMIT 1
    ) AS next
)
UPDATE {jobs} SET state = -2, aside = NULL
WHERE seq = ANY (ARRAY(
    SELECT job.seq FROM place CROSS JOIN LATERAL (
        SELECT seq FROM {jobs}
        WHERE state = -3 AND aside = place.key AND queue = place.queue
        AND priority = place.priority
        ORDER BY available_at, seq LIMIT place.room
    ) AS job
)) AND state = -3
RETURNING queue;

-- name: arm
-- Look at these keys again at these times, unless that is done earlier anyway.
INSERT INTO {openings} AS old (key, at)
SELECT key, at FROM unnest(:keys::text[], :ats::double precision[]) AS given (key, at)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET at = excluded.at WHERE excluded.at < old.at;

-- name: due
SELECT key FROM {openings} WHERE at <= {now} ORDER BY at LIMIT :most::bigint;

-- name: disarm
-- keys, which are locked -> those that are due indeed.
DELETE FROM {openings} WHERE key = ANY (:keys::text[]) AND at <= {now} RETURNING key;
