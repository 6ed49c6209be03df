"""A server that takes its time: what was claimed does not wait for more, nor a call for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.postgres import claim as claiming
from asyncqueue.drivers.postgres.wire import ANSWERING, Alarm
from asyncqueue.record import Record, Source

from .acts import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncqueue.drivers.postgres import PostgresDriver

INSTANT = 0.00001
"""A lease of which the tenth part is over before any statement is."""


@pytest.mark.parametrize(
    ("records", "sources"),
    [
        pytest.param(
            [record("a", "one", fair="x"), record("b", "two", fair="x")],
            [Source("one"), Source("two")],
            id="in the next queue",
        ),
        pytest.param(
            [record("a", priority=7), record("b", priority=1)],
            [Source("q", 5, 9), Source("q")],
            id="in the rest of a queue",
        ),
    ],
)
async def test_what_is_claimed_late_does_not_wait_for_more(
    driver: PostgresDriver,
    monkeypatch: pytest.MonkeyPatch,
    records: list[Record],
    sources: list[Source],
) -> None:
    """The claim tells that there may be more at once."""
    monkeypatch.setattr(claiming, "SOON", 0.0)
    await driver.enqueue(records)
    first = await driver.claim(sources, 10, INSTANT, "w")
    assert [one.id for one in first.claims] == ["a"]
    assert first.due_in == 0.0
    second = await driver.claim(sources, 10, INSTANT, "w")
    assert [one.id for one in second.claims] == ["b"]


async def test_what_is_claimed_in_time_looks_for_more(driver: PostgresDriver) -> None:
    await driver.enqueue([record("a", "one", fair="x"), record("b", "two", fair="x")])
    claimed = await driver.claim([Source("one"), Source("two")], 10, 3600.0, "w")
    assert [one.id for one in claimed.claims] == ["a", "b"]


class Line:
    """A loop that is moved by hand, and a connection on it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.answered = 0.0
        self.ended_at: float | None = None
        self._timer: tuple[float, Callable[[], None]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Line:
        self._timer = (when, callback)
        return self

    def cancel(self) -> None:
        self._timer = None

    def terminate(self) -> None:
        self.ended_at = self.now

    def pass_until(self, end: float, *, answering_every: float | None = None) -> None:
        while self.now < end and self.ended_at is None:
            self.now += 0.5
            if answering_every is not None and self.now % answering_every == 0:
                self.answered = self.now
            if self._timer is not None and self._timer[0] <= self.now:
                self._timer[1]()


SECONDS = 4.0


def test_a_connection_without_an_answer_is_dropped() -> None:
    line = Line()
    alarm = Alarm(line, line, SECONDS, SECONDS)  # type: ignore[arg-type]
    line.pass_until(100.0)
    assert line.ended_at == SECONDS
    assert alarm.rang


def test_each_answer_gives_time_for_the_next_but_not_for_ever() -> None:
    line = Line()
    Alarm(line, line, SECONDS, SECONDS)  # type: ignore[arg-type]
    line.pass_until(100.0, answering_every=1.0)
    assert line.ended_at == ANSWERING * SECONDS


def test_one_that_falls_silent_after_answers_is_dropped_so_long_after_the_last() -> None:
    line = Line()
    Alarm(line, line, SECONDS, SECONDS)  # type: ignore[arg-type]
    line.pass_until(3.0, answering_every=1.0)
    line.pass_until(100.0)
    assert line.ended_at == 3.0 + SECONDS


def test_a_call_that_ended_drops_nothing() -> None:
    line = Line()
    Alarm(line, line, SECONDS, SECONDS).cancel()  # type: ignore[arg-type]
    line.pass_until(100.0)
    assert line.ended_at is None
