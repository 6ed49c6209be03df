"""Asks the web application, as any client would: over HTTP."""

from __future__ import annotations

import http.client
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec

from asyncqueue.demo.crew import DemoFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST_TIMEOUT: Final = 3.0
PATIENCE: Final = 30.0
"""Seconds after which a web application that does not answer is given up."""


class Progress(msgspec.Struct, frozen=True):
    """How many jobs of the batch are in which state, and whether its report is written, too."""

    waiting: int
    running: int
    completed: int
    failed: int
    over: bool

    @property
    def ended(self) -> int:
        """Jobs that are over."""
        return self.completed + self.failed


class Client:
    """Speaks to the web application; asks again while it is being started or replaced.

    ``meanwhile`` is called before each attempt: it starts again what was killed.
    """

    def __init__(self, port: int, meanwhile: Callable[[], None]) -> None:
        self._port = port
        self._meanwhile = meanwhile

    def start(self) -> None:
        """Have the files indexed. Safe to repeat, so it is repeated when no answer came."""
        self._ask("POST", "/index")

    def progress(self) -> Progress:
        """How far the indexing is."""
        return msgspec.json.decode(self._ask("GET", "/progress"), type=Progress)

    def _ask(self, method: str, path: str) -> bytes:
        give_up_at = time.monotonic() + PATIENCE
        while True:
            self._meanwhile()
            try:
                return self._request(method, path)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() >= give_up_at:
                    raise DemoFailedError(
                        f"The web application did not answer for {PATIENCE:g} s: {error!r}"
                    ) from error
                time.sleep(0.05)

    def _request(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise http.client.HTTPException(f"{response.status}: {answer[:500]!r}")
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise DemoFailedError(
                f"{method} {path} was refused, {response.status}: {answer[:500]!r}"
            )
        return answer
