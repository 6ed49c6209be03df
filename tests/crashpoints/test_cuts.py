"""The connection is cut before the k-th reply of a verb, for every k.

All of the call happened or none of it, and it can be made again. A cut before the next request is
the same to the server, and one after it to the client.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.errors import DriverUnavailable
from asyncqueue.testing import Clock

from ..faults.proxy import Proxy
from .verbs import SECONDS, VERBS, Verb, offered, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncqueue import Driver

pytestmark = pytest.mark.faults
MOST = 20
_numbers = itertools.count(1)


def redis_stores(request: pytest.FixtureRequest) -> Callable[[Clock, int | None], Driver]:
    url: str = request.getfixturevalue("redis_url")
    prefix = f"{request.getfixturevalue('redis_prefix')}cut{next(_numbers)}"
    port = url.rpartition(":")[2].partition("/")[0]
    return lambda clock, proxy: RedisDriver(
        url if proxy is None else url.replace(f":{port}", f":{proxy}"), prefix=prefix, clock=clock
    )


def postgres_stores(request: pytest.FixtureRequest) -> Callable[[Clock, int | None], Driver]:
    place = request.getfixturevalue("postgres_schema")
    port = place.dsn.rpartition(":")[2].partition("/")[0]
    schema = f"{place.name}_{next(_numbers)}"
    return lambda clock, proxy: PostgresDriver(
        place.dsn if proxy is None else place.dsn.replace(f":{port}", f":{proxy}"),
        schema=schema,
        clock=clock,
    )


STORES = {"redis": redis_stores, "postgres": postgres_stores}


@pytest.fixture(params=sorted(STORES))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def proxy(kind: str, request: pytest.FixtureRequest) -> Iterator[Proxy]:
    url = (
        request.getfixturevalue("redis_url")
        if kind == "redis"
        else request.getfixturevalue("postgres_schema").dsn
    )
    with Proxy(int(url.rpartition(":")[2].partition("/")[0])) as proxy:
        yield proxy


@pytest.mark.parametrize("name", VERBS)
async def test_all_or_nothing(name: str, kind: str, proxy: Proxy, request):
    states = []
    for exchange in range(MOST):
        run = await cut_at(VERBS[name], name, STORES[kind](request), proxy, exchange)
        states.append(run)
        if exchange and not run["cut"]:
            break
    uncut = states.pop(0)
    for exchange, state in enumerate(states, 1):
        where = f"cut before reply {exchange}"
        if VERBS[name].atomic:
            assert state["after"] in (uncut["before"], uncut["after"]), f"half done: {where}"
        if state["answered"]:
            assert state["after"] == uncut["after"], f"answered, yet not done: {where}"
        if VERBS[name].repeatable:
            assert state["repeated"] == uncut["after"], f"cannot be repeated: {where}"


async def cut_at(
    verb: Verb,
    name: str,
    store: Callable[[Clock, int | None], Driver],
    proxy: Proxy,
    exchange: int,
) -> dict[str, Any]:
    """Call the verb through the proxy, which cuts there (0: nowhere); what was seen of it."""
    clock = Clock()
    direct, driver = store(clock, None), store(clock, proxy.port)
    if not offered(name, direct):
        pytest.skip(f"the {direct.name} driver does not keep that")
    await direct.open()
    await driver.open()
    try:
        claims = await verb.prepare(direct)
        clock.advance(SECONDS if verb.late else 0)
        await driver.paused()  # A connection is there, and idle.
        before, exchanges = await snapshot(direct), proxy.exchanges
        proxy.cut_at(exchange, "before reply")
        answered = True
        try:
            await verb.call(driver, claims)
        except DriverUnavailable:
            answered = False
        cut = bool(exchange) and proxy.exchanges >= exchanges + exchange
        proxy.mend()
        after = await snapshot(direct)
        if verb.repeatable:
            await verb.call(driver, claims)
        repeated = await snapshot(direct)
    finally:
        proxy.mend()
        await driver.close()
        await direct.close()
    return {
        "before": before,
        "after": after,
        "repeated": repeated,
        "answered": answered,
        "cut": cut,
    }
