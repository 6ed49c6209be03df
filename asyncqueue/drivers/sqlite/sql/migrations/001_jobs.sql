-- The live and recently finished jobs, and a few facts about the whole.
--
-- state: 0 ready, 1 delayed, 2 processing, 3 completed, 4 cancelled. A delayed row becomes ready
-- when a claim finds it due, so whoever looks must take "delayed and due" for pending.
-- key_hold: 0 the key is free, 1 held until the end, 2 held until the first claim.
-- cancel_keep: set once the cancellation of a running job was asked for; the seconds for which
-- its record is to be kept. Times are seconds since the epoch.
-- What may be large stands last, so that the small columns are read without it.

-- name: jobs
CREATE TABLE {jobs} (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    name TEXT,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL DEFAULT 1,
    attempts INTEGER NOT NULL DEFAULT 0,
    exceptions INTEGER NOT NULL DEFAULT 0,
    token INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER,
    created_at REAL NOT NULL,
    available_at REAL NOT NULL,
    started_at REAL,
    leased_until REAL,
    finished_at REAL,
    expires_at REAL,
    worker TEXT,
    cancel_keep REAL,
    key TEXT,
    key_hold INTEGER NOT NULL DEFAULT 0,
    key_until REAL,
    progress REAL,
    message TEXT,
    payload BLOB,
    error TEXT,
    result BLOB,
    traceback TEXT
);

-- name: id
CREATE UNIQUE INDEX {id} ON {jobs} (id);

-- name: ready
CREATE INDEX {ready} ON {jobs} (queue, priority DESC, available_at, seq) WHERE state = 0;

-- name: delayed
CREATE INDEX {delayed} ON {jobs} (queue, available_at, priority) WHERE state = 1;

-- name: leased
CREATE INDEX {leased} ON {jobs} (leased_until) WHERE state = 2;

-- name: finished
CREATE INDEX {finished} ON {jobs} (state, queue, expires_at, finished_at) WHERE state >= 3;

-- name: key
CREATE UNIQUE INDEX {key} ON {jobs} (key) WHERE key_hold > 0;

-- name: called_off
CREATE INDEX {called_off} ON {jobs} (cancel_keep) WHERE cancel_keep IS NOT NULL;

-- name: meta
CREATE TABLE {meta} (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    until REAL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
