"""Asks the web application, as any client would: over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asyncqueue.demo.crew import DemoFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AT_ONCE: Final = 250
"""Files in one request."""
REQUEST_TIMEOUT: Final = 3.0
PATIENCE: Final = 30.0
"""Seconds after which a web application that does not answer is given up."""


class Progress(msgspec.Struct, frozen=True):
    """How many jobs are in which state."""

    waiting: int
    running: int
    completed: int
    failed: int

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

    def post(self, paths: Sequence[str]) -> None:
        """Have these files indexed. Safe to repeat, so it is repeated when no answer came."""
        for start in range(0, len(paths), AT_ONCE):
            self._ask("POST", "/files", {"paths": paths[start : start + AT_ONCE]})

    def progress(self) -> Progress:
        """How far the indexing is."""
        return msgspec.json.decode(self._ask("GET", "/progress"), type=Progress)

    def _ask(self, method: str, path: str, body: Any = None) -> bytes:
        give_up_at = time.monotonic() + PATIENCE
        while True:
            self._meanwhile()
            try:
                return self._request(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() >= give_up_at:
                    raise DemoFailedError(
                        f"The web application did not answer for {PATIENCE:g} s: {error!r}"
                    ) from error
                time.sleep(0.05)

    def _request(self, method: str, path: str, body: Any) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, headers)
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
