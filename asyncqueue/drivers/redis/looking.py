"""Finding the jobs of one shard: which rows are asked for, and which a filter means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from asyncqueue.drivers.redis.encoding import PHASES, UnreadableError, read_standing
from asyncqueue.drivers.redis.moving import CHUNK, chunks
from asyncqueue.drivers.redis.reading import stored_job
from asyncqueue.record import FINISHED, WAITING, QueueCounts, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from asyncqueue.drivers.base import Order
    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.record import Filter, Source, StoredJob

STEP: Final = 200
"""Jobs that are looked at by one call."""
COLUMNS: Final = 10
"""Of a row; the first is the number."""
FEW: Final = frozenset({State.PROCESSING, State.FAILED, State.CANCELLED})
"""States that are found from their own sets; others are met soon enough among all jobs."""

Place = tuple[float, ...]
"""Where a job stands in a listing: number and shard, behind when it finished if by that."""


class Row(NamedTuple):
    """A job, its number in the order of dispatch, and its shard."""

    number: int
    shard: int
    job: StoredJob


async def rows(
    scripts: Scripts, which: Filter, order: Order = "created", before: Place | None = None
) -> AsyncGenerator[Row]:
    """What a filter means of one shard, the newest first."""
    states = frozenset(State if which.states is None else which.states)
    members = None if which.latch is None else await _member_places(scripts, which.latch)
    numbers = None if members is None else {number for number, _ in members}
    if order == "finished":
        found = _by_place(scripts, await _ended_places(scripts, which, states), before)
    elif which.ids is not None:
        found = _by_id(scripts, which.ids)
    elif members is not None:
        found = _by_place(scripts, members, before)
    elif states <= FEW:
        found = _by_place(scripts, await _places(scripts, which, states), before)
    else:
        found = _all(scripts, before)
    async for now, row in found:
        if numbers is not None and row.number not in numbers:
            continue
        if _matches(row.job, which, states, now) and (before is None or place(row, order) < before):
            yield row


async def count(scripts: Scripts, which: Filter) -> int:
    """How many jobs of one shard a filter means."""
    simple = (
        which.ids is None
        and which.name is None
        and which.latch is None
        and which.finished_before is None
    )
    waiting = which.states is not None and set(which.states).issubset(WAITING)
    if simple and (which.source is None or waiting):
        told = (await counts(scripts, which.source)).values()
        states = set(State if which.states is None else which.states)
        return sum(getattr(one, state.value) for one in told for state in states)
    return sum([1 async for _ in rows(scripts, which)])


async def counts(scripts: Scripts, source: Source | None = None) -> dict[str, QueueCounts]:
    """Counts by queue, or those of one source; that of what waits is then of its priorities."""
    where = () if source is None else (source.queue, source.low, source.high)
    now, told = await scripts.run("counts", *where)
    return {
        name.decode("utf-8", "replace"): _counted(numbers, float(now)) for name, *numbers in told
    }


def _counted(numbers: list[Any], now: float) -> QueueCounts:
    *counted, oldest = numbers
    return QueueCounts(*counted, oldest_seconds=max(0.0, now - float(oldest)) if oldest else 0.0)


def place(row: Row, order: Order) -> Place:
    """Where a row stands in a listing."""
    if order == "finished":
        return row.job.finished_at or 0.0, row.number, row.shard
    return row.number, row.shard


async def _all(scripts: Scripts, before: Place | None) -> AsyncIterator[tuple[float, Row]]:
    # Jobs of other shards may have the same number.
    cursor = "" if before is None else f"{before[0] + (scripts.shard < before[1]):.0f}"
    while True:
        reply = await scripts.run("walk", cursor, STEP)
        for found in _rows(reply, scripts.shard):
            yield found
        cursor = reply[1].decode()
        if not cursor:
            return


async def _by_id(scripts: Scripts, ids: Iterable[str]) -> AsyncIterator[tuple[float, Row]]:
    found: list[tuple[float, Row]] = []
    for chunk in chunks(list(dict.fromkeys(ids))):
        found += _rows(await scripts.run("fetch", "ids", *chunk), scripts.shard)
    for one in sorted(found, key=lambda one: one[1].number, reverse=True):
        yield one


async def _by_place(
    scripts: Scripts, places: list[Place], before: Place | None
) -> AsyncIterator[tuple[float, Row]]:
    """Rows from places, whose last parts are number and shard, in their order backwards."""
    ordered = sorted((one for one in places if before is None or one < before), reverse=True)
    for chunk in chunks(ordered, STEP):
        numbers = [f"{one[-2]:.0f}" for one in chunk]
        found = _rows(await scripts.run("fetch", "numbers", *numbers), scripts.shard)
        for one in found:
            yield one


def _rows(reply: list[Any], shard: int) -> list[tuple[float, Row]]:
    """The rows of a reply that can be read and whose time is not over."""
    now = float(reply[0])
    found: list[tuple[float, Row]] = []
    for at in range(2, len(reply), COLUMNS):
        job = stored_job(reply[at : at + COLUMNS], now)
        if job is not None:
            found.append((now, Row(int(reply[at]), shard, job)))
    return found


async def _places(scripts: Scripts, which: Filter, states: Iterable[State]) -> list[Place]:
    found: list[Place] = []
    for name in await _sets(scripts, which, states):
        members = await _members(scripts, name)
        found += [(float(number), scripts.shard) for number, _ in members if number.isdigit()]
    return found


async def _member_places(scripts: Scripts, latch: str) -> list[Place]:
    numbers = await scripts.call("ZRANGE", f"{scripts.tag}:members:{latch}", 0, -1)
    return [(float(number), scripts.shard) for number in numbers if number.isdigit()]


async def _ended_places(scripts: Scripts, which: Filter, states: frozenset[State]) -> list[Place]:
    found: list[Place] = []
    failed = states & {State.FAILED}
    for name in await _sets(scripts, which, failed):
        members = await _members(scripts, name)
        found += [
            (float(at), float(number), scripts.shard) for number, at in members if number.isdigit()
        ]
    for name in await _sets(scripts, which, (states & set(FINISHED)) - failed):
        numbers = [number for number, _ in await _members(scripts, name) if number.isdigit()]
        for chunk in chunks(numbers, CHUNK):
            told = await scripts.call("HMGET", f"{scripts.tag}:state", *chunk)
            found += [
                (at, float(number), scripts.shard)
                for number, text in zip(chunk, told, strict=True)
                if (at := _finished_at(text)) is not None
            ]
    return found


def _finished_at(text: bytes | None) -> float | None:
    try:
        return None if text is None else read_standing(text).finished_at
    except UnreadableError:
        return None


async def _sets(scripts: Scripts, which: Filter, states: Iterable[State]) -> list[bytes]:
    """The keys of the sets in which jobs of these states stand."""
    states = list(states)
    if not states:
        return []
    if which.source is not None:
        queues: list[bytes] = [which.source.queue.encode()]
    else:
        queues = list(await scripts.call("SMEMBERS", f"{scripts.tag}:queues"))
    tag = scripts.tag.encode()
    return [
        b"%b:leased:%b" % (tag, queue)
        if state is State.PROCESSING
        else b"%b:ended:%b:%b" % (tag, queue, PHASES[state].encode())
        for queue in queues
        for state in states
    ]


async def _members(scripts: Scripts, key: bytes) -> list[tuple[bytes, bytes]]:
    """All of a sorted set, with scores: in steps, so that the server has time for others."""
    found: dict[bytes, bytes] = {}
    cursor = b"0"
    while True:
        cursor, told = await scripts.call("ZSCAN", key, cursor, "COUNT", CHUNK)
        found.update(zip(told[::2], told[1::2], strict=True))
        if cursor == b"0":
            return list(found.items())


def _matches(job: StoredJob, which: Filter, states: frozenset[State], now: float) -> bool:
    source = which.source
    return (
        job.state in states
        and (which.ids is not None or job.held is None)
        and (which.ids is None or job.id in which.ids)
        and (which.name is None or job.name == which.name)
        and (
            source is None
            or (job.queue == source.queue and source.low <= job.priority <= source.high)
        )
        and (
            which.finished_before is None
            or (job.finished_at is not None and job.finished_at <= now - which.finished_before)
        )
    )
