"""A call whose reply was lost is made again: it has done what it does once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .verbs import SECONDS, VERBS, offered, snapshot

if TYPE_CHECKING:
    from asyncqueue import Driver
    from asyncqueue.testing import Clock

REPEATABLE = [name for name, verb in VERBS.items() if verb.repeatable]


@pytest.mark.parametrize("name", REPEATABLE)
async def test_again(name: str, driver: Driver, clock: Clock):
    verb = VERBS[name]
    if not offered(name, driver):
        pytest.skip(f"the {driver.name} driver does not keep that")
    await driver.open()
    try:
        claims = await verb.prepare(driver)
        clock.advance(SECONDS if verb.late else 0)
        before = await snapshot(driver)
        await verb.call(driver, claims)
        once = await snapshot(driver)
        await verb.call(driver, claims)
        assert await snapshot(driver) == once
    finally:
        await driver.close()
    if name != "enqueue over a key":
        assert before != once, "it had nothing to do"
