"""A filter as the condition of a statement, put together from fixed pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.drivers.sqlite.states import EXEMPT, MEMBER
from asyncqueue.drivers.sqlite.store import listed
from asyncqueue.record import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.record import Filter


class Rows(NamedTuple):
    """Some rows of the jobs table: the index that finds them, and what they are."""

    by: str
    """As a .sql file names it."""
    where: str


LIVE: Final = {
    State.PENDING: (
        Rows("{ready}", "state = 0"),
        Rows("{delayed}", "state = 1 AND available_at <= :now"),
        Rows("{aside}", "state = -2"),
        Rows("{fair}", "state = -3 AND available_at <= :now"),
        Rows("{in_turn}", "state = -4"),
    ),
    State.DELAYED: (
        Rows("{delayed}", "state = 1 AND available_at > :now"),
        Rows("{fair}", "state = -3 AND available_at > :now"),
    ),
    State.PROCESSING: (Rows("{leased}", "state = 2"),),
    # SQLite uses a partial index only where its own condition is repeated.
    State.COMPLETED: (Rows("{finished}", "state = 3 AND state >= 3 AND expires_at > :now"),),
    State.CANCELLED: (Rows("{finished}", "state = 4 AND state >= 3 AND expires_at > :now"),),
}
"""What a state is in the jobs table. No row is in two of these."""

HELD: Final = Rows("{latch}", "state = -1")
"""Held back by a latch: meant by their ids only."""


class Condition(NamedTuple):
    """What a filter asks of the rows of each table, and the parameters of both."""

    live: list[Rows]
    """Of the jobs table: a row is meant if it is among one of these."""
    failed: str | None
    """Of the failed table; None where failed jobs are not meant."""
    parameters: dict[str, object]

    def where(self) -> str | None:
        """One condition for the jobs table; None where only failed jobs are meant."""
        return " OR ".join(f"({rows.where})" for rows in self.live) or None


def condition(which: Filter, now: float, states: Iterable[State] | None = None) -> Condition:
    """The condition of a filter, narrowed to ``states`` where they are given."""
    wanted = set(State if which.states is None else which.states)
    if states is not None:
        wanted &= set(states)
    common = _common(which)
    live = [Rows(by, " AND ".join([where, *common])) for by, where in _live(which, wanted)]
    failed = " AND ".join(["1", *common]) if State.FAILED in wanted else None
    return Condition(live, failed, _parameters(which, now))


def _live(which: Filter, wanted: set[State]) -> list[Rows]:
    """Where the live jobs in these states are to be looked for."""
    live = [rows for state in LIVE if state in wanted for rows in LIVE[state]]
    if which.ids is not None:
        if State.DELAYED in wanted:
            live.append(HELD)
        return [Rows("{id}", rows.where) for rows in live]
    if which.latch is not None and live:
        states = " OR ".join(f"({rows.where})" for rows in live)
        return [Rows("{latch}", f"part = {part} AND ({states})") for part in (MEMBER, EXEMPT)]
    return live


def _common(which: Filter) -> list[str]:
    pieces = {
        "id IN (SELECT value FROM json_each(:ids))": which.ids,
        "queue = :queue AND priority BETWEEN :low AND :high": which.source,
        "name = :name": which.name,
        "finished_at <= :finished_before": which.finished_before,
        "latch = :latch AND part IN (1, 2)": which.latch,
    }
    return [piece for piece, given in pieces.items() if given is not None]


def _parameters(which: Filter, now: float) -> dict[str, object]:
    parameters: dict[str, object] = {"now": now, "name": which.name, "latch": which.latch}
    if which.ids is not None:
        parameters["ids"] = listed(which.ids)
    if which.source is not None:
        source = which.source
        parameters |= {"queue": source.queue, "low": source.low, "high": source.high}
    if which.finished_before is not None:
        parameters["finished_before"] = now - which.finished_before
    return parameters
