"""Finds the job that the beginning of an id means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.cli.errors import Failure, wrong_use
from asyncqueue.cli.text import shortened
from asyncqueue.record import Filter, State, StoredJob

if TYPE_CHECKING:
    from asyncqueue.drivers.base import Driver
    from asyncqueue.queue import Queue

SHORTEST: Final = 4
SHOWN: Final = 3
LOOKED_AT: Final = 10_000
"""How many jobs are looked through, the newest first: a store may hold millions."""
_PAGE: Final = 500
"""Jobs asked for at a time: each comes with its payload."""


class UnknownId(Failure):
    """``given`` is no job's id, nor the beginning of one."""

    def __init__(self, given: str, *lines: str) -> None:
        super().__init__(*lines, kind="JobNotFound")
        self.given = given


async def full_id(queue: Queue, given: str, *, failed: bool = False) -> str:
    """The id that ``given`` is, or is the only beginning of among the newest 10,000 jobs.

    Raises :class:`UnknownId` when there is none, :class:`Failure` when there are several, with a
    list of them.
    """
    driver = await queue.ready()
    states = (State.FAILED,) if failed else None
    exact = await driver.find(Filter(ids=(given,), states=states), limit=1)
    if exact.items:
        return given
    if len(given) < SHORTEST:
        raise wrong_use(f"{given!r} is too short: give at least {SHORTEST} characters of an id")
    matching, older = await _matching(driver, given, states)
    if not matching:
        raise _unknown(given, failed=failed, older=older)
    if len(matching) > 1:
        raise _ambiguous(given, matching)
    return matching[0].id


async def _matching(
    driver: Driver, prefix: str, states: tuple[State, ...] | None
) -> tuple[list[StoredJob], bool]:
    """The jobs whose ids begin so, and whether there are older ones that were not looked at."""
    found: list[StoredJob] = []
    cursor: str | None = None
    for _ in range(0, LOOKED_AT, _PAGE):
        page = await driver.find(Filter(states=states), limit=_PAGE, cursor=cursor)
        found += [stored for stored in page.items if stored.id.startswith(prefix)]
        cursor = page.next
        if cursor is None:
            return found, False
    return found, True


def _unknown(given: str, *, failed: bool, older: bool) -> UnknownId:
    kind, command = ("failed job", "failed list") if failed else ("job", "jobs")
    if older:
        return UnknownId(
            given,
            f"No {kind} has the id {given!r}, and of the newest {LOOKED_AT:,} none has one that "
            "begins with it.",
            "There are older ones, which only a whole id finds.",
        )
    return UnknownId(
        given,
        f"No {kind} has the id {given!r}, nor one that begins with it.",
        f"asyncqueue {command} shows those there are.",
    )


def _ambiguous(given: str, matching: list[StoredJob]) -> Failure:
    shown = [f"{shortened(job.id, 60)} ({shortened(job.name, 30)})" for job in matching[:SHOWN]]
    more = len(matching) - len(shown)
    last = f" and {more:,} more" if more else ""
    return wrong_use(
        f"{given!r} is the beginning of {len(matching):,} ids; give more of the one you mean:",
        *shown[:-1],
        shown[-1] + last,
    )
