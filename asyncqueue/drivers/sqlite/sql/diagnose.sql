-- What `asyncqueue doctor` asks of the file.

-- name: journal_mode
PRAGMA journal_mode;
