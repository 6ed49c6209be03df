"""The pytest plugin of asyncqueue: fixtures for tests of code that dispatches jobs.

It stands beside the package because pytest imports the plugins of everything that is installed,
in every run: this way, ``asyncqueue`` is imported by the first test that asks for a fixture.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncqueue import Queue
    from asyncqueue.clock import Clock as AnyClock
    from asyncqueue.testing import Clock, CrashLab, FakeQueue


def pytest_addoption(parser: pytest.Parser) -> None:
    """How a seed that a crash lab printed is replayed."""
    group = parser.getgroup("asyncqueue")
    with contextlib.suppress(ValueError):  # Named by -p where it is installed, too.
        group.addoption(
            "--asyncqueue-seed", type=int, metavar="SEED", help="replay this seed in crash labs"
        )
        group.addoption(
            "--asyncqueue-seeds",
            type=int,
            default=200,
            metavar="N",
            help="seeds of a crash lab (200)",
        )


@pytest.fixture
def asyncqueue_clock() -> Clock:
    """A clock that starts at the present and stands still until the test moves it.

    A test that asks for it, too, has it in ``asyncqueue_fake`` and ``asyncqueue_memory``.
    """
    from datetime import UTC, datetime  # noqa: PLC0415

    from asyncqueue.testing import Clock  # noqa: PLC0415

    return Clock(datetime.now(UTC))


@pytest.fixture
def asyncqueue_fake(request: pytest.FixtureRequest) -> Iterator[FakeQueue]:
    """A queue that records what is dispatched and runs nothing: the default one of this test."""
    from asyncqueue.testing import FakeQueue, as_default  # noqa: PLC0415

    with as_default(FakeQueue(clock=_clock_of(request))) as fake:
        yield fake


@pytest.fixture
def asyncqueue_memory(request: pytest.FixtureRequest) -> Iterator[Queue]:
    """A queue in memory, for workers or ``drain``: the default one of this test."""
    from asyncqueue import Queue  # noqa: PLC0415
    from asyncqueue.drivers.memory import MemoryDriver  # noqa: PLC0415
    from asyncqueue.testing import as_default  # noqa: PLC0415

    with as_default(Queue(MemoryDriver(clock=_clock_of(request)))) as queue:
        yield queue


@pytest.fixture
def asyncqueue_lab(request: pytest.FixtureRequest) -> CrashLab:
    """A crash lab of 200 seeds, or of what ``--asyncqueue-seed`` and ``--asyncqueue-seeds`` say."""
    from asyncqueue.testing import CrashLab  # noqa: PLC0415

    option: Any = request.config.getoption
    return CrashLab(seed=option("--asyncqueue-seed"), seeds=option("--asyncqueue-seeds"))


def _clock_of(request: pytest.FixtureRequest) -> AnyClock:
    """The clock of this test: moved by hand if it asked for that, else the system's."""
    if "asyncqueue_clock" in request.fixturenames:
        clock: AnyClock = request.getfixturevalue("asyncqueue_clock")
        return clock
    from asyncqueue.clock import SYSTEM_CLOCK  # noqa: PLC0415

    return SYSTEM_CLOCK
