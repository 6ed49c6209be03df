"""Which server is meant, and what is told of it."""

from __future__ import annotations

import asyncio
import builtins
import os
import sys
import warnings

import pytest

from asyncqueue import Settings
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.drivers.redis.diagnose import check_version, findings, read_info
from asyncqueue.drivers.redis.locations import place_of
from asyncqueue.drivers.redis.place import Place
from asyncqueue.drivers.registry import driver_from
from asyncqueue.errors import ConfigError, DriverError

from .acts import claim, ended, opened, operator, record


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://", Place()),
        ("redis://cache", Place(nodes=(("cache", 6379),))),
        ("valkey://cache:7000/2", Place(nodes=(("cache", 7000),), db=2)),
        ("redis://:p%40ss@[::1]:7000", Place(nodes=(("::1", 7000),), password="p@ss")),
        ("redis://me:pw@h/1", Place(nodes=(("h", 6379),), username="me", password="pw", db=1)),
        (
            "rediss://h?ca=/ca.pem&check_hostname=no",
            Place(nodes=(("h", 6379),), tls=True, ca="/ca.pem", check_hostname=False),
        ),
        ("redis://h?timeout=1.5", Place(nodes=(("h", 6379),), timeout=1.5)),
        ("redis://h?timeout=500ms", Place(nodes=(("h", 6379),), timeout=0.5)),
    ],
)
def test_a_url_names_a_place(url: str, place: Place) -> None:
    """Passwords may be escaped."""
    assert place_of(url) == place


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://h", "write redis://"),
        ("redis://h:port", "no Redis URL"),
        ("redis://h/name", "number of a database"),
        ("redis://h?timeuot=5", 'no option "timeuot". Did you mean "timeout"'),
        ("redis://h?timeout=soon", "timeout: 'soon'"),
        ("redis://h?timeout=0", "more than 0"),
        ("rediss://h?check_hostname=perhaps", "true or false"),
    ],
)
def test_a_url_that_names_none_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RedisDriver(url.replace("://h", "://:s3cret@h"))
    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_another_event_loop_serves_too(redis_url, redis_prefix) -> None:
    """uvloop, which the command line uses where it is installed."""
    uvloop = pytest.importorskip("uvloop")

    async def live() -> list[str]:
        async with opened(redis_url, prefix=redis_prefix) as driver:
            with driver.watch(["queue:q"]) as watch:
                await driver.enqueue([record("a")])
                await watch.wait(5)
            return [one.id for one in await claim(driver)]

    assert await asyncio.to_thread(uvloop.run, live()) == ["a"]


