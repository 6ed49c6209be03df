"""Lanes: names for ranges of priority, written after a queue's name as in ``emails:high``."""

from __future__ import annotations

from typing import Final

from asyncqueue.options import Priority
from asyncqueue.record import MAX_PRIORITY, MIN_PRIORITY, Source

_LANES: Final = {
    "high": (Priority.HIGH, MAX_PRIORITY),
    "normal": (Priority.NORMAL, Priority.HIGH - 1),
    "low": (MIN_PRIORITY, Priority.LOW),
}
_PRIORITIES: Final = {lane: Priority[lane.upper()] for lane in _LANES}


def split_lane(name: str) -> tuple[str, Priority | None]:
    """``emails:high`` as the queue and its lane's priority; None without a lane."""
    if not isinstance(name, str):
        raise TypeError(f"A queue is given by its name, got {name!r}")
    queue, colon, lane = name.rpartition(":")
    if colon and queue and lane in _LANES:
        return queue, _PRIORITIES[lane]
    return name, None


def source_of(name: str) -> Source:
    """What a worker on this name takes: the queue with all its lanes, or the one lane."""
    queue, priority = split_lane(name)
    if priority is None:
        return Source(queue)
    low, high = _LANES[name.rpartition(":")[2]]
    return Source(queue, int(low), int(high))
