-- The workers, and those who wait for jobs to finish, as facts in the meta table that grow old.

-- name: announce
INSERT INTO {meta} (kind, name, value, noted_at, until)
VALUES ('worker', :id::text, :presence::text, {now}, {now} + :ttl::double precision)
ON CONFLICT (kind, name) DO UPDATE SET
    value = excluded.value, noted_at = excluded.noted_at, until = excluded.until;

-- name: forget
DELETE FROM {meta} WHERE kind IN ('worker', 'awaited') AND (name = :id::text OR until <= {now});

-- name: workers
-- -> presence, last seen.
SELECT value, noted_at FROM {meta}
WHERE kind = 'worker' AND until > {now} ORDER BY name;

-- name: running
SELECT worker, id FROM {jobs} WHERE state = 2 ORDER BY seq;

-- name: called_off
SELECT id FROM {jobs} WHERE cancel_keep IS NOT NULL AND worker = :worker::text AND state = 2;

-- name: await
-- Somebody waits for jobs to finish: those who settle tell of it for this long.
INSERT INTO {meta} (kind, name, until)
VALUES ('awaited', :id::text, {now} + :ttl::double precision)
ON CONFLICT (kind, name) DO UPDATE SET until = excluded.until;

-- name: notify
SELECT pg_notify(:channel::text, text) FROM unnest(:texts::text[]) AS text;
