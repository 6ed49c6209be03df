"""Extend and settle over all shards: to each what is its own, all at once.

Where a shard cannot be reached, the others do what concerns them all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asyncqueue.drivers.redis import latches, moving, settling
from asyncqueue.drivers.redis.tokens import shard_of
from asyncqueue.drivers.storable import check_ends
from asyncqueue.errors import DriverError
from asyncqueue.record import Hold

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from asyncqueue.drivers.redis.scripts import Scripts
    from asyncqueue.drivers.redis.shards import Shards
    from asyncqueue.record import Counted, Extension, Settlement

    T = TypeVar("T")


async def settle(shards: Shards, settlements: Sequence[Settlement]) -> list[bool | Counted]:
    """End claims; answers which were held."""
    check_ends(settlements)  # All are refused where one must not be stored.

    async def act(scripts: Scripts, part: Sequence[Settlement]) -> list[bool | Counted]:
        return await _settle(shards, scripts, part)

    if shards.only is not None:
        return await act(shards.only, settlements)
    homes = [shard_of(one.token) for one in settlements]
    return await _spread(shards, homes, settlements, act, False)  # noqa: FBT003 - not held


async def _settle(
    shards: Shards, scripts: Scripts, settlements: Sequence[Settlement]
) -> list[bool | Counted]:
    """End claims of one shard: the plain ones by the script that does nothing else."""
    linked = latches.linked_of(settlements)
    if not linked:
        return [*await settling.settle(scripts, settlements)]
    answers: list[bool | Counted] = [False] * len(settlements)
    others = set(linked)
    rest = [n for n in range(len(settlements)) if n not in others]
    if rest:
        told = await settling.settle(scripts, [settlements[n] for n in rest])
        for n, answer in zip(rest, told, strict=True):
            answers[n] = answer
    highest = None if shards.only is not None else shards.highest
    counted, last = await latches.settle(scripts, [settlements[n] for n in linked], highest)
    shards.highest = max(shards.highest, last)
    for n, one in zip(linked, counted, strict=True):
        answers[n] = one
    return answers


async def extend(shards: Shards, extensions: Sequence[Extension], lease: float) -> list[Hold]:
    """Renew leases."""

    async def act(scripts: Scripts, part: Sequence[Extension]) -> list[Hold]:
        return await moving.extend(scripts, part, lease)

    if shards.only is not None:
        return await act(shards.only, extensions)
    homes = [shard_of(one.token) for one in extensions]
    return await _spread(shards, homes, extensions, act, Hold.LOST)


async def _spread(
    shards: Shards,
    homes: Sequence[int],
    things: Sequence[Any],
    act: Callable[[Scripts, list[Any]], Coroutine[Any, Any, list[T]]],
    nobody: T,
) -> list[T]:
    """Do this to all things where they are at home; what is nowhere at home gets ``nobody``.

    Raises PartlyUnavailable where some shards answer and some cannot be reached.
    """
    parts = shards.split((home, n) for n, home in enumerate(homes) if home < len(shards))
    told = await shards.each(lambda one: act(one, [things[n] for n in parts[one.shard]]), parts)
    answers, missing = [nobody] * len(things), dict[int, DriverError]()
    for home, part in parts.items():
        reply = told[home]
        if isinstance(reply, DriverError):
            missing |= dict.fromkeys(part, reply)
        else:
            for n, answer in zip(part, reply, strict=True):
                answers[n] = answer
    return shards.checked(answers, missing)
