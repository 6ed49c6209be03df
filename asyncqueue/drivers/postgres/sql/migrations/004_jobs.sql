-- Permits, the jobs that wait for them, and turns.
--
-- limits: the permits that a claim of the job needs, as JSON; fair: the key by which it takes turns.
-- state -2: ready, but a claim has to look at permits or turns. state -3: set aside until there is
-- a permit of the key in ``aside``. A row with neither limits nor fair has none of these states.

-- name: jobs
ALTER TABLE {jobs}
    ADD COLUMN limits text COLLATE "C",
    ADD COLUMN fair text COLLATE "C",
    ADD COLUMN aside text COLLATE "C";

-- name: restricted
CREATE INDEX {restricted} ON {jobs} (queue, priority, fair, available_at, seq) WHERE state = -2;

-- name: aside
CREATE INDEX {aside} ON {jobs} (aside, queue, priority, available_at, seq) WHERE state = -3;

-- name: permits
CREATE TABLE {permits} (
    until double precision NOT NULL,
    key text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    PRIMARY KEY (key, holder)
);

-- name: permits_settings
ALTER TABLE {permits} SET (
    fillfactor = 50, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0.1
);

-- name: permit_end
CREATE INDEX {permit_end} ON {permits} (until);

-- name: openings
-- When those who were set aside for a key may try again, where that is known.
CREATE TABLE {openings} (
    at double precision NOT NULL,
    key text COLLATE "C" PRIMARY KEY
);

-- name: openings_settings
ALTER TABLE {openings} SET (
    fillfactor = 50, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0.1
);

-- name: opening_at
CREATE INDEX {opening_at} ON {openings} (at);
