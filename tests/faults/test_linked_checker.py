"""The checker of batches and chains tells what is wrong, and nothing where all is well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from asyncqueue import Queue
from asyncqueue.testing import drain

from .jobs import JOURNAL, journal
from .journal import Entry, Reading
from .linked_checker import Played, batch_problems, chain_problems
from .linked_jobs import Called, Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Entry]]]:
    """What the jobs of this test have noted."""
    path = tmp_path / "journal.jsonl"
    monkeypatch.setenv(JOURNAL, str(path))
    yield lambda: list(Reading(path).more())
    journal().close()


async def played(queue: Queue, *good: bool) -> Played:
    batch = queue.batch(*(Member(f"b/{n}", one, 0.0) for n, one in enumerate(good)))
    batch.then(Called("b/then")).catch(Called("b/catch")).finally_(Called("b/finally"))
    await batch.allow_failures().dispatch()
    await drain(queue)
    return Played("b", batch.id)


def without(key: str) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [entry for entry in entries if entry.key != key]


def again(key: str, **changes: Any) -> Callable[[list[Entry]], list[Entry]]:
    """It ran once more."""
    return lambda entries: [
        *entries,
        *(replace(entry, run=1000, **changes) for entry in entries if entry.key == key),
    ]


def earlier(key: str) -> Callable[[list[Entry]], list[Entry]]:
    return lambda entries: [
        replace(entry, at=0.0) if entry.key == key else entry for entry in entries
    ]


@pytest.mark.parametrize("good", [(True, True), (True, False), (False,)])
async def test_a_batch_of_which_all_is_well(read, good):
    async with Queue("memory://") as queue:
        batch = await played(queue, *good)
        assert await batch_problems(queue, read(), batch) == []


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (without("b/finally"), "callbacks"),
        (without("b/catch"), "callbacks"),
        (again("b/finally", id="another"), "callbacks"),
        (again("b/catch", id="another"), "callbacks"),
        (again("b/finally"), "b/finally ran 2 times"),
        (again("b/0"), "b/0 ran 2 times"),
        (earlier("b/finally"), "finally began before the last job ended"),
        (earlier("b/finally"), "finally began before catch ended"),
        (earlier("b/catch"), "catch began before a job failed"),
    ],
)
async def test_a_batch_of_which_something_is_wrong(read, tamper, told):
    async with Queue("memory://") as queue:
        batch = await played(queue, True, False)
        assert told in str(await batch_problems(queue, tamper(read()), batch))


async def test_a_batch_that_has_not_ended(read):
    async with Queue("memory://") as queue:
        batch = await queue.batch(Member("b/0")).dispatch()
        journal()
        told = await batch_problems(queue, read(), Played("b", batch.id))
        assert "it has not ended" in told[0]
        assert await batch_problems(queue, read(), Played("x", "x")) == ["x is unknown"]


async def chain(queue: Queue, bad: int | None) -> None:
    links = [Member(f"c/{n}", n != bad, 0.0) for n in range(3)]
    await queue.chain(*links).catch(Called("c/catch")).dispatch()
    await drain(queue)


@pytest.mark.parametrize("bad", [None, 0, 1, 2])
async def test_a_chain_of_which_all_is_well(read, bad):
    async with Queue("memory://") as queue:
        await chain(queue, bad)
    assert chain_problems(read(), "c", 3, bad) == []


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (without("c/1"), "c/1 is 0 jobs"),
        (again("c/0"), "c/0 ran 2 times"),
        (again("c/0", id="another"), "c/0 is 2 jobs"),
        (earlier("c/1"), "c/1 began before c/0 ended"),
        (without("c/catch"), "caught 0 times"),
        (again("c/catch", id="another"), "caught 2 times"),
        (earlier("c/catch"), "caught before it failed"),
    ],
)
async def test_a_chain_of_which_something_is_wrong(read, tamper, told):
    async with Queue("memory://") as queue:
        await chain(queue, 1)
    assert told in chain_problems(tamper(read()), "c", 3, 1)
