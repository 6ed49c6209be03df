"""Whose turn it is: the jobs of one queue and priority whose keys take turns."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncqueue.drivers.sqlite.store import Store
    from asyncqueue.record import Source

NO_KEY: Final = ""
"""The key of the jobs that have none."""


def promote(store: Store, queue: str) -> None:
    """Let those that became due take turns."""
    due = {"queue": queue, "now": store.now}
    for priority, fair in store.rows("turns.due", due):
        for key in (NO_KEY, fair):
            store.change("turns.join", {"queue": queue, "priority": priority, "fair": key})
    store.change("turns.promote", due)


def priorities(store: Store, source: Source) -> list[int]:
    """The priorities of a lane at which keys take turns, higher ones first."""
    lane = {"queue": source.queue, "low": source.low, "high": source.high}
    return [priority for (priority,) in store.rows("turns.priorities", lane)]


def take(store: Store, queue: str, priority: int, most: int) -> list[int]:
    """The rows whose turn it is, in order; from now on it is that of others."""
    place = {"queue": queue, "priority": priority}
    keys = [key for (key,) in store.rows("turns.keys", place | {"limit": most + 1})]
    lines = {key: _line(store, place, key, most) for key in keys}
    taken: list[int] = []
    served: dict[str, None] = {}
    waiting = deque(key for key in keys if lines[key])
    while waiting and len(taken) < most:
        key = waiting.popleft()
        taken.append(lines[key].popleft())
        served.pop(key, None)
        served[key] = None
        if lines[key]:
            waiting.append(key)
    for key in served:
        store.change("turns.served", place | {"fair": key})
    _close(store, place, keys, lines)
    return taken


def _line(store: Store, place: dict[str, str | int], key: str, most: int) -> deque[int]:
    # One more than can be taken: so it is known whether the line is empty then.
    statement = "turns.line_without" if key == NO_KEY else "turns.line"
    query = place | {"limit": most + 1} | ({} if key == NO_KEY else {"fair": key})
    return deque(seq for (seq,) in store.rows(statement, query))


def _close(
    store: Store, place: dict[str, str | int], keys: list[str], lines: dict[str, deque[int]]
) -> None:
    """Those whose line is empty have no turn; the jobs without a key while there are others."""
    for key in keys:
        if not lines[key] and key != NO_KEY:
            store.change("turns.leave", place | {"fair": key})
    if store.rows("turns.keys", place | {"limit": 2}) == [(NO_KEY,)]:
        store.change("turns.leave", place | {"fair": NO_KEY})
