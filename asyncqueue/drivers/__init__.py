"""The drivers and how they are found by name, see :mod:`asyncqueue.drivers.registry`."""
