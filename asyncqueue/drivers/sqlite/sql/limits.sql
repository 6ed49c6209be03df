-- Jobs that wait for permits: set aside when one is missing, put back when there is one.

-- name: set_aside
UPDATE {jobs} SET state = -2, aside = said.column2 FROM (VALUES :rows) AS said
WHERE {jobs}.seq = said.column1;

-- name: who_waits
-- key -> the limits of one of those who were set aside for it
SELECT CAST(limits AS TEXT) FROM {jobs} INDEXED BY {aside} WHERE state = -2 AND aside = ? LIMIT 1;

-- name: places
-- key -> each queue and priority of those who were set aside for it, by one step in the index each
WITH RECURSIVE first(seq) AS (
    SELECT (
        SELECT seq FROM {jobs} INDEXED BY {aside} WHERE state = -2 AND aside = :key
        ORDER BY queue, priority LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT next.seq FROM {jobs} AS next INDEXED BY {aside}
        WHERE next.state = -2 AND next.aside = :key
        AND (next.queue, next.priority) > (place.queue, place.priority)
        ORDER BY next.queue, next.priority LIMIT 1
    )
    FROM first CROSS JOIN {jobs} AS place ON place.seq = first.seq
)
SELECT queue, priority FROM first CROSS JOIN {jobs} AS job ON job.seq = first.seq;

-- name: put_back
-- The first of one queue and priority take their old places again.
UPDATE {jobs} SET state = CASE WHEN fair IS NULL THEN 0 ELSE -3 END, aside = NULL
WHERE seq IN (
    SELECT seq FROM {jobs} INDEXED BY {aside}
    WHERE state = -2 AND aside = :key AND queue = :queue AND priority = :priority
    ORDER BY available_at, seq LIMIT :room
);

-- name: look_again
-- Unless that is done earlier anyway.
INSERT INTO {openings} AS old (key, at) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET at = excluded.at WHERE excluded.at < old.at;

-- name: open
-- What is no time is behind all numbers, and over.
DELETE FROM {openings} WHERE key IN (
    SELECT key FROM {openings} INDEXED BY {opening_at} WHERE at <= ? ORDER BY at LIMIT 1000
) OR at >= ''
RETURNING key;

-- name: opens_at
SELECT min(at) FROM {openings};
