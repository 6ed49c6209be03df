"""Runs any tests with secrets in addresses, payloads and the environment, none of which may show.

``pytest -p tests.canary tests/behaviour tests/drivers`` fails each test in which a secret stood in
a record of the log, an error (or what it was raised from), the output, or the ``repr`` of what the
test was given. ``--log-level=DEBUG`` makes it look at more. A few tests that count bytes or compare
addresses fail for that reason alone; a leak says "A secret shows".
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

import pytest

from asyncqueue import codec
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.errors import AsyncQueueError

from .faults.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

IN_ADDRESS: Final = "c4n4ry0f4ddr3ss"
IN_PAYLOAD: Final = "c4n4ry0fp4yl04d"
IN_ENVIRONMENT: Final = "c4n4ry0f3nv1r0nm3nt"
SECRETS: Final = (IN_ADDRESS, IN_PAYLOAD, IN_ENVIRONMENT)
VARIABLE: Final = "ASYNCQUEUE_TEST_SECRET"
SMALL_MAP: Final = range(0x80, 0x8F)
"""The first bytes of MessagePack maps that have room for one more pair and keep their length."""
PAIR: Final = b"\xa6canary" + bytes([0xA0 + len(IN_PAYLOAD)]) + IN_PAYLOAD.encode()


class Seen(logging.Handler):
    """Everything that was said since the last test."""

    def __init__(self) -> None:
        super().__init__(0)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts += [record.getMessage(), repr(record.__dict__.get("args"))]
        if record.exc_info:
            self.texts += traceback.format_exception(*record.exc_info)

    def raised(self, error: BaseException | None) -> None:
        """An error, with all that it comes from."""
        while error is not None:
            self.texts.append(f"{type(error).__name__}: {error} {error.args!r}")
            error = error.__cause__ or error.__context__

    def secrets(self, *more: str) -> list[str]:
        """The texts in which one shows; forgets all of them."""
        texts, self.texts = [*self.texts, *more], []
        return [text for text in texts if any(secret in text for secret in SECRETS)]


SEEN: Final = Seen()


def with_secret(payload: bytes) -> bytes:
    """An envelope with a field more, which nobody knows and so nobody has a reason to show."""
    if payload[0] not in SMALL_MAP:
        return payload
    return bytes([payload[0] + 1]) + payload[1:] + PAIR


def with_password(url: str) -> str:
    """An address of one of the private servers, which accept any password."""
    if url.startswith("redis://127.0.0.1:"):
        return url.replace("redis://", f"redis://default:{IN_ADDRESS}@", 1)
    return url.replace("://postgres@127.0.0.1", f"://postgres:{IN_ADDRESS}@127.0.0.1", 1)


def _addressed(init: Callable[..., None]) -> Callable[..., None]:
    def with_address(self: Any, *given: Any, **named: Any) -> None:
        if given and isinstance(given[0], str):
            given = (with_password(given[0]), *given[1:])
        init(self, *given, **named)

    return with_address


def _noting(init: Callable[..., None]) -> Callable[..., None]:
    def noting(self: AsyncQueueError, *given: Any, **named: Any) -> None:
        init(self, *given, **named)
        SEEN.raised(self)
        SEEN.raised(sys.exc_info()[1])

    return noting


def pytest_configure() -> None:
    os.environ[VARIABLE] = IN_ENVIRONMENT
    logging.getLogger().addHandler(SEEN)
    enveloped = codec.enveloped
    codec.enveloped = lambda *given, **named: with_secret(enveloped(*given, **named))
    changed: dict[Any, Callable[..., Any]] = {
        PostgresDriver: _addressed(PostgresDriver.__init__),
        RedisDriver: _addressed(RedisDriver.__init__),
        AsyncQueueError: _noting(AsyncQueueError.__init__),
    }
    for cls, init in changed.items():
        cls.__init__ = init


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    given = getattr(item, "funcargs", {}).values()
    shown = [_shown(one) for one in given if type(one).__module__.startswith("asyncqueue")]
    said = [worker.said for one in given if isinstance(one, Scene) for worker in one.workers]
    found = SEEN.secrets(*shown, *said, *(text for _, text in report.sections))
    if found:
        report.outcome = "failed"
        report.longrepr = "A secret shows:\n" + "\n".join(text[:2000] for text in found[:5])
    return report


def _shown(one: object) -> str:
    driver = getattr(one, "driver", None)
    settings = getattr(one, "settings", None)
    return f"{one!r} {one} {driver!r} {settings!r}"
