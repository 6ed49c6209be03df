"""TLS: in front of the server stands a proxy, as servers without TLS have one, too."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asyncqueue.drivers.redis import RedisDriver
from asyncqueue.errors import DriverError, DriverUnavailable

from .acts import claim, opened, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.servers.redis import RedisServer

HERE = Path(__file__).parent / "tls"
CERT, KEY = HERE / "cert.pem", HERE / "key.pem"
"""Of 127.0.0.1 and localhost, signed by itself; no secret of anybody."""


@contextlib.asynccontextmanager
async def tls_before(port: int, *, client_too: bool = False) -> AsyncGenerator[int]:
    """The port of a proxy; ``client_too``: clients must show a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERT, KEY)
    if client_too:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERT)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, forth), copy(back, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_everything_goes_through_tls(redis_server: RedisServer, redis_prefix: str) -> None:
    """Contract, ``rediss://``: calls and wake-ups."""
    async with tls_before(redis_server.port) as port:
        url = f"rediss://127.0.0.1:{port}?ca={CERT}"
        async with opened(url, prefix=redis_prefix) as driver:
            with driver.watch(["queue:q"]) as watch:
                await watch.wait(5)
                watch.clear()
                await driver.enqueue([record("a", payload=b"x" * 100_000)])
                await watch.wait(5)
                assert watch.rung
            (got,) = await claim(driver)
            assert len(got.payload) == 100_000


async def test_a_certificate_of_nobody_is_refused(redis_server: RedisServer) -> None:
    async with tls_before(redis_server.port) as port:
        with pytest.raises(DriverUnavailable, match=r"(?s)No TLS connection.*certificate"):
            await RedisDriver(f"rediss://127.0.0.1:{port}").open()


async def test_a_certificate_of_another_name_is_refused_unless_told(
    redis_server: RedisServer,
) -> None:
    async with tls_before(redis_server.port) as port:
        url = f"rediss://127.1:{port}?ca={CERT}"  # The same host by a name that is not in it.
        with pytest.raises(DriverUnavailable, match="No TLS connection"):
            await RedisDriver(url).open()
        async with opened(f"{url}&check_hostname=no") as driver:
            await driver.ping()


async def test_a_client_shows_its_certificate(redis_server: RedisServer) -> None:
    async with tls_before(redis_server.port, client_too=True) as port:
        url = f"rediss://127.0.0.1:{port}?ca={CERT}"
        with pytest.raises(DriverUnavailable):
            await RedisDriver(url, timeout=2).open()
        async with opened(f"{url}&cert={CERT}&key={KEY}") as driver:
            await driver.ping()


async def test_files_that_are_not_there_are_told(redis_server: RedisServer) -> None:
    async with tls_before(redis_server.port) as port:
        with pytest.raises(DriverError, match="TLS files"):
            await RedisDriver(f"rediss://127.0.0.1:{port}?ca=/no/such.pem").open()


async def test_a_server_without_tls_is_told(redis_server: RedisServer) -> None:
    with pytest.raises(DriverUnavailable, match="TLS|reached|answer"):
        await RedisDriver(f"rediss://127.0.0.1:{redis_server.port}", timeout=1).open()
