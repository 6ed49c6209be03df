"""TLS: the programs of the tests' server have none, so a proxy that speaks it stands in front.

It does what a server does: it answers the client's question for TLS, and then encrypts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from asyncqueue import Context, Job, Queue, Registry, Worker
from asyncqueue.drivers.postgres import PostgresDriver
from asyncqueue.errors import DriverUnavailable

from .acts import claim, record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ...servers.schemas import Schema

HERE = Path(__file__).parent / "tls"
CA, OTHER_CA = HERE / "ca.pem", HERE / "other_ca.pem"
"""No secret of anybody: the certificates below are for 127.0.0.1 and for elsewhere.example."""
QUESTION = bytes.fromhex("0000000804d2162f")
"""With which a client asks for TLS."""


class Proxy:
    """Encrypts what passes, and counts what came in plain text and what did not."""

    def __init__(self, to: str, certificate: str | None) -> None:
        self._to = urlsplit(to)
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(HERE / f"{certificate}.pem")
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None] | None] = set()
        self.plain = 0
        self.encrypted = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._serving.add(asyncio.current_task())
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._pass_on(reader, writer)
        writer.close()
        self._writers.discard(writer)
        self._serving.discard(asyncio.current_task())

    def cut(self) -> None:
        """Break all connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def ended(self) -> None:
        """Break all connections and wait for their ends."""
        self.cut()
        while serving := {task for task in self._serving if task is not None}:
            await asyncio.wait(serving)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(8)
        if first == QUESTION and self._context is not None:
            writer.write(b"S")
            await writer.start_tls(self._context)
            self.encrypted += 1
            first = await reader.readexactly(8)
        elif first == QUESTION:
            writer.write(b"N")
            first = await reader.readexactly(8)
            self.plain += 1
        back, forth = await asyncio.open_connection(self._to.hostname, self._to.port)
        forth.write(first)
        await asyncio.gather(copy(reader, forth), copy(back, writer))


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
    target.close()
    with contextlib.suppress(OSError):
        await target.wait_closed()


@contextlib.asynccontextmanager
async def before(
    place: Schema, certificate: str | None, options: str
) -> AsyncGenerator[tuple[Proxy, PostgresDriver]]:
    """A driver that reaches the server through a proxy with this certificate."""
    proxy = Proxy(place.dsn, certificate)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres?{options}"
        driver = PostgresDriver(url, schema=place.name, timeout=3)
        try:
            yield proxy, driver
        finally:
            await driver.close()
            await proxy.ended()


@pytest.mark.parametrize(
    "options",
    [
        "sslmode=require",
        f"sslmode=verify-ca&sslrootcert={CA}",
        f"sslmode=verify-full&sslrootcert={CA}",
        "",
    ],
)
async def test_everything_goes_through_tls(postgres_schema: Schema, options: str) -> None:
    """Verbs, looking around and wake-ups."""
    async with before(postgres_schema, "here", options) as (proxy, driver):
        await driver.open()
        with driver.watch(["queue:q"]) as watch:
            other = driver.clone()
            await other.open()
            await watch.wait(5)
            watch.clear()
            await other.enqueue([record("a", payload=b"x" * 100_000)])
            await watch.wait(5)
            assert watch.rung
            await other.close()
        assert [len(job.payload) for job in await claim(driver)] == [100_000]
        assert (proxy.plain, proxy.encrypted >= 3) == (0, True)


@pytest.mark.case("DRV-22")
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_there_is_no_way_back_to_plain_text(postgres_schema: Schema, mode: str) -> None:
    """Whoever wants TLS gets nothing from a server that has none."""
    async with before(postgres_schema, None, f"sslmode={mode}&sslrootcert={CA}") as (proxy, driver):
        with pytest.raises(DriverUnavailable, match="rejected SSL upgrade"):
            await driver.open()
        assert proxy.plain == 0


@pytest.mark.case("DRV-22")
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_a_certificate_of_somebody_else_is_refused(
    postgres_schema: Schema, mode: str
) -> None:
    options = f"sslmode={mode}&sslrootcert={OTHER_CA}"
    async with before(postgres_schema, "here", options) as (proxy, driver):
        with pytest.raises(DriverUnavailable, match="certificate.*sslrootcert"):
            await driver.open()
        assert proxy.plain == 0


@pytest.mark.case("DRV-22")
async def test_a_certificate_of_another_host_is_refused(postgres_schema: Schema) -> None:
    """By verify-full; verify-ca asks only who signed it."""
    options = f"sslmode=verify-full&sslrootcert={CA}"
    async with before(postgres_schema, "elsewhere", options) as (proxy, driver):
        with pytest.raises(DriverUnavailable, match=r"not valid for '127.0.0.1'.*sslrootcert"):
            await driver.open()
        assert proxy.plain == 0
    options = f"sslmode=verify-ca&sslrootcert={CA}"
    async with before(postgres_schema, "elsewhere", options) as (_, driver):
        await driver.open()


@pytest.mark.case("DRV-22")
async def test_a_missing_file_of_certificates_is_told(postgres_schema: Schema) -> None:
    options = "sslmode=verify-full&sslrootcert=/nowhere/ca.pem"
    async with before(postgres_schema, "here", options) as (proxy, driver):
        with pytest.raises(DriverUnavailable, match="files that sslrootcert"):
            await driver.open()
        assert (proxy.plain, proxy.encrypted) == (0, 0)


async def test_a_worker_reconnects_through_tls(postgres_schema: Schema) -> None:
    """Connections that break are opened anew, and as safe as before."""
    options = f"sslmode=verify-full&sslrootcert={CA}"
    registry = Registry()
    done = asyncio.Event()

    class Work(Job, replace=True):
        async def handle(self, ctx: Context) -> None:
            done.set()

    registry.register(Work)
    producer = Queue(
        PostgresDriver(postgres_schema.dsn, schema=postgres_schema.name), registry=registry
    )
    async with before(postgres_schema, "here", options) as (proxy, driver):
        async with Queue(driver, registry=registry) as queue, Worker(queue, poll_interval=0.02):
            proxy.cut()
            encrypted = proxy.encrypted
            await producer.dispatch(Work())
            async with asyncio.timeout(10):
                await done.wait()
        assert proxy.encrypted > encrypted
        assert proxy.plain == 0
    await producer.close()
    await producer.driver.close()
