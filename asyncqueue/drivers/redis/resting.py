"""A shard that did not answer is left alone for a while: nobody has to wait for it."""

from __future__ import annotations

import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Final

from asyncqueue.drivers.redis.wire import ReplyError
from asyncqueue.errors import DriverError, DriverUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

SHORTEST: Final = 0.1
LONGEST: Final = 2.0
"""Seconds between two tries."""

log = logging.getLogger("asyncqueue.redis")


class Rest:
    """The rest of one shard, which begins when it does not answer and ends with an answer.

    While it rests whoever asks is refused at once, but for one at the end of every pause.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._failures = 0
        self._until = 0.0
        self._trying = False
        self._told: str | None = None

    @property
    def resting(self) -> bool:
        """Whether the last that is known is that it does not answer."""
        return self._failures > 0

    @contextlib.contextmanager
    def unless_resting(self) -> Generator[None]:
        """Ask inside. Raises DriverUnavailable without asking while it rests."""
        if self._failures and (self._trying or time.monotonic() < self._until):
            reason = f": {self._told}" if self._told else ""
            raise DriverUnavailable(f"{self._name} does not answer{reason}")
        trying = self._trying = self._failures > 0
        try:
            yield
        except DriverError as error:
            if isinstance(error.__cause__, ReplyError) or not isinstance(error, DriverUnavailable):
                self._answered()  # It cannot help, but it is there.
            else:
                self.begin(str(error))
            raise
        else:
            self._answered()
        finally:
            if trying:
                self._trying = False

    def begin(self, reason: str | None) -> None:
        """It did not answer; None where it may be only slow."""
        if reason is not None and self._told is None:
            log.warning("%s does not answer, its jobs wait: %s", self._name, reason)
            self._told = reason
        self._failures += 1
        pause = min(SHORTEST * 2 ** min(self._failures - 1, 10), LONGEST)
        self._until = time.monotonic() + pause * random.uniform(0.8, 1.0)  # noqa: S311

    def _answered(self) -> None:
        self._failures = 0
        if self._told is not None:
            log.warning("%s answers again", self._name)
            self._told = None
