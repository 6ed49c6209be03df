"""A filter as the condition of a statement, put together from fixed pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from asyncqueue.record import State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.record import Filter

LIVE: Final = {
    State.PENDING: "(state = 0 OR state = 1 AND available_at <= {now} OR state = -2 OR state = -3)",
    State.DELAYED: "(state = 1 AND available_at > {now})",
    State.PROCESSING: "(state = 2)",
    State.COMPLETED: "(state >= 3 AND state = 3 AND expires_at > {now})",
    State.CANCELLED: "(state >= 3 AND state = 4 AND expires_at > {now})",
}
"""What a state is in the jobs table. No row is in two of these."""


HELD: Final = "(state = -1)"
"""Held back by a latch: meant by their ids only."""


class Condition(NamedTuple):
    """What a filter asks of the rows of each table, and the parameters of both."""

    live: str | None
    """Of the jobs table; None where only failed jobs are meant."""
    failed: str | None
    """Of the failed table; None where failed jobs are not meant."""
    parameters: dict[str, object]


def condition(which: Filter, states: Iterable[State] | None = None) -> Condition:
    """The condition of a filter, narrowed to ``states`` where they are given."""
    wanted = set(State if which.states is None else which.states)
    if states is not None:
        wanted &= set(states)
    common = _common(which)
    alternatives = [where for state, where in LIVE.items() if state in wanted]
    if which.ids is not None and State.DELAYED in wanted:
        alternatives.append(HELD)
    live = " AND ".join([f"({' OR '.join(alternatives)})", *common]) if alternatives else None
    failed = " AND ".join(["true", *common]) if State.FAILED in wanted else None
    return Condition(live, failed, _parameters(which))


def _common(which: Filter) -> list[str]:
    pieces = {
        "id = ANY (:ids::text[])": which.ids,
        "queue = :queue::text AND priority BETWEEN :low::integer AND :high::integer": which.source,
        "name = :name::text": which.name,
        "finished_at <= {now} - :finished_before::double precision": which.finished_before,
        "latch = :latch::text AND part IN (1, 2)": which.latch,
    }
    return [piece for piece, given in pieces.items() if given is not None]


def _parameters(which: Filter) -> dict[str, object]:
    parameters: dict[str, object] = {
        "ids": None if which.ids is None else list(which.ids),
        "name": which.name,
        "finished_before": which.finished_before,
        "latch": which.latch,
    }
    if which.source is not None:
        source = which.source
        parameters |= {"queue": source.queue, "low": source.low, "high": source.high}
    return parameters
