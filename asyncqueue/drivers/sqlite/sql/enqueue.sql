-- Storing new jobs. Nearly always nothing is in the way, so the rows are inserted first, and
-- only a conflict makes the driver ask which ids and keys are taken.

-- name: failed
-- ids as JSON -> those that are in the failed table
SELECT json_group_array(id) FROM {failed} WHERE id IN (SELECT value FROM json_each(?));

-- name: insert
INSERT INTO {jobs} (
    id, queue, name, state, priority, max_attempts, created_at, available_at, payload
) VALUES :rows;

-- name: insert_unique
INSERT INTO {jobs} (
    id, queue, name, state, priority, max_attempts, created_at, available_at, payload,
    key, key_hold, key_until
) VALUES :rows;

-- name: insert_latched
INSERT INTO {jobs} (
    id, queue, name, state, priority, max_attempts, created_at, available_at, payload,
    key, key_hold, key_until, latch, part
) VALUES :rows;

-- name: insert_wanting
INSERT INTO {jobs} (
    id, queue, name, state, priority, max_attempts, created_at, available_at, payload,
    key, key_hold, key_until, latch, part, limits, fair
) VALUES :rows;

-- name: clear_ids
-- Finished records past their retention make room for a new job of the same id.
DELETE FROM {jobs} WHERE id IN (SELECT value FROM json_each(:ids)) AND expires_at <= :now;

-- name: clear_keys
UPDATE {jobs} SET key_hold = 0
WHERE key IN (SELECT value FROM json_each(:keys)) AND key_hold > 0 AND key_until <= :now;

-- name: ids
SELECT id FROM {jobs} WHERE id IN (SELECT value FROM json_each(?));

-- name: keys
SELECT key, id FROM {jobs}
WHERE key IN (SELECT value FROM json_each(?)) AND key_hold > 0;
