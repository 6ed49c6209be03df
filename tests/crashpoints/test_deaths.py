"""A process dies before the k-th statement of a verb, for every k: all of it, or none of it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from asyncqueue.drivers.sqlite import SqliteDriver
from asyncqueue.testing import Clock

from .dying import clock_of
from .verbs import VERBS, offered, snapshot

if TYPE_CHECKING:
    from asyncqueue.record import Claim

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.faults


async def dies(folder: Path, name: str) -> int:
    """Answers the number of deaths, and one for the time when nothing died."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crashpoints.dying", str(folder), name),
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return int(printed)


@pytest.mark.parametrize("name", VERBS)
async def test_all_or_nothing(name: str, tmp_path: Path):
    verb = VERBS[name]
    driver = SqliteDriver(tmp_path / "before.db", clock=Clock())
    if not offered(name, driver):
        pytest.skip("the sqlite driver does not keep that")
    await driver.open()
    claims = await verb.prepare(driver)
    await driver.close()
    (tmp_path / "claims.json").write_bytes(msgspec.json.encode(claims))

    last = await dies(tmp_path, name)

    states = [await after_death(tmp_path / f"{k}.db", name, claims) for k in range(last + 1)[1:]]
    before, after = states[0][0], states[-1][0]
    assert last > 2, "there was nothing to die in"
    if name != "enqueue over a key":
        assert before != after
    for k, (state, repeated) in enumerate(states, 1):
        if verb.atomic:
            assert state in (before, after), f"half done before statement {k}"
        if verb.repeatable:
            assert repeated == after, f"after a death before statement {k} it cannot be repeated"


async def after_death(path: Path, name: str, claims: list[Claim]) -> tuple[object, object]:
    """What is stored, and what after the call is repeated."""
    verb = VERBS[name]
    driver = SqliteDriver(path, clock=clock_of(verb))
    await driver.open()
    try:
        state = await snapshot(driver)
        if verb.repeatable:
            await verb.call(driver, claims)
        return state, await snapshot(driver)
    finally:
        await driver.close()
