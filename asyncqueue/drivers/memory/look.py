"""Which entries a filter means, and in what order they are shown."""

from __future__ import annotations

import math
from heapq import nlargest
from itertools import chain, islice
from typing import TYPE_CHECKING

from asyncqueue.drivers.memory.entry import HELD, PENDING
from asyncqueue.record import FINISHED, WAITING, Found, Presence, QueueCounts, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from asyncqueue.drivers.base import Order
    from asyncqueue.drivers.memory.entry import Entry
    from asyncqueue.drivers.memory.store import Store
    from asyncqueue.record import Filter


def matching(store: Store, which: Filter, now: float) -> Iterator[Entry]:
    """The entries that a filter means, newest dispatched first."""
    if which.ids is not None:
        named = map(store.entries.get, set(which.ids))
        known = sorted((entry for entry in named if entry), key=_dispatched, reverse=True)
        return _only(known, which, now)
    if which.latch is not None:
        return _only(reversed(store.latches.members(which.latch)), which, now)
    shown = (entry for entry in reversed(store.entries.values()) if entry.state is not HELD)
    return _only(shown, which, now)


def find_page(
    store: Store, which: Filter, now: float, page: tuple[int, int, str | None], order: Order
) -> Found:
    """A page, given as limit, offset and cursor."""
    limit, offset, cursor = page
    if limit <= 0:
        return Found([])
    if order == "finished":
        return _find_finished(store, which, now, page)
    entries = matching(store, which, now)
    if cursor is not None:
        (before,) = _read_cursor(cursor, 1)
        entries = (entry for entry in entries if entry.seq < before)
    window = list(islice(entries, offset, offset + limit + 1))
    more = f"{window[limit - 1].seq}" if len(window) > limit else None
    return Found([entry.stored_job(now) for entry in window[:limit]], more)


def _find_finished(
    store: Store, which: Filter, now: float, page: tuple[int, int, str | None]
) -> Found:
    limit, offset, cursor = page
    entries = _ended_matching(store, which, now)
    if cursor is not None:
        finished_at, seq = _read_cursor(cursor, 2)
        entries = (entry for entry in entries if _ended(entry) < (finished_at, seq))
    window = nlargest(offset + limit + 1, entries, key=_ended)[offset:]
    more = "{!r}/{}".format(*_ended(window[limit - 1])) if len(window) > limit else None
    return Found([entry.stored_job(now) for entry in window[:limit]], more)


def count_matching(store: Store, which: Filter, now: float) -> int:
    """How many entries a filter means."""
    source = which.source
    if source and which == type(which)(source=source, states=WAITING):
        shelf = store.shelves.get(source.queue)
        return shelf.count_waiting(source) if shelf else 0
    if which.states and set(which.states).issubset(FINISHED):
        return sum(1 for _ in _ended_matching(store, which, now))
    return sum(1 for _ in matching(store, which, now))


def count_ahead(store: Store, entry: Entry | None, now: float) -> int | None:
    """How many entries of its queue are claimed before this one, if it is due."""
    if entry is None or entry.state is not PENDING or entry.available_at > now:
        return None
    line = store.shelf(entry.queue).lines(Source(entry.queue, low=entry.priority))
    before = _place(entry)
    return sum(
        other.available_at <= now and _place(other) < before for line in line for other in line
    )


def count_by_queue(store: Store, now: float) -> dict[str, QueueCounts]:
    """Counts of every queue that had a job since the last pruning, or is paused."""
    known = {queue: shelf.counts(now) for queue, shelf in store.shelves.items()}
    return {queue: QueueCounts() for queue in store.paused} | known


def present_workers(store: Store, now: float) -> list[Presence]:
    """Who is present, with what it holds."""
    running: dict[str | None, list[str]] = {}
    for shelf in store.shelves.values():
        for entry in shelf.processing.values():
            running.setdefault(entry.worker, []).append(entry.id)
    return [
        _copy(presence, running.get(presence.id, []))
        for until, presence in store.presences.values()
        if until > now
    ]


def _copy(presence: Presence, running: list[str]) -> Presence:
    return Presence(
        id=presence.id,
        host=presence.host,
        pid=presence.pid,
        queues=list(presence.queues),
        concurrency=presence.concurrency,
        started_at=presence.started_at,
        last_seen=presence.last_seen,
        running=running,
        places=dict(presence.places),
        kinds=list(presence.kinds),
    )


def _only(entries: Iterable[Entry], which: Filter, now: float) -> Iterator[Entry]:
    return (entry for entry in entries if _matches(entry, which, now))


def _matches(entry: Entry, which: Filter, now: float) -> bool:
    source = which.source
    return (
        (which.states is None or entry.state_at(now) in which.states)
        and (which.name is None or entry.name == which.name)
        and (which.latch is None or (entry.latch == which.latch and entry.member))
        and (
            source is None
            or (entry.queue == source.queue and source.low <= entry.priority <= source.high)
        )
        and (
            which.finished_before is None
            or (entry.finished_at is not None and entry.finished_at <= now - which.finished_before)
        )
    )


def _ended_matching(store: Store, which: Filter, now: float) -> Iterator[Entry]:
    if which.ids is not None:
        return (entry for entry in matching(store, which, now) if entry.state in FINISHED)
    queues = store.shelves if which.source is None else (which.source.queue,)
    shelves = (store.shelves[queue] for queue in queues if queue in store.shelves)
    ended = chain.from_iterable(
        shelf.held[state].values() for shelf in shelves for state in FINISHED
    )
    return _only(ended, which, now)


def _place(entry: Entry) -> tuple[int, float, int]:
    return (-entry.priority, entry.available_at, entry.seq)


def _dispatched(entry: Entry) -> int:
    return entry.seq


def _ended(entry: Entry) -> tuple[float, int]:
    return (entry.finished_at or 0.0, entry.seq)


def _read_cursor(cursor: str, parts: int) -> list[float]:
    try:
        numbers = [float(part) for part in cursor.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) != parts or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{cursor!r} is not a cursor of this listing; give one that it returned.")
    return numbers
