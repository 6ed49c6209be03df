"""Storing new jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.postgres.failures import is_taken
from asyncqueue.drivers.postgres.latches import locked
from asyncqueue.drivers.postgres.packing import alike, blob, packed
from asyncqueue.drivers.postgres.permits import encoded
from asyncqueue.drivers.postgres.states import GUARD, HELD, HELD_UNTIL_CLAIMED, MEMBER, REASONS
from asyncqueue.drivers.postgres.store import column
from asyncqueue.drivers.postgres.wire import PostgresError
from asyncqueue.errors import DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from asyncqueue.drivers.postgres.store import Store
    from asyncqueue.record import Latch, Record

TRIES: Final = 20
"""How often somebody else may take an id or a key and let go of it again at the wrong moment."""

UUID_LENGTH: Final = 36


def is_one_statement(records: Sequence[Record]) -> bool:
    """Whether these can be stored by one statement; all others need a transaction."""
    for record in records:
        if record.key is not None or record.latch is not None:
            return False
        if record.limits or record.fair is not None:
            return False
    return len({record.id for record in records}) == len(records)


async def enqueue(
    store: Store, records: Sequence[Record], latches: Sequence[Latch]
) -> list[str | None]:
    """Store the records that are new; answers for the others the id that is in their way.

    Latches, and records that have one, need a transaction.
    """
    if not latches and all(record.latch is None for record in records):
        return await insert(store, records)
    known = await locked(store, joined(records, latches))
    known.add(latches, known.now)
    known.admit(records)
    answers = await insert(store, records)
    for record, other in zip(records, answers, strict=True):
        if other is None:
            known.joined(record)
    await known.write()
    return answers


def joined(records: Iterable[Record], latches: Iterable[Latch]) -> set[str | None]:
    """The latches that records join and that are none of the new ones."""
    return {record.latch for record in records} - {latch.id for latch in latches}


async def insert(store: Store, records: Sequence[Record]) -> list[str | None]:
    """The same, while somebody else sees to the latches."""
    if is_one_statement(records):
        answers = await _enqueue_plain(store, records)
    else:
        answers = list[str | None]()
        for run in _runs(records):
            answers += await _enqueue_unique(store, run)
    store.ring("queue", {record.queue for record in records if record.held is None})
    return answers


async def _enqueue_plain(store: Store, records: Sequence[Record]) -> list[str | None]:
    stored: Collection[str] | None = None
    if store.alone and all(_looks_new(record.id) for record in records):
        stored = await _insert_new(store, records)
    if stored is None:
        rows = await store.rows("enqueue.insert", **_columns(records))
        stored = {row[0] for row in rows}
    if len(stored) == len(records):
        return [None] * len(records)
    return [None if record.id in stored else record.id for record in records]


async def _insert_new(store: Store, records: Sequence[Record]) -> Collection[str] | None:
    """The ids that were stored.

    None if one of the ids was known after all, or they cannot be packed.
    """
    try:
        if len(records) == 1:
            return await _insert_one(store, records[0])
        return await _insert_packed(store, records)
    except PostgresError as error:
        if not is_taken(error):
            raise
        return None


async def _insert_one(store: Store, record: Record) -> Collection[str]:
    text = store.along([f"queue:{record.queue}"])
    rows = await store.rows(
        "enqueue.insert_one",
        id=record.id,
        queue=record.queue,
        name=record.name,
        payload=bytes(record.payload),  # A view may have fewer elements than bytes.
        priority=record.priority,
        max_attempts=record.max_attempts,
        delay=record.delay,
        channel=store.sql.tables.channel,
        text=text,
    )
    store.told = text is not None
    return [id for id, _ in rows]


async def _insert_packed(store: Store, records: Sequence[Record]) -> Collection[str] | None:
    columns = _packed_columns(records)
    if columns is None:
        return None
    asked = len(records)
    ((count, some),) = await store.rows("enqueue.insert_new", **columns, asked=asked)
    return columns["ids"] if count == asked else set(some or ())


def _looks_new(id: str) -> bool:
    """Whether it is an id like those that asyncqueue makes, and not a name that comes back."""
    return len(id) == UUID_LENGTH and id[14] == "7"


def _runs(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cut records into pieces in which no id and no key stands twice."""
    run: list[Record] = []
    ids: set[str] = set()
    keys: set[str] = set()
    for record in records:
        if record.id in ids or record.key in keys:
            yield run
            run, ids, keys = [], set(), set()
        run.append(record)
        ids.add(record.id)
        if record.key is not None:
            keys.add(record.key)
    if run:
        yield run


