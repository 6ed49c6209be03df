"""How many jobs a worker may still start, and how many it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
        self.ended = 0
        self._limit = limit
        self._left = limit or 0
        self._on_used_up = on_used_up
        self._on_nothing = on_nothing

    def take(self, wanted: int) -> int:
        """How many of ``wanted`` jobs may be claimed; they count as taken."""
        if self._limit is None:
            return wanted
        taken = min(wanted, self._left)
        if taken > 0:
            self._left -= taken
        return taken

    def give_back(self, unused: int) -> None:
        """That many were not started after all."""
        if self._limit is not None:
            self._left += unused

    def job_ended(self) -> None:
        """A job was run to its end, or will never be run here."""
        self.ended += 1
        if self._limit is not None and self.ended >= self._limit:
            self._on_used_up()

    def found_nothing(self) -> None:
        """A pool looked and there was nothing to claim."""
        self._on_nothing()
