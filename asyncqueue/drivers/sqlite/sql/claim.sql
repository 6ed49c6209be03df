-- Handing out jobs. Every step looks at one partial index, so neither delayed nor finished rows
-- cost anything, however many there are.

-- name: probe
-- sources as JSON, now -> of each source that is not paused: its number, whether something is
-- ready in its lane, whether something of its queue became due; the same two of those who take turns;
-- and when some who were set aside may try again. Takes no lock.
SELECT
    s.key,
    EXISTS (
        SELECT 1 FROM {jobs} INDEXED BY {ready}
        WHERE state = 0 AND queue = json_extract(s.value, '$[0]')
        AND priority BETWEEN json_extract(s.value, '$[1]') AND json_extract(s.value, '$[2]')
    ),
    EXISTS (
        SELECT 1 FROM {jobs} INDEXED BY {delayed}
        WHERE state = 1 AND queue = json_extract(s.value, '$[0]') AND available_at <= :now
    ),
    EXISTS (
        SELECT 1 FROM {jobs} INDEXED BY {in_turn}
        WHERE state = -4 AND queue = json_extract(s.value, '$[0]')
        AND priority BETWEEN json_extract(s.value, '$[1]') AND json_extract(s.value, '$[2]')
    ),
    EXISTS (
        SELECT 1 FROM {jobs} INDEXED BY {fair}
        WHERE state = -3 AND queue = json_extract(s.value, '$[0]') AND available_at <= :now
    ),
    (SELECT min(at) FROM {openings})
FROM json_each(:sources) AS s
WHERE NOT EXISTS (SELECT 1 FROM {meta} WHERE kind = 'paused' AND name = json_extract(s.value, '$[0]'));

-- name: promote
-- What is due takes its place among the ready ones. The limit bounds the time for which other
-- processes must wait; the next claim goes on.
UPDATE {jobs} SET state = 0
WHERE seq IN (
    SELECT seq FROM {jobs} INDEXED BY {delayed}
    WHERE state = 1 AND queue = :queue AND available_at <= :now
    ORDER BY available_at LIMIT 10000
);

-- name: columns
-- A job as its claim will show it, after what is needed to hand it out. CAST and coalesce keep a damaged row from hiding the good ones, and take less time than typeof. A token is
-- above all tokens of an earlier job of this id that is gone, because no seq comes twice and few
-- jobs are claimed a million times.
    seq, key_hold, limits, id,
    CASE WHEN token IS CAST(token AS INTEGER) AND token BETWEEN seq << 20 AND 1 << 62
    THEN token ELSE seq << 20 END + 1, queue, coalesce(CAST(name AS TEXT), ''),
    coalesce(CAST(payload AS BLOB), x''), priority, CAST(attempts AS INTEGER) + 1,
    CAST(exceptions AS INTEGER), CAST(max_attempts AS INTEGER), CAST(created_at AS REAL),
    CAST(latch AS TEXT);

-- name: first
-- The first jobs of a lane in the order of their queue.
SELECT {claim.columns}
FROM {jobs} INDEXED BY {ready}
WHERE state = 0 AND queue = :queue AND priority BETWEEN :low AND :high
AND typeof(id) = 'text' AND priority IS CAST(priority AS INTEGER)
ORDER BY priority DESC, available_at, seq LIMIT :limit;

-- name: these
SELECT {claim.columns}
FROM {jobs}
WHERE seq IN (SELECT value FROM json_each(?))
AND typeof(id) = 'text' AND priority IS CAST(priority AS INTEGER);

-- name: take
UPDATE {jobs} SET
    state = 2,
    attempts = attempts + 1,
    token = CASE WHEN token IS CAST(token AS INTEGER) AND token BETWEEN seq << 20 AND 1 << 62
    THEN token ELSE seq << 20 END + 1,
    started_at = :now,
    leased_until = :until,
    worker = :worker
WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: free_keys
-- Of jobs that are unique only until they are claimed.
UPDATE {jobs} SET key_hold = 0 WHERE seq IN (SELECT value FROM json_each(:seqs));

-- name: called_off
-- rows as JSON, now -> those of them whose latch has called them off
SELECT job.seq FROM json_each(:seqs) AS claimed
CROSS JOIN {jobs} AS job ON job.seq = claimed.value
CROSS JOIN {latches} AS latch ON latch.id = job.latch
WHERE job.part = 1 AND latch.called_off AND (latch.expires_at IS NULL OR latch.expires_at > :now);

-- name: next_due
-- When the next job of a whole queue is due.
SELECT min(available_at) FROM (
    SELECT * FROM (
        SELECT available_at FROM {jobs} INDEXED BY {delayed}
        WHERE state = 1 AND queue = :queue AND available_at BETWEEN :now AND 1e300
        ORDER BY available_at LIMIT 1
    )
    UNION ALL
    SELECT * FROM (
        SELECT available_at FROM {jobs} INDEXED BY {fair}
        WHERE state = -3 AND queue = :queue AND available_at BETWEEN :now AND 1e300
        ORDER BY available_at LIMIT 1
    )
);

-- name: next_due_in_lane
-- When the next job of a lane is due: exact if it is among the next thousand of the queue,
-- else a time before which it is not.
SELECT min(due) FROM (
    SELECT coalesce(
        min(CASE WHEN priority BETWEEN :low AND :high THEN available_at END),
        CASE WHEN count(*) = 1000 THEN max(available_at) END
    ) AS due
    FROM (
        SELECT available_at, priority FROM {jobs} INDEXED BY {delayed}
        WHERE state = 1 AND queue = :queue AND available_at BETWEEN :now AND 1e300
        ORDER BY available_at LIMIT 1000
    )
    UNION ALL
    SELECT coalesce(
        min(CASE WHEN priority BETWEEN :low AND :high THEN available_at END),
        CASE WHEN count(*) = 1000 THEN max(available_at) END
    )
    FROM (
        SELECT available_at, priority FROM {jobs} INDEXED BY {fair}
        WHERE state = -3 AND queue = :queue AND available_at BETWEEN :now AND 1e300
        ORDER BY available_at LIMIT 1000
    )
);
