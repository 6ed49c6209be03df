"""Settle: claims that end alike are told of together."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.drivers.redis.endings import packed_outcome, packed_terms
from asyncqueue.drivers.redis.failures import has_wrong_type
from asyncqueue.drivers.redis.moving import chunks
from asyncqueue.drivers.redis.tokens import parts_of
from asyncqueue.errors import DriverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncqueue.drivers.redis.endings import Terms
    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.wire import Word
    from asyncqueue.record import Settlement

_encode: Final = msgspec.msgpack.Encoder().encode


class Run:
    """Settlements that end alike: where they stand in the call, and what tells them apart."""

    __slots__ = ("ids", "numbers", "outcomes", "places")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.ids: list[str] = []
        self.numbers: list[str] = []
        self.outcomes: list[bytes] = []


async def settle(scripts: Scripts, settlements: Sequence[Settlement]) -> list[bool]:
    """End claims; answers which were held."""
    answers: list[bool] = []
    for chunk in chunks(settlements):
        answers += await _settle(scripts, chunk)
    return answers


async def _settle(scripts: Scripts, settlements: Sequence[Settlement]) -> list[bool]:
    bare: dict[Terms, Run] = {}
    telling: dict[Terms, Run] = {}
    met: set[int] = set()
    again: list[int] = []
    for n, one in enumerate(settlements):
        number, claims = parts_of(one.token)
        if number in met:
            again.append(n)
            continue
        met.add(number)
        outcome = packed_outcome(one)
        runs = bare if outcome is None else telling
        terms = (one.state, claims, one.attempts, one.exceptions, one.delay, one.retention)
        run = runs.get(terms)
        if run is None:
            run = runs[terms] = Run()
        run.places.append(n)
        run.ids.append(one.id)
        run.numbers.append(str(number))
        if outcome is not None:
            run.outcomes.append(outcome)
    try:
        answers = await _ask(scripts, bare, telling, len(settlements))
    except DriverError as error:
        await hold_again(scripts, settlements, error)
        raise
    if again:
        # Of two for one job the second comes too late, unless the first was not held.
        later = await settle(scripts, [settlements[n] for n in again])
        for n, held in zip(again, later, strict=True):
            answers[n] = held
    return answers


async def hold_again(
    scripts: Scripts, settlements: Iterable[Settlement], error: DriverError
) -> None:
    """After an error in the middle of a script: no claim may be lost, so that it can be settled."""
    if has_wrong_type(error.__cause__):
        words: list[Word] = []
        for one in settlements:
            words += (one.id, *parts_of(one.token))
        await scripts.run_with("hold_again", words)


async def _ask(
    scripts: Scripts, bare: dict[Terms, Run], telling: dict[Terms, Run], count: int
) -> list[bool]:
    words: list[Word] = []
    for runs, told in ((bare, 0), (telling, 1)):
        for terms, run in runs.items():
            # Two words for all: a client takes ten times as long for a word of each.
            words += (packed_terms(*terms), _encode(run.ids), _encode(run.numbers), told)
            words += run.outcomes
    reply = await scripts.run_with("settle", words)
    if isinstance(reply, int):
        return [True] * count
    answers = [False] * count
    places = chain(*(run.places for run in chain(bare.values(), telling.values())))
    for n, held in zip(places, reply, strict=True):
        answers[n] = held == 1
    return answers
