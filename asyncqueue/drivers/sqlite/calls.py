"""What the event loop asks of the writer's thread, and how the answer comes back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from asyncqueue.drivers.sqlite.store import Store

T = TypeVar("T")


class Call(Generic[T]):
    """One verb, on its way to the store.

    ``probe`` may answer without a write lock. ``undo`` makes an answer undone that nobody is
    there to receive. ``weight`` says how many rows it is about. What is not ``durable`` may be
    forgotten by a power failure.
    """

    __slots__ = ("asked_at", "durable", "future", "loop", "probe", "undo", "weight", "work")

    def __init__(
        self,
        work: Callable[[Store], T],
        *,
        probe: Callable[[Store], T | None] | None = None,
        undo: Callable[[T], Call[Any] | None] | None = None,
        durable: bool = True,
        weight: int = 1,
    ) -> None:
        self.work = work
        self.probe = probe
        self.undo = undo
        self.durable = durable
        self.weight = weight
        self.asked_at = time.monotonic()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[T] | None = None

    def expect(self) -> asyncio.Future[T]:
        """The future of the answer, in the running loop."""
        self.loop = asyncio.get_running_loop()
        self.future = self.loop.create_future()
        return self.future

    @property
    def abandoned(self) -> bool:
        """Whether the caller was cancelled."""
        return self.future is not None and self.future.cancelled()


class Outcome(NamedTuple):
    """A call with its answer or its error."""

    call: Call[Any]
    answer: Any = None
    error: Exception | None = None

    def deliver(self) -> Call[Any] | None:
        """Tell the caller. Where nobody waits any more: what undoes it, if anything."""
        future = self.call.future
        if future is None:
            return None
        if future.cancelled():
            return self.undoing()
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.answer)
        return None

    def undoing(self) -> Call[Any] | None:
        """The call that undoes this one, if that means anything."""
        if self.error is None and self.call.undo is not None:
            return self.call.undo(self.answer)
        return None


def deliver_all(outcomes: Iterable[Outcome], undo: Callable[[Call[Any]], object]) -> None:
    """Tell all callers, with one wake-up for every event loop."""
    by_loop: dict[asyncio.AbstractEventLoop | None, list[Outcome]] = {}
    for outcome in outcomes:
        by_loop.setdefault(outcome.call.loop, []).append(outcome)
    for loop, group in by_loop.items():
        if loop is not None:
            _hand_over(loop, group, undo)


def _hand_over(
    loop: asyncio.AbstractEventLoop,
    outcomes: list[Outcome],
    undo: Callable[[Call[Any]], object],
) -> None:
    def deliver() -> None:
        for outcome in outcomes:
            undoing = outcome.deliver()
            if undoing is not None:
                undo(undoing)

    try:
        loop.call_soon_threadsafe(deliver)
    except RuntimeError:
        # The loop was closed: none of its callers will ever get an answer.
        for outcome in outcomes:
            undoing = outcome.undoing()
            if undoing is not None:
                undo(undoing)
