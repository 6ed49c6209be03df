"""The worker command on every store: it runs jobs, is stopped by signals, and loses nothing."""

from __future__ import annotations

import asyncio
import signal

import pytest

from asyncqueue import Queue, Registry, Settings

from .applications import SHOP


class Place:
    """Where a worker process and a test meet."""

    def __init__(self, **variables: str) -> None:
        self.variables = {f"QUEUE_{name.upper()}": value for name, value in variables.items()}
        self._settings = Settings(**variables)

    def _queue(self) -> Queue:
        registry = Registry()
        for name in ("Send", "Wait", "Deaf"):
            registry.register(name, dict)
        return Queue(settings=self._settings, registry=registry)

    def put(self, name: str, **fields: str) -> str:
        """Dispatch a job; answers its id."""

        async def put() -> str:
            async with self._queue() as queue:
                return (await queue.dispatch_named(name, fields)).id

        return asyncio.run(put())

    def shown(self, id: str) -> tuple[str, int]:
        """State and attempts of a job."""

        async def look() -> tuple[str, int]:
            async with self._queue() as queue:
                info = await queue.status(id)
                return info.state.value, info.attempts

        return asyncio.run(look())


@pytest.fixture(params=["postgres", "redis", "sqlite"])
def store(request, here) -> Place:
    (here / "shop.py").write_text(SHOP)
    if request.param == "sqlite":
        return Place(url=f"sqlite:///{here}/queue.db")
    if request.param == "redis":
        url, prefix = (request.getfixturevalue(f"redis_{part}") for part in ("url", "prefix"))
        return Place(url=url, prefix=prefix)
    schema = request.getfixturevalue("postgres_schema")
    return Place(url=f"{schema.dsn}?schema={schema.name}")


@pytest.mark.case("CLI-02", "CLI-04", "SHD-16")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_hands_back_what_runs(start, store, number):
    sent, waiting = store.put("Send", who="bob"), store.put("Wait")
    worker = start("--import", "shop", **store.variables)
    worker.until_all("waiting, attempt 1", f"Send {sent}")
    worker.send(number)
    assert worker.ended() == 0
    assert f"{number.name}: stopping; 1 job running, waiting up to 5 s." in worker.out
    assert store.shown(sent) == ("completed", 1)
    assert store.shown(waiting) == ("pending", 0)


@pytest.mark.case("SHD-17")
def test_a_deaf_job_does_not_keep_it_alive_and_comes_back(start, store):
    deaf = store.put("Deaf")
    options = ("--import", "shop", "--drain-timeout", "300ms", "--lease", "1s")
    worker = start(*options, **store.variables)
    worker.until("Ready.")
    worker.until("deaf")
    worker.send(signal.SIGTERM)
    assert worker.ended() == 0
    assert store.shown(deaf)[1] == 1  # It waits for its lease, or did already.
    another = start(*options, **store.variables)
    another.until("Ready.")
    another.until("deaf")
    assert store.shown(deaf) == ("processing", 2)


@pytest.mark.case("CLI-08", "WRK-32")
def test_it_ends_when_there_is_nothing_left(start, store):
    sent = [store.put("Send", who="bob") for _ in range(3)]
    worker = start("--import", "shop", "--stop-when-empty", **store.variables)
    assert worker.ended() == 0
    assert [store.shown(id) for id in sent] == [("completed", 1)] * 3
