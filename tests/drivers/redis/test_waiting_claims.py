"""Claims that wait at the server: what they get, what they leave to others, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue.drivers.redis.wire import Wire
from asyncqueue.record import Filter, Source, State
from asyncqueue.testing import Clock
from tests.servers.redis import ask

from .acts import Q, claim, ended, opened, operator, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from asyncqueue.drivers.base import Watch
    from asyncqueue.drivers.redis import RedisDriver
    from asyncqueue.record import Claimed
    from tests.servers.redis import RedisServer
    from tests.servers.redis_groups import RedisCluster

LONG = 0.9
"""Seconds: what happens earlier was not the end of its time."""
Waiter = asyncio.Task["Claimed | None"]


@pytest.fixture
def port(redis_server: RedisServer, redis_url: str) -> int:
    return redis_server.port


@pytest.fixture
async def watch(driver: RedisDriver) -> AsyncGenerator[Watch]:
    """A watch of somebody whose last job came from the queue that all these tests use."""
    with driver.watch(["queue:q"]) as watch:
        await get_used_to(driver, watch)
        yield watch


async def get_used_to(driver: RedisDriver, watch: Watch, sources: Sequence[Source] = (Q,)) -> None:
    """Claim a job from where claims are to wait then, and have a connection for them."""
    await driver.enqueue([record("first")])
    (first,) = (await driver.claim(sources, 1, 30, "w1")).claims
    await driver.settle([ended(first)])
    watch.clear()
    while await next_of(driver, watch, 0.01, sources) is None:
        await driver.claim(sources, 1, 30, "w1")
        watch.clear()


async def next_of(
    driver: RedisDriver, watch: Watch, patience: float = LONG, sources: Sequence[Source] = (Q,)
) -> Claimed | None:
    return await driver.claim_next(sources, 30, "w1", watch, patience)


@contextlib.asynccontextmanager
async def waiting(
    driver: RedisDriver, watch: Watch, port: int, sources: Sequence[Source] = (Q,)
) -> AsyncGenerator[Waiter]:
    """Somebody whose claim waits at the server."""
    before = blocked(port)
    async with asyncio.timeout(20):
        waiter = asyncio.create_task(next_of(driver, watch, LONG, sources))
        while blocked(port) == before:
            await asyncio.sleep(0)
            assert not waiter.done()
        yield waiter
        with contextlib.suppress(asyncio.CancelledError):
            await waiter


def connections(port: int) -> int:
    return ask(port, "CLIENT LIST").count("name=")


@contextlib.asynccontextmanager
async def two_waiting(
    driver: RedisDriver, watch: Watch, port: int
) -> AsyncGenerator[tuple[Waiter, Waiter, tuple[RedisDriver, Watch]]]:
    """Two whose claims wait, and who the second one is."""
    async with other(driver) as twin:
        with twin.watch(["queue:q"]) as its:
            await get_used_to(twin, its)
            async with waiting(driver, watch, port) as one, waiting(twin, its, port) as two:
                yield one, two, (twin, its)


async def until_connections(port: int, most: int) -> None:
    async with asyncio.timeout(20):
        while connections(port) > most:
            await asyncio.sleep(0)


def blocked(port: int) -> int:
    (told,) = re.findall(r"blocked_clients:(\d+)", ask(port, "INFO clients"))
    return int(told)


async def ids(driver: RedisDriver, state: State) -> set[str]:
    return {job.id for job in (await driver.find(Filter(states=(state,)))).items}


@contextlib.asynccontextmanager
async def other(driver: RedisDriver) -> AsyncGenerator[RedisDriver]:
    twin = driver.clone()
    await twin.open()
    try:
        yield twin
    finally:
        await twin.close()


async def test_a_job_is_handed_out_in_the_step_that_stores_it(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    """Once it is stored it is claimed, though the loop of the worker did not turn."""
    async with waiting(driver, watch, port) as waiter:
        run_elsewhere(driver, "a", "b")
        assert counted(driver, port, "leased:q") == 1
        found = await waiter
    assert found is not None
    (got,) = found.claims
    assert (got.id, got.attempts, found.more) == ("a", 1, True)
    assert found.now == pytest.approx(got.created_at, abs=0.01)
    assert await driver.settle([ended(got)]) == [True]


async def test_it_is_the_last_one_as_far_as_is_known(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    async with waiting(driver, watch, port) as waiter:
        await driver.enqueue([record("a"), record("later", delay=60)])
        found = await waiter
    assert found is not None
    assert [one.id for one in found.claims] == ["a"]
    assert not found.more
    assert found.due_in == pytest.approx(60, abs=1)


async def test_a_due_job_of_a_higher_priority_goes_first(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    async with waiting(driver, watch, port) as waiter:
        await driver.enqueue([record("low"), record("high", priority=5)])
        found = await waiter
    assert found is not None
    assert [one.id for one in found.claims] == ["high"]
    assert found.more


async def test_what_a_claim_gets_that_waits_rings_no_watch(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    """Of others it does; and of the next job, once somebody claims by himself."""
    with driver.watch(["queue:q"]) as others:
        async with waiting(driver, watch, port) as waiter:
            await driver.enqueue([record("a")])
            await waiter
            await others.wait(5)
        assert others.rung
        assert not watch.rung
        others.clear()
        await claim(driver)
        await driver.enqueue([record("b")])
        await others.wait(5)
        assert watch.rung


@pytest.mark.parametrize(
    "new",
    [record("new", priority=3), record("new", delay=0.001), record("new", fair="a")],
    ids=["priority", "delayed", "fair"],
)
async def test_jobs_that_come_elsewhere_wake_whoever_waits(
    driver: RedisDriver, watch: Watch, port: int, new
) -> None:
    async with waiting(driver, watch, port) as waiter:
        began = asyncio.get_running_loop().time()
        await driver.enqueue([new])
        found = await waiter
        assert asyncio.get_running_loop().time() - began < LONG / 2
    assert watch.rung
    got = found.claims if found is not None else []
    while not got:
        got = await claim(driver)
    assert [one.id for one in got] == ["new"]


async def test_jobs_of_another_queue_wake_whoever_waits_for_both(
    driver: RedisDriver, port: int
) -> None:
    both = [Q, Source("q2")]
    with driver.watch(["queue:q", "queue:q2"]) as watch:
        await get_used_to(driver, watch, both)
        async with waiting(driver, watch, port, both) as waiter:
            await driver.enqueue([record("new", queue="q2")])
            found = await waiter
    assert watch.rung
    got = found.claims if found is not None else (await driver.claim(both, 1, 30, "w1")).claims
    assert [one.id for one in got] == ["new"]


async def test_they_wait_where_the_last_job_came_from(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    async with waiting(driver, watch, port) as waiter:
        await driver.enqueue([record("low"), record("high", priority=5)])
        await waiter
    (low,) = await claim(driver)
    assert low.id == "low"
    await driver.enqueue([record("higher", priority=7)])
    watch.clear()
    assert await next_of(driver, watch) is not None
    watch.clear()
    async with waiting(driver, watch, port) as waiter:
        await driver.enqueue([record("last", priority=7)])
        found = await waiter
    assert found is not None
    assert [one.id for one in found.claims] == ["last"]
    assert not watch.rung


async def test_whoever_was_rung_need_not_wait(driver: RedisDriver, watch: Watch) -> None:
    watch.ring()
    assert await next_of(driver, watch) is None


async def test_a_claim_that_reaches_the_server_late_does_not_wait_there(
    driver: RedisDriver, watch: Watch, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unblocked before it blocks: that comes over another connection."""
    before = blocked(port)
    let_go = Wire.let_go
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(Wire, "let_go", lambda wire: loop.call_later(0.05, let_go, wire))
    watch.clear()
    waiter = asyncio.create_task(next_of(driver, watch))
    await asyncio.sleep(0)
    began = loop.time()
    watch.ring()
    await waiter
    assert loop.time() - began < LONG / 2
    assert blocked(port) == before


