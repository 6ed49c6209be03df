"""docket: a stream and two scripts per job, leases renewed."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from docket import Docket, Worker

from benchmarks.peers import inside


async def job(n: int, text: str) -> None:
    await inside.handle(n, text)


@contextlib.asynccontextmanager
async def opened():
    # redis-py's pool refuses the connections that more running jobs need; those are then lost.
    url = f"{inside.URL}?max_connections=2000"
    async with Docket(name="jobs", url=url, execution_ttl=timedelta(0)) as docket:
        docket.register(job)
        yield docket


@contextlib.asynccontextmanager
async def producer():
    async with opened() as docket:

        async def dispatch(n: int, text: str) -> None:
            await docket.add(job)(n, text)

        yield dispatch


async def fill(count: int) -> None:
    async with opened() as docket:
        await docket.add_many([docket.call(job)(n, inside.TEXT) for n in range(count)])


async def work() -> None:
    interval = timedelta(milliseconds=5)
    options = {"concurrency": inside.CONCURRENCY, "minimum_check_interval": interval}
    async with opened() as docket, Worker(docket, **options) as worker:
        await worker.run_forever()
