-- Latches: what they have counted, and whom they hold back. The rules are applied to their states
-- outside of SQL, in the transaction that moves the jobs.
--
-- Whoever is going to change latches, or what they hold back, locks all of them in the order of
-- their ids before he locks anything else: who waits for one holds nothing but such locks, so
-- nobody ever waits for each other.

-- name: lock
-- ids -> the states of those that are known, and the time.
SELECT
    id, data, breaks, retention, created_at, total, completed, failed, skipped, guards,
    success_guards, failure_guards, called_off, broken, ended, error, opened_at, {now}
FROM {latches}
WHERE id = ANY (:ids::text[]) AND (expires_at IS NULL OR expires_at > {now})
ORDER BY id FOR UPDATE;

-- name: read
-- ids, or NULL for all -> their states, the newest first.
SELECT
    id, data, breaks, retention, created_at, total, completed, failed, skipped, guards,
    success_guards, failure_guards, called_off, broken, ended, error, opened_at
FROM {latches}
WHERE (:ids::text[] IS NULL OR id = ANY (:ids::text[]))
AND (expires_at IS NULL OR expires_at > {now})
ORDER BY seq DESC;

-- name: called_off
SELECT id FROM {latches} WHERE id = ANY (:ids::text[]) AND called_off;

-- name: insert
-- New ones in any order -> the ids that were not taken. What is past its retention makes room.
INSERT INTO {latches} AS old (
    id, data, breaks, retention, created_at, total, success_guards, failure_guards
)
SELECT
    given.id, given.data, given.breaks, given.retention, {now}, given.total, given.success_guards,
    given.failure_guards
FROM unnest(
    :ids::text[], :data::bytea[], :breaks::boolean[], :retentions::double precision[],
    :totals::bigint[], :success_guards::bigint[], :failure_guards::bigint[]
) AS given (id, data, breaks, retention, total, success_guards, failure_guards)
ORDER BY given.id
ON CONFLICT (id) DO UPDATE SET
    seq = excluded.seq, data = excluded.data, breaks = excluded.breaks,
    retention = excluded.retention, created_at = excluded.created_at, total = excluded.total,
    completed = 0, failed = 0, skipped = 0, guards = 0, success_guards = excluded.success_guards,
    failure_guards = excluded.failure_guards, called_off = false, broken = false, ended = false,
    error = NULL, opened_at = NULL, expires_at = NULL
WHERE old.expires_at <= {now}
RETURNING id;

-- name: write
-- The new states of latches that were locked.
UPDATE {latches} SET
    total = given.total,
    completed = given.completed,
    failed = given.failed,
    skipped = given.skipped,
    guards = given.guards,
    success_guards = given.success_guards,
    failure_guards = given.failure_guards,
    called_off = given.called_off,
    broken = given.broken,
    ended = given.ended,
    error = given.error,
    opened_at = given.opened_at,
    expires_at = given.expires_at
FROM unnest(
    :ids::text[], :totals::bigint[], :completed::bigint[], :failed::bigint[], :skipped::bigint[],
    :guards::bigint[], :success_guards::bigint[], :failure_guards::bigint[],
    :called_off::boolean[], :broken::boolean[], :ended::boolean[], :errors::text[],
    :opened_at::double precision[], :expires_at::double precision[]
) AS given (
    id, total, completed, failed, skipped, guards, success_guards, failure_guards, called_off,
    broken, ended, error, opened_at, expires_at
)
WHERE {latches}.id = ANY (ARRAY[given.id]);

-- name: let_go
-- latches with what for -> the queues of the jobs that wait like any others from now on.
UPDATE {jobs} SET
    state = CASE
        WHEN available_at > 0 THEN 1 WHEN limits IS NULL AND fair IS NULL THEN 0 ELSE -2
    END,
    available_at = {now} + available_at,
    held = NULL
FROM unnest(:latches::text[], :held::smallint[]) AS given (latch, held)
WHERE {jobs}.latch = ANY (ARRAY[given.latch]) AND {jobs}.latch IS NOT NULL
AND {jobs}.held = ANY (ARRAY[given.held]) AND {jobs}.state = -1
RETURNING {jobs}.queue;

-- name: drop
-- latches with what for -> the ids of the jobs for which there will never be a reason.
DELETE FROM {jobs}
USING unnest(:latches::text[], :held::smallint[]) AS given (latch, held)
WHERE {jobs}.latch = ANY (ARRAY[given.latch]) AND {jobs}.latch IS NOT NULL
AND {jobs}.held = ANY (ARRAY[given.held]) AND {jobs}.state = -1
RETURNING {jobs}.id;

-- name: drop_all
-- latches -> the ids of all that they hold back.
DELETE FROM {jobs}
WHERE latch = ANY (:latches::text[]) AND held IS NOT NULL AND state = -1
RETURNING id;

-- name: remove
-- Rows that whoever asks has locked.
DELETE FROM {jobs} WHERE seq = ANY (:seqs::bigint[]);

-- name: forget
DELETE FROM {latches}
WHERE id = ANY (:ids::text[]) AND (expires_at IS NULL OR expires_at > {now});

-- name: prune
DELETE FROM {latches} WHERE id = ANY (ARRAY(
    SELECT id FROM {latches} WHERE expires_at <= {now}
    ORDER BY expires_at LIMIT :room::bigint FOR UPDATE SKIP LOCKED
));
