-- Limits and fair turns: what a job wants besides being due, and who has which permit.
--
-- limits: the permits that a claim of the job needs, as JSON; fair: the key by which it takes turns.
-- state -2: set aside until there is a permit of the key in ``aside``. state -3: waits, due or not,
-- and takes no turns yet. state -4: takes turns. No index of plain jobs has any of these, and theirs
-- have no plain jobs, so neither costs the other anything.

-- name: jobs_limits
ALTER TABLE {jobs} ADD COLUMN limits TEXT;

-- name: jobs_fair
ALTER TABLE {jobs} ADD COLUMN fair TEXT;

-- name: jobs_aside
ALTER TABLE {jobs} ADD COLUMN aside TEXT;

-- name: aside
CREATE INDEX {aside} ON {jobs} (aside, queue, priority, available_at, seq) WHERE state = -2;

-- name: fair
CREATE INDEX {fair} ON {jobs} (queue, available_at, priority) WHERE state = -3;

-- name: in_turn
CREATE INDEX {in_turn} ON {jobs} (queue, priority, fair, available_at, seq) WHERE state = -4;

-- name: turns
-- The keys of which jobs of a queue and priority take turns, the smallest turn first. The empty key
-- is that of the jobs without one.
CREATE TABLE {turns} (
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    fair TEXT NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (queue, priority, fair)
) WITHOUT ROWID;

-- name: next_turn
CREATE INDEX {next_turn} ON {turns} (queue, priority, turn);

-- name: permits
-- until: infinite where the permit is held as long as a job is being processed.
CREATE TABLE {permits} (
    key TEXT NOT NULL,
    holder TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (key, holder)
) WITHOUT ROWID;

-- name: permit_end
CREATE INDEX {permit_end} ON {permits} (key, until);

-- name: openings
-- When those who were set aside for a key may try again, where that is known.
CREATE TABLE {openings} (key TEXT NOT NULL PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;

-- name: opening_at
CREATE INDEX {opening_at} ON {openings} (at);
