"""A1: whatever stands in a store where jobs, results and errors should be, nothing of it is run.

Each of these, had anybody loaded, imported or evaluated it, would have left a file behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from asyncqueue import Context, Job, Queue, Worker
from asyncqueue.cli.app import asyncqueue as command
from asyncqueue.errors import AsyncQueueError
from asyncqueue.record import Filter, Latch, Record, Settlement, Source, State

from ..recorder import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from asyncqueue import Driver

TRAP = "asyncqueue_trap_of_a_test"


class Loaded:
    """Its pickle is a call."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


class CanaryNeighbour(Job, retention=60):
    text: str = ""

    async def handle(self, ctx: Context) -> str:
        return "ran"


@pytest.fixture
def bird(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that must never be there; and a module that would write it when it is imported."""
    bird = tmp_path / "bird"
    (tmp_path / f"{TRAP}.py").write_text(
        f"open({str(bird)!r}, 'w').close()\nclass Trap:\n    pass\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return bird


@pytest.fixture
def canaries(bird: Path) -> dict[str, bytes]:
    touch = f"touch {bird}"
    loaded = {f"pickle {n}": pickle.dumps(Loaded(touch), n) for n in (0, 2, 5)}
    return loaded | {
        "yaml tag": f"!!python/object/apply:os.system ['{touch}']".encode(),
        "module": TRAP.encode(),
        "class path": f"{TRAP}.Trap".encode(),
        "object path": f"{TRAP}:Trap".encode(),
        "expression": f"__import__('os').system('{touch}')".encode(),
        "template": f"${{{touch}}} {{{{ {touch} }}}} $({touch}) `{touch}`".encode(),
    }


def in_msgpack(canary: bytes) -> list[bytes]:
    """The canary in every place of an envelope, and as what only MessagePack has."""
    text, pack = canary.decode("latin-1"), msgspec.msgpack.encode
    fields = ("trace", "backoff", "rest", "cause", "class", "__class__", "py/object", "type")
    good = {"v": 1, "data": {"text": "x"}}
    return [
        pack({"v": 1, "data": {"text": text}}),
        pack({"v": 1, "data": canary}),
        pack({"v": 1, "data": msgspec.msgpack.Ext(1, canary)}),
        pack({"v": 1, "data": {"text": "x", "py/reduce": text, "__reduce__": canary}}),
        *(pack(good | {field: text}) for field in fields),
        *(pack(good | {field: {"name": text, "type": text}}) for field in fields),
    ]


def test_these_canaries_sing(canaries: dict[str, bytes], bird: Path):
    """Where somebody does load them."""
    code = {
        "pickle 5": lambda: pickle.loads(canaries["pickle 5"]),
        "yaml tag": lambda: yaml.unsafe_load(canaries["yaml tag"]),
        "module": lambda: __import__(canaries["module"].decode()),
        "expression": lambda: eval(canaries["expression"]),
    }
    try:
        for name, load in code.items():
            bird.unlink(missing_ok=True)
            load()
            assert bird.exists(), name
    finally:
        sys.modules.pop(TRAP, None)


async def stored(driver: Driver, canaries: dict[str, bytes]) -> int:
    """One job for each place in which a store keeps bytes or text."""
    jobs: list[Record] = []
    for number, canary in enumerate(canaries.values()):
        text = canary.decode("latin-1").replace("\0", "")
        good = msgspec.msgpack.encode({"v": 1, "data": {"text": "x"}})
        payloads = [canary, *in_msgpack(canary)]
        jobs += [
            Record(f"payload-{number}-{n}", "default", "CanaryNeighbour", payload)
            for n, payload in enumerate(payloads)
        ]
        jobs.append(Record(f"kind-{number}", "default", text, good))
        jobs.append(Record(f"key-{number}", "default", "CanaryNeighbour", good, key=text))
        latch = Latch(f"batch-{number}", canary, retention=60.0)
        member = Record(f"member-{number}", "default", "CanaryNeighbour", good, latch=latch.id)
        await driver.enqueue([member], latches=[latch])
        for state in (State.COMPLETED, State.FAILED, State.DELAYED):
            ended = Record(f"{state.value}-{number}", "elsewhere", "CanaryNeighbour", good)
            await driver.enqueue([ended])
            (claim,) = (await driver.claim([Source("elsewhere")], 1, 30.0, text)).claims
            how: dict[str, Any] = {"result": canary} if state is State.COMPLETED else {}
            if state is not State.COMPLETED:
                how = {"error": text, "traceback": text, "attempt": canary, "delay": 60.0}
            settlement = Settlement(claim.id, claim.token, state, 1, retention=60.0, **how)
            assert await driver.settle([settlement]) == [True]
    await driver.enqueue(jobs)
    return len(jobs) + len(canaries)


async def look_at_everything(queue: Queue, canaries: dict[str, bytes]) -> None:
    cursor = None
    while True:
        page = await queue.jobs(limit=100, cursor=cursor)
        for job in page.items:
            repr(job)
        cursor = page.next
        if cursor is None:
            break
    for failed in (await queue.failed.list(limit=500)).items:
        repr(failed.payload)
        repr(await queue.failed.get(failed.id))
    for number in range(len(canaries)):
        with contextlib.suppress(AsyncQueueError):
            await queue.find_batch(f"batch-{number}")
        for state in ("completed", "failed", "delayed"):
            with contextlib.suppress(AsyncQueueError):
                info = await queue.status(f"{state}-{number}")
                repr(info.result)
    await queue.workers()
    await queue.stats()


async def test_nothing_in_a_store_is_run(
    driver: Driver, make_queue, canaries: dict[str, bytes], bird: Path
):
    queue = make_queue()
    await queue.ping()
    count = await stored(driver, canaries)
    worker = Worker(queue, concurrency=20, poll_interval=0.01, max_attempts=1)
    async with worker:
        good = await queue.dispatch(CanaryNeighbour())
        assert await good.result(PATIENCE) == "ran"
        async with asyncio.timeout(PATIENCE):
            while await queue.size("default"):
                await asyncio.sleep(0.005)
        await look_at_everything(queue, canaries)
        await queue.failed.retry_all(name="CanaryNeighbour")
        assert worker.running
    await look_at_everything(queue, canaries)
    found = await driver.find(Filter(), limit=1000)
    assert len(found.items) > count / 2
    assert not bird.exists()
    assert TRAP not in sys.modules


LOOKS = ("jobs", "jobs --json", "failed list", "failed list --json", "stats", "failed retry --all")


def test_nothing_in_a_store_is_run_by_the_command(
    tmp_path: Path, canaries: dict[str, bytes], bird: Path
):
    """What an operator looks at is shown, what he retries is put back, and that is all."""
    url = f"sqlite:///{tmp_path}/queue.db"

    async def fill() -> None:
        async with Queue(url) as queue:
            await stored(queue.driver, canaries)

    asyncio.run(fill())
    for look in LOOKS:
        done = CliRunner(env={"QUEUE_URL": url}).invoke(command, look.split())
        assert done.exit_code == 0, done.output
    assert not bird.exists()
