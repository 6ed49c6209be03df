-- What `asyncqueue doctor` asks of the server.

-- name: server
SELECT
    current_setting('server_version'),
    pg_is_in_recovery(),
    current_setting('default_transaction_read_only')::boolean,
    current_setting('synchronous_commit'),
    date_part('epoch', clock_timestamp()),
    (
        SELECT date_part('epoch', clock_timestamp() - min(xact_start)) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
    );

-- name: table
SELECT
    pg_size_pretty(pg_total_relation_size(:table::text::regclass)),
    coalesce(pg_stat_get_live_tuples(:table::text::regclass), 0),
    coalesce(pg_stat_get_dead_tuples(:table::text::regclass), 0);
