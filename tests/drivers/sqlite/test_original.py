"""A file that is removed or replaced while it is open: nothing is lost silently."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.errors import DriverUnavailable
from asyncqueue.record import Filter, State
from tests.drivers.sqlite.acts import EVERYTHING, claim, ended, record, sql, states
from tests.drivers.sqlite.test_group_commit import Blocker, until_taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from asyncqueue.record import Claim
    from asyncqueue.testing import Clock

LOST = "removed or replaced while it was open; put it back or restart"


async def complete(driver: SqliteDriver, held: Claim) -> None:
    async with driver.transaction(ended(held)):
        pass


VERBS: dict[str, Callable[[SqliteDriver, Claim], Awaitable[object]]] = {
    "enqueue": lambda driver, _: driver.enqueue([record("new")]),
    "claim": lambda driver, _: claim(driver),
    "settle": lambda driver, held: driver.settle([ended(held)]),
    "transaction": complete,
    "sweep": lambda driver, _: driver.sweep(),
    "cancel": lambda driver, _: driver.cancel(EVERYTHING, 60),
    "find": lambda driver, _: driver.find(EVERYTHING),
    "counts": lambda driver, _: driver.counts(),
    "diagnose": lambda driver, _: driver.diagnose(),
}
LOSSES = ["removed", "replaced", "directory moved", "directory replaced"]


class Folder:
    """The directory of a database, and what may happen to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._aside = path.parent.with_name("aside")

    def lose(self, how: str) -> None:
        moved = self.path.parent if how.startswith("directory") else self.path
        moved.rename(self._aside)
        if how == "replaced":
            shutil.copy(self._aside, self.path)
        elif how == "directory replaced":
            shutil.copytree(self._aside, self.path.parent)

    def put_back(self, how: str) -> None:
        if how == "directory replaced":
            shutil.rmtree(self.path.parent)
        self._aside.rename(self.path.parent if how.startswith("directory") else self.path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "queue.db"


@pytest.mark.case("DRV-22")
@pytest.mark.parametrize(
    ("verb", "how"),
    [(verb, "replaced") for verb in VERBS]
    + [("enqueue", how) for how in LOSSES if how != "replaced"],
)
async def test_every_call_fails(driver: SqliteDriver, verb: str, how: str) -> None:
    """No dispatch is answered that nobody will ever see."""
    await driver.enqueue([record("held"), record("waiting")])
    (held,) = await claim(driver, 1)
    folder = Folder(driver.path)
    folder.lose(how)
    with pytest.raises(DriverUnavailable, match=LOST) as caught:
        await VERBS[verb](driver, held)
    assert str(driver.path) in str(caught.value)
    folder.put_back(how)
    assert await states(driver) == {"held": State.PROCESSING, "waiting": State.PENDING}
    await VERBS[verb](driver, held)


@pytest.mark.case("DRV-22")
async def test_nothing_is_created_in_its_place(driver: SqliteDriver) -> None:
    """An empty file would be taken for the queue."""
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    Folder(driver.path).lose("removed")
    for verb in VERBS.values():
        with pytest.raises(DriverUnavailable):
            await verb(driver, held)
    assert not driver.path.exists()


async def test_callers_of_one_group_all_fail(driver: SqliteDriver) -> None:
    """Also those who were waiting for the lock when it happened."""
    folder = Folder(driver.path)
    blocked = Blocker(driver.path)
    first = asyncio.create_task(driver.enqueue([record("first")]))
    await until_taken(driver)
    others = [asyncio.create_task(driver.enqueue([record(f"{n}")])) for n in range(5)]
    await asyncio.sleep(0)
    folder.lose("removed")
    blocked.let_go()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DriverUnavailable] * 6
    folder.put_back("removed")
    assert await states(driver) == {}


async def test_a_transaction_during_which_it_happens(driver: SqliteDriver) -> None:
    """Nothing of the block is written."""
    await driver.enqueue([record("a")])
    (held,) = await claim(driver)
    folder = Folder(driver.path)
    with pytest.raises(DriverUnavailable, match=LOST):
        async with driver.transaction(ended(held)):
            folder.lose("replaced")
    folder.put_back("replaced")
    assert await driver.count(Filter(states=(State.PROCESSING,))) == 1


async def test_joining_a_transaction(driver: SqliteDriver) -> None:
    """Whichever file the caller's connection is to."""
    folder = Folder(driver.path)
    within = sqlite3.connect(driver.path)
    folder.lose("removed")
    with pytest.raises(DriverUnavailable, match=LOST):
        await driver.enqueue([record("a")], within=within)
    folder.put_back("removed")
    assert await driver.enqueue([record("a")], within=within) == [None]
    within.commit()
    within.close()
    assert set(await states(driver)) == {"a"}


@pytest.mark.parametrize("how", LOSSES)
async def test_closing_and_opening_again(path: Path, clock: Clock, how: str) -> None:
    """SHT: closing works, harms no file that took its place, and a restart goes on with that."""
    driver = SqliteDriver(path, clock=clock)
    await driver.open()
    await driver.enqueue([record("a")])
    Folder(path).lose(how)
    path.parent.mkdir(exist_ok=True)
    other = SqliteDriver(path, clock=clock)
    await other.open()
    await other.enqueue([record("b")])
    await driver.close()
    assert "b" in await states(other)
    await driver.open()
    assert "b" in await states(driver)
    await driver.close()
    await other.close()
    assert ("b",) in sql(path, "SELECT id FROM jobs")
