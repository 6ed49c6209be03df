"""The driver that the documentation shows passes the suite and runs jobs."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue import Context, Job, Queue, Registry, Worker
from asyncqueue.testing import Clock, DriverConformance

from .pages import EXAMPLES

if TYPE_CHECKING:
    from pathlib import Path


def tiny_driver() -> Any:
    """The example's class."""
    spec = importlib.util.spec_from_file_location("tiny_driver", EXAMPLES / "tiny_driver.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # msgspec looks its annotations up there
    spec.loader.exec_module(module)
    return module.TinyDriver


TinyDriver = tiny_driver()


@pytest.mark.case("DRV-20", "TST-05")
@pytest.mark.partial
class TestTinyDriver(DriverConformance):
    """What is not offered is skipped."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "jobs"

    def make_driver(self, clock: Clock) -> Any:
        return TinyDriver(self.path, clock=clock)


class Double(Job):
    n: int

    async def handle(self, ctx: Context) -> int:
        return self.n * 2


async def test_a_worker_runs_on_it(tmp_path: Path):
    registry = Registry()
    registry.register(Double)
    queue = Queue(TinyDriver(tmp_path / "jobs"), registry=registry)
    async with queue, Worker(queue, poll_interval=0.01):
        assert await (await queue.dispatch(Double(21))).result(timeout=10) == 42
