"""What a store takes: the checks that all drivers make before they change anything. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from asyncqueue.record import Record, Settlement

ENDS: Final = frozenset(State) - {State.PROCESSING}
"""How a claim may be settled."""


def check_records(records: Iterable[Record]) -> None:
    """Raise TypeError for payloads that are no bytes, ValueError for priorities out of range."""
    for record in records:
        if not isinstance(record.payload, (bytes, bytearray, memoryview)):
            raise _no_bytes(record)
        if not MIN_PRIORITY <= record.priority <= MAX_PRIORITY:
            raise out_of_range(record)


def check_ends(settlements: Iterable[Settlement]) -> None:
    """Raise ValueError for a state that a claim cannot end in."""
    for state in {settlement.state for settlement in settlements}:
        if state not in ENDS:
            raise ValueError(f"A claim cannot be settled as {state!r}.")


def check_settlements(settlements: Iterable[Settlement]) -> None:
    """As :func:`check_ends`, and :func:`check_records` for what follows."""
    check_ends(settlements)
    for settlement in settlements:
        if settlement.follow_ups:
            check_records(settlement.follow_ups)


def payload_of(record: Record) -> bytes:
    """The payload, a copy where somebody might change it. Raises TypeError for no bytes."""
    if isinstance(record.payload, (bytes, bytearray, memoryview)):
        return bytes(record.payload)
    raise _no_bytes(record)


def out_of_range(record: Record) -> ValueError:
    """What to raise for a priority that cannot be stored."""
    return ValueError(
        f"The priority of job {record.id!r} is {record.priority}; "
        f"give {MIN_PRIORITY} to {MAX_PRIORITY}."
    )


def _no_bytes(record: Record) -> TypeError:
    kind = type(record.payload).__name__
    return TypeError(f"The payload of job {record.id!r} is a {kind}; give bytes.")
