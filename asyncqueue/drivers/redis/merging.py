"""Finding and counting over all shards."""

from __future__ import annotations

import contextlib
import heapq
import math
from typing import TYPE_CHECKING, NamedTuple

from asyncqueue.drivers.redis import looking
from asyncqueue.drivers.redis.looking import place
from asyncqueue.drivers.redis.shards import answered
from asyncqueue.record import Found, QueueCounts

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncqueue.drivers.base import Order
    from asyncqueue.drivers.redis.looking import Place, Row
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.record import Filter


class Page(NamedTuple):
    """Which part of what is meant is to be shown."""

    limit: int
    offset: int
    cursor: str | None


async def find(shards: Shards, which: Filter, page: Page, order: Order) -> Found:
    """A page of what a filter means."""
    before = _read_cursor(page.cursor, order, many=shards.only is None)
    if page.limit <= 0:
        return Found([])
    skip = max(0, page.offset)
    window: list[Row] = []
    async with contextlib.aclosing(rows(shards, which, order, before)) as found:
        async for row in found:
            if skip:
                skip -= 1
                continue
            window.append(row)
            if len(window) > page.limit:
                cursor = _cursor(window[page.limit - 1], order, many=shards.only is None)
                return Found([one.job for one in window[: page.limit]], cursor)
    return Found([one.job for one in window])


async def rows(
    shards: Shards, which: Filter, order: Order = "created", before: Place | None = None
) -> AsyncGenerator[Row]:
    """What a filter means, the newest first."""
    if shards.only is not None:
        async for row in looking.rows(shards.only, which, order, before):
            yield row
    elif which.ids is not None and order == "created":
        for row in await _by_id(shards, which):
            if before is None or place(row, order) < before:
                yield row
    else:
        async with contextlib.AsyncExitStack() as stack:
            parts = [looking.rows(shard, which, order, before) for shard in shards.all]
            for part in parts:
                stack.push_async_callback(part.aclose)
            async for row in _merged(shards, parts, order):
                yield row


async def _by_id(shards: Shards, which: Filter) -> list[Row]:
    """Jobs that have these ids. A shard that does not answer matters only if some are not found."""

    async def look(shard: looking.Scripts) -> list[Row]:
        return [row async for row in looking.rows(shard, which)]

    told = await shards.each(look)
    found = [row for part in answered(told).values() for row in part]
    if {row.job.id for row in found} != set(which.ids or ()):
        answered(told, all_of_them=True)
    return sorted(found, key=lambda row: place(row, "created"), reverse=True)


async def _merged(
    shards: Shards, parts: list[AsyncGenerator[Row]], order: Order
) -> AsyncGenerator[Row]:
    """The rows of all parts in one order; what they begin with is asked for at once."""

    async def next_of(shard: int) -> Row | None:
        return await anext(parts[shard], None)

    heads: list[tuple[list[float], int, Row]] = []

    def push(row: Row | None) -> None:
        if row is not None:
            heapq.heappush(heads, ([-part for part in place(row, order)], row.shard, row))

    for row in await shards.every(lambda one: next_of(one.shard)):
        push(row)
    while heads:
        _, shard, row = heapq.heappop(heads)
        yield row
        push(await next_of(shard))


async def count(shards: Shards, which: Filter) -> int:
    """How many jobs a filter means."""
    return sum(await shards.every(lambda one: looking.count(one, which)))


async def counts(shards: Shards) -> dict[str, QueueCounts]:
    """Counts by queue."""
    total: dict[str, QueueCounts] = {}
    for part in await shards.every(looking.counts):
        for queue, counted in part.items():
            before = total.get(queue)
            total[queue] = counted if before is None else _sum(before, counted)
    return total


def _sum(one: QueueCounts, other: QueueCounts) -> QueueCounts:
    return QueueCounts(
        one.pending + other.pending,
        one.delayed + other.delayed,
        one.processing + other.processing,
        one.completed + other.completed,
        one.failed + other.failed,
        one.cancelled + other.cancelled,
        max(one.oldest_seconds, other.oldest_seconds),
    )


def _cursor(row: Row, order: Order, *, many: bool) -> str:
    parts = place(row, order)
    return "/".join(repr(part) for part in (parts if many else parts[:-1]))


def _read_cursor(cursor: str | None, order: Order, *, many: bool) -> Place | None:
    if cursor is None:
        return None
    try:
        parts = tuple(float(part) for part in cursor.split("/"))
    except ValueError:
        parts = ()
    expected = (2 if order == "finished" else 1) + many
    if len(parts) != expected or not all(map(math.isfinite, parts)):
        raise ValueError(f"{cursor!r} is not a cursor of this listing; give one that it returned.")
    return parts if many else (*parts, 0)
