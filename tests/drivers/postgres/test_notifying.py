"""How others are told of new jobs: with the job where that is cheap, else a little later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.postgres import PostgresDriver, listening, notifying
from asyncqueue.ids import new_id
from asyncqueue.record import Latch, State

from .acts import claim, ended, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...servers.schemas import Schema


@pytest.fixture
async def other(postgres_schema: Schema) -> AsyncGenerator[PostgresDriver]:
    """Another process, as far as the database can tell."""
    driver = PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name)
    await driver.open()
    yield driver
    await driver.close()


@pytest.fixture
def sent(driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The notifications that had a statement of their own."""
    (session,) = driver._sessions.values()
    send, texts = session._notifier._send, []

    async def spy(these: list[str]) -> object:
        texts.append(these)
        return await send(these)

    monkeypatch.setattr(session._notifier, "_send", spy)
    return texts


async def test_one_job_of_an_idle_producer_brings_its_notification(
    driver: PostgresDriver, other: PostgresDriver, sent: list[list[str]]
) -> None:
    """One round trip less until a worker hears of it."""
    with other.watch(["queue:q"]) as watch:
        await watch.wait(5)
        watch.clear()
        await driver.enqueue([record(new_id())])
        await watch.wait(5)
        assert watch.rung
    assert sent == []


async def test_what_follows_at_once_is_told_a_little_later(
    driver: PostgresDriver,
    other: PostgresDriver,
    sent: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is left untold, and what comes within an interval is told at once."""
    monkeypatch.setattr(notifying, "INTERVAL", 1.0)
    with other.watch(["queue:second", "queue:third"]) as watch:
        await watch.wait(5)
        watch.clear()
        await driver.enqueue([record(new_id(), "first")])
        await driver.enqueue([record(new_id(), "second")])
        await driver.enqueue([record(new_id(), "third")])
        await watch.wait(10)
        assert watch.rung
    ((text,),) = sent
    assert "first" not in text
    assert "second" in text
    assert "third" in text


async def test_a_known_id_is_told_of_as_ever(
    driver: PostgresDriver, other: PostgresDriver, sent: list[list[str]]
) -> None:
    """The notification went down with the statement that it was in."""
    id = new_id()
    await other.enqueue([record(id)])
    with other.watch(["queue:q"]) as watch:
        await watch.wait(5)
        watch.clear()
        assert await driver.enqueue([record(id)]) == [id]
        await watch.wait(5)
        assert watch.rung
    assert len(sent) == 1


@pytest.mark.parametrize(
    ("state", "retention", "latch"),
    [
        (State.COMPLETED, 60.0, None),
        (State.COMPLETED, 0.0, None),
        (State.FAILED, 60.0, None),
        (State.COMPLETED, 60.0, "batch"),
    ],
    ids=["kept", "removed", "failed", "member"],
)
async def test_who_waits_for_a_job_is_told_that_it_ended(
    driver: PostgresDriver,
    other: PostgresDriver,
    monkeypatch: pytest.MonkeyPatch,
    state: State,
    retention: float,
    latch: str | None,
) -> None:
    """Told, and not left to find out when it looks whether its connection lives."""
    monkeypatch.setattr(listening, "HEALTHY_FOR", 3600.0)
    monkeypatch.setattr(driver, "clock", other.clock)  # Its own wait is in that time, too.
    latches = [] if latch is None else [Latch(latch)]
    await driver.enqueue([record("a", latch=latch)], latches=latches)
    (held,) = await claim(driver)
    with other.watch(["job:a"]) as watch:
        await watch.wait(5)
        assert watch.rung, "the listener has not started"
        watch.clear()
        settlement = ended(held, state, retention=retention, latch=latch)
        assert [bool(answer) for answer in await driver.settle([settlement])] == [True]
        await watch.wait(5)
        assert watch.rung


async def test_who_waits_for_long_goes_on_being_told(
    other: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever settles asks the store whether anybody waits: that is said anew in time."""
    monkeypatch.setattr(listening, "HEALTHY_FOR", 0.01)
    with other.watch(["job:a"]) as watch:
        await watch.wait(5)
        (session,) = other._sessions.values()
        said, say = [], session.listener._expect_endings

        async def expect() -> object:
            said.append(1)
            return await say()

        monkeypatch.setattr(session.listener, "_expect_endings", expect)
        for _ in range(3):
            watch.clear()
            await watch.wait(5)
            assert watch.rung
    assert len(said) >= 2
