-- What is there already. The meta table says which tables this asyncqueue created, so that an
-- application's own table of the same name is never taken for a queue's.

-- name: lock
-- One process at a time changes tables; the others find it done.
SELECT pg_advisory_xact_lock(:lock::bigint);

-- name: hurry
-- Whoever waits for a table that somebody else is using keeps all others waiting as well.
SET LOCAL lock_timeout = '10s';

-- name: has_schema
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :schema::text);

-- name: has_table
-- Not to_regclass(): within a transaction it goes on telling what it found first.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class AS relation
    JOIN pg_catalog.pg_namespace AS space ON space.oid = relation.relnamespace
    WHERE space.nspname = :schema::text AND relation.relname = :table::text
);

-- name: facts
SELECT kind, name, value FROM {meta} WHERE kind IN ('schema', 'failed');

-- name: note
INSERT INTO {meta} (kind, name, value) VALUES {facts}
ON CONFLICT (kind, name) DO UPDATE SET value = excluded.value;
