-- A database of version 1 with a job in every state, as `.dump` prints it. Made on 2026-01-01 by a
-- clock that was moved by hand.
BEGIN TRANSACTION;
CREATE TABLE "failed_jobs" (
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
INSERT INTO "failed_jobs" VALUES(3,'failed','q','kind',1,1,1,3145729,NULL,1767225600.0,1767225600.0,1767225600.0,1767225600.0,'worker-1','gone',NULL,NULL,X'7061796C6F6164206F66206661696C6564','ValueError: no',NULL,'Traceback: no');
CREATE TABLE "jobs" (
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
INSERT INTO "jobs" VALUES(1,'completed','q','kind',3,1,1,0,1048577,NULL,1767225600.0,1767225600.0,1767225600.0,NULL,1767225600.0,1767229200.0,'worker-1',NULL,NULL,0,NULL,100.0,NULL,X'7061796C6F6164206F6620636F6D706C65746564',NULL,X'3432',NULL);
INSERT INTO "jobs" VALUES(2,'cancelled','q','kind',4,1,1,0,2097153,NULL,1767225600.0,1767225600.0,1767225600.0,NULL,1767225600.0,1767229200.0,'worker-1',NULL,NULL,0,NULL,NULL,NULL,X'7061796C6F6164206F662063616E63656C6C6564',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(4,'processing','q','kind',2,1,1,0,4194305,NULL,1767225600.0,1767225600.0,1767225600.0,1767225630.0,NULL,NULL,'worker-1',NULL,'taken',1,NULL,40.0,'half way',X'7061796C6F6164206F662070726F63657373696E67',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(5,'called off','q','kind',2,1,1,0,5242881,NULL,1767225600.0,1767225600.0,1767225600.0,1767225630.0,NULL,NULL,'worker-1',60.0,NULL,0,NULL,NULL,NULL,X'7061796C6F6164206F662063616C6C6564206F6666',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(6,'ready','q','kind',0,1,0,0,0,NULL,1767225600.0,1767225600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,X'7061796C6F6164206F66207265616479',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(7,'urgent','q','kind',0,9,0,0,0,NULL,1767225600.0,1767225600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,X'7061796C6F6164206F6620757267656E74',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(8,'delayed','q','kind',1,1,0,0,0,7,1767225600.0,1767225660.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,X'7061796C6F6164206F662064656C61796564',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(9,'unique','q','kind',0,1,0,0,0,NULL,1767225600.0,1767225600.0,NULL,NULL,NULL,NULL,NULL,NULL,'held',1,1767226200.0,NULL,NULL,X'7061796C6F6164206F6620756E69717565',NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(10,'elsewhere','paused','kind',0,1,0,0,0,NULL,1767225600.0,1767225600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,X'7061796C6F6164206F6620656C73657768657265',NULL,NULL,NULL);
CREATE TABLE "jobs_meta" (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    until REAL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
INSERT INTO "jobs_meta" VALUES('failed','failed_jobs','1',NULL);
INSERT INTO "jobs_meta" VALUES('paused','paused',NULL,NULL);
INSERT INTO "jobs_meta" VALUES('schema','version','1',NULL);
INSERT INTO "jobs_meta" VALUES('worker','worker-1','{"id":"worker-1","host":"host","pid":1,"queues":["q"],"concurrency":10,"started_at":1767225600.0,"last_seen":1767225600.0,"running":[],"places":{}}',1767225660.0);
CREATE UNIQUE INDEX "jobs_id" ON "jobs" (id);
CREATE INDEX "jobs_ready" ON "jobs" (queue, priority DESC, available_at, seq) WHERE state = 0;
CREATE INDEX "jobs_delayed" ON "jobs" (queue, available_at, priority) WHERE state = 1;
CREATE INDEX "jobs_leased" ON "jobs" (leased_until) WHERE state = 2;
CREATE INDEX "jobs_finished" ON "jobs" (state, queue, expires_at, finished_at) WHERE state >= 3;
CREATE UNIQUE INDEX "jobs_key" ON "jobs" (key) WHERE key_hold > 0;
CREATE INDEX "jobs_called_off" ON "jobs" (cancel_keep) WHERE cancel_keep IS NOT NULL;
CREATE UNIQUE INDEX "failed_jobs_id" ON "failed_jobs" (id);
CREATE INDEX "failed_jobs_finished" ON "failed_jobs" (finished_at, queue);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('jobs',10);
COMMIT;