async def _enqueue_unique(store: Store, records: list[Record]) -> list[str | None]:
    """Look first who is in the way: then what is stored is stored in order."""
    await _clear(store, records)
    answers: dict[str, str | None] = {}
    left = records
    for _ in range(TRIES):
        answers |= await _holders(store, left)
        fresh = [record for record in left if record.id not in answers]
        if fresh:
            rows = await store.rows("enqueue.insert_unique", **_unique_columns(fresh))
            answers |= {id: None for (id,) in rows}
        left = [record for record in left if record.id not in answers]
        if not left:
            return [answers[record.id] for record in records]
    raise DriverUnavailable(
        f"Others take and free the key {left[0].key!r} all the time; try again."
    )


async def _clear(store: Store, records: Sequence[Record]) -> None:
    """Make room where only something that is past its time is in the way."""
    await store.change("enqueue.clear_ids", ids=[record.id for record in records])
    keys = [record.key for record in records if record.key is not None]
    if keys:
        await store.change("enqueue.clear_keys", keys=keys)


async def _holders(store: Store, records: Sequence[Record]) -> dict[str, str | None]:
    """Who is in the way of whom."""
    ids = {row[0] for row in await store.rows("enqueue.ids", ids=[r.id for r in records])}
    keys = [record.key for record in records if record.key is not None]
    holders: dict[str | None, str] = {}
    if keys:
        holders = {row[0]: row[1] for row in await store.rows("enqueue.keys", keys=keys)}
    return {
        record.id: record.id if record.id in ids else holders[record.key]
        for record in records
        if record.id in ids or record.key in holders
    }


def _columns(records: Sequence[Record]) -> dict[str, Any]:
    return {
        "ids": [record.id for record in records],
        "queues": [record.queue for record in records],
        "names": [record.name for record in records],
        "payloads": [record.payload for record in records],
        "priorities": [record.priority for record in records],
        "max_attempts": column([record.max_attempts for record in records]),
        "delays": column([record.delay or None for record in records]),
    }


def _packed_columns(records: Sequence[Record]) -> dict[str, Any] | None:
    ids = [record.id for record in records]
    packed_ids = packed(ids)
    if packed_ids is None:
        return None
    # A view may have fewer elements than bytes.
    payloads, ends = blob([bytes(record.payload) for record in records])
    queues, queue = alike([record.queue for record in records])
    names, name = alike([record.name for record in records])
    priorities, priority = alike([record.priority for record in records])
    max_attempts, max_attempt = alike([record.max_attempts for record in records])
    delays, delay = alike([record.delay or None for record in records])
    return {
        "ids": ids,
        "packed_ids": packed_ids,
        "payloads": payloads,
        "ends": ends,
        "queues": queues,
        "queue": queue,
        "names": names,
        "name": name,
        "priorities": priorities,
        "priority": priority,
        "max_attempts": max_attempts,
        "max_attempt": max_attempt,
        "delays": delays,
        "delay": delay,
    }


def _unique_columns(records: Sequence[Record]) -> dict[str, Any]:
    return _columns(records) | {
        "keys": column([record.key for record in records]),
        "key_holds": [_hold(record) for record in records],
        "key_ttls": column([record.key_ttl for record in records]),
        "latches": column([record.latch for record in records]),
        "parts": column([_part(record) for record in records]),
        "held": column([_held(record) for record in records]),
        "limits": column([encoded(record.limits) for record in records]),
        "fair": column([record.fair for record in records]),
    }


def _hold(record: Record) -> int:
    if record.key is None:
        return 0
    return HELD_UNTIL_CLAIMED if record.key_until_claimed else HELD


def _part(record: Record) -> int | None:
    if record.latch is None:
        return None
    if record.held is None:
        return MEMBER
    return GUARD if record.guards else None


def _held(record: Record) -> int | None:
    return None if record.latch is None or record.held is None else REASONS[record.held]
