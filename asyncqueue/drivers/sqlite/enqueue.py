"""Storing new jobs."""

from __future__ import annotations

import sqlite3
from operator import attrgetter
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.drivers.sqlite.latches import Latches
from asyncqueue.drivers.sqlite.limits import written
from asyncqueue.drivers.sqlite.statements import in_chunks
from asyncqueue.drivers.sqlite.states import (
    DELAYED,
    FAIR,
    FREE,
    HELD,
    HELD_BACK,
    HELD_PARTS,
    HELD_UNTIL_CLAIMED,
    MEMBER,
    READY,
)
from asyncqueue.drivers.sqlite.store import has_any, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncqueue.drivers.sqlite.store import Row, Store
    from asyncqueue.record import Latch, Record

LATCH: Final = attrgetter("latch")
KEY: Final = attrgetter("key")
LIMITS: Final = attrgetter("limits")
FAIR_KEY: Final = attrgetter("fair")


def enqueue(
    store: Store, records: Sequence[Record], asked_at: float, latches: Sequence[Latch] = ()
) -> list[str | None]:
    """Store the records that are new; answers for the others the id that is in their way.

    ``asked_at`` is the time of the call, from which delays and the times of keys count: waiting
    for the lock makes no job late. Raises DriverError where a latch cannot be stored or joined.
    """
    if not latches and not has_any(LATCH, records):
        return _enqueue(store, records, asked_at)
    joined = Latches(store)
    joined.add(latches, asked_at)
    joined.admit(records)
    answers = _enqueue(store, records, asked_at)
    for record, other in zip(records, answers, strict=True):
        if other is None and record.latch is not None:
            joined.joined(record)
    joined.write()
    return answers


def any_known(store: Store, records: Sequence[Record]) -> bool:
    """Whether the store has any of these ids."""
    ids = listed(record.id for record in records)
    return bool(_failed_ids(store, records) or store.rows("enqueue.ids", (ids,)))


def _enqueue(store: Store, records: Sequence[Record], asked_at: float) -> list[str | None]:
    failed = _failed_ids(store, records)
    answers: list[str | None] = []
    for chunk in in_chunks(records):
        answers += _enqueue_chunk(store, chunk, failed, asked_at)
    store.ring("queue", {record.queue for record in records})
    return answers


def _failed_ids(store: Store, records: Sequence[Record]) -> set[str]:
    found = store.value("enqueue.failed", (listed(record.id for record in records),))
    return set(msgspec.json.decode(found))


def _enqueue_chunk(
    store: Store, records: Sequence[Record], failed: set[str], asked_at: float
) -> list[str | None]:
    if not failed:
        try:
            _insert(store, records, asked_at)
        except sqlite3.IntegrityError:
            pass  # The whole statement left no trace: now look who is in the way.
        else:
            return [None] * len(records)
    return _enqueue_around(store, records, failed, asked_at)


def _enqueue_around(
    store: Store, records: Sequence[Record], failed: set[str], asked_at: float
) -> list[str | None]:
    ids, keys = _taken(store, records, asked_at)
    ids |= failed
    fresh: list[Record] = []
    answers: list[str | None] = []
    for record in records:
        holder = record.id if record.id in ids else keys.get(record.key)
        answers.append(holder)
        if holder is None:
            fresh.append(record)
            ids.add(record.id)
            if record.key is not None:
                keys[record.key] = record.id
    _insert(store, fresh, asked_at)
    return answers


def _taken(
    store: Store, records: Sequence[Record], asked_at: float
) -> tuple[set[str], dict[str | None, str]]:
    """The ids that are taken, and the keys with who holds them."""
    ids = listed(record.id for record in records)
    keys = listed(record.key for record in records if record.key is not None)
    store.change("enqueue.clear_ids", {"ids": ids, "now": asked_at})
    store.change("enqueue.clear_keys", {"keys": keys, "now": asked_at})
    return (
        {id for (id,) in store.rows("enqueue.ids", (ids,))},
        dict(store.rows("enqueue.keys", (keys,))),
    )


def _insert(store: Store, records: Sequence[Record], now: float) -> None:
    if any(map(LIMITS, records)) or has_any(FAIR_KEY, records):
        rows = [
            (*_row(record, now), *_key_columns(record, now), *_latch_columns(record),
             written(record), record.fair)
            for record in records
        ]  # fmt: skip
        store.change_bulk("enqueue.insert_wanting", rows)
    elif has_any(LATCH, records):
        rows = [
            _row(record, now) + _key_columns(record, now) + _latch_columns(record)
            for record in records
        ]
        store.change_bulk("enqueue.insert_latched", rows)
    elif has_any(KEY, records):
        rows = [_row(record, now) + _key_columns(record, now) for record in records]
        store.change_bulk("enqueue.insert_unique", rows)
    else:
        store.change_bulk("enqueue.insert", [_row(record, now) for record in records])


def _row(record: Record, now: float) -> Row:
    delayed = record.delay > 0
    return (
        record.id,
        record.queue,
        record.name,
        _state(record),
        record.priority,
        record.max_attempts,
        now,
        now + record.delay if delayed else now,
        record.payload,
    )


def _state(record: Record) -> int:
    if record.held is not None:
        return HELD_BACK
    if record.fair is not None:
        return FAIR
    return DELAYED if record.delay > 0 else READY


def _key_columns(record: Record, now: float) -> Row:
    if record.key is None:
        return (None, FREE, None)
    until = None if record.key_ttl is None else now + record.key_ttl
    return (record.key, HELD_UNTIL_CLAIMED if record.key_until_claimed else HELD, until)


def _latch_columns(record: Record) -> Row:
    if record.latch is None:
        return (None, None)
    if record.held is None:
        return (record.latch, MEMBER)
    return (record.latch, HELD_PARTS[record.held, bool(record.guards)])
