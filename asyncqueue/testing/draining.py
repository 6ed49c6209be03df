"""Running what is due, here and now, until nothing is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from asyncqueue.lanes import source_of
from asyncqueue.record import Source
from asyncqueue.testing.attempt import Attempt
from asyncqueue.testing.by_hand import Hand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from asyncqueue.queue import Queue
    from asyncqueue.record import Claim
    from asyncqueue.testing.attempt import Ending


class Drained(msgspec.Struct, frozen=True):
    """What :func:`drain` ran, in order, and how often it ended in which way."""

    attempts: list[Attempt]

    @property
    def completed(self) -> int:
        """Jobs that completed."""
        return self._count("completed")

    @property
    def failed(self) -> int:
        """Jobs that failed for good."""
        return self._count("failed")

    @property
    def retried(self) -> int:
        """Attempts that raised and are to be repeated."""
        return self._count("retried")

    @property
    def released(self) -> int:
        """Attempts that asked to run again, by ``Retry`` or ``Snooze``."""
        return self._count("released")

    @property
    def cancelled(self) -> int:
        """Jobs that were cancelled while they ran."""
        return self._count("cancelled")

    @property
    def errors(self) -> list[BaseException]:
        """What failed and retried attempts raised, in order."""
        return [
            attempt.error
            for attempt in self.attempts
            if attempt.error is not None and attempt.ending in ("failed", "retried")
        ]

    def _count(self, ending: Ending) -> int:
        return sum(attempt.ending == ending for attempt in self.attempts)

    def __str__(self) -> str:
        return (
            f"{self.completed} completed, {self.failed} failed, {self.retried} retried, "
            f"{self.released} released, {self.cancelled} cancelled"
        )


async def drain(
    queue: Queue,
    *,
    queues: str | Sequence[str] | None = None,
    limit: int | None = None,
    raise_errors: bool = False,
    services: Sequence[Any] | Mapping[str, Any] = (),
    middleware: Sequence[Callable[..., Any]] = (),
) -> Drained:
    """Run every job that is due, one after the other, until none is; answers what it ran.

    Jobs that they dispatch are run too, and failed ones again if they are due again by then;
    later ones stay, so with a :class:`~asyncqueue.testing.Clock` move it and drain again.
    Everything runs in the caller's event loop, with middleware, services, timeouts, events and
    ``failed`` hooks as in a worker; jobs whose worker died come back first.

    ``queues`` are served strictly in their order; without them it is all queues, by name.
    ``limit`` ends it after so many attempts: use it for jobs that dispatch themselves for
    ever. Errors of jobs are in the answer; with ``raise_errors`` the first one is raised, after
    its outcome was stored. ``services`` and ``middleware`` are added to the queue's.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit must not be negative, got {limit!r}; None is no limit")
    attempts: list[Attempt] = []
    async with Hand(queue, services=services, middleware=middleware) as hand:
        look = _Look(hand, queues)
        while limit is None or len(attempts) < limit:
            claim = await look.next()
            if claim is None:
                break
            attempts.append(await hand.run(claim))
            if raise_errors:
                _raise_error(attempts[-1])
    return Drained(attempts)


class _Look:
    """Finds the next due job."""

    def __init__(self, hand: Hand, queues: str | Sequence[str] | None) -> None:
        self._hand = hand
        self._named = queues is not None
        names = (queues,) if isinstance(queues, str) else queues or ()
        self._sources = [source_of(name) for name in names]

    async def next(self) -> Claim | None:
        claim = await self._claim()
        if claim is None:
            await self._look_again()
            claim = await self._claim()
        return claim

    async def _claim(self) -> Claim | None:
        return await self._hand.claim(self._sources) if self._sources else None

    async def _look_again(self) -> None:
        driver = await self._hand.queue.ready()
        await driver.sweep()
        if not self._named:
            self._sources = [Source(name) for name in sorted(await driver.counts())]


def _raise_error(attempt: Attempt) -> None:
    if attempt.error is not None and attempt.ending in ("failed", "retried"):
        raise attempt.error
