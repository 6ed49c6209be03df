"""No outage ends a driver, and each is told within the bound."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.redis.scripts import script
from asyncqueue.errors import AccessDenied, DriverError, DriverUnavailable
from asyncqueue.record import Extension, Filter, Hold, State

from ...faults.proxy import Proxy
from .acts import Q, claim, ended, opened, operator, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tests.servers.redis import RedisServer


async def test_scripts_that_the_server_forgot_are_given_to_it_again(driver, redis_url) -> None:
    await driver.enqueue([record("held")])
    (got,) = await claim(driver)
    async with operator(redis_url) as other:
        for act in (
            lambda: driver.enqueue([record("a")]),
            lambda: driver.claim([Q], 1, 30, "w1"),
            lambda: driver.extend([Extension(got.id, got.token)], 30),
            lambda: driver.settle([]),
            driver.sweep,
            lambda: driver.find(Filter()),
            driver.counts,
        ):
            assert await other.call("SCRIPT", "FLUSH") == b"OK"
            await act()
    assert await driver.extend([Extension(got.id, got.token)], 30) == [Hold.HELD]


@pytest.mark.case("DRV-22")
async def test_a_server_that_is_away_is_told_at_once_and_found_again(
    own_redis: Callable[..., RedisServer],
) -> None:
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    async with opened(server.url, timeout=2) as driver:
        await driver.enqueue([record("a"), record("b")])
        (held, _) = await claim(driver)
        server.kill()
        for act in (driver.ping, driver.counts, lambda: driver.enqueue([record("c")])):
            with pytest.raises(DriverUnavailable, match=str(server.port)):
                await act()
        server.start()
        await driver.ping()
        assert await driver.settle([ended(held)]) == [True]
        assert await driver.count(Filter(states=(State.PROCESSING,))) == 1
        assert await driver.enqueue([record("b")]) == ["b"]


@pytest.mark.case("DRV-22")
async def test_a_silent_server_is_given_up_within_the_bound(own_redis) -> None:
    """Connections stay open and pass no byte."""
    server = own_redis()
    async with opened(server.url, timeout=0.5) as driver:
        await driver.enqueue([record("a")])
        server.pause()
        began = time.monotonic()
        acts = [driver.ping(), driver.enqueue([record("b")]), claim(driver)]
        answers = await asyncio.gather(*acts, return_exceptions=True)
        assert [type(answer) for answer in answers] == [DriverUnavailable] * 3
        with pytest.raises(DriverUnavailable, match=r"0\.5 seconds"):
            await driver.ping()
        assert time.monotonic() - began < 3
        server.resume()
        await driver.ping()


@pytest.mark.case("DRV-22")
async def test_a_server_that_is_not_there_cannot_be_opened(own_redis) -> None:
    server = own_redis()
    server.kill()
    with pytest.raises(DriverUnavailable, match="cannot be reached"):
        await RedisDriver(server.url).open()


async def test_a_full_server_takes_no_jobs_and_settles_those_it_has(own_redis) -> None:
    """What ends, renews or removes work must go on, or it would stay full for ever."""
    server = own_redis("--maxmemory-policy", "noeviction")
    async with opened(server.url) as driver, operator(server.url) as other:
        names = [f"{n}" for n in range(20)]
        await driver.enqueue([record(id, payload=b"x" * 1000) for id in names])
        claims = await claim(driver, limit=10)
        await other.call("CONFIG", "SET", "maxmemory", "100kb")
        with pytest.raises(DriverUnavailable, match="maxmemory"):
            await driver.enqueue([record("more")])
        with pytest.raises(DriverUnavailable, match="maxmemory"):
            await driver.enqueue([record("later", delay=60, key="k")])
        held = [Extension(one.id, one.token, 50.0, "half") for one in claims]
        assert await driver.extend(held, 30) == [Hold.HELD] * 10
        states = [State.COMPLETED, State.FAILED, State.DELAYED, State.PENDING, State.CANCELLED]
        ends = [
            ended(one, states[n % 5], result=b"r", retention=60) for n, one in enumerate(claims)
        ]
        assert await driver.settle(ends) == [True] * 10
        assert await driver.sweep() == 0
        (more,) = await claim(driver, limit=1)
        assert await driver.settle([ended(more, retention=0)]) == [True]
        assert set((await driver.cancel(Filter(ids=("10",)), 60)).values()) == {State.PENDING}
        assert await driver.delete(Filter(states=(State.PENDING,))) == 12
        assert await driver.prune(0) == 2
        assert await driver.find(Filter(ids=("more", "later"))) == await driver.find(Filter(ids=()))
        await other.call("CONFIG", "SET", "maxmemory", "0")
        assert await driver.enqueue([record("more", key="k")]) == [None]


async def test_a_replica_is_told_as_one_and_left(own_redis) -> None:
    """READONLY, as after a failover."""
    server = own_redis()
    async with opened(server.url) as driver, operator(server.url) as other:
        await other.call("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(DriverUnavailable, match="replica"):
            await driver.enqueue([record("a")])
        await other.call("REPLICAOF", "NO", "ONE")
        assert await driver.enqueue([record("a")]) == [None]


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        ("LOADING Redis is loading the dataset in memory", DriverUnavailable, "is loading"),
        ("READONLY You can't write against a read only replica.", DriverUnavailable, "replica"),
        ("MOVED 3999 127.0.0.1:6381", DriverUnavailable, "does not hold"),
        ("CLUSTERDOWN The cluster is down", DriverUnavailable, "cluster that is down"),
        ("MASTERDOWN Link with MASTER is down", DriverUnavailable, "without its primary"),
        ("BUSY Redis is busy running a script.", DriverUnavailable, "busy"),
        ("MISCONF Redis is configured to save RDB snapshots", DriverUnavailable, "its disk"),
        ("NOREPLICAS Not enough good replicas to write.", DriverUnavailable, "too few replicas"),
        ("OOM command not allowed when used memory > 'maxmemory'.", DriverUnavailable, "maxmemory"),
        ("ERR max number of clients reached", DriverUnavailable, "maxclients"),
        ("ERR Error running script: @user_script: -OOM command", DriverUnavailable, "maxmemory"),
        ("NOPERM this user has no permissions", DriverError, "does not permit"),
        ("ERR unknown command", DriverError, "refused a command: ERR unknown command"),
    ],
)
async def test_what_a_server_says_is_told_in_words(reply: str, kind: type, reason: str) -> None:
    """What passes is unavailability, what does not is an error."""
    async with grumbling(reply) as url, opened(url) as driver:
        with pytest.raises(kind, match=reason) as caught:
            await driver.counts()
        assert type(caught.value) is kind
        await driver.ping()


@contextlib.asynccontextmanager
async def grumbling(reply: str) -> AsyncGenerator[str]:
    """A server that answers every script with an error, but for the one that opens a driver."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                await reader.readline()
                words.append((await reader.readline()).strip())
            if words[0] in (b"EVALSHA", b"EVAL"):
                met = script("meet").sha.encode() in words
                writer.write(b"*2\r\n$1\r\n1\r\n$1\r\n0\r\n" if met else f"-{reply}\r\n".encode())
            else:
                writer.write(b"$0\r\n\r\n" if words[0] == b"INFO" else b"+PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://127.0.0.1:{}/0", "wants a password"),
        ("redis://:wrong@127.0.0.1:{}/0", "does not know"),
        ("redis://nobody:wrong@127.0.0.1:{}/0", "does not know"),
    ],
)
async def test_a_wrong_password_is_told(own_redis, url: str, reason: str) -> None:
    server = own_redis("--requirepass", "s3cret")
    with pytest.raises(AccessDenied, match=reason) as caught:
        await RedisDriver(url.format(server.port)).open()
    assert "wrong" not in str(caught.value)


