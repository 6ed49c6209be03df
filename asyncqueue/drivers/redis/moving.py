"""Enqueue, claim, extend and settle: what is asked of the scripts, and what they answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncqueue.drivers.redis.encoding import (
    UnreadableError,
    claim_of,
    packed,
    packed_settlement,
    parts_of,
)
from asyncqueue.errors import DriverError
from asyncqueue.record import Claimed, Hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.wire import Word
    from asyncqueue.record import Claim, Extension, Record, Settlement, Source

    T = TypeVar("T")

MOST_RECORDS: Final = 300_000
"""Jobs of one call: all are stored by one script or none, and a command has that many words."""
CHUNK: Final = 500
"""Jobs that one script moves where a call need not be one step, so that none runs for long."""
HOLDS: Final = (Hold.LOST, Hold.HELD, Hold.CANCELLED)

log = logging.getLogger("asyncqueue.redis")


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """The items in pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def enqueue(scripts: Scripts, records: Sequence[Record]) -> list[str | None]:
    """Store all records or none."""
    if not records:
        return []
    if len(records) > MOST_RECORDS:
        raise DriverError(f"{len(records)} jobs at once; give at most {MOST_RECORDS}.")
    reply = await scripts.run_with("enqueue", _runs(records))
    if reply == 0:
        return [None] * len(records)
    return [None if answer is None else answer.decode() for answer in reply]


def _runs(records: Sequence[Record]) -> list[Word]:
    """Jobs that differ in id, key and content only are told of together."""
    words: list[Word] = []
    line: tuple[str, int, float] | None = None
    counted = 0
    for record in records:
        here = (record.queue, record.priority, max(0.0, record.delay))
        if here != line:
            line = here
            counted = len(words) + 3
            words += [here[0], here[1], repr(here[2]), 0]
        words += packed(record)
        words[counted] = int(words[counted]) + 1
    return words


async def claim(
    scripts: Scripts, sources: Sequence[Source], limit: int, lease: float, worker: str
) -> Claimed:
    """Claim up to ``limit`` jobs, in steps of which each is atomic."""
    where = [word for source in sources for word in (source.queue, source.low, source.high)]
    claimed = Claimed([])
    while len(claimed.claims) < limit:
        room = min(limit - len(claimed.claims), CHUNK)
        try:
            reply = await scripts.run("claim", room, repr(lease), worker, *where)
        except DriverError:
            if claimed.claims:  # They are ours already; the next call will meet the error.
                return claimed
            raise
        found = len(reply) // 3
        claimed.claims += await _read_claims(scripts, reply)
        if found < room:
            claimed.due_in = float(reply[0]) if reply[0] else None
            break
    return claimed


async def _read_claims(scripts: Scripts, reply: list[Any]) -> list[Claim]:
    claims: list[Claim] = []
    damaged: list[bytes] = []
    for at in range(1, len(reply), 3):
        try:
            claims.append(claim_of(reply[at], reply[at + 1], reply[at + 2]))
        except UnreadableError as error:
            log.warning("Job number %s is put aside: %s", reply[at].decode(errors="replace"), error)
            damaged.append(reply[at])
    if damaged:
        try:
            await scripts.run("put_aside", *damaged)
        except DriverError as error:  # They will be met again; those that can be read go first.
            log.warning("Cannot put %d unreadable jobs aside: %s", len(damaged), error)
    return claims


async def extend(scripts: Scripts, extensions: Sequence[Extension], lease: float) -> list[Hold]:
    """Renew leases."""
    holds: list[Hold] = []
    for chunk in chunks(extensions):
        words: list[Word] = [repr(lease)]
        for one in chunk:
            progress = "" if one.progress is None else repr(float(one.progress))
            message = "" if one.message is None else f"={one.message}"
            words += (*parts_of(one.token), progress, message)
        holds += [HOLDS[answer] for answer in await scripts.run_with("extend", words)]
    return holds


async def settle(scripts: Scripts, settlements: Sequence[Settlement]) -> list[bool]:
    """End claims; answers which were held."""
    words = [packed_settlement(settlement) for settlement in settlements]
    answers: list[bool] = []
    for chunk in chunks(words):
        flat = [word for one in chunk for word in one]
        answers += [answer == 1 for answer in await scripts.run_with("settle", flat)]
    return answers
