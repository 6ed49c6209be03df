"""Several shards: where jobs are, who is asked for them, and that all agree on their number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from asyncqueue import Job, Queue, Worker
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.drivers.registry import driver_from
from asyncqueue.errors import ConfigError, DriverError
from asyncqueue.record import Filter, Limited, Record, Source, State

from .acts import Q, claim, ended, opened, operator, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.servers.redis_groups import RedisCluster


@pytest.fixture
async def three(redis_url: str, redis_prefix: str) -> AsyncGenerator[RedisDriver]:
    """Three shards, by the clock of the server."""
    async with opened(redis_url, prefix=redis_prefix, shards=3, timeout=2) as driver:
        yield driver


def of_shard(driver: RedisDriver, shard: int, count: int) -> list[str]:
    """Ids that belong to a shard."""
    ids = (f"{n}" for n in range(10_000))
    found = (id for id in ids if driver._shards.of(record(id)) == shard)
    return [next(found) for _ in range(count)]


async def sizes(url: str, prefix: str, shards: int = 3) -> list[int]:
    """How many jobs each shard has."""
    async with operator(url) as other:
        keys = [f"{{{prefix}:{shard}}}:body" for shard in range(shards)]
        return [await other.call("HLEN", key) for key in keys]


# Where jobs are


async def test_jobs_lie_on_all_nodes_of_a_cluster(
    redis_cluster_server: RedisCluster, redis_prefix: str
) -> None:
    """One queue, three nodes, and each has its share."""
    cluster = redis_cluster_server
    prefix = cluster.spread(redis_prefix)
    async with opened(cluster.url, prefix=prefix, shards=3) as driver:
        await driver.enqueue([record(f"{n}") for n in range(300)])
        shares: dict[int, int] = {}
        for shard in range(3):
            node = cluster.holder(f"{{{prefix}:{shard}}}")
            async with operator(node.url) as direct:
                shares[node.port] = await direct.call("HLEN", f"{{{prefix}:{shard}}}:body")
        assert len(shares) == 3
        assert sum(shares.values()) == 300
        assert all(70 <= share <= 130 for share in shares.values())
        claims = await claim(driver, limit=300)
        assert sorted(one.id for one in claims) == sorted(f"{n}" for n in range(300))
        assert await driver.settle([ended(one) for one in claims]) == [True] * 300


async def test_a_shard_that_has_moved_to_another_node_is_found_by_the_same_call(
    redis_cluster_server: RedisCluster, redis_prefix: str
) -> None:
    """Nobody is told when a cluster is given other nodes: who was asked has done nothing."""
    cluster = redis_cluster_server
    prefix = cluster.spread(redis_prefix)
    async with opened(cluster.url, prefix=prefix, shards=3) as driver:
        await driver.enqueue([record(f"{n}") for n in range(30)])
        (lines,) = driver._link._lines.values()
        for shard in range(3):
            lines.to[shard] = lines.to[(shard + 1) % 3]
            assert (await driver.counts())["q"].pending == 30
        assert await driver.count(Filter()) == 30


def test_who_belongs_where_is_the_same_for_ever(redis_url: str) -> None:
    """Stored data relies on it."""
    shards = RedisDriver(redis_url, shards=4)._shards
    records = [record("a"), record("ą"), record("b", key="a"), record("c", together="a")]
    records += [record("d", latch="a", key="y"), record("e", key="y", together="a")]
    assert [shards.of(one) for one in records] == [3, 2, 3, 3, 3, 1]


class NumberedOverShards(Job):
    """Nobody runs it."""

    number: int


@pytest.mark.case("DSP-21")
async def test_what_is_dispatched_in_one_step_is_in_one_shard(
    redis_url: str, redis_prefix: str
) -> None:
    """So all of it is stored or nothing, and its order is kept."""
    async with opened(redis_url, prefix=redis_prefix, shards=3) as driver:
        queue = Queue(driver)
        handles = await queue.dispatch_many([NumberedOverShards(n) for n in range(50)])
        assert sorted(await sizes(redis_url, redis_prefix)) == [0, 0, 50]
        for n in range(30):
            await queue.dispatch(NumberedOverShards(n))
        assert min(await sizes(redis_url, redis_prefix)) > 0
        named = await queue.dispatch(NumberedOverShards(0), id=handles[7].id)
        assert named.duplicate
        assert (await handles[7].status()).state is State.PENDING
        order = [one.id for one in (await driver.claim([Source("default")], 80, 30, "w")).claims]
        assert [id for id in order if id in {h.id for h in handles}] == [h.id for h in handles]


@pytest.mark.case("UNQ-01")
async def test_a_key_is_in_one_shard_whatever_the_ids(three: RedisDriver) -> None:
    """Twenty at once, one of them is stored."""
    answers = await asyncio.gather(
        *(three.enqueue([record(f"{n}", key="k")]) for n in range(20)),
    )
    assert sum(answer == [None] for answer in answers) == 1
    assert await three.count(Filter()) == 1


@pytest.mark.case("DRV-14")
async def test_an_id_is_in_one_shard_whatever_the_keys(three: RedisDriver) -> None:
    """Live, then finished; freed with its retention."""
    for n, key in enumerate(["one", "two", None, "three", "four"]):
        assert await three.enqueue([record("a", key=key)]) == [None if n == 0 else "a"]
    (got,) = await claim(three)
    await three.settle([ended(got, retention=60)])
    assert await three.enqueue([record("a"), record("b")]) == ["a", None]
    await three.delete(Filter(ids=("a",)))
    assert await three.enqueue([record("a", key="two")]) == [None]


# How many there are


async def test_all_agree_on_how_many_there_are(redis_url: str, redis_prefix: str) -> None:
    """Whoever comes with another number is told, and with which to come."""
    async with opened(redis_url, prefix=redis_prefix, shards=3) as driver:
        for count in (1, 2, 4):
            with pytest.raises(ConfigError, match=f"shards={count}, .* over 3: give shards=3"):
                await RedisDriver(redis_url, prefix=redis_prefix, shards=count).open()
        other = driver.clone()
        await other.open()
        await other.enqueue([record("a")])
        await other.close()
        async with opened(f"{redis_url}?shards=3", prefix=redis_prefix) as another:
            assert await another.count(Filter()) == 1


@pytest.mark.parametrize("known", [True, False])
async def test_data_without_shards_stays_so(redis_url: str, redis_prefix: str, known: bool) -> None:
    """Also what was stored before anybody wrote down how many there are."""
    async with opened(redis_url, prefix=redis_prefix) as driver, operator(redis_url) as other:
        await driver.enqueue([record("a")])
        if not known:
            await other.call("DEL", f"{{{redis_prefix}:0}}:about")
        with pytest.raises(ConfigError, match="over 1: give shards=1"):
            await RedisDriver(redis_url, prefix=redis_prefix, shards=3).open()
    async with opened(redis_url, prefix=redis_prefix) as driver:
        assert [one.id for one in await claim(driver)] == ["a"]


async def test_who_comes_first_decides(redis_url: str, redis_prefix: str) -> None:
    """Many come at once to an empty keyspace: all who stay have the same number."""
    drivers = [RedisDriver(redis_url, prefix=redis_prefix, shards=n % 3 + 2) for n in range(9)]
    opening = [driver.open() for driver in drivers]
    answers = await asyncio.gather(*opening, return_exceptions=True)
    opened_by = {
        len(driver._shards)
        for driver, answer in zip(drivers, answers, strict=True)
        if answer is None
    }
    assert len(opened_by) == 1
    assert {type(answer) for answer in answers} == {type(None), ConfigError}
    for driver in drivers:
        await driver.close()


@pytest.mark.parametrize("shards", [0, -1, 257, 1.5, True, "3"])
def test_a_number_that_cannot_be_is_refused(shards) -> None:
    with pytest.raises(ConfigError, match="1 to 256"):
        RedisDriver(shards=shards)


def test_the_url_may_say_how_many() -> None:
    """CFG."""
    assert place_of("redis://h?shards=4").shards == 4
    assert len(driver_from("redis+cluster://a,b?shards=16")._shards) == 16
    assert len(RedisDriver("redis://h?shards=4", shards=2)._shards) == 2
    assert RedisDriver("redis://h").fifo
    assert not RedisDriver("redis://h", shards=2).fifo
    for text in ("0", "many", "1.5"):
        with pytest.raises(ConfigError, match="shards"):
            place_of(f"redis://h?shards={text}")


# Claiming


@pytest.mark.case("PRI-01")
async def test_shards_take_turns_and_are_fifo(three: RedisDriver) -> None:
    """No shard waits for the others, and in each the oldest comes first."""
    ids = [of_shard(three, shard, 6) for shard in range(3)]
    await three.enqueue([record(id) for part in ids for id in part])
    got: list[str] = []
    for _ in range(18):
        got += [one.id for one in await claim(three, limit=1)]
    shards = [three._shards.of(record(id)) for id in got]
    for at in range(0, 18, 3):
        assert sorted(shards[at : at + 3]) == [0, 1, 2]
    for part in ids:
        assert [id for id in got if id in part] == part


async def test_a_full_shard_fills_what_others_lack(three: RedisDriver) -> None:
    """All that was asked for, wherever it is."""
    many, few = of_shard(three, 0, 1200), of_shard(three, 1, 3)
    await three.enqueue([record(id) for id in (*many, *few)])
    got = [one.id for one in await claim(three, limit=1100)]
    assert len(got) == 1100
    assert set(few) <= set(got)
    assert len(await claim(three, limit=200)) == 103


@pytest.mark.case("PRI-01", "PRI-03")
async def test_the_most_urgent_come_first_wherever_they_are(three: RedisDriver) -> None:
    """Queues in their order and priorities, across shards."""
    urgent = [record(id, priority=10) for id in of_shard(three, 2, 4)]
    plain = [record(id) for shard in (0, 1) for id in of_shard(three, shard, 4)]
    late = [record(f"late {id}", queue="second", priority=99) for id in range(9)]
    await three.enqueue([*late, *plain, *urgent])
    sources = [Q, Source("second")]
    got = [(await three.claim(sources, 3, 30, "w")).claims for _ in range(7)]
    flat = [one for part in got for one in part]
    levels = [(one.queue == "second", -one.priority) for one in flat]
    assert len(flat) == 21
    assert levels == sorted(levels)


async def calls(url: str) -> int:
    """How many scripts the server has run."""
    async with operator(url) as other:
        told = (await other.call("INFO", "commandstats")).decode()
    lines = [line for line in told.splitlines() if line.startswith("cmdstat_evalsha:")]
    return int(lines[0].partition("calls=")[2].partition(",")[0]) if lines else 0


async def test_a_ring_tells_which_shard_to_ask(three: RedisDriver, redis_url: str) -> None:
    """Whoever waits asks one shard, once; also for many, and while there is more."""
    with three.watch(["queue:q"]) as watch:
        while not all(three._hears(shard, "q") for shard in range(3)):
            await asyncio.sleep(0.001)
        assert await claim(three) == []  # Now it is known that there are none.
        for shard in (0, 2, 1):
            watch.clear()
            await three.enqueue([record(id) for id in of_shard(three, shard, 8)])
            await watch.wait(5)
            before = await calls(redis_url)
            assert len(await claim(three, limit=5)) == 5
            assert len(await claim(three, limit=3)) == 3
            assert await calls(redis_url) == before + 2


async def test_what_rings_did_not_tell_is_found_all_the_same(three: RedisDriver) -> None:
    """Rings may be wrong, and jobs may be gone when they are asked for."""
    with three.watch(["queue:q"]):
        while not all(three._hears(shard, "q") for shard in range(3)):
            await asyncio.sleep(0.001)
        assert await claim(three) == []
        three._heard(1, "queue:q", b"1 5 ")  # There are none.
        assert await claim(three, limit=2) == []
        ring, three._lookout.heard = three._lookout.heard, lambda *_: None
        await three.enqueue([record(f"{n}") for n in range(9)])
        assert len(await claim(three)) == 9
        three._lookout.heard = ring
        await three.enqueue([record("odd", queue="q")])
        three._heard(0, "queue:q", b"no number")
        assert [one.id for one in await claim(three)] == ["odd"]


# Looking


@pytest.mark.case("MON-06")
async def test_pages_lead_through_all_shards(three: RedisDriver) -> None:
    """Newest first, from whichever producer; no job twice, none left out."""
    other = three.clone()
    await other.open()
    for n in range(40):
        await (three, other)[n % 2].enqueue([record(f"{n}")])
    await other.close()
    got: list[str] = []
    cursor = None
    while True:
        page = await three.find(Filter(), limit=7, cursor=cursor)
        got += [job.id for job in page.items]
        if (cursor := page.next) is None:
            break
    assert sorted(got) == sorted(f"{n}" for n in range(40))
    place = {id: n for n, id in enumerate(got)}
    for mine in (range(0, 40, 2), range(1, 40, 2)):
        assert sorted(mine, key=lambda n: place[f"{n}"]) == list(reversed(mine))


async def test_a_cursor_of_another_layout_is_refused(three: RedisDriver) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        await three.find(Filter(), cursor="1000000000001")


async def test_workers_serve_all_shards(three: RedisDriver) -> None:
    """Whichever shard a job is in; waiting workers are woken by each."""
    ran: list[int] = []

    class Sharded(Job):
        number: int

        async def handle(self, ctx) -> None:
            ran.append(self.number)

    queue = Queue(three)
    async with Worker(queue, concurrency=4, poll_interval=60):
        for n in range(30):
            handle = await queue.dispatch(Sharded(n))
            await handle.result(timeout=5)
    assert ran == list(range(30))
    assert (await queue.stats())["default"].completed == 30


async def test_a_refusal_of_one_shard_is_told(three: RedisDriver, redis_url, redis_prefix) -> None:
    """Others' data under our keys."""
    async with operator(redis_url) as other:
        await other.call("SET", f"{{{redis_prefix}:1}}:levels:q", "text")
        with pytest.raises(DriverError, match="prefix of your own"):
            await claim(three)


async def test_what_is_bound_to_several_shards_is_refused_by_name(three: RedisDriver) -> None:
    homes = {word: three._shards.home(word) for word in "abcdefgh"}
    other = next(word for word in homes if homes[word] != homes["a"])
    limits = (Limited("limit:a", 1), Limited(f"limit:{other}", 1))
    with pytest.raises(DriverError) as refused:
        await three.enqueue([Record("id", "q", "Kind", b"", limits=limits, key=other)])
    told = str(refused.value)
    for part in ("Kind id", "'limit:a'", f"'limit:{other}'", f"key {other!r}", "3 shards"):
        assert part in told
    await three.enqueue([Record("id", "q", "Kind", b"", limits=limits[:1], key="a")])
