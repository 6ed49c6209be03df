"""Latches: what is asked of the scripts that keep them, and what they answer."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from asyncqueue.drivers.redis.encoding import ON, packed, packed_wants
from asyncqueue.drivers.redis.endings import packed_settlement
from asyncqueue.drivers.redis.moving import check_count, chunks, places_of
from asyncqueue.drivers.redis.settling import hold_again
from asyncqueue.errors import DriverError
from asyncqueue.record import Counted, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.drivers.redis.wire import Word
    from asyncqueue.record import Latch, Record, Settlement

_HEAD: Final = struct.Struct(">BBBBdddiiiiiiiB")
_LENGTH: Final = struct.Struct(">I")
_LETTERS: Final = {on: letter.decode() for letter, on in ON.items()}
_WHY: Final = {
    b"taken": "exists already; give every one an id of its own",
    b"unknown": "is unknown; store it with its jobs",
    b"opened": "has opened; give these jobs a new one",
}


def linked_of(settlements: Sequence[Settlement]) -> Sequence[int]:
    """The indexes of settlements to which there is more than their claims.

    All of them, where it may matter that one is settled before what follows another.
    """
    linked = [
        n
        for n, one in enumerate(settlements)
        if one.latch is not None or one.follow_ups or one.attempt is not None
    ]
    following = [job for n in linked for job in settlements[n].follow_ups]
    if following and len(linked) < len(settlements):
        ends = {one.id for one in settlements}
        if any(job.key is not None or job.id in ends for job in following):
            return range(len(settlements))
    return linked


async def enqueue(
    scripts: Scripts, records: Sequence[Record], latches: Sequence[Latch], places: Word = ""
) -> tuple[list[str | None], int]:
    """Store all of these, or none; answers as the driver does, and the highest number.

    Raises DriverError where a latch is in the way.
    """
    check_count(records)
    words = [places, len(latches), len(records), *words_of(latches, records)]
    reply = await scripts.run_with("enqueue_linked", words)
    if isinstance(reply[0], bytes):
        raise _refusal(*reply)
    answers, highest = reply
    return [
        None if answer is None else answer.decode("utf-8", "replace") for answer in answers
    ], int(highest)


def words_of(latches: Iterable[Latch], records: Iterable[Record]) -> list[Word]:
    """Latches and jobs as `joining.lua` reads them."""
    words: list[Word] = []
    for latch in latches:
        words += (latch.id, latch.data, int(latch.breaks), repr(float(latch.retention)))
    for record in records:
        words += (record.queue, record.priority, repr(max(0.0, record.delay)), *packed(record))
        held = "" if record.held is None else _LETTERS[record.held]
        words += (record.latch or "", held, int(record.guards), packed_wants(record))
    return words


async def settle(
    scripts: Scripts, settlements: Sequence[Settlement], highest: int | None
) -> tuple[list[bool | Counted], int]:
    """End claims to which there is more; answers as the driver does, and the highest number.

    ``highest`` is that of all shards, where there are several.
    """
    answers: list[bool | Counted] = []
    last = 0
    for chunk in chunks(settlements):
        following = sum(len(one.follow_ups) for one in chunk)
        places = "" if highest is None else places_of(max(highest, last), range(following))
        words: list[Word] = [places]
        for one in chunk:
            words += packed_settlement(one)
            words += ("" if one.error is None else f"={one.error}", one.attempt or b"")
            words += (len(one.latches), len(one.follow_ups))
            words += words_of(one.latches, one.follow_ups)
        try:
            told, highest_now, *refused = await scripts.run_with("settle_linked", words)
        except DriverError as error:
            await hold_again(scripts, chunk, error)
            raise
        if refused:
            raise _refusal(*refused)
        last = max(last, int(highest_now))
        answers += [_answer(one.latch or "", told) for one, told in zip(chunk, told, strict=True)]
    return answers, last


def _refusal(latch: bytes, why: bytes) -> DriverError:
    return DriverError(f"Latch {latch.decode()!r} {_WHY[why]}. Nothing was stored.")


def _answer(id: str, told: Any) -> bool | Counted:
    if told in (0, 1):
        return bool(told)
    text, broke, opened = told
    return Counted(_tally(id, text)[0], broke=broke == 1, opened=opened == 1)


async def latches(shards: Shards, ids: Sequence[str] | None) -> list[Tally]:
    """What latches have counted, the newest first."""
    if ids is not None and not ids:
        return []
    found: list[Tally] = []
    for now, *told in await shards.every(lambda one: one.run("latches", *(ids or ()))):
        for id, text in zip(told[::2], told[1::2], strict=True):
            try:
                tally, over_at = _tally(id.decode(), text)
            except (struct.error, UnicodeError):
                continue  # It was damaged, which must hide no other.
            if over_at is None or over_at > float(now):
                found.append(tally)
    return sorted(found, key=lambda tally: tally.created_at, reverse=True)


async def call_off(shards: Shards, ids: Sequence[str]) -> list[str]:
    """Call latches off; answers those that were not called off before."""
    if not ids:
        return []
    told = await shards.every(lambda one: one.run("call_off", *ids))
    return [id.decode() for part in told for id in part]


async def forget(shards: Shards, ids: Sequence[str]) -> int:
    """Forget latches with all that they hold back."""
    if not ids:
        return 0
    once = dict.fromkeys(ids)
    return sum(await shards.every(lambda one: one.run("forget_latches", *once)))


async def ahead(shards: Shards, id: str) -> int | None:
    """How many jobs of its shard are claimed before this one."""
    told = await shards.every(lambda one: one.run("ahead", id))
    return next((count for count in told if count >= 0), None)


def _tally(id: str, text: bytes) -> tuple[Tally, float | None]:
    """What a latch has counted, and when it may go, if it has ended."""
    (_, called_off, _, ended, retention, created, opened, *counts, has_error) = _HEAD.unpack_from(
        text
    )
    total, completed, failed, skipped = counts[:4]
    error, at = _text(text, _HEAD.size)
    data, _ = _text(text, at)
    tally = Tally(
        id,
        data,
        total,
        completed,
        failed,
        skipped,
        called_off=called_off == 1,
        created_at=created,
        error=error.decode() if has_error else None,
        opened_at=opened if opened >= 0 else None,
    )
    return tally, opened + retention if ended else None


def _text(text: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _LENGTH.unpack_from(text, at)
    start = at + _LENGTH.size
    return text[start : start + length], start + length
