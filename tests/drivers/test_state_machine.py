"""The same steps give the same results on every driver.

A few histories in every run, other ones each time; many where ``-m faults`` has the time for them,
and with ``HYPOTHESIS_PROFILE=nightly`` thousands.
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
from .turn_defects import TURN_DEFECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncqueue.drivers.base import Driver
    from asyncqueue.record import Record
    from asyncqueue.testing import Clock

    from ..servers.redis_groups import RedisCluster

numbers = itertools.count()
"""No two histories of this process share a place in a store."""

# Few long histories find more than many short ones: a stale claim takes a while to grow.
MANY = settings(
    max_examples=15,
    stateful_step_count=100,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
NIGHTLY = settings(MANY, max_examples=2000, stateful_step_count=200)
AT_NIGHT = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
# The same machine; a server needs longer for each step: the history that it finds is not shortened.
SERVED = settings(
    MANY, phases=(Phase.explicit, Phase.reuse, Phase.generate), print_blob=True, max_examples=8
)


def lengths(few: int, many: settings) -> pytest.MarkDecorator:
    """Run a test with few histories in every run, and with many where there is more time."""
    # By day the same ones each time: what is red was broken by a change. Nights look for new ones.
    many = NIGHTLY if AT_NIGHT else settings(many, derandomize=True)
    values = [
        pytest.param(settings(many, max_examples=few), id="few histories"),
        pytest.param(many, id="many histories", marks=pytest.mark.faults),
    ]
    return pytest.mark.parametrize("length", values)


HUNT = settings(
    MANY,
    max_examples=2000,  # Which ones depends on the modules that are loaded: enough for any.
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    print_blob=False,
)


# On a busy machine a history takes long; what hangs is noticed all the same.
pytestmark = pytest.mark.timeout(600)


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
@lengths(3, MANY)
def test_the_memory_driver_is_what_it_is_compared_with(length: settings) -> None:
    compare(lambda clock: MemoryDriver(clock=clock), length)


@pytest.mark.case("DRV-07", "PRI-13", "BAT-26", on="sqlite")
@lengths(3, MANY)
def test_sqlite_does_what_memory_does(folder: Path, length: settings) -> None:
    sqlite = pytest.importorskip("asyncqueue.drivers.sqlite")

    def make(clock: Clock) -> Driver:
        path = folder / f"{next(numbers)}.db"
        return sqlite.SqliteDriver(path, synchronous="NORMAL", clock=clock)

    compare(make, length)


@pytest.mark.case("DRV-07", "PRI-13", "BAT-26", on="postgres")
@lengths(2, SERVED)
def test_postgres_does_what_memory_does(postgres_url: str, length: settings) -> None:
    def make(clock: Clock) -> Driver:
        name = f"{PREFIX}machine_{next(numbers)}"
        driver = PostgresDriver(postgres_url, schema=name, clock=clock)
        driver._marks = Marks(enough=1)  # They are for claims of many jobs.
        return driver

    compare(make, length)


@pytest.mark.case("DRV-07", "PRI-13", "BAT-26", on="redis")
@lengths(2, SERVED)
def test_redis_does_what_memory_does(redis_url: str, length: settings) -> None:
    def make(clock: Clock) -> Driver:
        return RedisDriver(redis_url, prefix=f"machine{next(numbers)}", clock=clock)

    compare(make, length)


@lengths(2, SERVED)
def test_redis_in_three_shards_does_what_memory_does(redis_url: str, length: settings) -> None:
    """In any order that is FIFO in each shard."""
    compare_in_three_shards(redis_url, length)


@pytest.mark.faults
def test_a_cluster_does_what_memory_does(redis_cluster_server: RedisCluster) -> None:
    """The same on several servers."""
    compare_in_three_shards(redis_cluster_server.url, NIGHTLY if AT_NIGHT else SERVED)


def compare_in_three_shards(url: str, length: settings) -> None:
    """Compare with what follows the order that the driver chose between its shards."""

    def make(clock: Clock) -> Driver:
        return RedisDriver(url, prefix=f"sharded{next(numbers)}", shards=3, clock=clock)

    def shard_of(driver: Driver, record: Record) -> int:
        assert isinstance(driver, RedisDriver)
        return driver._shards.of(record)

    compare(make, length, shard_of)


@pytest.mark.hunts
@pytest.mark.parametrize(
    ("kind", "defect"),
    [
        *((DriverMachine, defect) for defect in DEFECTS),
        *((LatchMachine, defect) for defect in LATCH_DEFECTS),
        *((PermitMachine, defect) for defect in PERMIT_DEFECTS),
        *((DriverMachine, defect) for defect in TURN_DEFECTS),
    ],
)
def test_the_machine_finds_a_planted_defect(
    kind: type[DriverMachine], defect: type[MemoryDriver]
) -> None:
    with pytest.raises(AssertionError):
        compare(lambda clock: defect(clock=clock), HUNT, kind=kind)
