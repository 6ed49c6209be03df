-- Latches: which jobs belong together, what became of them, and who waits for that.
--
-- latch: the one to which a job belongs. part: what it is to it: 1 a member, 2 a member that nobody
-- calls off, 3 a guard; held back until success 4, failure 6, the end 8, and one more for guards. The
-- state of those held back is -1, which no other index has. history: what the settlements of its
-- attempts said. One index and few columns, for every job pays for them.

-- name: jobs_latch
ALTER TABLE {jobs} ADD COLUMN latch TEXT;

-- name: jobs_part
ALTER TABLE {jobs} ADD COLUMN part INTEGER;

-- name: jobs_history
ALTER TABLE {jobs} ADD COLUMN history BLOB;

-- name: latch
CREATE INDEX {latch} ON {jobs} (latch, part) WHERE latch IS NOT NULL;

-- name: latches
-- expires_at: set once it has ended. What may be large stands last.
CREATE TABLE {latches} (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    breaks INTEGER NOT NULL,
    retention REAL NOT NULL,
    created_at REAL NOT NULL,
    total INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    guards INTEGER NOT NULL,
    success_guards INTEGER NOT NULL,
    failure_guards INTEGER NOT NULL,
    called_off INTEGER NOT NULL,
    broken INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    opened_at REAL,
    expires_at REAL,
    error TEXT,
    data BLOB
);

-- name: latches_id
CREATE UNIQUE INDEX {latches_id} ON {latches} (id);

-- name: latches_over
CREATE INDEX {latches_over} ON {latches} (expires_at) WHERE expires_at IS NOT NULL;