async def test_the_right_password_and_another_database_serve(own_redis) -> None:
    server = own_redis("--requirepass", "s3cret")
    url = f"redis://:s3cret@127.0.0.1:{server.port}/3"
    async with opened(url) as driver, operator(url) as other:
        await driver.enqueue([record("a")])
        assert await other.call("DBSIZE") > 0
        assert driver.location() == f"redis://127.0.0.1:{server.port}/3"


async def test_a_database_that_is_not_there_is_told(redis_url: str) -> None:
    with pytest.raises(DriverError, match="out of range"):
        await RedisDriver(redis_url.removesuffix("/0") + "/99").open()


def test_what_the_end_of_asyncio_run_has_cut_off_is_given_back(
    redis_url: str, redis_prefix: str
) -> None:
    """The call that claims is cancelled, too: its jobs must not wait for their leases."""
    port = urlsplit(redis_url).port
    assert port is not None
    records = [record(f"{n}") for n in range(6)]

    async def claim_and_close(driver: RedisDriver) -> None:
        try:
            await driver.claim([Q], 10, 30, "w1")
        finally:
            await driver.close()

    async def main(driver: RedisDriver, proxy: Proxy) -> None:
        await driver.open()
        await driver.enqueue(records)
        (first,) = (await driver.claim([Q], 1, 30, "w1")).claims
        await driver.settle([ended(first)])  # It knows the scripts.
        proxy.stall("from")
        claiming = asyncio.create_task(claim_and_close(driver))
        await asyncio.sleep(0.1)
        assert not claiming.done()
        asyncio.get_running_loop().call_later(0.1, proxy.resume)

    async def look() -> list[tuple[State, int]]:
        async with opened(redis_url, prefix=redis_prefix) as driver:
            left = await driver.find(Filter(ids=tuple(one.id for one in records)))
            return [(job.state, job.attempts) for job in left.items]

    with Proxy(port) as proxy:
        url = redis_url.replace(f":{port}", f":{proxy.port}")
        asyncio.run(main(RedisDriver(url, prefix=redis_prefix), proxy))
    assert asyncio.run(look()) == [(State.PENDING, 0)] * 5
