-- The jobs that failed for good, with the columns of the live ones that still mean something.

-- name: failed
CREATE TABLE {failed} (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    name TEXT,
    priority INTEGER NOT NULL DEFAULT 1,
    attempts INTEGER NOT NULL DEFAULT 0,
    exceptions INTEGER NOT NULL DEFAULT 0,
    token INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER,
    created_at REAL NOT NULL,
    available_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL NOT NULL,
    worker TEXT,
    key TEXT,
    progress REAL,
    message TEXT,
    payload BLOB,
    error TEXT,
    result BLOB,
    traceback TEXT
);

-- name: failed_id
CREATE UNIQUE INDEX {failed_id} ON {failed} (id);

-- name: failed_finished
CREATE INDEX {failed_finished} ON {failed} (finished_at, queue);
