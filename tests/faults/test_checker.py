"""The checker tells each defect, and finds nothing where there is none."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from asyncqueue import DriverUnavailable, Queue, Worker
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.record import Settlement, Source, State
from asyncqueue.testing import Clock

from ..recorder import until
from .checker import at_once, bodies_of, check, comebacks
from .defects import AFTER_A_DEATH, DEFECTS, Defect
from .jobs import JOURNAL, Labour, journal
from .journal import Entry, Journal, Reading
from .witness import witness

if TYPE_CHECKING:
    from pathlib import Path

    from .checker import Report

LOG = logging.getLogger("tests.worker")
JOBS = 40
LEASE = 30.0


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setenv(JOURNAL, str(tmp_path / "journal.jsonl"))
    return journal()


async def run(
    make: type[MemoryDriver], notes: Journal, *, dies: bool = False, wakes: bool = False
) -> Report:
    """A producer, two workers that live and, if told so, one that dies or seems to with a claim."""
    clock = Clock()
    driver = make(clock=clock)
    witness(driver, notes)
    queue, reading = Queue(driver), Reading(notes.path)
    for n in range(JOBS):
        await dispatched(queue, f"job{n}", notes)
    held = []
    if dies or wakes:
        held = (await driver.claim([Source("default")], 1, 1.0, "dead")).claims
    options = {"concurrency": 2, "lease": LEASE, "poll_interval": 0.01, "logger": LOG}
    async with Worker(queue, **options), Worker(queue, **options):
        await until(lambda: len(reading.more()) and len(reading.ids("started")) >= 4)
        clock.advance(LEASE / 4)  # Time for a sweep.
        if wakes:  # It was not dead after all.
            await until(lambda: reading.more() and held[0].id in reading.ids("started"))
            await driver.settle([ended(held[0])])
        while (await queue.stats())["default"].pending or running(reading):
            await asyncio.sleep(0.01)
    states = {job.id: job.state.value for job in (await queue.jobs(limit=500)).items}
    await queue.close()
    return check(reading.more(), states)


async def dispatched(queue: Queue, id: str, notes: Journal) -> None:
    notes.note("attempted", id)
    try:
        await queue.dispatch(Labour(seconds=0.01), id=id)
    except DriverUnavailable:
        notes.note("refused", id)
    else:
        notes.note("acknowledged", id)


def running(reading: Reading) -> bool:
    return any(body.how == "" for body in bodies_of(reading.more()))


def ended(claim):
    return Settlement(claim.id, claim.token, State.COMPLETED, 1, retention=3600)


async def test_nothing_is_wrong_with_the_memory_driver(notes: Journal) -> None:
    report = await run(MemoryDriver, notes)
    assert report.problems(faults=False) == []
    assert len(report.done) == len(report.acknowledged) == len(report.attempted) == JOBS


async def test_nothing_is_wrong_with_it_after_a_death(notes: Journal) -> None:
    report = await run(MemoryDriver, notes, wakes=True)
    assert report.problems() == []
    assert (len(report.done), report.stale) == (JOBS, 1)


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.driver.__name__)
async def test_each_defect_is_told(notes: Journal, defect: Defect) -> None:
    report = await run(defect.driver, notes)
    assert defect.shows(report), report
    assert bool(report.problems(faults=False)) is not defect.silent


@pytest.mark.parametrize("defect", AFTER_A_DEATH, ids=lambda defect: defect.driver.__name__)
async def test_each_defect_is_told_after_a_death(notes: Journal, defect: Defect) -> None:
    report = await run(defect.driver, notes, dies=True, wakes=defect.wakes)
    assert defect.shows(report), report


def entry(event, at: float, id: str = "a", *, pid: int = 1, **more) -> Entry:
    return Entry(event, at, at, pid, id, **more)


def test_a_body_ends_with_its_process() -> None:
    entries = [
        entry("started", 1.0, run=1),
        entry("started", 1.5, "b", run=2),
        entry("finished", 1.8, "b", run=2),
        entry("died", 2.0, ""),
        entry("started", 5.0, pid=2, run=1),
        entry("finished", 6.0, pid=2, run=1),
    ]
    bodies = bodies_of(entries)
    assert [(body.id, body.how) for body in bodies] == [
        ("a", "died"),
        ("b", "finished"),
        ("a", "finished"),
    ]
    assert [one.seconds for one in comebacks(bodies)] == [3.0]
    assert not check(entries, {}).overlapped


def test_bodies_that_overlap_are_told() -> None:
    entries = [
        entry("started", 1.0, run=1),
        entry("started", 2.0, pid=2, run=1),
        entry("finished", 3.0, run=1),
        entry("cancelled", 4.0, pid=2, run=1),
    ]
    assert check(entries, {}).overlapped == {"a"}


@pytest.mark.parametrize(("second", "most"), [(1.5, 2), (2.0, 1)])
def test_bodies_of_one_key_are_counted(second: float, most: int) -> None:
    entries = [
        entry("started", 1.0, run=1, key="k"),
        entry("finished", 2.0, run=1),
        entry("started", second, "b", run=2, key="k"),
        entry("finished", 3.0, "b", run=2),
    ]
    assert at_once(bodies_of(entries)) == {"k": most}


def test_an_effect_more_is_explained_by_a_lease_that_was_lost() -> None:
    entries = [
        entry("claimed", 0.5, token=1),
        entry("started", 1.0, run=1),
        entry("finished", 2.0, run=1),
        entry("stale", 2.1, token=1),
        entry("claimed", 2.5, pid=2, token=2),
        entry("started", 3.0, pid=2, run=1),
        entry("finished", 4.0, pid=2, run=1),
        entry("settled", 4.1, pid=2, token=2, state="completed"),
    ]
    report = check([entry("attempted", 0.0), *entries], {"a": "completed"})
    assert report.duplicated == {"a"}
    assert report.problems() == []
    without = [one for one in entries if one.event != "claimed"]
    assert "unexplained" in check([entry("attempted", 0.0), *without], {}).problems()[0]


def test_a_stale_settlement_that_is_accepted_is_told() -> None:
    entries = [
        entry("claimed", 1.0, token=1),
        entry("claimed", 2.0, pid=2, token=2),
        entry("settled", 3.0, token=1, state="completed"),
    ]
    assert check(entries, {}).unfenced == {"a"}


def test_lines_of_several_writers_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "shared.jsonl"
    one, other = Journal(path), Journal(path)
    reading = Reading(path)
    for n in range(100):
        (one if n % 2 else other).note("started", f"job{n}", run=n)
        if n == 50:
            assert len(reading.more()) == 51
    with path.open("ab") as killed:  # In the middle of a line.
        killed.write(b'{"event":"fin')
    assert [each.run for each in reading.more()] == list(range(100))
    one.close()
    other.close()
