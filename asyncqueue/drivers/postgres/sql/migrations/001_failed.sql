-- The jobs that failed for good, with the columns of the live ones that still mean something.

-- name: failed
CREATE TABLE {failed} (
    seq bigint NOT NULL,
    priority smallint NOT NULL DEFAULT 1,
    attempts bigint NOT NULL DEFAULT 0,
    exceptions bigint NOT NULL DEFAULT 0,
    token bigint NOT NULL DEFAULT 0,
    max_attempts bigint,
    created_at double precision NOT NULL,
    available_at double precision NOT NULL,
    started_at double precision,
    finished_at double precision NOT NULL,
    progress double precision,
    id text COLLATE "C" PRIMARY KEY,
    queue text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    worker text COLLATE "C",
    key text COLLATE "C",
    payload bytea NOT NULL,
    message text,
    error text,
    result bytea,
    traceback text
);

-- name: failed_seq
CREATE INDEX {failed_seq} ON {failed} (seq);

-- name: failed_finished
CREATE INDEX {failed_finished} ON {failed} (finished_at, seq);
