"""Enqueue, claim and extend: what is asked of the scripts, and what they answer."""

from __future__ import annotations

import logging
import struct
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncqueue.drivers.permits import UNREAD as UNREAD_LIMITS
from asyncqueue.drivers.redis.encoding import UnreadableError, packed
from asyncqueue.drivers.redis.reading import UNREAD, claim_of
from asyncqueue.drivers.redis.tokens import parts_of
from asyncqueue.errors import DriverError
from asyncqueue.record import Claimed, Hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.wire import Word
    from asyncqueue.record import Claim, Extension, Record, Source

    T = TypeVar("T")

MOST_RECORDS: Final = 300_000
"""Jobs of one call: all are stored by one script or none, and a command has that many words."""
CHUNK: Final = 500
"""Jobs that one script moves where a call need not be one step, so that none runs for long."""
_PLACE: Final = struct.Struct(">I")
HOLDS: Final = (Hold.LOST, Hold.HELD, Hold.CANCELLED)

log = logging.getLogger("asyncqueue.redis")


def chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """The items in pieces of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def enqueue(scripts: Scripts, records: Sequence[Record]) -> list[str | None]:
    """Store all records in the only shard, or none."""
    if not records:
        return []
    check_count(records)
    return answers_of(await scripts.run_with("enqueue", ["", *runs_of(records)]), len(records))


def check_count(records: Sequence[Record]) -> None:
    """Raise DriverError where there are more than a command can carry."""
    if len(records) > MOST_RECORDS:
        raise DriverError(f"{len(records)} jobs at once; give at most {MOST_RECORDS}.")


def answers_of(reply: Any, count: int) -> list[str | None]:
    """What a driver answers for so many records."""
    if reply == 0:
        return [None] * count
    return [None if answer is None else answer.decode("utf-8", "replace") for answer in reply]


def places_of(highest: int, places: Iterable[int]) -> bytes:
    """What scripts are told that give numbers: where to begin, and who comes where from there."""
    return b"%d/%b" % (highest, b"".join(_PLACE.pack(place) for place in places))


def runs_of(records: Iterable[Record]) -> list[Word]:
    """Records as the script takes them: those alike but for id, key and content together."""
    words: list[Word] = []
    line: tuple[str, int, float, bool] | None = None
    counted = count = 0
    for record in records:
        is_new = record.fresh and record.key is None
        here = (record.queue, record.priority, record.delay, is_new)
        if here != line:
            if line is not None:
                words[counted] = count
            line, counted, count = here, len(words) + 3, 0
            words += (here[0], here[1], repr(max(0.0, here[2])), 0, int(is_new))
        id, key, body = packed(record)
        words += (id, body) if is_new else (id, key, body)
        count += 1
    if line is not None:
        words[counted] = count
    return words


async def claim(
    scripts: Scripts, sources: Sequence[Source], limit: int, lease: float, worker: str
) -> Claimed:
    """Claim up to ``limit`` jobs, in steps of which each is atomic."""
    where = words_of(sources)
    claimed = Claimed([])
    while len(claimed.claims) < limit:
        room = min(limit - len(claimed.claims), CHUNK)
        try:
            reply = await scripts.run("claim", room, repr(lease), worker, 0, *where)
        except DriverError:
            if claimed.claims:  # They are ours already; the next call will meet the error.
                return claimed
            raise
        found = sum(map(len, reply[3::3]))
        claimed.now = time_of(reply)
        claimed.claims += await read_claims(scripts, reply)
        if found < room:
            claimed.due_in = float(reply[0]) if reply[0] else None
            break
    return claimed


def words_of(sources: Iterable[Source]) -> list[Word]:
    """Sources as scripts take them."""
    return [word for source in sources for word in (source.queue, source.low, source.high)]


def time_of(reply: Sequence[Any]) -> float:
    """The store's time in the answer to a claim."""
    return reply[2] / 1000


async def read_claims(scripts: Scripts, reply: list[Any]) -> list[Claim]:
    """The claims of a reply. Jobs that cannot be read are put aside."""
    shard = scripts.shard
    claims: list[Claim] = []
    damaged: list[bytes] = []
    for at in range(3, len(reply), 3):
        numbers, bodies, states = reply[at : at + 3]
        for number, body, state in zip(numbers, bodies, states or repeat(None), strict=False):
            try:
                claims.append(claim_of(number, body, state, shard))
            except UnreadableError as error:
                told = number.decode(errors="replace")
                log.warning("Job number %s is put aside: %s", told, error)
                damaged.append(number)
            else:
                if state is not None and state.startswith(UNREAD):
                    log.warning(UNREAD_LIMITS, claims[-1].id)
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
