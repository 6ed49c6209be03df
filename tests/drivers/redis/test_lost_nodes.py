"""A node of a cluster is lost: its shards' jobs wait, and nobody else has to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from asyncqueue.errors import DriverUnavailable, PartlyUnavailable
from asyncqueue.record import Extension, Filter, Hold, State

from .acts import claim, ended, opened, record, replicated
from .test_workers import hired, producing
from .working import RedisNumber

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from asyncqueue.drivers.redis import RedisDriver
    from tests.servers.redis import RedisServer
    from tests.servers.redis_groups import RedisCluster

PATIENCE = 20


class Lost(NamedTuple):
    """A driver on three shards, and the node of one of them, which can be lost and come back."""

    driver: RedisDriver
    shard: int
    lose: Callable[[], None]
    replace: Callable[[], None]

    def ids(self, count: int, *, lost: bool, begin: str = "") -> list[str]:
        """Ids of jobs that are in the lost shard, or in others."""
        names = (f"{begin}{n}" for n in range(10_000))
        of = self.driver._shards.of
        found = (id for id in names if (of(record(id)) == self.shard) is lost)
        return [next(found) for _ in range(count)]


@pytest.fixture(params=["killed", pytest.param("silent", marks=pytest.mark.faults)])
def losing(
    request: pytest.FixtureRequest, cluster: RedisCluster
) -> Iterator[Callable[[RedisServer], tuple[Callable[[], None], Callable[[], None]]]]:
    """Ways to lose a node; its replica takes over when it is allowed to."""

    def ways(node: RedisServer) -> tuple[Callable[[], None], Callable[[], None]]:
        replica = cluster.replica_of(node)

        def lose() -> None:
            replicated(node)
            replica.pause()
            if request.param == "killed":
                node.kill()
            else:
                node.pause()

        return lose, replica.resume

    yield ways
    for server in cluster.nodes:
        if server.running:
            server.resume()


@pytest.fixture
async def lost(cluster: RedisCluster, redis_prefix: str, losing) -> AsyncGenerator[Lost]:
    prefix = cluster.spread(redis_prefix)
    async with opened(cluster.url, prefix=prefix, shards=3, timeout=2) as driver:
        lose, replace = losing(cluster.holder(f"{{{prefix}:1}}"))
        yield Lost(driver, 1, lose, replace)


async def eventually(act) -> None:
    """Return when this raises nothing that passes."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(DriverUnavailable):
                await act()
                return
            await asyncio.sleep(0.05)


async def test_others_are_served_while_a_node_is_lost(lost: Lost) -> None:
    """Enqueued, claimed, extended and settled; what concerns the lost one says so."""
    driver = lost.driver
    mine, theirs = lost.ids(6, lost=True), lost.ids(20, lost=False)
    await driver.enqueue([record(id) for id in (*mine, *theirs)])
    claims = await claim(driver, limit=26)
    assert await driver.settle([ended(one, State.PENDING) for one in claims]) == [True] * 26
    claims = [one for one in await claim(driver, limit=26) if one.id not in mine[3:]]
    back = [ended(one, State.PENDING) for one in claims if one.id not in (*mine[:1], *theirs[:1])]
    await driver.settle(back)
    held = [one for one in claims if one.id in (mine[0], theirs[0])]
    lost.lose()

    got = await claim(driver, limit=100)
    assert sorted(one.id for one in got) == sorted(theirs[1:])
    began = time.monotonic()
    for _ in range(20):
        assert await claim(driver) == []
    assert time.monotonic() - began < 5
    with pytest.raises(PartlyUnavailable) as caught:
        await driver.extend([Extension(one.id, one.token) for one in held], 30)
    away = {n for n, one in enumerate(held) if one.id == mine[0]}
    assert caught.value.missing == away
    assert [caught.value.answers[n] for n in {0, 1} - away] == [Hold.HELD]
    with pytest.raises(PartlyUnavailable) as caught:
        await driver.settle([ended(one) for one in held])
    assert caught.value.missing == away
    assert await driver.settle([ended(one) for one in got]) == [True] * 19
    new = lost.ids(5, lost=False, begin="new")
    assert await driver.enqueue([record(id) for id in new]) == [None] * 5
    with pytest.raises(DriverUnavailable):
        await driver.enqueue([record(lost.ids(1, lost=True, begin="new")[0])])
    found = await driver.find(Filter(ids=tuple(new)))
    assert {job.id for job in found.items} == set(new)
    assert await driver.cancel(Filter(ids=(new[0],)), 60) == {new[0]: State.PENDING}
    for all_of_them in (driver.counts, driver.ping, lambda: driver.find(Filter())):
        with pytest.raises(DriverUnavailable):
            await all_of_them()

    lost.replace()
    await eventually(driver.ping)
    again = [one for one in held if one.id == mine[0]]
    assert await driver.settle([ended(one) for one in again]) == [True]
    left = {one.id for one in await claim(driver)}
    assert left == {*mine[1:3], *new[1:]}
    with driver.watch(["queue:q"]) as watch:
        await driver.enqueue([record(lost.ids(1, lost=True, begin="late")[0])])
        await watch.wait(5)
        assert watch.rung


@pytest.mark.faults
async def test_a_worker_serves_the_others_while_a_node_is_lost(
    cluster: RedisCluster, redis_prefix: str, losing
) -> None:
    """Measured: nobody waits for more than a second for a node that is not his own."""
    prefix, url = cluster.spread(redis_prefix), f"{cluster.url}?shards=3"
    lose, replace = losing(cluster.holder(f"{{{prefix}:1}}"))
    async with producing(url, prefix) as queue, hired(url, prefix, lease=30) as one:
        number = 0

        async def dispatch(count: int) -> dict[bool, list[int]]:
            """Numbers of jobs that were stored and that were not."""
            nonlocal number
            numbers = range(number, number + count)
            number += count
            told = await asyncio.gather(
                *(queue.dispatch(RedisNumber(n)) for n in numbers), return_exceptions=True
            )
            by_answer: dict[bool, list[int]] = {True: [], False: []}
            for n, answer in zip(numbers, told, strict=True):
                assert not isinstance(answer, Exception) or isinstance(answer, DriverUnavailable)
                by_answer[not isinstance(answer, Exception)].append(n)
            return by_answer

        stored = (await dispatch(60))[True]
        await one.until(60)
        lose()
        waited: list[float] = []
        refused: list[int] = []
        for _ in range(20):
            answers = await dispatch(6)
            stored += answers[True]
            refused += answers[False]
            began = time.monotonic()
            await one.until(len(stored))
            waited.append(time.monotonic() - began)
        assert len(stored) > 60 + 40
        assert refused
        # The first may meet the silence of the node, which lasts as long as it is waited for.
        assert sorted(waited)[-3] < 1, waited

        replace()
        await eventually(queue.driver.ping)
        more = (await dispatch(30))[True]
        await one.until(len(stored) + len(more))
        assert len(more) == 30
        assert sorted(one.ran) == sorted({*stored, *more})
