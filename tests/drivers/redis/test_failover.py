"""The server that holds the jobs is lost, and another takes its place: nobody helps the driver."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.errors import ConfigError, DriverUnavailable
from asyncqueue.record import Filter
from tests.servers.redis_groups import RedisCluster, WatchedRedis, start_group

from .acts import claim, ended, opened, record, replicated
from .test_workers import hired, producing
from .working import RedisNumber

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[WatchedRedis]:
    """Servers of one test, which may kill them: starting them takes two seconds."""
    group = start_group(WatchedRedis, tmp_path)
    yield group
    group.kill()


async def found_again(driver: RedisDriver) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await driver.ping()
                await driver.sweep()
            except DriverUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_sentinels_lead_to_the_primary_and_to_its_successor(watched: WatchedRedis) -> None:
    with pytest.raises(DriverUnavailable, match="'other'"):
        await RedisDriver(watched.url.replace("/jobs/", "/other/")).open()
    async with opened(watched.url, timeout=2) as driver:
        await driver.enqueue([record("a"), record("b")])
        (held, _) = await claim(driver)
        replicated(watched.primary)
        watched.primary.kill()
        with pytest.raises(DriverUnavailable):
            await driver.ping()
        await found_again(driver)
        assert await driver.settle([ended(held)]) == [True]
        assert await driver.count(Filter()) == 1
        assert await driver.enqueue([record("b"), record("c")]) == ["b", None]


@pytest.mark.faults
async def test_a_worker_outlives_the_primary(watched: WatchedRedis, redis_prefix: str) -> None:
    """Jobs go on where the replica stood, without a restart of the worker."""
    async with producing(watched.url, redis_prefix) as queue:
        async with hired(watched.url, redis_prefix) as one:
            await queue.dispatch_many([RedisNumber(n) for n in range(50)])
            replicated(watched.primary)
            await one.until(10)
            watched.primary.kill()
            await one.until(50)
        await found_again(queue.driver)
        await queue.dispatch(RedisNumber(50))
        async with hired(watched.url, redis_prefix) as another:
            await another.until(1)


async def test_a_silent_sentinel_is_passed_over(watched: WatchedRedis) -> None:
    """Within the bound, whichever is asked first."""
    watched.sentinels[0].pause()
    watched.sentinels[1].kill()
    async with opened(watched.url, timeout=3) as driver:
        await driver.ping()


@pytest.mark.faults
async def test_a_lost_node_of_a_cluster_is_replaced(
    cluster: RedisCluster, redis_prefix: str
) -> None:
    """The node that holds the jobs dies; its replica takes over."""
    async with opened(cluster.url, timeout=2, prefix=redis_prefix) as driver:
        await driver.enqueue([record("a"), record("b")])
        (held, _) = await claim(driver)
        holder = cluster.holder(f"{{{redis_prefix}:0}}")
        replicated(holder)
        holder.kill()
        with pytest.raises(DriverUnavailable):
            await driver.ping()
        await found_again(driver)
        assert await driver.settle([ended(held)]) == [True]
        assert [one.id for one in await claim(driver)] == []
        assert await driver.count(Filter()) == 1
        with driver.watch(["queue:q"]) as watch:
            await driver.enqueue([record("c")])
            await watch.wait(5)
            assert watch.rung


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis+sentinel://h", "lacks the name"),
        ("redis+sentinel://h/jobs/x", "number of a database"),
        ("redis+cluster://h/1", "one database"),
        ("redis://a,b", "several servers"),
        ("redis+cluster://a:x,b", "no Redis URL"),
    ],
)
def test_a_url_of_a_group_that_says_too_little_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        place_of(url)


def test_urls_of_groups_are_read() -> None:
    place = place_of("redis+sentinel://u:p@a,b:7,[::1]/jobs/2?tls=yes&sentinel_password=s3cret")
    assert place.nodes == (("a", 26379), ("b", 7), ("::1", 26379))
    assert (place.service, place.db, place.username, place.password) == ("jobs", 2, "u", "p")
    assert str(place) == "redis+sentinel://a:26379,b:7,[::1]:26379/jobs/2?tls=yes"
    assert str(place_of("redis+cluster://a,b:7")) == "redis+cluster://a:6379,b:7"
