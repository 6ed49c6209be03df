-- Handing out jobs of one queue and priority where some have limits, or take turns.

-- name: lock
-- store, line -> whoever else hands out jobs of that line waits.
SELECT pg_advisory_xact_lock(:store::integer, (-1 - (hashtextextended(:line::text, 0) & 511))::integer);

-- name: last
-- line -> the key whose turn was the last.
SELECT value FROM {meta} WHERE kind = 'turn' AND name = :line::text;

-- name: note_last
INSERT INTO {meta} (kind, name, value) VALUES ('turn', :line::text, :last::text)
ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value;

-- name: candidates
-- queue, priority, last, most -> seq, limits, key, in the order of their turns.
--
-- The keys come in their order, and begin behind the last one; those who have none are one key,
-- which comes first of all. One step of the recursion finds the next key, however many jobs it has.
WITH RECURSIVE behind AS (
    (
        SELECT fair, 1 AS place FROM {jobs}
        WHERE state = -2 AND queue = :queue::text AND priority = :priority::smallint
        AND fair > :last::text
        ORDER BY fair LIMIT 1
    )
    UNION ALL
    SELECT next.fair, behind.place + 1
    FROM behind CROSS JOIN LATERAL (
        SELECT fair FROM {jobs}
        WHERE state = -2 AND queue = :queue::text AND priority = :priority::smallint
        AND fair > behind.fair
        ORDER BY fair LIMIT 1
    ) AS next
    WHERE behind.place < :most::bigint
),
before AS (
    (
        SELECT fair, 1 AS place FROM {jobs}
        WHERE state = -2 AND queue = :queue::text AND priority = :priority::smallint
        AND fair <= :last::text
        ORDER BY fair LIMIT 1
    )
    UNION ALL
    SELECT next.fair, before.place + 1
    FROM before CROSS JOIN LATERAL (
        SELECT fair FROM {jobs}
        WHERE state = -2 AND queue = :queue::text AND priority = :priority::smallint
        AND fair > before.fair AND fair <= :last::text
        ORDER BY fair LIMIT 1
    ) AS next
    WHERE before.place < :most::bigint
),
keys AS MATERIALIZED (
    SELECT fair, place FROM behind
    UNION ALL
    SELECT fair, :most::bigint + 1 + place FROM before
),
each AS MATERIALIZED (
    SELECT 1 + :most::bigint / greatest(count(*), 1) AS most FROM keys
),
head AS (
    SELECT job.seq, job.limits, keys.fair AS key, job.round, keys.place
    FROM keys CROSS JOIN LATERAL (
        SELECT seq, limits, row_number() OVER (ORDER BY available_at, seq) AS round FROM (
            SELECT seq, limits, available_at FROM {jobs}
            WHERE state = -2 AND queue = :queue::text AND priority = :priority::smallint
            AND fair = keys.fair
            ORDER BY available_at, seq LIMIT (SELECT most FROM each)
        ) AS first
    ) AS job
    UNION ALL
    SELECT seq, limits, '', row_number() OVER (ORDER BY available_at, seq), :most::bigint + 1
    FROM (
        (
            SELECT seq, limits, available_at FROM {jobs}
            WHERE state = 0 AND queue = :queue::text AND priority = :priority::smallint
            ORDER BY available_at, seq LIMIT (SELECT most FROM each)
        )
        UNION ALL
        (
            SELECT seq, limits, available_at FROM {jobs}
            WHERE state = -2 AND queue = :queue::text AND priority = :priority::smallint
            AND fair IS NULL
            ORDER BY fair, available_at, seq LIMIT (SELECT most FROM each)
        )
        ORDER BY available_at, seq LIMIT (SELECT most FROM each)
    ) AS first
)
SELECT seq, limits, key FROM head ORDER BY round, place LIMIT :most::bigint;

-- name: lock_jobs
-- seqs -> the seqs of those that wait still, and that nobody else is taking.
SELECT seq FROM {jobs} WHERE seq = ANY (:seqs::bigint[]) AND (state = 0 OR state = -2)
FOR UPDATE SKIP LOCKED;

-- name: hand_out
-- Rows that are locked -> the columns of claim.take up to started_at.
UPDATE {jobs} SET
    state = 2,
    attempts = attempts + 1,
    token = CASE WHEN token BETWEEN seq << 20 AND 1::bigint << 62 THEN token ELSE seq << 20 END + 1,
    started_at = {now},
    leased_until = {now} + :lease::double precision,
    worker = :worker::text,
    handout = :handout::bigint,
    key_hold = CASE key_hold WHEN 2 THEN 0 ELSE key_hold END
WHERE seq = ANY (:seqs::bigint[])
RETURNING
    id, token, queue, name, payload, priority, attempts, exceptions, max_attempts, created_at,
    available_at, seq, latch, part, started_at;
