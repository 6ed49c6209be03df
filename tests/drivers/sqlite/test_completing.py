"""A handler's transaction while its handler is being cancelled."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

from asyncqueue.drivers.sqlite.completing import Completing
from asyncqueue.errors import LeaseLost
from asyncqueue.record import State
from tests.drivers.sqlite.acts import claim, ended, record, states

if TYPE_CHECKING:
    import pytest

    from asyncqueue.drivers.sqlite import SqliteDriver
    from asyncqueue.record import Settlement


async def test_a_cancellation_during_the_commit_waits_for_it(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is not closed while the commit uses it: that would end the process."""
    begun, go_on = threading.Event(), threading.Event()
    commit = Completing._commit

    def slow_commit(self, connection, settlement):
        begun.set()
        assert go_on.wait(5)
        commit(self, connection, settlement)

    monkeypatch.setattr(Completing, "_commit", slow_commit)
    await driver.enqueue([record("a")])
    (claimed,) = await claim(driver)

    async def complete() -> None:
        async with driver.transaction(ended(claimed)) as connection:
            connection.execute("CREATE TABLE effects (name)")

    completing = asyncio.create_task(complete())
    assert await asyncio.to_thread(begun.wait, 5)
    for _ in range(2):
        completing.cancel()
        await asyncio.sleep(0)
    assert not completing.done()
    go_on.set()
    await completing
    assert await states(driver) == {"a": State.COMPLETED}


async def test_a_beginning_that_fails_after_its_caller_went_fails_in_silence(
    driver: SqliteDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on, failed = threading.Event(), threading.Event(), threading.Event()

    def slow_refusal(self: Completing, connection: object, settlement: Settlement) -> None:
        begun.set()
        assert go_on.wait(5)
        failed.set()
        raise LeaseLost("another worker has it")

    monkeypatch.setattr(Completing, "_check_held", slow_refusal)
    await driver.enqueue([record("a")])
    (claimed,) = await claim(driver)

    async def complete() -> None:
        async with driver.transaction(ended(claimed)):
            raise AssertionError

    completing = asyncio.create_task(complete())
    assert await asyncio.to_thread(begun.wait, 5)
    completing.cancel()
    await asyncio.wait([completing])
    go_on.set()
    assert await asyncio.to_thread(failed.wait, 5)
    await driver.close()
    del completing
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()
    assert caplog.text == ""
