-- Jobs with fair keys: those of each key wait in a line of their own, and the keys take turns.

-- name: due
-- What became due: queue's priorities and keys, in the order in which they did.
SELECT priority, fair FROM (
    SELECT priority, fair, available_at, seq FROM {jobs} INDEXED BY {fair}
    WHERE state = -3 AND queue = :queue AND available_at <= :now AND fair IS NOT NULL
    ORDER BY available_at LIMIT 10000
)
GROUP BY priority, fair ORDER BY min(available_at), min(seq);

-- name: promote
-- One whose key was taken from it waits as those who never had one.
UPDATE {jobs} SET state = CASE WHEN fair IS NULL THEN 0 ELSE -4 END
WHERE seq IN (
    SELECT seq FROM {jobs} INDEXED BY {fair}
    WHERE state = -3 AND queue = :queue AND available_at <= :now
    ORDER BY available_at LIMIT 10000
);

-- name: join
-- Behind those who take turns already.
INSERT INTO {turns} (queue, priority, fair, turn)
VALUES (:queue, :priority, :fair, (
    SELECT coalesce(max(turn), 0) + 1 FROM {turns} WHERE queue = :queue AND priority = :priority
))
ON CONFLICT DO NOTHING;

-- name: priorities
SELECT DISTINCT priority FROM {turns}
WHERE queue = :queue AND priority BETWEEN :low AND :high ORDER BY priority DESC;

-- name: keys
SELECT fair FROM {turns} INDEXED BY {next_turn}
WHERE queue = :queue AND priority = :priority ORDER BY turn LIMIT :limit;

-- name: line
SELECT seq FROM {jobs} INDEXED BY {in_turn}
WHERE state = -4 AND queue = :queue AND priority = :priority AND fair = :fair
ORDER BY available_at, seq LIMIT :limit;

-- name: line_without
-- That of the jobs without a key.
SELECT seq FROM {jobs} INDEXED BY {ready}
WHERE state = 0 AND queue = :queue AND priority = :priority AND typeof(id) = 'text'
ORDER BY available_at, seq LIMIT :limit;

-- name: leave
DELETE FROM {turns} WHERE queue = :queue AND priority = :priority AND fair = :fair;

-- name: served
UPDATE {turns} SET turn = (
    SELECT max(turn) + 1 FROM {turns} WHERE queue = :queue AND priority = :priority
)
WHERE queue = :queue AND priority = :priority AND fair = :fair;
