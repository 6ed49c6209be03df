"""Users with fewer rights than the guide says are told so."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.errors import DriverError

from .acts import claim, opened, operator, record

if TYPE_CHECKING:
    from tests.servers.redis import RedisServer


async def user_of(server: RedisServer, *rules: str) -> str:
    """The URL of a new user who may do this."""
    async with operator(server.url) as other:
        await other.call("ACL", "DELUSER", "limited")
        assert await other.call("ACL", "SETUSER", "limited", "on", ">s3cret", *rules) == b"OK"
    return server.url.replace("//", "//limited:s3cret@")


@pytest.mark.parametrize(
    "rules",
    [
        ("~*", "&*", "+@all", "-evalsha"),
        ("~*", "&*", "+@all", "-publish"),
        ("~*", "resetchannels", "+@all"),
        ("~other*", "&*", "+@all"),
    ],
)
async def test_a_user_who_can_do_nothing_cannot_open(
    redis_server: RedisServer, redis_prefix: str, rules: tuple[str, ...]
) -> None:
    """Told before anything is written: publishing comes last, and a new user has no channels."""
    url = await user_of(redis_server, *rules)
    with pytest.raises(DriverError, match="does not permit this to the user; see the guide"):
        await RedisDriver(url, prefix=redis_prefix).open()


async def test_what_a_script_may_not_do_is_told_as_such(
    redis_server: RedisServer, redis_prefix: str
) -> None:
    """Older and newer servers have words of their own for it."""
    url = await user_of(redis_server, "~*", "&*", "+@all", "-rpush")
    async with opened(url, prefix=redis_prefix) as driver:
        with pytest.raises(DriverError, match="does not permit this to the user; see the guide"):
            await driver.enqueue([record("a")])


async def test_a_user_who_may_not_subscribe_is_told_once_and_polls(
    redis_server: RedisServer, redis_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = await user_of(redis_server, "~*", "&*", "+@all", "-subscribe")
    told = asyncio.Event()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda _: told.set()
    logger = logging.getLogger("asyncqueue.redis")
    logger.addHandler(handler)
    try:
        async with opened(url, prefix=redis_prefix) as driver:
            with driver.watch(["queue:q"]) as watch:
                async with asyncio.timeout(10):
                    await told.wait()
                await driver.enqueue([record("a")])
                assert [one.id for one in await claim(driver)] == ["a"]
                assert not watch.rung
    finally:
        logger.removeHandler(handler)
    (line,) = [one.message for one in caplog.records if one.name == "asyncqueue.redis"]
    assert "polling instead" in line
    assert "does not permit" in line
