"""How many jobs a worker may still start, and how many it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Quota:
    """Shared by the pools of one worker; ``limit`` None means without end."""

    def __init__(
        self,
        limit: int | None,
        *,
        on_used_up: Callable[[], None],
        on_nothing: Callable[[], None],
    ) -> None:
        self.changes = 0
        """How often a job ended, or something was stored: what there is to claim is another."""
        self._ran = 0
        self._waiting: set[asyncio.Event] = set()
        self._limit = limit
        self._left = limit or 0
        self._on_used_up = on_used_up
        self._on_nothing = on_nothing

    @property
    def is_limited(self) -> bool:
        """Whether there is an end to what may be started."""
        return self._limit is not None

    def take(self, wanted: int, waiting: asyncio.Event) -> int:
        """How many of ``wanted`` jobs may be claimed; they count as taken.

        Where it is 0, ``waiting`` is set as soon as there may be some again.
        """
        if self._limit is None:
            return wanted
        taken = min(max(wanted, 0), self._left)
        if taken == 0:
            self._waiting.add(waiting)
        self._left -= taken
        return taken

    def give_back(self, unused: int) -> None:
        """That many were not started after all."""
        if self._limit is None or not unused:
            return
        self._left += unused
        while self._waiting:
            self._waiting.pop().set()

    def job_ended(self) -> None:
        """A job was run to its end, or is left to its lease."""
        self.changes += 1
        self._ran += 1
        if self._limit is not None and self._ran >= self._limit:
            self._on_used_up()

    def job_refused(self) -> None:
        """A job could not be run, and another one may be in its place."""
        self.changes += 1
        self.give_back(1)

    def stored(self) -> None:
        """How jobs ended was stored, and with it what follows them."""
        self.changes += 1

    def found_nothing(self) -> None:
        """A pool looked and there was nothing to claim."""
        self._on_nothing()
