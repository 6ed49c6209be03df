"""Every hot statement reads one partial index, so other rows cost nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from asyncqueue.record import Filter, Source, State
from tests.drivers.sqlite.acts import claim, ended, record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncqueue.drivers.sqlite import SqliteDriver

VERBS: dict[str, Callable[[SqliteDriver], Awaitable[object]]] = {
    "enqueue": lambda driver: driver.enqueue([record("x"), record("y", key="k")]),
    "enqueue a duplicate": lambda driver: driver.enqueue([record("0", key="k")]),
    "claim": claim,
    "claim a lane": lambda driver: driver.claim([Source("q", 0, 5)], 200, 30, "w"),
    "settle": lambda driver: driver.settle([ended(each) for each in driver.held]),  # type: ignore[attr-defined]
    "settle otherwise": lambda driver: driver.settle(
        [ended(each, State.FAILED) for each in driver.held]  # type: ignore[attr-defined]
    ),
    "sweep": lambda driver: driver.sweep(),
    "prune": lambda driver: driver.prune(10),
    "find one": lambda driver: driver.find(Filter(ids=("0",))),
    "newest failed": lambda driver: driver.find(Filter(states=(State.FAILED,)), order="finished"),
    "size": lambda driver: driver.count(
        Filter(source=Source("q"), states=(State.PENDING, State.DELAYED))
    ),
    "counts": lambda driver: driver.counts(),
    "called off": lambda driver: driver.called_off("w"),
    "workers": lambda driver: driver.workers(),
    "cancel one": lambda driver: driver.cancel(Filter(ids=("0",)), 10),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_no_verb_reads_a_whole_table(driver: SqliteDriver, verb: str) -> None:
    """PRF: a million delayed, failed or finished jobs do not slow it down."""
    await driver.enqueue([record(f"{n}") for n in range(20)])
    driver.held = await claim(driver, 5)  # type: ignore[attr-defined]
    statements: set[str] = set()
    for kept in (driver._writer._kept, driver._reader._kept):
        with kept.using() as connection:
            connection.set_trace_callback(statements.add)
    await VERBS[verb](driver)
    with closing(sqlite3.connect(driver.path)) as connection:
        plans = {
            statement: [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in statements
            if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        }
    assert plans
    for statement, plan in plans.items():
        for step in plan:
            assert not _reads_all(step), f"{step}\n\n{statement}"


def _reads_all(step: str) -> bool:
    """Whether a step goes over all rows of a table, rather than of a partial index."""
    words = step.split()
    if words[0] != "SCAN" or words[1] not in ("jobs", "failed_jobs", "job"):
        return False
    return "INDEX" not in words
