from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from asyncqueue.testing import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2030, 1, 1, tzinfo=UTC)


async def settle_down() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.case("TST-09")
def test_it_stands_still_until_it_is_moved() -> None:
    clock = Clock()
    assert clock.now() == START
    assert clock.time() == START.timestamp()
    clock.advance(90)
    clock.advance(timedelta(minutes=1))
    assert clock.now() == START + timedelta(seconds=150)


def test_it_starts_where_it_is_told_to() -> None:
    clock = Clock(datetime(2024, 2, 29, 12, tzinfo=UTC))
    assert clock.now().isoformat() == "2024-02-29T12:00:00+00:00"


def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        Clock(datetime(2024, 2, 29))  # noqa: DTZ001


def test_time_is_a_number() -> None:
    with pytest.raises(TypeError, match="seconds or a timedelta, got '5s'"):
        Clock().advance("5s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seconds", [-1, timedelta(seconds=-1), float("nan"), float("inf")])
def test_it_only_moves_forward(seconds: float | timedelta) -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="cannot be advanced"):
        clock.advance(seconds)
    assert clock.now() == START


def test_small_steps_add_up() -> None:
    clock = Clock()
    due = clock.time() + 0.3
    for _ in range(3):
        assert clock.time() < due
        clock.advance(0.1)
    assert clock.time() >= due


@pytest.mark.asyncio
async def test_timers_are_called_in_order_and_read_their_own_time() -> None:
    clock, calls = Clock(), list[tuple[str, float]]()
    began = clock.time()

    def note(name: str) -> Callable[[], None]:
        return lambda: calls.append((name, clock.time() - began))

    clock.call_later(3, note("c"))
    clock.call_later(1, note("a"))
    clock.call_later(1, note("b"))
    clock.call_later(9, note("later"))
    clock.advance(5)
    assert calls == [("a", 1), ("b", 1), ("c", 3)]
    assert clock.time() - began == 5
    assert clock.pending == 1


@pytest.mark.asyncio
async def test_a_callback_may_set_the_next_timer() -> None:
    clock, ticks = Clock(), list[datetime]()

    def tick() -> None:
        ticks.append(clock.now())
        clock.call_later(10, tick)

    clock.call_later(10, tick)
    clock.advance(35)
    assert ticks == [START + timedelta(seconds=n) for n in (10, 20, 30)]


@pytest.mark.asyncio
async def test_a_cancelled_timer_is_not_called() -> None:
    clock, calls = Clock(), list[int]()
    first = clock.call_later(1, lambda: second.cancel())  # noqa: PLW0108
    second = clock.call_later(1, lambda: calls.append(1))
    clock.advance(1)
    first.cancel()
    second.cancel()
    assert (calls, clock.pending) == ([], 0)


@pytest.mark.asyncio
async def test_no_delay_needs_no_advance() -> None:
    clock, called = Clock(), asyncio.Event()
    clock.call_later(0, called.set)
    await asyncio.wait_for(called.wait(), 1)
    await asyncio.wait_for(clock.sleep(0), 1)
    await asyncio.wait_for(clock.sleep(-1), 1)


@pytest.mark.asyncio
async def test_a_sleep_ends_when_its_time_has_come() -> None:
    clock = Clock()
    sleeping = asyncio.create_task(clock.sleep(10))
    await settle_down()
    clock.advance(9.5)
    await settle_down()
    assert not sleeping.done()
    clock.advance(0.5)
    await asyncio.wait_for(sleeping, 1)
    assert clock.pending == 0


@pytest.mark.asyncio
async def test_a_cancelled_sleep_leaves_nothing_behind() -> None:
    clock = Clock()
    sleeping = asyncio.create_task(clock.sleep(10))
    await settle_down()
    assert clock.pending == 1
    sleeping.cancel()
    await asyncio.gather(sleeping, return_exceptions=True)
    assert clock.pending == 0


def test_it_moves_outside_any_event_loop() -> None:
    clock, calls = Clock(), list[int]()
    loop = asyncio.new_event_loop()

    async def set_timer() -> None:
        clock.call_later(1, lambda: calls.append(1))

    loop.run_until_complete(set_timer())
    clock.advance(1)
    loop.close()
    assert calls == [1]


def test_the_timers_of_a_closed_loop_are_forgotten() -> None:
    clock, calls = Clock(), list[int]()

    async def set_timer() -> None:
        clock.call_later(1, lambda: calls.append(1))

    asyncio.run(set_timer())
    clock.advance(1)
    assert (calls, clock.pending) == ([], 0)


class Beats:
    """A side thread with its own loop that does something on every beat, as a heartbeat does."""

    def __init__(self, clock: Clock, every: float, most: int) -> None:
        self.times: list[datetime] = []
        self._clock, self._every, self._most = clock, every, most
        self.thread = threading.Thread(target=lambda: asyncio.run(self._beat()))
        self.thread.start()
        while not clock.pending:
            time.sleep(0)

    async def _beat(self) -> None:
        for _ in range(self._most):
            await self._clock.sleep(self._every)
            await asyncio.to_thread(time.sleep, 0.01)  # The work of a beat takes real time.
            self.times.append(self._clock.now())


def test_time_stands_still_while_another_thread_does_what_was_due() -> None:
    clock = Clock()
    beats = Beats(clock, every=10, most=4)
    began = time.monotonic()
    clock.advance(35)
    assert beats.times == [START + timedelta(seconds=n) for n in (10, 20, 30)]
    clock.advance(5)
    beats.thread.join(5)
    assert beats.times[3:] == [START + timedelta(seconds=40)]
    assert time.monotonic() - began < 1.5


def test_a_thread_that_never_sleeps_again_holds_time_up_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("asyncqueue.testing.clock.PATIENCE", 0.05)
    clock, stop = Clock(), threading.Event()

    async def sleep_once() -> None:
        await clock.sleep(1)
        await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(sleep_once()))
    thread.start()
    while not clock.pending:
        time.sleep(0)
    clock.advance(60)
    assert clock.now() == START + timedelta(seconds=60)
    stop.set()
    thread.join(5)
