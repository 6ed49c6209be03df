"""Asking running workers to end after their current jobs, so that new ones take their place.

A request is a permit with the worker's name: every store that keeps limits can carry it, it is
gone when the worker has heard it, and it dies of itself where the worker died first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.base import Driver

REMEMBERED: Final = 3600.0
"""Seconds that a request waits for a worker that cannot reach the store."""
_ASKED: Final = "asked"


async def ask_to_end(driver: Driver, workers: Sequence[str]) -> None:
    """Ask these workers to end after what they run now."""
    if workers and not driver.has_limits:
        raise DriverError(
            f"The {driver.name} driver cannot ask workers to end: send their processes a signal."
        )
    for worker in workers:
        await driver.acquire(_key(worker), _ASKED, 1, REMEMBERED)


async def is_asked_to_end(driver: Driver, worker: str) -> bool:
    """Whether this worker was asked to end. It is told once: a later start is not meant."""
    if not driver.has_limits:
        return False
    if not await driver.holders(_key(worker)):
        return False
    await driver.release(_key(worker))
    return True


def _key(worker: str) -> str:
    return f"restart:{worker}"
