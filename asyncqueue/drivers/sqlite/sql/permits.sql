-- Permits: who has which, and until when.

-- name: expire
DELETE FROM {permits} WHERE key = :key AND until <= :now;

-- name: taken
SELECT count(*) FROM {permits} WHERE key = ?;

-- name: ends
-- When all but so many of them will have ended.
SELECT until FROM {permits} WHERE key = :key ORDER BY until LIMIT 1 OFFSET :offset;

-- name: holds
SELECT EXISTS (SELECT 1 FROM {permits} WHERE key = ? AND holder = ?);

-- name: take
INSERT INTO {permits} (key, holder, until) VALUES (:key, :holder, :until)
ON CONFLICT (key, holder) DO UPDATE SET until = excluded.until;

-- name: give_back
DELETE FROM {permits} WHERE key = ? AND holder = ?;

-- name: give_back_all
DELETE FROM {permits} WHERE key = ?;

-- name: holders
SELECT holder, until FROM {permits} WHERE key = :key AND until > :now ORDER BY until, holder;

-- name: prune
DELETE FROM {permits} WHERE until <= ?;
