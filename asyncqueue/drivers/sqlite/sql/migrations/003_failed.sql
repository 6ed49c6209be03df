-- Limits and fair turns of failed jobs, for those that are requeued.

-- name: failed_limits
ALTER TABLE {failed} ADD COLUMN limits TEXT;

-- name: failed_fair
ALTER TABLE {failed} ADD COLUMN fair TEXT;