async def test_several_waiting_claims_get_one_job_each(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    async with two_waiting(driver, watch, port) as (one, two, _):
        await driver.enqueue([record(id) for id in "abc"])
        found = [await one, await two]
    got = [claimed.id for each in found if each is not None for claimed in each.claims]
    assert sorted(got) == ["a", "b"]
    assert await ids(driver, State.PENDING) == {"c"}


async def test_whoever_comes_too_late_waits_as_others_do(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    """One job wakes both; he who got nothing does not wake the server again for each job."""
    async with two_waiting(driver, watch, port) as (one, two, other_one):
        await driver.enqueue([record("a")])
        found = await one, await two
        assert [each for each in found if each is None] == [None]
        late, mine = (driver, watch) if found[0] is None else other_one
        assert await next_of(late, mine, 0.05) is None
        assert blocked(port) == 0


async def test_a_paused_queue_keeps_the_server_quiet(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    """A job stands there whom no claim gets: the command would not block."""
    await driver.enqueue([record("a")])
    await driver.pause(["q"], on=True)
    assert await claim(driver) == []
    watch.clear()
    assert await next_of(driver, watch) is None
    watch.clear()
    began = asyncio.get_running_loop().time()
    assert await next_of(driver, watch, 0.05) is None
    assert asyncio.get_running_loop().time() - began > 0.04
    assert blocked(port) == 0
    assert await ids(driver, State.PENDING) == {"a"}


async def test_its_time_is_over_when_nothing_comes(driver: RedisDriver, watch: Watch) -> None:
    watch.clear()
    found = await next_of(driver, watch, 0.02)
    assert found is not None
    assert (found.claims, found.more) == ([], False)


async def test_a_delayed_job_that_is_due_by_then_comes(driver: RedisDriver, watch: Watch) -> None:
    await driver.enqueue([record("a", delay=0.05)])
    found = None
    while found is None or not found.claims:  # It may be rung meanwhile.
        watch.clear()
        found = await next_of(driver, watch, 0.06)
    assert [one.id for one in found.claims] == ["a"]


async def test_no_time_is_not_without_end(driver: RedisDriver, watch: Watch) -> None:
    watch.clear()
    async with asyncio.timeout(5):
        assert await next_of(driver, watch, 0.0) is None


# How they end


async def test_a_cancelled_one_takes_nothing(driver: RedisDriver, watch: Watch, port: int) -> None:
    async with waiting(driver, watch, port) as waiter:
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert blocked(port) == 0
        await driver.enqueue([record("a")])
    assert await ids(driver, State.PENDING) == {"a"}


async def test_what_a_cancelled_one_got_is_given_back(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    """The server handed it out before it heard that nobody waits any more."""
    async with waiting(driver, watch, port) as waiter:
        run_elsewhere(driver, "a")
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    (again,) = await claim(driver)
    assert (again.id, again.attempts) == ("a", 1)


async def test_a_ring_that_comes_with_the_job_loses_neither(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    async with waiting(driver, watch, port) as waiter:
        run_elsewhere(driver, "a")
        watch.ring()
        found = await waiter
    assert watch.rung
    assert found is not None
    assert [one.id for one in found.claims] == ["a"]


async def test_a_connection_that_is_lost_is_made_again(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    async with waiting(driver, watch, port) as waiter:
        assert ask(port, "CLIENT KILL TYPE normal").startswith(":")
        assert await waiter is None
    await driver.enqueue([record("a")])
    assert [one.id for one in await claim(driver)] == ["a"]
    await get_used_to(driver, watch)
    async with waiting(driver, watch, port) as waiter:
        await driver.enqueue([record("b")])
        found = await waiter
    assert found is not None
    assert [one.id for one in found.claims] == ["b"]


async def test_a_server_that_forgot_its_scripts_is_given_them_again(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    before = connections(port)
    async with waiting(driver, watch, port) as waiter:
        assert ask(port, "SCRIPT FLUSH") == "+OK\r\n"
        await driver.enqueue([record("a")])
        assert await waiter is None
    await until_connections(port, before - 1)  # It may have led to the wrong server.
    assert [one.id for one in await claim(driver)] == ["a"]


async def test_the_connection_is_closed_with_the_watch(driver: RedisDriver, port: int) -> None:
    before = connections(port)
    with driver.watch(["queue:q"]) as watch:
        await get_used_to(driver, watch)
        assert connections(port) > before
    await until_connections(port, before + 1)  # That of the subscriptions stays.


async def test_a_closed_driver_has_no_connection_left(redis_url: str, port: int) -> None:
    before = connections(port)
    async with opened(redis_url) as driver:
        watch = driver.watch(["queue:q"])
        await get_used_to(driver, watch)
    await until_connections(port, before)


@pytest.mark.parametrize("closes", [False, True], ids=["watch", "driver"])
async def test_what_comes_from_far_to_one_who_is_gone_is_given_back(
    redis_url: str, redis_prefix: str, port: int, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    """It is cancelled while it takes its claim back, and what it watched is closed at once."""
    async with opened(redis_url, prefix=redis_prefix) as witness:
        async with opened(redis_url, prefix=redis_prefix) as driver:
            with driver.watch(["queue:q"]) as watch:
                await get_used_to(driver, watch)
                before = blocked(port)
                waiter = asyncio.create_task(next_of(driver, watch))
                while blocked(port) == before:
                    await asyncio.sleep(0)
                be_far_away(monkeypatch)
                run_elsewhere(driver, "a")
                watch.ring()
                for _ in range(3):  # By then it is on its way to take the claim back.
                    await asyncio.sleep(0)
                waiter.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiter
            if not closes:
                async with asyncio.timeout(5):
                    while await ids(driver, State.PENDING) != {"a"}:
                        await asyncio.sleep(0)
        assert await ids(witness, State.PENDING) == {"a"}


async def test_who_came_while_another_was_handed_out_is_not_forgotten(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    """The ring was not passed on, and the next claim would wait elsewhere."""
    await driver.enqueue([record("due", priority=3, delay=0.2)])
    async with asyncio.timeout(5):
        await watch.wait(5)
    watch.clear()
    async with waiting(driver, watch, port) as waiter:
        await asyncio.sleep(0.25)  # It is due by the server's clock.
        (number,) = re.findall(r"id=(\d+) [^\n]*cmd=blmove", ask(port, "CLIENT LIST"))
        assert ask(port, f"CLIENT UNBLOCK {number}") == ":1\r\n"
        run_elsewhere(driver, "a")
        found = await waiter
    assert found is not None
    assert [one.id for one in found.claims] == ["due"]
    assert await next_of(driver, watch) is None
    assert [one.id for one in await claim(driver)] == ["a"]


async def test_no_command_is_unblocked_while_the_server_is_paused(
    driver: RedisDriver, watch: Watch, port: int
) -> None:
    """Many servers would crash: what waits there is the end of the pause."""
    async with waiting(driver, watch, port) as waiter:
        assert ask(port, "CLIENT PAUSE 300 WRITE") == "+OK\r\n"
        watch.ring()
        assert await waiter is not None
    assert ask(port, "PING") == "+PONG\r\n"
    await driver.enqueue([record("a")])
    assert [one.id for one in await claim(driver)] == ["a"]


async def test_a_connection_from_which_nothing_comes_keeps_nobody_busy(
    driver: RedisDriver, watch: Watch, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with waiting(driver, watch, port) as waiter:
        steps: list[object] = []
        step = Wire.step
        monkeypatch.setattr(Wire, "step", lambda *args: [steps.append(args), step(*args)][1])
        be_far_away(monkeypatch, 0.5, only=b"*-1")
        watch.ring()
        await waiter
    assert 0 < len(steps) < 20


# Who may not


@pytest.mark.parametrize("refused", ["blmove", "multi"])
async def test_a_user_who_may_not_block_is_served_as_before(
    redis_server: RedisServer,
    redis_url: str,
    redis_prefix: str,
    caplog: pytest.LogCaptureFixture,
    refused: str,
) -> None:
    caplog.set_level(logging.INFO, "asyncqueue.redis")
    async with operator(redis_url) as admin:
        await admin.call("ACL", "DELUSER", "unblocked")
        rules = ("on", ">s3cret", "~*", "&*", "+@all", f"-{refused}")
        await admin.call("ACL", "SETUSER", "unblocked", *rules)
    url = redis_url.replace("//", "//unblocked:s3cret@")
    async with opened(url, prefix=redis_prefix) as driver:
        with driver.watch(["queue:q"]) as watch:
            before = connections(redis_server.port)
            for id in "abcdef":
                watch.clear()
                assert await next_of(driver, watch, 0.02) is None
                await driver.enqueue([record(id)])
                await watch.wait(5)
                assert watch.rung
                got = await claim(driver)
                assert [one.id for one in got] == [id]
                assert await driver.settle([ended(one) for one in got]) == [True]
            await until_connections(redis_server.port, before + 1)  # That of the subscriptions.
    (line,) = [one.message for one in caplog.records if "do not wait" in one.message]
    assert refused in line


async def test_a_user_who_may_not_unblock_loses_no_job(
    redis_server: RedisServer,
    redis_url: str,
    redis_prefix: str,
    port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A claim that waits cannot be called back: it is waited for, and what it gets is taken."""
    caplog.set_level(logging.INFO, "asyncqueue.redis")
    async with operator(redis_url) as admin:
        await admin.call("ACL", "DELUSER", "unblocked")
        rules = ("on", ">s3cret", "~*", "&*", "+@all", "-client", "+client|id")
        await admin.call("ACL", "SETUSER", "unblocked", *rules)
    url = redis_url.replace("//", "//unblocked:s3cret@")
    async with opened(url, prefix=redis_prefix) as driver:
        with driver.watch(["queue:q"]) as watch:
            while True:
                await driver.enqueue([record("first")])
                (first,) = await claim(driver)
                await driver.settle([ended(first)])
                watch.clear()
                waiter = asyncio.create_task(next_of(driver, watch, 0.5))
                await asyncio.wait((waiter,), timeout=0.05)
                if blocked(port):
                    break
                watch.ring()
                await waiter
            watch.ring()
            while "do not wait" not in caplog.text:
                await asyncio.sleep(0)
            await driver.enqueue([record("a")])
            found = await waiter
    assert found is not None
    assert [one.id for one in found.claims] == ["a"]


@pytest.mark.parametrize("options", [{"shards": 2}, {"clock": Clock()}], ids=["shards", "clock"])
async def test_where_a_server_cannot_wait_nobody_asks_it_to(
    redis_url: str, redis_prefix: str, port: int, options: dict[str, Any]
) -> None:
    """For who keeps to a clock of his own, and for jobs that are in several places."""
    async with opened(redis_url, prefix=redis_prefix, **options) as driver:
        with driver.watch(["queue:q"]) as watch:
            for id in "abc":
                await driver.enqueue([record(id)])
                assert [one.id for one in await claim(driver)] == [id]
                watch.clear()
                assert await next_of(driver, watch, 0.02) is None
                assert blocked(port) == 0


def be_far_away(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.05, only: bytes = b"") -> None:
    """Replies of the loop that runs now come so much later, if they begin like that."""
    here = asyncio.get_running_loop()
    received = Wire.data_received

    def late(wire: Wire, data: bytes) -> None:
        if asyncio.get_running_loop() is here and data.startswith(only):
            here.call_later(seconds, received, wire, data)
        else:
            received(wire, data)

    monkeypatch.setattr(Wire, "data_received", late)


async def test_they_wait_at_the_node_that_holds_the_keys(
    redis_cluster_server: RedisCluster, redis_prefix: str
) -> None:
    async with opened(redis_cluster_server.url, prefix=redis_prefix) as driver:
        with driver.watch(["queue:q"]) as watch:
            await get_used_to(driver, watch)
            for id in "abc":
                watch.clear()
                waiter = asyncio.create_task(next_of(driver, watch))
                await asyncio.sleep(0)  # It is sent.
                await driver.enqueue([record(id)])
                found = await waiter
                assert found is not None
                assert [one.id for one in found.claims] == [id]
                assert not watch.rung


# A thread of its own stores jobs while the loop of the test stands still.


def run_elsewhere(driver: RedisDriver, *new: str) -> None:
    async def run() -> None:
        async with other(driver) as twin:
            assert await twin.enqueue([record(id) for id in new]) == [None] * len(new)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()


def counted(driver: RedisDriver, port: int, key: str) -> int:
    (prefix,) = re.findall(r"test\d+", repr(vars(driver)["_prefix"]))
    return int(ask(port, f"ZCARD {{{prefix}:0}}:{key}")[1:])
