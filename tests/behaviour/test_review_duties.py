"""What the worker does beside its jobs goes on, starts or ends, whatever the driver raises."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from types import SimpleNamespace

import pytest

from asyncqueue import DriverUnavailable, Queue, State, Worker
from asyncqueue.drivers.base import Driver
from asyncqueue.drivers.memory import MemoryDriver
from asyncqueue.errors import PartlyUnavailable
from asyncqueue.record import Claim, Extension, Hold, Presence, Source
from asyncqueue.worker import side
from asyncqueue.worker.heartbeat import Heartbeat
from asyncqueue.worker.holdings import Holdings
from asyncqueue.worker.outage import LONGEST_PAUSE, Outage
from asyncqueue.worker.pauses import Pauses
from asyncqueue.worker.pulse import Pulse
from asyncqueue.worker.quota import Quota
from asyncqueue.worker.settler import Settler
from asyncqueue.worker.sweeper import Pause, Sweeper

from ..recorder import PATIENCE, until
from .frail import frail
from .stopping import Stage, define, obedient

log = logging.getLogger("tests.worker")


@pytest.fixture
async def stage():
    return Stage()


@pytest.mark.parametrize("raised", [asyncio.CancelledError, KeyError])
@pytest.mark.parametrize("verb", ["sweep", "prune"])
async def test_sweeping_and_pruning_outlive_any_error(
    driver, make_queue, make_worker, verb, raised
):
    sound, calls = getattr(driver, verb), []

    async def once_broken(*args):
        calls.append(args)
        if len(calls) == 1:
            raise raised
        return await sound(*args)

    setattr(driver, verb, once_broken)
    async with make_worker(on=make_queue(driver)):
        await until(lambda: calls)
        async with asyncio.timeout(PATIENCE):
            while len(calls) < 2:
                driver.clock.advance(1)
                await asyncio.sleep(0.002)


async def passing(clock, come):
    """Let time pass until it has come to this."""
    async with asyncio.timeout(PATIENCE):
        while not come():
            clock.advance(0.5)
            await asyncio.sleep(0.002)


@pytest.fixture(params=["the store was away", "the machine stood still"])
async def after_it(request, driver, make_queue, make_worker, clock, monkeypatch):
    """A worker that sweeps again, and a claim of somebody else whose lease ran out meanwhile."""
    await driver.open()
    queue = make_queue(frail(driver))
    job = define(obedient, Stage(), max_attempts=5)
    handle = await queue.dispatch(job())
    (claimed,) = (await driver.claim([Source("default")], 1, 60, "other")).claims
    stood_still, noticed, sound = asyncio.Event(), asyncio.Event(), Pause.seconds

    def seconds(pause):
        if not stood_still.is_set():
            return sound(pause)
        stood_still.clear()
        noticed.set()
        return 1000

    monkeypatch.setattr(Pause, "seconds", seconds)
    async with make_worker(on=queue, lease=60):
        await until(lambda: queue.driver.calls["sweep"])
        clock.advance(61)
        if request.param == "the machine stood still":
            stood_still.set()
            await passing(clock, noticed.is_set)
        else:
            queue.driver.broken |= {"sweep", "paused"}
            calls = queue.driver.calls.copy()
            await passing(clock, lambda: queue.driver.calls["sweep"] > calls["sweep"])
            queue.driver.broken.clear()
            await passing(clock, lambda: queue.driver.calls["paused"] > calls["paused"])
        await asyncio.sleep(0.02)
        assert (await handle.status()).state is State.PROCESSING
        yield handle, claimed
    await driver.close()


async def test_a_lease_that_its_holder_could_not_renew_is_renewed_before_the_first_sweep(
    after_it, driver, clock
):
    handle, claimed = after_it
    assert await driver.extend([Extension(claimed.id, claimed.token)], 60) == [Hold.HELD]
    clock.advance(20.1)
    await asyncio.sleep(0.05)
    info = await handle.status()
    assert (info.state, info.worker) == (State.PROCESSING, "other")


async def test_what_nobody_renewed_then_comes_back(after_it, clock):
    handle, _ = after_it
    clock.advance(20.1)
    async with asyncio.timeout(PATIENCE):
        while (await handle.status()).worker == "other":
            await asyncio.sleep(0.002)


async def test_a_look_at_the_loop_that_fails_does_not_end_the_looking(
    queue, make_worker, stage, monkeypatch, caplog
):
    """An operator can still cancel a job afterwards."""
    sound, looks = Heartbeat._look_at_loop, []

    def once_broken(self):
        looks.append(self)
        if len(looks) == 1:
            raise RuntimeError("dictionary changed size during iteration")
        sound(self)

    monkeypatch.setattr(Heartbeat, "_look_at_loop", once_broken)
    handle = await queue.dispatch(define(obedient, stage)())
    async with make_worker():
        await until(lambda: looks)
        await stage.started.wait()
        assert await handle.cancel()
        await until(stage.cancelled.is_set)
        while (await handle.status()).state is not State.CANCELLED:
            await asyncio.sleep(0.002)


def test_pauses_between_renewals_are_short_against_the_lease():
    outage = Outage("renew leases", 0.3, log, longest=0.5)
    assert all(outage.failed(OSError()) <= 0.5 * 1.25 for _ in range(20))
    outage = Outage("claim jobs", 0.1, log)
    assert max(outage.failed(OSError()) for _ in range(20)) >= LONGEST_PAUSE


async def test_only_the_first_sweep_after_an_outage_or_a_standstill_waits():
    waits, broken = [], [DriverUnavailable("away")]

    async def sweep():
        if broken:
            raise broken.pop()
        return 0

    async def nothing(*args):
        waits.extend(args)

    driver = SimpleNamespace(clock=SimpleNamespace(sleep=nothing), sweep=sweep, paused=nothing)
    sweeper = Sweeper(driver, SimpleNamespace(lease=30), log)
    with pytest.raises(DriverUnavailable):
        await sweeper._sweep()
    for _ in range(2):
        await sweeper._sweep()
    assert waits == [10]
    sweeper._pause._monotonic -= 60
    sweeper._pause._time -= 60
    for _ in range(2):
        await sweeper._sweep()
    assert waits == [10, 10]


@pytest.mark.parametrize(("monotonic", "wall"), [(60, 0), (0, 60), (60, -3600)])
def test_a_pause_is_the_longer_of_what_two_clocks_say(monotonic, wall):
    """One of them stands still while a machine does, the other may be set."""
    pause = Pause()
    pause._monotonic -= monotonic
    pause._time -= wall
    assert pause.seconds() == pytest.approx(60, abs=1)


def test_what_is_given_back_is_told_to_all_who_wait_for_it():
    quota = Quota(1, on_used_up=lambda: None, on_nothing=lambda: None)
    waiting = [asyncio.Event() for _ in range(3)]
    assert [quota.take(2, event) for event in waiting] == [1, 0, 0]
    quota.give_back(1)
    assert [event.is_set() for event in waiting] == [False, True, True]
    assert quota.take(2, waiting[0]) == 1


def heartbeat(lease: float = 30) -> Heartbeat:
    """One that is driven by hand."""
    return Heartbeat(
        Driver,
        Holdings(),
        Presence("w", "host", 1, [], 1, 0.0),
        lease=lease,
        interrupt=lambda *_: None,
        restart=lambda: None,
        on_end=lambda: None,
        log=log,
    )


@pytest.mark.parametrize(("lease", "seconds"), [(30, 30), (0.5, 2)])
async def test_a_worker_is_seen_while_a_part_of_the_store_is_away(clock, lease, seconds):
    class Parted(MemoryDriver):
        async def extend(self, extensions, lease, worker=None):
            raise PartlyUnavailable("away", [Hold.HELD], frozenset({0}))

        async def announce(self, worker, ttl):
            announced.append((worker.id, ttl))

    beat, announced = heartbeat(lease), []
    beat._holdings.add(Claim("id", 1, "q", "Kind", b"", 1, 1, 0, None, 0.0))
    with pytest.raises(PartlyUnavailable):
        await beat._renew(Parted(clock=clock))
    assert announced == [("w", seconds)]


async def test_who_gave_its_jobs_up_renews_nothing(clock):
    beat, renewed = heartbeat(), []

    async def until_done(*_):
        renewed.append(clock.time())

    beat._until_done = until_done
    renewing = asyncio.create_task(beat._renewing(MemoryDriver(clock=clock)))
    begin = clock.time()
    for beat._gave_up in (False, True, True, False):
        await asyncio.sleep(0)
        clock.advance(10)
        for _ in range(3):
            await asyncio.sleep(0)
    renewing.cancel()
    assert [round(at - begin) for at in renewed] == [10, 40]


async def test_a_duty_ends_though_what_it_called_swallows_its_cancellation():
    async def swallows(_driver):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    beat = heartbeat()
    duty = asyncio.create_task(beat._until_done(swallows, None, Outage("look", 0.1, log)))
    await asyncio.sleep(0)
    duty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await duty


async def test_nothing_beats_after_the_end(clock, monkeypatch):
    pulses = []
    monkeypatch.setattr(Pulse, "_beat", lambda pulse: pulses.append(pulse))  # noqa: PLW0108 - bound
    async with Worker(Queue(MemoryDriver(clock=clock)), logger=log):
        (pulse,) = pulses
        pulse._timer = timer = asyncio.get_running_loop().call_later(1_000, lambda: None)
    assert timer.cancelled()


@pytest.mark.parametrize(("lease", "longest"), [(0.6, 0.1), (3, 0.5), (600, LONGEST_PAUSE)])
async def test_no_pause_between_renewals_outlasts_the_lease(clock, lease, longest):
    beat = heartbeat(lease)
    pauses = []

    async def until_done(_duty, _driver, outage):
        pauses.extend(outage.failed(OSError()) for _ in range(20))
        renewing.cancel()

    beat._until_done = until_done
    renewing = asyncio.create_task(beat._renewing(MemoryDriver(clock=clock)))
    await asyncio.sleep(0)
    clock.advance(lease / 3)
    with pytest.raises(asyncio.CancelledError):
        await renewing
    assert longest <= max(pauses) <= longest * 1.25


class Single(MemoryDriver):
    """A driver with one handle only, whose workers cannot be retired."""

    clone = Driver.clone

    async def retire(self, worker: str) -> None:
        raise DriverUnavailable("the store is away")


async def test_a_worker_that_cannot_be_retired_ends_well(clock, caplog):
    queue = Queue(Single(clock=clock))
    worker = Worker(queue, logger=log)
    await worker.start()
    await worker.stop()
    assert not worker.running
    assert "Cannot retire worker" in caplog.text
    await queue.close()


class Second(MemoryDriver):
    async def open(self) -> None:
        raise asyncio.CancelledError


async def test_a_second_connection_that_is_cancelled_is_an_error_of_the_start(clock):
    driver = MemoryDriver(clock=clock)
    driver.clone = lambda: Second(clock=clock)
    queue = Queue(driver)
    worker = Worker(queue, logger=log)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="CancelledError"):
            await worker.start()
    assert not worker.running
    await queue.close()


async def test_a_thread_that_is_stopped_before_its_loop_exists_ends(monkeypatch):
    may_begin = threading.Event()

    class Late(threading.Thread):
        def run(self):
            may_begin.wait(PATIENCE)
            super().run()

    async def duty(started, stopped):
        started()
        await stopped.wait()

    async def enter():
        async with side.in_own_thread(duty, lambda: None, name="late", log=log):
            raise AssertionError("it never started")

    monkeypatch.setattr(side.threading, "Thread", Late)
    entering = asyncio.create_task(enter())
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.sleep(0)
    may_begin.set()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(asyncio.CancelledError):
            await entering


@pytest.mark.parametrize("broken", ["settler", "heartbeat"])
async def test_a_worker_whose_duty_breaks_ends_and_says_so(
    queue, make_worker, stage, monkeypatch, caplog, broken
):
    """Jobs that nobody settles, or whose leases nobody renews, must not go on unnoticed."""

    async def breaks(*args):
        await stage.proceed.wait()
        raise ValueError("a bug of ours")

    if broken == "settler":
        monkeypatch.setattr(Settler, "_settle", breaks)
    else:
        # It has a loop of its own.
        proceed = threading.Event()
        monkeypatch.setattr(Heartbeat, "_looking", lambda *_: asyncio.to_thread(broken_by, proceed))
        stage.proceed = proceed
    worker = make_worker()
    await worker.start()
    assert worker.running
    stage.proceed.set()
    await until(lambda: not worker.running)
    assert worker.stop_reason == f"its {broken} broke"
    assert "a bug of ours" in caplog.text


def broken_by(proceed):
    proceed.wait(PATIENCE)
    raise ValueError("a bug of ours")


async def test_a_duty_on_the_same_loop_that_breaks_is_told_at_once():
    may_break, told = asyncio.Event(), []

    async def breaks(started, _stopped):
        started()
        await may_break.wait()
        raise KeyError("broken")

    async def work() -> None:
        async with side.beside(breaks, lambda: told.append("ended")):
            may_break.set()
            for _ in range(5):
                await asyncio.sleep(0)
            told.append("the block goes on")

    with pytest.raises(KeyError):
        await work()
    assert told == ["ended", "the block goes on"]


async def test_a_look_for_pauses_ends_though_the_store_swallows_its_cancellation():
    async def swallows():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return []

    pauses = Pauses(SimpleNamespace(paused=swallows), [SimpleNamespace(holds_unstarted=True)], log)
    look = asyncio.create_task(pauses._look())
    await asyncio.sleep(0)
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
