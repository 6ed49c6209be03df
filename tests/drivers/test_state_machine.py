"""The same steps give the same results on every driver.

``HYPOTHESIS_PROFILE=nightly`` looks longer.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.postgres.marks import Marks
from asyncqueue.drivers.redis import RedisDriver

from ..servers.schemas import PREFIX
from .defects import DEFECTS
from .latch_defects import LATCH_DEFECTS
from .latch_machine import LatchMachine
from .machine import DriverMachine
from .permit_defects import PERMIT_DEFECTS
from .permit_machine import PermitMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record
    from asyncqueue.testing import Clock

# Few long histories find more than many short ones: a stale claim takes a while to grow.
QUICK = settings(
    max_examples=15,
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
NIGHTLY = settings(QUICK, max_examples=2000, stateful_step_count=200)
AT_NIGHT = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
LENGTH = NIGHTLY if AT_NIGHT else QUICK
# The same machine; a server needs longer for each step: the history that it finds is not shortened.
SERVED = (
    NIGHTLY
    if AT_NIGHT
    else settings(
        QUICK, max_examples=8, phases=(Phase.explicit, Phase.reuse, Phase.generate), print_blob=True
    )
)
HUNT = settings(
    QUICK,
    max_examples=2000,  # Which ones depends on the modules that are loaded: enough for any.
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    print_blob=False,
)


def compare(
    make: Callable[[Clock], Driver],
    length: settings,
    part_of: Callable[[Driver, Record], int] | None = None,
    kind: type[DriverMachine] = PermitMachine,
) -> None:
    """Run the machine on drivers that are made like this."""

    class Machine(kind):
        make_driver = staticmethod(make)

    if part_of is not None:
        Machine.part_of = staticmethod(part_of)
    run_state_machine_as_test(Machine, settings=length)


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.case("DRV-07", "PRI-13", "BAT-26", on="memory")
def test_the_memory_driver_is_what_it_is_compared_with() -> None:
    compare(lambda clock: MemoryDriver(clock=clock), LENGTH)


@pytest.mark.case("DRV-07", "PRI-13", "BAT-26", on="sqlite")
def test_sqlite_does_what_memory_does(folder: Path) -> None:
    sqlite = pytest.importorskip("asyncqueue.drivers.sqlite")
    files = (folder / f"{n}.db" for n in itertools.count())

    def make(clock: Clock) -> Driver:
        return sqlite.SqliteDriver(next(files), synchronous="NORMAL", clock=clock)

    compare(make, LENGTH)


@pytest.mark.case("DRV-07", "PRI-13", "BAT-26", on="postgres")
def test_postgres_does_what_memory_does(postgres_url: str) -> None:
    def make(clock: Clock) -> Driver:
        name = f"{PREFIX}machine_{next(numbers)}"
        driver = PostgresDriver(postgres_url, schema=name, clock=clock)
        driver._marks = Marks(enough=1)  # They are for claims of many jobs.
        return driver

    numbers = itertools.count()
    compare(make, SERVED)


@pytest.mark.case("DRV-07", "PRI-13", "BAT-26", on="redis")
def test_redis_does_what_memory_does(redis_url: str) -> None:
    prefixes = (f"machine{n}" for n in itertools.count())

    def make(clock: Clock) -> Driver:
        return RedisDriver(redis_url, prefix=next(prefixes), clock=clock)

    compare(make, SERVED)


@pytest.mark.parametrize("where", ["one server", "a cluster"])
def test_redis_in_three_shards_does_what_memory_does(
    where: str, request: pytest.FixtureRequest
) -> None:
    """In any order that is FIFO in each shard."""
    if where == "a cluster":
        url = request.getfixturevalue("redis_cluster_server").url
    else:
        url = request.getfixturevalue("redis_url")
    prefixes = (f"sharded{n}" for n in itertools.count())

    def make(clock: Clock) -> Driver:
        return RedisDriver(url, prefix=next(prefixes), shards=3, clock=clock)

    def shard_of(driver: Driver, record: Record) -> int:
        assert isinstance(driver, RedisDriver)
        return driver._shards.of(record)

    compare(make, SERVED, shard_of)


@pytest.mark.hunts
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "defect"),
    [
        *((DriverMachine, defect) for defect in DEFECTS),
        *((LatchMachine, defect) for defect in LATCH_DEFECTS),
        *((PermitMachine, defect) for defect in PERMIT_DEFECTS),
    ],
)
def test_the_machine_finds_a_planted_defect(
    kind: type[DriverMachine], defect: type[MemoryDriver]
) -> None:
    with pytest.raises(AssertionError):
        compare(lambda clock: defect(clock=clock), HUNT, kind=kind)
