"""How a loop of the worker lives through a store that does not answer."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging

LONGEST_PAUSE: Final = 1.5
"""Seconds between two tries, and a quarter more at most: whoever comes back is found within 2."""


class Outage:
    """Logs an outage once when it begins and once when it ends; pauses grow with jitter."""

    def __init__(
        self, what: str, shortest: float, log: logging.Logger, *, longest: float = LONGEST_PAUSE
    ) -> None:
        self._what = what
        self._shortest = shortest
        self._longest = max(longest, shortest)
        self._log = log
        self._failures = 0

    def failed(self, error: BaseException) -> float:
        """A try failed; answers the seconds to pause before the next one."""
        self._failures += 1
        if self._failures == 1:
            self._log.error("Cannot %s, trying again: %s", self._what, error)
        pause = min(self._shortest * 2 ** min(self._failures - 1, 16), self._longest)
        return pause * random.uniform(1.0, 1.25)  # noqa: S311 - spreads workers, no secret

    def over(self) -> None:
        """A try succeeded."""
        if self._failures:
            self._log.warning("Can %s again after %d failed tries", self._what, self._failures)
            self._failures = 0
