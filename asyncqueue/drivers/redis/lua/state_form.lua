-- A state: phase (w waiting, p processing, c completed, x cancelled, f failed), claims, attempts,
-- exceptions, priority, available_at (negative: as the body says), started_at, finished_at, mark
-- (processing: the retention to cancel it with, negative if nobody asked; ended: when it may go),
-- queue, worker, key (empty: it holds none).
local STATE = '>c1I4I4I4i2ddddI2c0I2c0I2c0'
