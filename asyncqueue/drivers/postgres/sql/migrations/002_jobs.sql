-- Room in the indexes for the versions of a row.
--
-- A claim writes a new version of its row, which has an entry in both beside the old one. On a page
-- that is full, such an entry costs a search for dead ones, or a split: a sixth of all that the
-- server does for a claim.

-- name: pkey
ALTER INDEX {schema}.{pkey} SET (fillfactor = 45);

-- name: id
ALTER INDEX {schema}.{id} SET (fillfactor = 45);
