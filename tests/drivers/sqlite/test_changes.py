"""Noticing what others commit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver, changes
from asyncqueue.drivers.sqlite.file_events import FileEvents
from tests.drivers.sqlite.acts import record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["told", "blind"])
def eyes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without a kernel that tells of writes."""

    def refuse(*_: object) -> None:
        raise OSError("no more inotify instances")

    if request.param == "blind":
        monkeypatch.setattr(changes, "FileEvents", refuse)


@pytest.mark.usefixtures("eyes")
async def test_another_handle_rings(driver: SqliteDriver) -> None:
    """A dispatch elsewhere wakes the workers here."""
    other = driver.clone()
    await other.open()
    with driver.watch(["queue:q"]) as watch:
        for n in range(3):
            watch.clear()
            await other.enqueue([record(f"{n}")])
            await watch.wait(5)
            assert watch._event.is_set()
    await other.close()


@pytest.mark.usefixtures("eyes")
async def test_a_watch_may_be_older_than_the_opening(path: Path) -> None:
    """Closing and opening again does not make a watch deaf."""
    driver = SqliteDriver(path)
    other = driver.clone()
    await other.open()
    with driver.watch(["queue:q"]) as watch:
        for n in range(2):
            await driver.open()
            watch.clear()
            await other.enqueue([record(f"{n}")])
            await watch.wait(5)
            assert watch._event.is_set()
            await driver.close()
    await other.close()


async def test_what_others_commit_during_a_fork_rings(driver: SqliteDriver) -> None:
    """The connection is another one afterwards, which knows of no change."""
    other = driver.clone()
    await other.open()
    with driver.watch(["queue:q"]) as watch:
        await driver.ping()
        watch.clear()
        kept = driver._writer._kept
        assert kept.let_go(5)
        try:
            await other.enqueue([record("a")])
        finally:
            kept.go_on()
        await watch.wait(5)
        assert watch._event.is_set()
    await other.close()


async def test_own_commits_ring_their_topics_only(driver: SqliteDriver) -> None:
    """A busy worker does not wake everybody with everything it does."""
    with driver.watch(["queue:other"]) as watch:
        await driver.pause([], on=True)
        watch.clear()
        for n in range(5):
            await driver.enqueue([record(f"{n}")])
        assert not watch._event.is_set()


async def test_nothing_is_left_running(path: Path) -> None:
    """SHT: closing ends every thread."""
    before = set(threading.enumerate())
    driver = SqliteDriver(path)
    await driver.open()
    driver.watch(["queue:q"]).close()
    await driver.counts()
    await driver.close()
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith("asyncqueue-sqlite")}


def test_file_events_tell_of_writes(tmp_path: Path) -> None:
    """Once for what happens together, and again for what comes later."""
    file = tmp_path / "file"
    file.touch()
    told = threading.Semaphore(0)
    try:
        events = FileEvents(file, told.release)
    except OSError:
        pytest.skip("no inotify here")
    for _ in range(2):
        file.write_text("x")
        assert told.acquire(timeout=5)
    events.close()


def test_a_file_that_is_not_there_has_no_events(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere|inotify"):
        FileEvents(tmp_path / "nowhere", print)