@pytest.mark.parametrize("prefix", ["", "1a", "a-b", "{a}", "a:b", "a" * 64])
def test_a_prefix_is_an_identifier(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        RedisDriver(prefix=prefix)


@pytest.mark.case("CFG-02")
def test_settings_build_it() -> None:
    settings = Settings(
        driver="redis",
        redis_host="cache",
        redis_port=7000,
        redis_db=2,
        redis_password="s3cret",
        prefix="shop",
    )
    driver = driver_from(settings)
    assert driver.location() == "redis://cache:7000/2"
    assert "s3cret" not in driver.location()
    assert driver_from("rediss://u:pw@h").location() == "rediss://h:6379/0"


def test_a_missing_package_is_told_with_what_to_install(monkeypatch) -> None:
    sound = builtins.__import__

    def without(name, *args, **options):
        if name.split(".")[0] == "hiredis":
            raise ModuleNotFoundError(f"No module named {name!r}", name="hiredis")
        return sound(name, *args, **options)

    for name in [name for name in sys.modules if name.startswith("asyncqueue.drivers.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "hiredis")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install asyncqueue\[redis\]"):
        driver_from("redis://h")


def test_constructing_does_no_io() -> None:
    RedisDriver("redis://192.0.2.1")


async def test_a_closed_driver_says_so() -> None:
    driver = RedisDriver("redis://192.0.2.1")
    for act in (driver.ping, driver.counts, lambda: driver.enqueue([record("a")])):
        with pytest.raises(DriverError, match="closed"):
            await act()


async def test_an_eviction_policy_is_warned_of(own_redis, caplog) -> None:
    """Once, not by the handle of the heartbeat too."""
    server = own_redis("--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb")
    async with opened(server.url) as driver:
        other = driver.clone()
        await other.open()
        await other.close()
        (line,) = [one for one in caplog.messages if "maxmemory-policy" in one]
        assert "allkeys-lru" in line
        told = {what: (fine, text) for what, fine, text in await driver.diagnose()}
        assert told["eviction"][0] is False


async def test_a_fit_server_is_told_as_one(own_redis, caplog) -> None:
    server = own_redis("--appendonly", "yes", "--maxmemory", "100mb")
    async with opened(server.url) as driver:
        assert not caplog.messages
        told = await driver.diagnose()
        assert [fine for _, fine, _ in told] == [True] * 5
        text = {what: text for what, _, text in told}
        assert text["persistence"] == "append-only file"
        assert "of 100.0 MiB" in text["memory"]


def test_an_old_server_is_refused() -> None:
    info = read_info(b"# Server\r\nredis_version:6.0.16\r\nredis_mode:standalone\r\n")
    with pytest.raises(DriverError, match=r"6\.0\.16; asyncqueue needs 6\.2"):
        check_version(info, Place())
    assert findings(info)[0] == ("server", False, "Redis 6.0.16; 6.2 or newer is needed")


@pytest.mark.parametrize("told", [b"", b"redis_version:unknown\r\n", None])
def test_a_server_that_says_little_is_taken_as_it_is(told: bytes | None) -> None:
    """Managed servers hide things."""
    info = read_info(told)
    check_version(info, Place())
    assert len(findings(info)) == 5


def test_valkey_is_told_by_its_name() -> None:
    info = read_info(b"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n")
    assert findings(info)[0] == ("server", True, "Valkey 9.1.2")


async def test_all_keys_carry_the_tag_of_their_shard(driver, redis_url, redis_prefix) -> None:
    """So that every script is legal on a Cluster."""
    await driver.enqueue([record("a", key="k"), record("b", delay=60)])
    async with operator(redis_url) as other:
        keys = await other.call("KEYS", "*")
    assert len(keys) > 5
    assert all(key.startswith(f"{{{redis_prefix}:0}}:".encode()) for key in keys)


async def test_prefixes_keep_queues_apart(driver, redis_url, redis_prefix) -> None:
    """QUEUE_PREFIX is the namespace."""
    await driver.enqueue([record("a")])
    async with opened(redis_url, prefix=f"{redis_prefix}_other") as other:
        assert await other.counts() == {}
        assert await other.enqueue([record("a")]) == [None]


async def test_a_ring_comes_after_the_way_was_lost(driver, redis_url) -> None:
    """Who waits is woken when the connection for wake-ups is back."""
    with driver.watch(["queue:q"]) as watch:
        await watch.wait(5)
        assert watch.rung
        watch.clear()
        async with operator(redis_url) as other:
            while not await other.call("CLIENT", "KILL", "TYPE", "pubsub"):
                await asyncio.sleep(0)
        await watch.wait(5)
        assert watch.rung
        watch.clear()
        await driver.enqueue([record("a")])
        await watch.wait(5)
        assert watch.rung


async def test_several_event_loops_may_use_one_driver(driver) -> None:
    """Threads with loops of their own dispatch through one queue."""

    async def use(name: str) -> str:
        await driver.enqueue([record(name)])
        with driver.watch([f"job:{name}"]) as watch:
            (got,) = await claim(driver, limit=1)
            watch.clear()
            await driver.settle([ended(got)])
            await watch.wait(5)
            assert watch.rung or got.id != name
        return got.id

    async def use_and_leave(name: str) -> str:
        try:
            return await use(name)
        finally:
            mine = driver._link._lines.pop(asyncio.get_running_loop())
            for line in mine.all():
                await line.close()

    first = await use("a")
    others = await asyncio.gather(
        *(asyncio.to_thread(asyncio.run, use_and_leave(f"{n}")) for n in range(3))
    )
    assert sorted([first, *others]) == ["0", "1", "2", "a"]
    assert await use("b") == "b"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
async def test_a_forked_child_is_told_at_once(driver) -> None:
    """A child must not speak on the connection of its parent."""
    with driver.watch(["queue:q"]), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if not child:
            told = []
            for act in (driver.ping, driver.paused):
                try:
                    act().send(None)
                except DriverError as error:
                    told.append("forked" in str(error))
                except BaseException:
                    told.append(False)
            os._exit(0 if told == [True, True] else 1)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    await driver.ping()
